"""One suite for every `Features`: the fake that other tests use behaves as Postgres does, and what it forbids meters."""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.postgres.features import PostgresFeatures
from connectors.postgres.meters import PostgresMeters
from domain.errors import Conflict, NotFound
from domain.features.listing import FeatureListing
from domain.features.unit_cost import LlmCost, ManualCost, TokenType
from domain.metering.meter import changed
from tests.builders import NOON, ULIDS, a_meter
from tests.customer_builders import a_feature
from tests.fake_customers import MemoryFeatures
from tests.fakes import MemoryMeters

LATER = NOON + timedelta(hours=1)


@dataclass
class Managed:
    """Features and meters of one namespace."""

    namespace: str
    features: Any
    meters: Any

    async def made(self, key="calls", number=0, **more):
        return await self.features.create(a_feature(key, number, namespace=self.namespace, **more))

    async def meter(self, slug="tokens", number=40, groups=None):
        groups = {"model": "$.model", "zone": "$.zone"} if groups is None else groups
        return await self.meters.create(
            a_meter(slug, id=ULIDS[number], namespace=self.namespace, groups=groups)
        )

    async def regroup(self, groups):
        return await self.meters.update(
            "tokens",
            lambda found: changed(
                found, name=None, description=None, metadata=None, group_by=groups, at=LATER
            ),
        )

    async def listed(self, **more):
        page = await self.features.list_features(FeatureListing(**more))
        return page.total, [one.key for one in page.features]


@pytest.fixture
def managed(pool, unique):
    if pool is None:
        meters = MemoryMeters(unique, lambda: LATER)
        return Managed(unique, MemoryFeatures(unique, lambda: LATER, meters), meters)
    return Managed(
        unique,
        PostgresFeatures(pool, unique, lambda: LATER),
        PostgresMeters(pool, unique, lambda: LATER),
    )


@pytest.mark.parametrize(
    "cost",
    [
        None,
        ManualCost(amount=Decimal("0.0025")),
        LlmCost(provider="openai", model_property="model", token_type=TokenType.CACHE_READ),
    ],
)
async def test_what_was_created_is_found_by_id_and_by_key(managed, cost):
    meter = await managed.meter()
    made = await managed.made(
        name="π '; DROP TABLE features; --",
        metadata={"ключ": "\u2028", "": ""},
        meter=meter,
        filters={"model": {"$in": ["b", "a"]}, "zone": {"$and": [{"$ne": ""}, {"$like": "%\\"}]}},
        unit_cost=cost,
    )

    assert await managed.features.find(ULIDS[0]) == made
    assert await managed.features.find(ULIDS[0].lower()) == made
    assert await managed.features.find("calls") == made
    assert (await managed.features.record("calls")).filters == made.filters


@pytest.mark.parametrize(
    "unknown",
    ["nobody", ULIDS[9], "", "a\0b", "\ud800", "'; DROP TABLE features; --", "x" * 100_000],
)
async def test_what_nothing_has_is_not_found(managed, unknown):
    await managed.made()

    for call in (
        managed.features.find(unknown),
        managed.features.archive(unknown),
        managed.features.record(unknown),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_key_is_taken_until_its_feature_is_archived(managed):
    await managed.made(number=0)

    with pytest.raises(Conflict):
        await managed.made(number=1)
    await managed.features.archive("calls")
    second = await managed.made(number=1)

    assert await managed.features.find("calls") == second


async def test_an_archived_feature_is_gone_but_for_its_record_and_lists_that_ask(managed):
    await managed.made()
    await managed.features.archive(ULIDS[0])

    for call in (
        managed.features.find(ULIDS[0]),
        managed.features.find("calls"),
        managed.features.archive(ULIDS[0]),
        managed.features.record("calls"),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await managed.features.record(ULIDS[0])).archived_at == LATER
    assert await managed.listed() == (0, [])
    assert await managed.listed(include_archived=True) == (1, ["calls"])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("key", ["a", "b", "c"]),
        ("name", ["b", "c", "a"]),
        ("createdAt", ["c", "a", "b"]),
        ("updatedAt", ["c", "a", "b"]),
    ],
)
async def test_features_are_listed_in_a_total_order(managed, order_by, expected, descending):
    for number, (key, name, seconds) in enumerate([("c", "same", 1), ("a", "same", 2), ("b", "Z", 2)]):  # fmt: skip
        await managed.made(key, number, name=name, at=NOON + timedelta(seconds=seconds))

    listed = await managed.listed(order_by=order_by, descending=descending)

    assert listed == (3, expected[::-1] if descending else expected)


async def test_a_list_is_a_part_of_those_of_some_meters(managed):
    tokens = await managed.meter()
    pages = await managed.meter("pages", 41)
    for number, (key, meter) in enumerate([("a", tokens), ("b", None), ("c", pages), ("d", tokens)]):  # fmt: skip
        await managed.made(key, number, meter=meter)

    assert await managed.listed(meters=["tokens"]) == (2, ["a", "d"])
    assert await managed.listed(meters=[pages.id, "tokens", "\ud800"]) == (3, ["a", "c", "d"])
    assert await managed.listed(meters=["a\0b"]) == (0, [])
    assert await managed.listed(offset=1, limit=2) == (4, ["b", "c"])
    assert await managed.listed(offset=10**30) == (4, [])


async def test_a_meter_with_a_live_feature_stays(managed):
    await managed.made(meter=await managed.meter())

    for name in ("tokens", ULIDS[40]):
        with pytest.raises(Conflict):
            await managed.meters.delete(name)
    await managed.features.archive("calls")
    await managed.meters.delete("tokens")

    assert (await managed.meters.find(ULIDS[40])).deleted_at == LATER


async def test_a_group_that_a_live_feature_filters_on_stays(managed):
    await managed.made(meter=await managed.meter(), filters={"model": {"$eq": "a"}})

    with pytest.raises(Conflict):
        await managed.regroup({"zone": "$.zone"})
    after = await managed.regroup({"model": "$.other"})
    await managed.features.archive("calls")

    assert after.group_by == {"model": "$.other"}
    assert (await managed.regroup({})).group_by == {}


async def test_a_feature_of_a_meter_that_changed_meanwhile_is_not_made(managed):
    meter = await managed.meter()
    await managed.regroup({"zone": "$.zone"})

    with pytest.raises(NotFound):
        await managed.made(meter=meter, filters={"model": {"$eq": "a"}})
    await managed.meters.delete("tokens")
    with pytest.raises(NotFound):
        await managed.made(meter=replace(meter, group_by={}))
