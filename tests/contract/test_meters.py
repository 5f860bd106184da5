"""One suite for every `Meters`: the fake that other tests use behaves as Postgres does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.postgres.meters import PostgresMeters
from connectors.postgres.migrations import migrate
from connectors.postgres.pool import Options, open_pool
from domain.errors import Conflict, NotFound
from domain.metering.meter import changed
from tests.builders import NOON, ULIDS, a_meter
from tests.fakes import MemoryMeters

LATER = NOON + timedelta(hours=1)
EVERYTHING = {"order_by": "key", "descending": False, "include_deleted": True, "limit": 1000}


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def dsn(request):
    """Where Postgres is, None for the fake."""
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None


@pytest.fixture
async def meters(dsn, unique):
    if dsn is None:
        yield MemoryMeters(unique, lambda: LATER)
        return
    pool = await open_pool(Options(dsn=dsn, pool_max=2))
    await migrate(pool)
    yield PostgresMeters(pool, unique, lambda: LATER)
    await pool.close()


@pytest.fixture
def meter(unique):
    def build(slug="tokens", number=0, **more):
        return a_meter(slug, id=ULIDS[number], namespace=unique, **more)

    return build


@pytest.mark.parametrize(
    "event_from",
    [datetime.min, datetime(2026, 1, 2, 3, 4, 5, 6), datetime.max],  # noqa: DTZ001, DTZ901
)
async def test_what_was_created_is_found_by_id_and_by_slug(meters, meter, event_from):
    full = replace(
        meter("full", groups={"zone": "$.zone", "a": "$.a"}, event_from=event_from.replace(tzinfo=UTC)),
        description="π \x01 '; DROP TABLE meters; --",
        metadata={"ключ": "\u2028", "": ""},
        created_at=NOON + timedelta(microseconds=1),
    )  # fmt: skip

    assert await meters.create(full) == full
    assert await meters.find(full.id) == full
    assert await meters.find(full.id.lower()) == full
    assert await meters.find("full") == full


@pytest.mark.parametrize("metadata", [None, {}])
async def test_no_metadata_and_empty_metadata_are_two_things(meters, meter, metadata):
    await meters.create(replace(meter(), metadata=metadata))

    assert (await meters.find("tokens")).metadata == metadata


@pytest.mark.parametrize(
    "unknown",
    ["nobody", ULIDS[9], "", "a\0b", "\ud800", "'; DROP TABLE meters; --", "x" * 100_000],
)
async def test_what_nothing_has_is_not_found(meters, meter, unknown):
    await meters.create(meter())

    with pytest.raises(NotFound):
        await meters.find(unknown)
    with pytest.raises(NotFound):
        await meters.delete(unknown)
    with pytest.raises(NotFound):
        await meters.update(unknown, lambda found: found)


async def test_a_slug_is_taken_until_its_meter_is_deleted(meters, meter):
    await meters.create(meter(number=0))

    with pytest.raises(Conflict):
        await meters.create(meter(number=1))
    await meters.delete("tokens")
    second = await meters.create(meter(number=1))

    assert await meters.find("tokens") == second
    assert (await meters.find(ULIDS[0])).deleted_at == LATER


async def test_an_id_that_is_taken_is_a_conflict(meters, meter):
    await meters.create(meter("one"))

    with pytest.raises(Conflict):
        await meters.create(meter("two"))


async def test_an_id_wins_over_a_slug_that_looks_like_it(meters, meter):
    by_id = await meters.create(meter("one", number=0))
    by_slug = await meters.create(meter(ULIDS[0].lower(), number=1))

    assert await meters.find(ULIDS[0].lower()) == by_id
    assert await meters.find(by_slug.id) == by_slug


async def test_a_slug_that_looks_like_an_id_is_found_when_no_meter_has_the_id(meters, meter):
    by_slug = await meters.create(meter(ULIDS[5].lower(), number=1))

    assert await meters.find(ULIDS[5].lower()) == by_slug


async def test_a_deleted_meter_is_gone_by_slug_and_stays_by_id(meters, meter):
    await meters.create(meter())
    await meters.delete("tokens")

    await meters.delete(ULIDS[0])

    assert (await meters.find(ULIDS[0])).deleted_at == LATER
    for call in (
        meters.find("tokens"),
        meters.delete("tokens"),
        meters.update("tokens", lambda found: found),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_deleted_meter_can_be_updated_by_id_and_stays_deleted(meters, meter):
    await meters.create(meter())
    await meters.delete("tokens")

    after = await meters.update(ULIDS[0], lambda found: replace(found, name="Third"))

    assert (after.name, after.deleted_at) == ("Third", LATER)
    assert await meters.find(ULIDS[0]) == after


async def test_an_update_stores_what_the_change_makes(meters, meter):
    await meters.create(meter(groups={"zone": "$.zone"}))

    def change(found):
        return changed(found, name=None, description="d", metadata={"a": "b"}, group_by=None, at=LATER)  # fmt: skip

    after = await meters.update("tokens", change)

    assert (after.version, after.group_by, after.updated_at) == (2, {}, LATER)
    assert await meters.find("tokens") == after


async def test_a_change_that_raises_changes_nothing(meters, meter):
    before = await meters.create(meter())

    def refuse(found):
        raise KeyError("no")

    with pytest.raises(KeyError):
        await meters.update("tokens", refuse)
    assert await meters.find("tokens") == before


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("key", ["Z", "a", "B", "é"]),  # k0 k1 k_1 ka
        ("name", ["B", "Z", "a", "é"]),
        ("aggregation", ["é", "a", "Z", "B"]),
        ("createdAt", ["Z", "é", "B", "a"]),
        ("updatedAt", ["a", "B", "é", "Z"]),
    ],
)
async def test_meters_are_listed_in_a_total_order(meters, meter, order_by, expected, descending):
    rows = [("Z", "k0", "MAX", 0, 9), ("a", "k1", "COUNT", 7, 1), ("B", "k_1", "SUM", 5, 2), ("é", "ka", "AVG", 1, 3)]  # fmt: skip
    for number, (name, slug, aggregation, created, updated) in enumerate(rows):
        await meters.create(
            replace(
                meter(slug, number, aggregation=aggregation),
                name=name,
                created_at=NOON + timedelta(seconds=created),
                updated_at=NOON + timedelta(seconds=updated),
            )
        )

    listed = await meters.list_meters(**(EVERYTHING | {"order_by": order_by, "descending": descending}))  # fmt: skip

    assert [m.name for m in listed] == (expected[::-1] if descending else expected)


async def test_equal_sort_keys_are_ordered_by_id(meters, meter):
    for number in (2, 0, 1):
        await meters.create(replace(meter(f"m{number}", number), name="same"))

    listed = await meters.list_meters(**(EVERYTHING | {"order_by": "name"}))

    assert [m.id for m in listed] == ULIDS[:3]


async def test_a_list_has_deleted_meters_only_when_asked_and_ends_at_its_limit(meters, meter):
    for number in range(3):
        await meters.create(meter(f"m{number}", number))
    await meters.delete("m0")

    live = await meters.list_meters(**(EVERYTHING | {"include_deleted": False}))
    two = await meters.list_meters(**(EVERYTHING | {"limit": 2}))

    assert [m.slug for m in live] == ["m1", "m2"]
    assert [m.slug for m in two] == ["m0", "m1"]


async def test_the_live_meters_of_event_types(meters, meter):
    await meters.create(meter("a", 0, event_type="x"))
    await meters.create(meter("b", 1, event_type="y"))
    await meters.create(meter("c", 2, event_type="x"))
    await meters.create(meter("d", 3, event_type="z" * 1024))
    await meters.delete("c")

    assert [m.slug for m in await meters.of_types(["x", "z" * 1024])] == ["a", "d"]
    assert await meters.of_types(["nothing", "a\0b", "\ud800"]) == []
    assert await meters.of_types([]) == []
