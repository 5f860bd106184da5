"""One suite for every `Entitlements`: the fake that other tests use behaves as Postgres does."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.postgres.customers import PostgresCustomers
from connectors.postgres.entitlements import PostgresEntitlements
from connectors.postgres.features import PostgresFeatures
from connectors.postgres.meters import PostgresMeters
from connectors.postgres.pool import connection
from connectors.postgres.subjects import PostgresSubjects
from domain.customers.customer import replaced
from domain.entitlements.entitlement import Overlap
from domain.entitlements.finding import (
    ByCustomer,
    ById,
    BySubject,
    EntitlementFilter,
    FeatureName,
    GrantFilter,
    OfOwner,
    Order,
    Slice,
)
from domain.entitlements.grants import ExpiryUnit
from domain.entitlements.managed import Expiry, Issue, Kind
from domain.entitlements.managing import Bounds, PeriodWanted
from domain.errors import Conflict, NotFound, PreconditionFailed, Refused
from domain.time.duration import Duration
from schemas.catalog import decode_catalog_record, encode_catalog_record
from schemas.entitlement_plans import entitlement_of, timeline_of
from tests.builders import NOON
from tests.customer_builders import a_face
from tests.entitlement_builders import ACME, HOUR, TOKENS, Managed, a_grant_wish, a_wish, an_id
from tests.fake_customers import MemoryCustomers, MemoryFeatures, MemorySubjects
from tests.fake_entitlements import MemoryEntitlements
from tests.fakes import MemoryMeters

HOSTILE = ["nobody", an_id(9), "", "a\0b", "\ud800", "'; DROP TABLE grants; --", "x" * 100_000]
ALL = Slice(order=Order.CREATED, limit=1000)
FULL = a_wish(
    interval=Duration(months=1, days=2),
    metadata={"ключ": "\u2028", "": ""},
    annotations={"n": [1, {"\0": None}], "big": 1e300},
    is_soft_limit=True,
    preserve_overage=True,
    issue=Issue(amount=Decimal("0.1"), priority=255),
)


@pytest.fixture
def managed(pool, unique):
    def now():
        return made.now

    def new_id():
        return made.new_id()

    if pool is None:
        subjects, meters = MemorySubjects(unique, now, new_id), MemoryMeters(unique, now)
        customers, features = (
            MemoryCustomers(unique, now, subjects),
            MemoryFeatures(unique, now, meters),
        )
        entitlements = MemoryEntitlements(unique, now, customers, subjects, features)
    else:
        subjects = PostgresSubjects(pool, unique, now, new_id)
        meters = PostgresMeters(pool, unique, now)
        customers = PostgresCustomers(pool, unique, now, new_id)
        features = PostgresFeatures(pool, unique, now)
        entitlements = PostgresEntitlements(pool, unique, now)
    made = Managed(unique, entitlements, customers, subjects, features, meters)
    return made


@pytest.fixture
async def entitled(managed):
    """With a customer `acme` of two subjects and a feature `tokens`."""
    await managed.a_customer(subject_keys=["s2", "s1"])
    await managed.a_feature()
    return managed


@pytest.fixture
def told(pool, entitled):
    """What the workers are told of entitlements, oldest first."""

    async def read():
        if pool is None:
            return [
                decode_catalog_record(encode_catalog_record(one)).entitlement
                for one in entitled.entitlements.outbox
            ]
        async with connection(pool) as reading:
            rows = await reading.fetch(
                "SELECT payload FROM outbox WHERE namespace = $1 ORDER BY id", entitled.namespace
            )
        found = [decode_catalog_record(row["payload"]).entitlement for row in rows]
        return [one for one in found if one is not None]

    return read


# -- one entitlement


@pytest.mark.parametrize(
    "wish",
    [
        FULL,
        a_wish(),
        a_wish(Kind.STATIC, config='{"b":1,"a":[1.50]}', metadata={}),
        a_wish(Kind.BOOLEAN, usage_period=PeriodWanted(interval=Duration(hours=36))),
    ],
)
async def test_what_was_created_is_found_by_id_and_by_feature_key(entitled, wish):
    made = await entitled.create(wish)

    for place in (
        ById(made.id),
        ById(made.id.lower()),
        OfOwner(ACME, "tokens"),
        OfOwner(ACME, made.id),
        OfOwner(BySubject("s2"), "tokens"),
    ):
        found, holder = await entitled.entitlements.find(place)
        assert found == made
        assert (holder.customer_key, holder.subject_key) == ("acme", "s1")


async def test_the_record_of_an_entitlement_is_what_the_workers_were_told_last(entitled, told):
    made = await entitled.create(FULL)
    first = await entitled.grant(
        ById(made.id), a_grant_wish(recurrence=PeriodWanted(interval=Duration(days=1)))
    )
    second = await entitled.grant(
        ById(made.id), a_grant_wish("2.50", expiry=Expiry(unit=ExpiryUnit.MONTH, count=3), priority=7)
    )  # fmt: skip
    await entitled.void(first.grant.id)
    entitled.now += HOUR
    await entitled.reset(ById(made.id), preserve_overage=False)

    record = await entitled.entitlements.record(made.id)
    told_last = await told()
    assert told_last[-1] == record
    assert len(told_last) == 5
    assert [grant.id for grant in record.grants][1:] == [first.grant.id, second.grant.id]
    assert record.grants[1].voided_at == NOON
    assert record.grants[2].amount == Decimal("2.5")
    assert [reset.at for reset in record.resets] == [NOON + HOUR]
    assert timeline_of(record).last_reset == NOON + HOUR
    assert entitlement_of(record).active.contains(entitled.now)


@pytest.mark.parametrize("unknown", HOSTILE)
async def test_what_nothing_has_is_not_found(entitled, unknown):
    await entitled.create()
    change = entitled.entitlements.change
    for place in (
        ById(unknown),
        OfOwner(ACME, unknown),
        OfOwner(ByCustomer(unknown), "tokens"),
        OfOwner(BySubject(unknown), "tokens"),
    ):
        with pytest.raises(NotFound):
            await entitled.entitlements.find(place)
        with pytest.raises(NotFound):
            await change(place, lambda one, now: one)
    for owner in (ByCustomer(unknown), BySubject(unknown)):
        with pytest.raises(NotFound):
            await entitled.create(owner=owner)
    for feature in (FeatureName(key=unknown or "x"), FeatureName(id=unknown or "x")):
        with pytest.raises(NotFound):
            await entitled.create(feature=feature)
    with pytest.raises(NotFound):
        await entitled.override(place=OfOwner(ACME, unknown))
    with pytest.raises(NotFound):
        await entitled.void(unknown)
    with pytest.raises(NotFound):
        await entitled.entitlements.record(unknown)
    with pytest.raises(NotFound):
        await entitled.entitlements.of_customer(unknown)
    with pytest.raises(NotFound):
        await entitled.entitlements.of_subject(unknown)


async def test_a_deleted_customer_or_subject_and_an_archived_feature_take_nothing_new(entitled):
    gone = await entitled.a_customer("gone")
    subject = await entitled.a_subject("away")
    await entitled.subjects.delete("away")
    await entitled.customers.delete("gone")
    old = await entitled.features.find("tokens")
    await entitled.features.archive("tokens")

    with pytest.raises(PreconditionFailed):
        await entitled.create(owner=ByCustomer(gone.id))
    with pytest.raises(PreconditionFailed):
        await entitled.create(owner=BySubject(subject.id))
    with pytest.raises(PreconditionFailed):
        await entitled.entitlements.of_customer(gone.id)
    for feature in (TOKENS, FeatureName(id=old.id)):
        with pytest.raises(NotFound):
            await entitled.create(feature=feature)


async def test_a_subject_without_a_customer_has_no_entitlements(entitled):
    await entitled.a_subject("lonely")

    with pytest.raises(NotFound):
        await entitled.create(owner=BySubject("lonely"))
    with pytest.raises(NotFound):
        await entitled.entitlements.list_entitlements(
            EntitlementFilter(owner=BySubject("lonely")), ALL
        )


async def test_a_subject_with_the_key_of_a_customer_is_that_customers(entitled):
    await entitled.a_subject("acme")

    made = await entitled.create(owner=BySubject("acme"))

    assert (await entitled.entitlements.find(OfOwner(ACME, "tokens")))[0] == made


# -- one at a time


async def test_only_one_is_active_for_a_key_until_it_is_deleted(entitled):
    first = await entitled.create()

    with pytest.raises(Overlap) as overlap:
        await entitled.create(a_wish(Kind.BOOLEAN), feature=FeatureName(id=first.feature_id))
    assert overlap.value.conflicting == first.id
    await entitled.delete(first.id)
    second = await entitled.create()

    assert second.id != first.id
    with pytest.raises(NotFound):
        await entitled.entitlements.find(ById(first.id))


async def test_of_two_that_are_made_at_once_one_is_refused(entitled, told):
    answers = await asyncio.gather(*(entitled.create() for _ in range(4)), return_exceptions=True)

    made = [one for one in answers if not isinstance(one, Exception)]
    refused = [one for one in answers if isinstance(one, Overlap)]
    assert len(made) == 1
    assert [one.conflicting for one in refused] == [made[0].id] * 3
    assert len(await told()) == 1


async def test_an_entitlement_of_an_archived_feature_stands_in_the_way_of_one_with_its_key(
    entitled,
):
    old = await entitled.create()
    await entitled.features.archive("tokens")
    await entitled.a_feature(metered=False)
    await entitled.a_customer("other")

    with pytest.raises(Overlap):
        await entitled.create(a_wish(Kind.BOOLEAN))
    await entitled.create(a_wish(Kind.BOOLEAN), owner=ByCustomer("other"))
    new = await entitled.override(a_wish(Kind.BOOLEAN))

    assert new.feature_id != old.feature_id


async def test_a_customer_with_an_active_entitlement_cannot_be_deleted(entitled):
    made = await entitled.create()

    with pytest.raises(Conflict):
        await entitled.customers.delete("acme")
    await entitled.delete(made.id)

    await entitled.customers.delete("acme")


# -- changes


async def test_override_ends_one_and_begins_another_in_one_step(entitled, told):
    old = await entitled.create()
    await entitled.grant(ById(old.id))
    entitled.now += HOUR

    new = await entitled.override(a_wish(Kind.STATIC, config="1"))

    ended, _ = await entitled.entitlements.find(ById(old.id))
    assert ended.active_to == new.active_from == entitled.now
    assert (await entitled.entitlements.find(OfOwner(ACME, "tokens")))[0] == new
    assert [one.id for one in (await told())[-2:]] == [old.id, new.id]


async def test_another_customers_entitlement_is_not_overridden(entitled):
    made = await entitled.create()
    await entitled.a_customer("other")

    with pytest.raises(NotFound):
        await entitled.override(place=OfOwner(ByCustomer("other"), made.id))


async def test_a_change_that_is_refused_leaves_everything_as_it_was(entitled, told):
    made = await entitled.create()
    before, version = await told(), entitled.entitlements.catalog_version

    with pytest.raises(Refused):
        await entitled.grant(ById(made.id), a_grant_wish(0))
    with pytest.raises(Refused):
        await entitled.reset(ById(made.id), at=NOON + HOUR)
    with pytest.raises(Refused):
        await entitled.override(a_wish(Kind.STATIC, config="{"))
    with pytest.raises(Overlap):
        await entitled.create()

    assert await told() == before
    assert entitled.entitlements.catalog_version == version
    assert (await entitled.entitlements.find(ById(made.id)))[0] == made


async def test_deleting_takes_the_grants_along_and_tells_so_once(entitled, told):
    made = await entitled.create(a_wish(issue=Issue(amount=Decimal(5))))
    grant = await entitled.grant(ById(made.id))
    entitled.now += HOUR

    await entitled.delete(made.id)

    last = (await told())[-1]
    assert last.deleted_at == entitled.now
    assert [one.deleted_at for one in last.grants] == [entitled.now] * 2
    with pytest.raises(NotFound):
        await entitled.void(grant.grant.id)
    with pytest.raises(NotFound):
        await entitled.delete(made.id)


async def test_the_newest_version_that_was_committed_grows_with_each_change(entitled):
    before = entitled.entitlements.catalog_version
    made = await entitled.create()
    after = entitled.entitlements.catalog_version
    await entitled.grant(ById(made.id))

    assert before < after < entitled.entitlements.catalog_version


@pytest.mark.parametrize("at", [datetime.min, datetime(2026, 1, 2, 3, 4)])  # noqa: DTZ001, DTZ901
async def test_the_first_moment_there_is_can_be_an_anchor(entitled, at):
    moment = at.replace(tzinfo=UTC)
    wish = a_wish(interval=Duration(years=5000), anchor=moment)

    made = await entitled.create(wish)

    assert made.usage_period.anchor == moment
    assert (await entitled.entitlements.find(ById(made.id)))[0] == made


async def test_an_entitlement_that_is_full_takes_no_more_and_can_be_emptied(entitled):
    entitled.bounds = Bounds(grants_max=2, resets_max=1)
    made = await entitled.create()
    grants = [await entitled.grant(ById(made.id)) for _ in range(2)]
    entitled.now += timedelta(minutes=1)
    await entitled.reset(ById(made.id))
    entitled.now += timedelta(minutes=1)

    with pytest.raises(Refused) as grant:
        await entitled.grant(ById(made.id), a_grant_wish(effective_at=entitled.now))
    with pytest.raises(Refused) as reset:
        await entitled.reset(ById(made.id))
    assert (grant.value.code, reset.value.code) == ("too_many_grants", "too_many_resets")
    assert len(grants) == 2
    await entitled.delete(made.id)


# -- lists


@pytest.fixture
async def many(entitled):
    """acme: a metered one that was overridden by a flag, and a static one; other: a flag."""
    entitled.old = await entitled.create()
    entitled.now += HOUR
    entitled.flag = await entitled.override(a_wish(Kind.BOOLEAN))
    entitled.now += HOUR
    await entitled.a_feature("seats", metered=False)
    entitled.seats = await entitled.create(a_wish(Kind.STATIC), feature=FeatureName(key="seats"))
    entitled.now += HOUR
    entitled.customer = await entitled.a_customer("other", subject_keys=["t1"])
    entitled.foreign = await entitled.create(a_wish(Kind.BOOLEAN), owner=ByCustomer("other"))
    return entitled


async def listed(managed, part=ALL, **wanted):
    found, total = await managed.entitlements.list_entitlements(EntitlementFilter(**wanted), part)
    return [one.id for one, _ in found], total


async def test_filters_of_lists_add_up_and_ids_and_keys_of_customers_are_one_or_the_other(many):
    old, flag, seats, foreign = (one.id for one in (many.old, many.flag, many.seats, many.foreign))
    for wanted, ids in (
        ({}, [old, flag, seats, foreign]),
        ({"only_active": True}, [flag, seats, foreign]),
        ({"owner": ACME}, [old, flag, seats]),
        ({"owner": BySubject("t1")}, [foreign]),
        ({"features": ["tokens"]}, [old, flag, foreign]),
        ({"features": [many.seats.feature_id.lower(), "nothing"]}, [seats]),
        ({"subjects": ["s1", "t1"], "features": ["seats"]}, [seats]),
        ({"subjects": ["acme"]}, []),
        ({"customer_ids": [many.customer.id.lower()]}, [foreign]),
        ({"customer_ids": [many.customer.id], "customer_keys": ["acme"]}, [old, flag, seats, foreign]),
        ({"customer_keys": ["nobody"]}, []),
        ({"kinds": [Kind.STATIC, Kind.METERED]}, [old, seats]),
        ({"kinds": [Kind.BOOLEAN], "only_active": True, "owner": ACME}, [flag]),
    ):  # fmt: skip
        assert await listed(many, **wanted) == (ids, len(ids)), wanted


async def test_a_list_is_cut_where_it_is_asked_to_be(many):
    ids, _ = await listed(many)

    for descending in (False, True):
        expected = ids[::-1] if descending else ids
        for offset in range(5):
            part = Slice(order=Order.CREATED, descending=descending, offset=offset, limit=2)
            assert await listed(many, part) == (expected[offset : offset + 2], 4)
    assert await listed(many, replace(ALL, offset=10**30)) == ([], 4)


async def test_entitlements_are_listed_by_their_last_change(many):
    await many.delete(many.foreign.id)
    many.now += HOUR
    await many.override(a_wish(Kind.BOOLEAN))

    ids, _ = await listed(many, Slice(order=Order.UPDATED), only_active=False)

    assert ids[:2] == [many.old.id, many.seats.id]
    assert ids[2] == many.flag.id


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_filter_that_nothing_fits_lists_nothing(many, text):
    for name in ("features", "subjects", "customer_ids", "customer_keys"):
        assert await listed(many, **{name: [text]}) == ([], 0)
    for name in ("features", "subjects"):
        found = await many.entitlements.list_grants(GrantFilter(**{name: [text]}), ALL)
        assert found == ([], 0)
    with pytest.raises(NotFound):
        await many.entitlements.list_grants(GrantFilter(customers=[text]), ALL)


async def test_a_list_tells_the_last_reset_and_the_first_subject(entitled):
    made = await entitled.create()
    for _ in range(2):
        entitled.now += HOUR
        await entitled.reset(ById(made.id))

    [(found, holder)], _ = await entitled.entitlements.list_entitlements(EntitlementFilter(), ALL)

    assert found.last_reset.at == NOON + 2 * HOUR
    assert holder.subject_key == "s1"
    await entitled.customers.update(
        "acme", lambda one: replaced(one, a_face(), at=NOON, subject_keys_max=10)
    )
    _, holder = await entitled.entitlements.find(ById(made.id))
    assert holder.subject_key == ""


async def test_grants_are_listed_by_place_owner_feature_and_order(entitled):
    one = await entitled.create()
    early = await entitled.grant(ById(one.id), a_grant_wish(effective_at=NOON - 2 * HOUR))
    entitled.now += HOUR
    late = await entitled.grant(ById(one.id), a_grant_wish(effective_at=NOON - 3 * HOUR))
    entitled.now += HOUR
    await entitled.void(early.grant.id)
    other = await entitled.a_customer("other", subject_keys=["t"])
    two = await entitled.create(owner=ByCustomer("other"))
    foreign = await entitled.grant(ById(two.id), a_grant_wish(effective_at=NOON + 9 * HOUR))
    await entitled.a_customer("gone")
    gone = await entitled.customers.find("gone")
    await entitled.customers.delete("gone")

    async def ids(order=Order.EFFECTIVE, **wanted):
        found, total = await entitled.entitlements.list_grants(
            GrantFilter(**wanted), Slice(order=order)
        )
        assert total == len(found)
        return [grant.grant.id for grant in found]

    a, b, c = early.grant.id, late.grant.id, foreign.grant.id
    assert await ids() == [b, a, c]
    assert await ids(Order.CREATED) == [a, b, c]
    assert await ids(Order.ID) == sorted([a, b, c])
    assert await ids(Order.UPDATED, place=ById(one.id)) == [b, a]
    assert await ids(place=OfOwner(ByCustomer("other"), "tokens")) == [c]
    assert await ids(features=["tokens"], subjects=["s2"]) == [b, a]
    assert await ids(customers=["other"]) == [c]
    assert await ids(customers=[gone.id]) == []
    assert await ids(customers=[gone.id, other.id, "acme"]) == [b, a, c]
    await entitled.delete(two.id)
    assert await ids() == [b, a]


async def test_a_customers_entitlements_come_with_grants_and_resets_and_the_active_ones_first(many):
    many.now += HOUR
    renewed = await many.override(a_wish(measure_from=many.now - 2 * HOUR))
    await many.grant(ById(renewed.id), a_grant_wish(effective_at=many.now))
    await many.reset(ById(renewed.id))
    await many.delete(many.seats.id)

    for read, name in (("of_customer", "acme"), ("of_subject", "s1")):
        customer, records = await getattr(many.entitlements, read)(name)

        assert customer.subject_keys == ("s1", "s2")
        assert [one.id for one in records] == [renewed.id, many.flag.id, many.old.id]
        assert (len(records[0].grants), len(records[0].resets)) == (1, 1)


async def test_text_in_json_comes_back_as_it_was(entitled):
    annotations = {"text": '\0"\\\u2028<>&', "numbers": [1.5, -0.0, 10**18, 1e-300]}
    made = await entitled.create()

    grant = await entitled.grant(
        ById(made.id), a_grant_wish(annotations=annotations, metadata={'"\\': "\u2028"})
    )

    [found], _ = await entitled.entitlements.list_grants(GrantFilter(), ALL)
    assert found == grant
    assert json.dumps(found.annotations) == json.dumps(annotations)
