"""Customers and features in Postgres at the same time as others, and what workers are told of them."""

import asyncio

import asyncpg
import pytest

from connectors.postgres.customers import PostgresCustomers
from connectors.postgres.features import PostgresFeatures
from connectors.postgres.meters import PostgresMeters
from connectors.postgres.migrations import migrate
from connectors.postgres.outbox import PostgresOutbox
from connectors.postgres.pool import Options, open_pool
from connectors.postgres.subjects import PostgresSubjects
from domain.customers.customer import replaced
from domain.customers.listing import CustomerListing
from domain.errors import Conflict, NotFound
from runtime.ids import new_id
from tests.builders import NOON, ULIDS, a_meter
from tests.customer_builders import a_customer, a_face, a_feature, an_upsert

pytestmark = pytest.mark.integration


@pytest.fixture
def customers(pool, unique):
    return PostgresCustomers(pool, unique, lambda: NOON, new_id)


@pytest.fixture
def subjects(pool, unique):
    return PostgresSubjects(pool, unique, lambda: NOON, new_id)


@pytest.fixture
def features(pool, unique):
    return PostgresFeatures(pool, unique, lambda: NOON)


@pytest.fixture
def told(postgres_dsn, unique):
    async def read():
        async with PostgresOutbox(Options(dsn=postgres_dsn), unique).hold() as outbox:
            return await outbox.read(1000)

    return read


async def entitle(pool, namespace, customer_id, feature_id, *, active_to=None):
    """A row as small as it can be: that entitlements exist is all that matters here."""
    async with pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO entitlements (namespace, id, customer_id, feature_id, feature_key, kind, active_from,"
            " active_to, created_at, updated_at, is_soft_limit, preserve_overage)"
            " VALUES ($1, $2, $3, $4, 'calls', 'boolean', $5, $6, $5, $5, false, false)",
            namespace,
            new_id(),
            customer_id,
            feature_id,
            NOON,
            active_to,
        )


def won(results, error):
    found = [one for one in results if not isinstance(one, BaseException)]
    assert all(isinstance(one, error) for one in results if isinstance(one, BaseException)), results
    return found


async def test_of_many_creates_of_one_key_exactly_one_wins(customers, features, told, unique):
    made = won(
        await asyncio.gather(
            *(customers.create(a_customer(number=n, namespace=unique)) for n in range(20)),
            return_exceptions=True,
        ),
        Conflict,
    )
    meant = won(
        await asyncio.gather(
            *(features.create(a_feature(number=n, namespace=unique)) for n in range(20)),
            return_exceptions=True,
        ),
        Conflict,
    )

    assert [await customers.find("acme")] == made
    assert [await features.find("calls")] == meant
    assert [record.entity.id for record in await told()] == [made[0].id, meant[0].id]


async def test_of_many_customers_that_name_one_subject_exactly_one_gets_it(
    customers, subjects, unique
):
    made = won(
        await asyncio.gather(
            *(
                customers.create(a_customer(f"c{n}", n, namespace=unique, subject_keys=["s"]))
                for n in range(20)
            ),
            *(subjects.upsert([an_upsert("s")]) for _ in range(5)),
            return_exceptions=True,
        ),
        Conflict,
    )

    owners = await customers.of_subjects(["s"])
    assert [one.id for one in made if hasattr(one, "subject_keys")] == [owners["s"]]
    assert [len(page) async for page in subjects.pages(10)] == [1]


async def test_a_key_and_a_subject_key_of_the_same_text_never_clash_unseen(customers, unique):
    """Whichever comes first: a subject key that is another's key is allowed, the reverse is a conflict."""
    made = won(
        await asyncio.gather(
            customers.create(a_customer("x", 0, namespace=unique)),
            customers.create(a_customer("y", 1, namespace=unique, subject_keys=["x"])),
            return_exceptions=True,
        ),
        Conflict,
    )

    owners = await customers.of_subjects(["x"])
    assert owners["x"] == (ULIDS[0] if len(made) == 2 else ULIDS[1])


async def test_replacements_at_the_same_time_leave_one_face(customers, unique):
    await customers.create(a_customer(namespace=unique))

    def face(number):
        return a_face(name=f"n{number}", subject_keys=[f"s{number}-{n}" for n in range(5)])

    await asyncio.gather(
        *(
            customers.update(
                "acme", lambda found, n=n: replaced(found, face(n), at=NOON, subject_keys_max=10)
            )
            for n in range(20)
        )
    )

    found = await customers.find("acme")
    number = found.name.removeprefix("n")
    assert found.subject_keys == tuple(f"s{number}-{n}" for n in range(5))
    assert await customers.subjects_of(found.id) == ["acme", *found.subject_keys]


async def test_workers_are_told_of_every_change_with_all_that_is_there(
    customers, subjects, features, told, unique
):
    await customers.create(a_customer(namespace=unique, subject_keys=["b", "a"]))
    await customers.update(
        "acme",
        lambda found: replaced(found, a_face(subject_keys=["c"]), at=NOON, subject_keys_max=10),
    )
    await subjects.upsert([an_upsert("z")])
    await customers.delete("acme")
    await features.create(a_feature(number=1, namespace=unique))
    await features.archive("calls")

    found = await told()
    assert [record.kind for record in found] == ["customer"] * 3 + ["feature"] * 2
    assert [record.customer.subject_keys for record in found[:3]] == [("a", "b"), ("c",), ()]
    assert [record.customer.deleted_at for record in found[:3]] == [None, None, NOON]
    assert [record.feature.archived_at for record in found[3:]] == [None, NOON]
    assert [record.version for record in found] == sorted(record.version for record in found)


async def test_a_refused_change_tells_nothing_and_leaves_nothing(customers, subjects, told, unique):
    await customers.create(a_customer("one", 0, namespace=unique, subject_keys=["a"]))
    before = len(await told())

    with pytest.raises(Conflict):
        await customers.create(a_customer("two", 1, namespace=unique, subject_keys=["b", "a"]))
    with pytest.raises(Conflict):
        await customers.create(a_customer("one", 2, namespace=unique, subject_keys=["b"]))

    assert len(await told()) == before
    with pytest.raises(NotFound):
        await subjects.find("b")


async def test_active_entitlements_keep_their_customer_and_their_meter(
    pool, customers, features, unique
):
    meters = PostgresMeters(pool, unique, lambda: NOON)
    meter = await meters.create(a_meter(id=ULIDS[9], namespace=unique))
    feature = await features.create(a_feature(namespace=unique, meter=meter))
    for number, key in enumerate(("ended", "active")):
        await customers.create(a_customer(key, number, namespace=unique))
    await entitle(pool, unique, ULIDS[0], feature.id, active_to=NOON)
    await entitle(pool, unique, ULIDS[1], feature.id)
    await features.archive("calls")

    await customers.delete("ended")
    with pytest.raises(Conflict):
        await customers.delete("active")
    with pytest.raises(Conflict):
        await meters.delete("tokens")

    async with pool.acquire() as connection:
        await connection.execute(
            "UPDATE entitlements SET deleted_at = $2 WHERE namespace = $1", unique, NOON
        )
    await customers.delete("active")
    await meters.delete("tokens")


async def test_parts_and_orders_have_their_indexes(pool, customers, unique):
    """The plan is read as it is without scans of whole tables, which are cheaper as long as the table is small."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO customers (namespace, id, key, key_folded, name, name_folded, created_at, updated_at)"
            " SELECT $1, lpad(n::text, 26, '0'), 'K' || n, 'k' || n, 'N', 'n', $2, $2 FROM generate_series(1, 5000) n",
            unique,
            NOON,
        )
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_sort = off")
        where = "FROM customers c WHERE c.namespace = $1 AND c.deleted_at IS NULL"
        parts = await connection.fetch(
            "EXPLAIN SELECT count(*) FROM customers WHERE key_folded LIKE '%k4999%'"
        )
        ordered = await connection.fetch(
            f"EXPLAIN SELECT c.id {where} ORDER BY c.name, c.id LIMIT 100", unique
        )
    found = await customers.list_customers(CustomerListing(key="K499"))
    last = await customers.list_customers(CustomerListing(page=50))

    assert "customers_key_parts" in str(parts)
    assert "customers_by_name" in str(ordered)
    assert (found.total, found.customers[0].key) == (11, "K499")
    assert (last.total, len(last.customers), last.customers[-1].key) == (5000, 100, "K5000")


async def test_a_database_that_lets_no_extension_be_made_finds_the_same(postgres_dsn, unique):
    """As its owner hands it out: the schema is there, and there is no right to create anything else."""
    role, database = f"r_{unique}", f"d_{unique}"
    server = await asyncpg.connect(postgres_dsn)
    await server.execute(f"CREATE ROLE {role} LOGIN")
    await server.execute(f"CREATE DATABASE {database}")
    await server.close()
    theirs = f"{postgres_dsn.rpartition('/')[0]}/{database}"
    owner = await asyncpg.connect(theirs)
    await owner.execute(f"CREATE SCHEMA meterstream AUTHORIZATION {role}")
    await owner.close()

    pool = await open_pool(Options(dsn=theirs.replace("postgres@", f"{role}@")))
    await migrate(pool)
    customers = PostgresCustomers(pool, unique, lambda: NOON, new_id)
    await customers.create(a_customer(namespace=unique, subject_keys=["s1"]))
    page = await customers.list_customers(CustomerListing(key="CM", subject="S"))
    made = await pool.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")
    await pool.close()

    assert (page.total, made) == (1, 0)
