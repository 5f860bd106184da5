"""Whatever the catalog does while events flow, every answer is that of the whole log at one moment of it.

A history interleaves events (late, doubled, several to a record) with meters made, regrouped, deleted and their slugs used
again, with restarts in order and kills, at any acknowledgement and any insert, and with questions, whose statements have any
of that between them. An answer has to be what tests/oracle.py makes of all events below the positions that were visible
when the question's first statement was carried out, no matter from when on the meter was there.
"""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.metering.filters import TextOp, TextTest
from domain.metering.meter import Aggregation
from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize
from tests.changing import NUMBERS, SUBJECTS, World

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
T = 1_772_712_000
SECONDS = [T, T, T + 5, T + 61, T - 3_600, T - 90_000]
GROUPS = [{}, {"g": "$.g"}, {"g": "$.h"}, {"a": "$.h", "b": "$.g"}]
NUMBERS_TEXT = ["1", "2", "-3", "0.1", '"7"', '"x"', "null", "1e300"]

numbers = st.sampled_from(NUMBERS)
datas = st.builds(
    '{{"n": {}, "g": {}, "h": {}}}'.format,
    st.sampled_from(NUMBERS_TEXT),
    st.sampled_from(['"a"', '"b"', "1"]),
    st.sampled_from(['"a"', "null"]),
)
events = st.tuples(
    st.sampled_from([f"e{i}" for i in range(12)]),
    st.integers(0, 1),
    st.sampled_from(["request", "request", "request", "other"]),
    st.sampled_from(SECONDS),
    datas,
)
meters = st.integers(0, 3)
bounds = st.sampled_from([None, None, T - 86_400, T, T + 3, T + 60])
filters = st.sampled_from([TextTest(TextOp.EQ, "a"), TextTest(TextOp.NE, "a"), TextTest(TextOp.IN, ("b", "1"))])  # fmt: skip
questions = st.tuples(
    meters,
    st.sampled_from([None, None, *WindowSize]),
    st.booleans(),
    st.booleans(),
    bounds,
    bounds,
    st.sampled_from([None, None, (SUBJECTS[0][0],), (SUBJECTS[0][1], SUBJECTS[1][0])]),
    st.one_of(st.none(), filters),
    st.integers(0, 1),
)
changes = st.one_of(
    st.tuples(st.just("create"), st.integers(0, 1), st.sampled_from(list(Aggregation)), st.sampled_from(GROUPS), st.sampled_from(["request", "request", "other"])),
    st.tuples(st.just("regroup"), meters, st.sampled_from(GROUPS)),
    st.tuples(st.just("delete"), meters),
)  # fmt: skip
step = st.one_of(
    st.tuples(st.just("send"), numbers, st.lists(events, min_size=1, max_size=3)),
    st.tuples(st.just("send"), numbers, st.lists(events, min_size=1, max_size=3)),
    st.tuples(st.just("fetch"), numbers, st.integers(1, 4)),
    st.tuples(st.just("fetch"), numbers, st.integers(1, 4)),
    st.tuples(st.just("land"), numbers),
    st.tuples(st.just("land"), numbers),
    st.tuples(st.just("insert"), st.integers(1, 6)),
    st.tuples(st.just("insert"), st.integers(1, 6)),
    st.tuples(st.just("flow"), numbers, st.lists(events, min_size=1, max_size=3)),
    changes,
    st.tuples(st.just("change"), changes, st.booleans()),
    st.tuples(st.just("crash"), st.integers(0, 6), st.integers(0, 1), st.booleans(), st.lists(changes, max_size=2), st.sampled_from([0, 0, 1]), st.booleans()),
    st.tuples(st.just("learn")),
    st.tuples(st.just("start"), st.sampled_from([0, 0, 0, 1, 2]), st.booleans()),
    st.tuples(st.just("kill"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("stop")),
    st.tuples(st.just("arrive")),
    st.tuples(st.just("ask"), questions),
    st.tuples(st.just("ask"), questions),
    st.tuples(st.just("read_on")),
    st.tuples(st.just("read_on")),
)  # fmt: skip


def a_query(world: World, question) -> MeterQuery | None:
    """The question to one of the meters as it is now, deleted or not; None when there is no such meter."""
    which, size, by_subject, grouped, start, end, subjects, test, key = question
    meter = world.meter(which)
    if meter is None:
        return None
    keys = sorted(meter.group_by)
    if start is not None and end is not None and start >= end:
        end = None
    return MeterQuery(
        meter=meter,
        start=start,
        end=end,
        asked_from=start,
        asked_to=end,
        window_size=size,
        by_subject=by_subject,
        group_by=tuple(keys) if grouped else (),
        subjects=subjects,
        group_filters=((keys[key % len(keys)], test),) if keys and test is not None else (),
    )


async def play(world: World, steps) -> None:
    for what, *arguments in steps:
        match what:
            case "land":
                world.brokers.land(*arguments)
            case "insert":
                for _ in range(arguments[0]):
                    world.inserting.let()
                    await world.settle()
            case "change":
                change, landed = arguments
                await play(world, [change, ("learn",), *[("land", n) for n in NUMBERS if landed]])
            case "crash":
                inserts, arrives, lands, changes, behind, lose_disk = arguments
                await play(
                    world,
                    [
                        ("insert", inserts),
                        ("kill", arrives, lands),
                        *changes,
                        ("start", behind, lose_disk),
                    ],
                )
            case "flow":
                await flow(world, *arguments)
            case "ask":
                query = a_query(world, arguments[0])
                if query is not None:
                    world.ask(query)
            case _:
                done = getattr(world, what)(*arguments)
                if asyncio.iscoroutine(done):
                    await done
        await world.settle()
        world.check()


async def flow(world: World, number: int, sent) -> None:
    """A record goes all its way, unless something before it waits."""
    world.send(number, sent)
    world.start()
    await world.settle()
    for _ in range(4):
        world.brokers.land(number)
        world.fetch(number, 9)
        await world.settle()
    for _ in range(8):
        world.inserting.let()
        await world.settle()


def everything(meter) -> MeterQuery:
    query = MeterQuery(meter=meter, by_subject=True, group_by=tuple(sorted(meter.group_by)))
    return replace(query, window_size=WindowSize.MINUTE)


async def check_history(steps) -> None:
    with tempfile.TemporaryDirectory(dir=FAST) as directory:
        world = World(Path(directory) / "state")
        try:
            await play(world, steps)
            await world.finish()
            for meter in world.all_meters():
                world.ask(everything(meter))
            while world.questions:
                world.read_on()
                await world.settle()
                world.check()
            check_rows_go_on(world)
        finally:
            await world.close()


def check_rows_go_on(world: World) -> None:
    """From some position on every live meter is answered from rows: exact without would be slow for ever."""
    for meter in world.meters._live():
        for number in NUMBERS:
            _, until = world.tables.ranges[meter.id, meter.version, number]
            assert until is None, f"{meter.slug} v{meter.version} stopped in partition {number}"


quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=300, deadline=None, suppress_health_check=quiet)
@given(st.lists(step, min_size=5, max_size=40))
def test_every_answer_is_the_oracles_at_one_moment_whatever_the_catalog_does(steps):
    asyncio.run(check_history(steps))


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=4000, deadline=None, suppress_health_check=quiet)
@given(st.lists(step, min_size=20, max_size=120))
def test_every_answer_is_the_oracles_at_one_moment_whatever_the_catalog_does_at_length(steps):
    asyncio.run(check_history(steps))


EVENT = ("e0", 0, "request", T, '{"n": 2, "g": "a", "h": null}')
LATER = ("e1", 0, "request", T, '{"n": 3, "g": "b", "h": null}')
COUNT = ("create", 0, Aggregation.COUNT, {}, "request")


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [COUNT, ("start", 0, False), ("insert", 6), ("kill", 0, False), ("delete", 0), ("flow", 0, [EVENT])],
            id="a range that ClickHouse was told of before it was in the log, and never was",
        ),
        pytest.param(
            [("start", 0, False), COUNT, ("learn",), ("flow", 0, [EVENT]), ("learn",), ("insert", 6),
             ("kill", 0, False), ("start", 1, False), ("flow", 0, [LATER]), ("ask", (0, None, True, False, None, None, None, None, 0)),
             ("read_on",), ("read_on",), ("read_on",), ("read_on",), ("read_on",)],
            id="a range that begins later for the next owner, who learns of the meter later",
        ),
        pytest.param(
            [COUNT, ("start", 0, False), ("flow", 0, [EVENT]), ("land", 1), ("insert", 6), ("regroup", 0, {"g": "$.g"}), ("learn",),
             ("land", 0), ("land", 1), ("insert", 6), ("stop",), ("start", 1, False), ("flow", 0, [LATER]), ("learn",)],
            id="an owner that lags behind the catalog does not stop what it has not learned of",
        ),
    ],
)  # fmt: skip
def test_histories_that_went_wrong(steps):
    asyncio.run(check_history(steps))
