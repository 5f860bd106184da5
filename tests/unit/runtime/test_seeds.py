"""Meters of the configuration: made once, never over a live one, wrong ones named."""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

import pytest

from runtime.config import ConfigProblem, MeterConfig
from runtime.ids import new_id
from runtime.seeds import Contradiction, seed_meters
from tests.builders import NOON, ULIDS, a_meter
from tests.fakes import MemoryMeters


def configured(slug="tokens", **more):
    given = {"aggregation": "SUM", "event_type": "request", "value_property": "$.tokens"} | more
    return MeterConfig(slug=slug, **given)


@pytest.fixture
def meters():
    return MemoryMeters("default", lambda: NOON)


def seed(meters, *wanted, **more):
    return seed_meters(wanted, meters, namespace="default", now=lambda: NOON, new_id=new_id, **more)


async def test_a_meter_that_is_missing_is_made(meters):
    await seed(meters, configured(group_by={"zone": "$.zone"}), configured("calls", aggregation="COUNT", value_property=None))  # fmt: skip

    made = await meters.find("tokens")
    assert (made.name, made.group_by, made.created_at) == ("tokens", {"zone": "$.zone"}, NOON)
    assert (await meters.find("calls")).value_property is None


async def test_a_second_start_changes_nothing(meters):
    await seed(meters, configured())
    await meters.update("tokens", lambda found: replace(found, name="Renamed", group_by={}))
    before = list(meters.outbox)

    assert await seed(meters, configured(name="Old", group_by={"a": "$.a"})) == []
    assert meters.outbox == before


async def test_a_deleted_meter_is_made_anew(meters):
    await seed(meters, configured())
    first = await meters.find("tokens")
    await meters.delete("tokens")

    await seed(meters, configured())

    assert (await meters.find("tokens")).id != first.id


async def test_processes_that_start_at_once_make_it_once(meters):
    await asyncio.gather(*(seed(meters, configured()) for _ in range(5)))

    assert len(meters.outbox) == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"aggregation": "MAX"}, "aggregation"),
        ({"event_type": "other"}, "event_type"),
        ({"value_property": "$.other"}, "value_property"),
        ({"event_from": NOON}, "event_from"),
    ],
)
async def test_a_live_meter_that_is_another_one_stays_and_the_log_says_so(
    meters, caplog, more, field
):
    live = await meters.create(a_meter())

    with caplog.at_level(logging.ERROR, "runtime.seeds"):
        found = await seed(meters, configured(**more))

    assert found == [
        Contradiction(slug="tokens", field=field, configured=more[field], live=getattr(live, field))
    ]
    assert [(r.meter, r.field, r.configured) for r in caplog.records] == [
        ("tokens", field, more[field])
    ]
    assert await meters.find("tokens") == live


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"slug": "A-B"}, r"meters\[1\] \(A-B\): slug: "),
        ({"value_property": "tokens"}, r"meters\[1\] \(tokens\): value_property: "),
        ({"event_type": "om_x"}, r"meters\[1\] \(tokens\): event_type: .*reserved"),
        ({"group_by": {"aB": "$..x"}}, r"meters\[1\] \(tokens\): group_by\.aB: "),
        ({"event_from": datetime(2026, 1, 1)}, r"event_from: .*time zone"),  # noqa: DTZ001
        ({"slug": "first"}, r"meters\[1\]: slug: another meter has it: first"),
    ],
)
async def test_a_wrong_meter_is_named_before_any_is_made(meters, wanted, said):
    with pytest.raises(ConfigProblem, match=said):
        await seed(meters, configured("first"), configured(**wanted), reserved=["om_*"])

    assert meters.outbox == []


async def test_a_slug_that_looks_like_the_id_of_a_deleted_meter_is_made(meters):
    await meters.create(a_meter(id=ULIDS[0]))
    await meters.delete("tokens")

    await seed(meters, configured(ULIDS[0].lower()))

    assert [m.slug for m in await meters.of_types(["request"])] == [ULIDS[0].lower()]
