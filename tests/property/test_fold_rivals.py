"""The central law: whatever crashes, races, arrives late or is compacted, the state is what the full log says.

Any number of workers that all believe they own the partition fold, send, apply, die and come back, on the disk they left or
on an empty one, while the changelog is compacted under them. The oracle reads the log once, from the beginning.
"""

import json
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from math import isclose
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.metering.judge import SECOND_MAX, SECOND_MIN
from domain.metering.query import MeterQuery
from domain.metering.rows import mean_of, total_of
from domain.metering.windows import WindowSize
from schemas import state
from schemas.catalog import meter_of
from schemas.position import position
from schemas.state import WEEK_MS
from streams.read_back import reads_of, stored_changes
from tables.store import PartitionStore, StoreOptions
from tests import oracle
from tests.builders import ULIDS, a_meter_record
from tests.rivals import ELSEWHERE, MEMORY, World, a_record

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where syncing costs nothing."""
BASE_SECOND = 1_772_000_000
BASE_MS = BASE_SECOND * 1000
METERS = [
    a_meter_record("sum", id=ULIDS[0], value="$.n", groups={"zone": "$.g"}),
    a_meter_record("avg", id=ULIDS[1], aggregation="AVG", value="$.n", groups={"z": "$.g"}),
    a_meter_record("count", id=ULIDS[2], aggregation="COUNT"),
    a_meter_record("unique", id=ULIDS[3], aggregation="UNIQUE_COUNT", value="$.n"),
    a_meter_record("latest", id=ULIDS[4], aggregation="LATEST", value="$.n"),
    a_meter_record("most", id=ULIDS[5], aggregation="MAX", value="$.n", groups={"b": "$.h", "a": "$.g"}),
    a_meter_record("other", id=ULIDS[6], aggregation="COUNT", event_type="other"),
    a_meter_record("least", id=ULIDS[7], aggregation="MIN", value="$.n", version=3),
]  # fmt: skip
NUMBERS = [
    "0", "1", "-3", "2.5", "0.1", "1e-30", "1e300", "1e400", "1e-999999999999999999999", "1e29",
    "9999999999999999999999999999", "36893488147419103232", "true", "null", "[]", '{"n": 1}',
    '"12.50"', '"nan"', '"x"', '"\\u0000"', '"1e5"', "-0.0", "0.00000000000000000000000000000000000001",
]  # fmt: skip
numbers = st.sampled_from(NUMBERS)
groups = st.sampled_from(['"a"', '"b"', "1", "null", '""', "1.50", '"\\u0000é"'])


@st.composite
def event_texts(draw):
    """An event's JSON and the event that the oracle reads: None when it is refused, with all that is in its record."""
    fields = {
        "specversion": "1.0",
        "id": draw(st.sampled_from(["a", "b", "c", "d", "e", "f", "\x00", "e1"])),
        "source": draw(st.sampled_from(["s", "s", "s", "1:a"])),
        "type": draw(st.sampled_from(["request", "request", "request", "other", "unknown"])),
        "subject": draw(st.sampled_from(["s1", "s1", "s2", "é\x00", ELSEWHERE])),
    }
    second = draw(st.sampled_from([BASE_SECOND, BASE_SECOND + 5, BASE_SECOND + 61, BASE_SECOND - 90_000, 59, 0, -5, SECOND_MAX, SECOND_MAX + 1]))  # fmt: skip
    fields["time"] = datetime.fromtimestamp(second, UTC).isoformat()
    data = f'{{"n": {draw(numbers)}, "g": {draw(groups)}}}'
    data = draw(st.sampled_from([data, data, data, "null", "{}", '{"n": [1', "3", None]))
    text = json.dumps(fields)
    if data is not None:
        text = f'{text[:-1]}, "data": {data}}}'
    if data in ('{"n": [1', "3") or not SECOND_MIN <= second <= SECOND_MAX:
        return text, None
    read = json.loads(data or "null", parse_float=_decimal)
    kept = {k: v for k, v in fields.items() if k not in ("specversion", "time")}
    return text, oracle.Event(**kept, second=second, data=read or {})


def _decimal(text):
    return Decimal(text) if abs(float(text)) > 0 or "999" not in text else Decimal(0)


@st.composite
def logs(draw, sizes=(1, 25)):
    """Records of the events topic, and (position, event) of every event that can be read."""
    records, events = [], []
    offset, timestamp = draw(st.sampled_from([0, 5])), BASE_MS
    for _ in range(draw(st.integers(*sizes))):
        timestamp += draw(st.sampled_from([0, 1000, 1000, WEEK_MS]))
        sent = draw(st.lists(event_texts(), min_size=1, max_size=3))
        broken = any(event is None for _, event in sent)
        text = sent[0][0] if len(sent) == 1 else f"[{', '.join(text for text, _ in sent)}]"
        if draw(st.integers(0, 19)) == 0:
            text, broken = draw(st.sampled_from(["", "{", "[1]", "\udcff"])), True
        value = text.encode("utf-8", "surrogateescape")
        records.append(a_record(offset, timestamp, value))
        if not broken:
            events += [
                (position(offset, i), event)
                for i, (_, event) in enumerate(sent)
                if event.subject != ELSEWHERE
            ]
        offset += draw(st.sampled_from([1, 1, 1, 4]))
    return records, events


names = st.sampled_from("AAB")
sizes = st.lists(st.integers(1, 12), max_size=8)
live = st.sets(st.sampled_from(range(len(METERS)))).map(sorted)
step = st.one_of(
    st.tuples(st.just("fold"), names, st.integers(1, 6), st.sampled_from([2, 100])),
    st.tuples(st.just("fold"), names, st.integers(1, 6), st.sampled_from([2, 100])),
    st.tuples(st.just("send"), names),
    st.tuples(st.just("send"), names),
    st.tuples(st.just("apply"), names),
    st.tuples(st.just("apply"), names),
    st.tuples(st.just("land"), names),
    st.tuples(st.just("activate"), names, live),
    st.tuples(st.just("start"), names, sizes, st.booleans(), st.sampled_from([None, None, 0, 1, 3])),
    st.tuples(st.just("start"), names, sizes, st.just(False), st.none()),
    st.tuples(st.just("kill"), names),
    st.tuples(st.just("arrive")),
    st.tuples(st.just("compact"), st.integers(0, 40)),
    st.tuples(st.just("race"), st.integers(1, 4), st.integers(1, 4), st.booleans(), live),
)  # fmt: skip


def play(world: World, steps) -> None:
    """Do the steps; what makes no sense at the moment does nothing."""
    for what, *arguments in steps:
        if what == "start":
            name, list_sizes, lose_disk, stop_after = arguments
            world.start(name, list_sizes, lose_disk=lose_disk, stop_after=stop_after)
        elif what == "kill":
            world.kill(*arguments)
        elif what == "arrive":
            world.arrive()
        elif what == "compact":
            world.changelog.compact(max(0, world.changelog.end - arguments[0]))
        elif what == "race":
            play(world, race(*arguments))
        elif what == "activate":
            world.step(arguments[0], what, [METERS[i] for i in arguments[1]])
        elif what == "land":
            for _ in range(4):
                world.step(arguments[0], "send")
                world.step(arguments[0], "apply")
        else:
            world.step(arguments[0], what, *arguments[1:])


def race(ours, theirs, activated, live_meters):
    """A goes on, and perhaps learns of meters; then what B folded from the same place arrives; A comes back."""
    return [
        ("start", "A", [], False, None),
        ("land", "A"),
        ("start", "B", [], True, None),
        ("fold", "B", theirs, 2),
        ("fold", "A", ours, 100),
        ("land", "A"),
        *([("activate", "A", live_meters), ("land", "A")] if activated else []),
        ("kill", "B"),
        ("arrive",),
        ("arrive",),
        ("kill", "A"),
        ("start", "A", [3] * 9, False, None),
    ]


def check(log, steps, row_cache_max=10_000):
    """Play the steps, let one worker finish, compare with the oracle."""
    records, events = log
    with tempfile.TemporaryDirectory(dir=FAST) as directory:
        world = World(Path(directory), records, row_cache_max=row_cache_max)
        try:
            world.start("A")
            world.step("A", "activate", METERS[:4])
            play(world, steps)
            last = world.finish()
            expected = counted(events)
            assert_verdicts(world, last, expected)
            assert_rows(last, expected)
            assert_read_back(world, last)
        finally:
            world.close()
        return world


def counted(events):
    """(position, event) of the events that count: the first of each identity."""
    first = {id(event) for event in oracle.accepted(event for _, event in events)}
    return [(at, event) for at, event in events if id(event) in first]


def assert_verdicts(world, last, expected):
    decoded = world.decode(world.source)
    flags = [s == at for s, at in zip(last.store.seen(decoded.hashes), decoded.positions, strict=True)]  # fmt: skip
    accepted = [at for at, flag in zip(decoded.positions, flags, strict=True) if flag]

    assert accepted == [at for at, _ in expected]


def assert_rows(last, expected):
    """Every row that must be there, as the oracle computes it, and no other."""
    found, uniques = stored_rows(last)
    wanted = set()
    for applied in last.store.applied():
        meter = meter_of(applied.meter)
        covered = [
            (at, event)
            for at, event in expected
            if applied.start <= at and (applied.until is None or at < applied.until)
        ]
        for key, members in by_row(meter, covered).items():
            row_key = state.row_key_prefix(meter.id, meter.version) + state.row_key_body(*key)
            wanted.add(row_key)
            assert_row(meter, found[row_key], uniques, row_key, members)

    assert found.keys() == wanted


def by_row(meter, covered):
    found = {}
    for at, event in covered:
        if event.type == meter.event_type:
            groups = oracle._groups(event, meter)
            key = (event.subject, event.second // 60, tuple(groups[k] for k in sorted(groups)))
            found.setdefault(key, []).append((at, event))
    return found


def assert_row(meter, row, uniques, row_key, members):
    events = [oracle.Event(**{**fields(event), "position": at}) for at, event in members]
    assert (row.epoch, row.position, row.count) == (members[0][0], members[-1][0], len(members))
    query = MeterQuery(meter=meter, start=None, end=None, asked_from=None, asked_to=None,
                       window_size=WindowSize.MINUTE, zone="UTC", by_subject=True,
                       group_by=tuple(sorted(meter.group_by)))  # fmt: skip
    answers = oracle.answer(events, query)
    unique_prefix = state.unique_key(row_key, b"")
    ours = {
        "SUM": total_of,
        "AVG": mean_of,
        "COUNT": lambda r: r.count,
        "MIN": lambda r: r.least,
        "MAX": lambda r: r.most,
        "LATEST": lambda r: r.latest.value,
        "UNIQUE_COUNT": lambda r: sum(key.startswith(unique_prefix) for key in uniques),
    }[meter.aggregation]
    if not answers:
        assert row.numeric == 0
        return
    (answer,) = answers
    value = ours(row)
    doubles = isinstance(value, float) or isinstance(answer.value, float)
    assert isclose(value, answer.value, rel_tol=1e-12) if doubles else value == answer.value


def fields(event):
    return {name: getattr(event, name) for name in event.__dataclass_fields__}


def stored_rows(last):
    """All rows and all keys of values of UNIQUE_COUNT in the worker's state."""
    path = last.store._path
    last.store.close()
    every_week_expired = StoreOptions(window_ms=-(10**15))
    last.store = PartitionStore(path, MEMORY, every_week_expired)
    keys = [k for week in last.store.expired_weeks() for part in last.store.weekly_keys(week) for k in part]  # fmt: skip
    row_keys = [key[1:] for key in keys if key[:1] == state.ROW]
    assert len(row_keys) == len(set(row_keys)), "a row in two weeks"
    rows = last.store.rows(row_keys)
    found = {k: state.decode_row(v) for k, (_, v) in zip(row_keys, rows, strict=True)}
    return found, {key[1:] for key in keys if key[:1] == state.UNIQUE}


def assert_read_back(world, last):
    """The sink, reading the log again, finds the same verdicts and the rows as they are."""
    applied = last.store.applied()
    decoded = world.decode(world.source, reads=reads_of(applied))
    flags, rows, uniques = stored_changes(last.store, decoded, applied)
    found, known = stored_rows(last)
    assert sum(flags) == len(set(decoded.hashes))
    for changed in rows:
        prefix = state.row_key_prefix(changed.meter.id, changed.meter.version)
        for bucket, row in zip(changed.buckets, changed.rows, strict=True):
            assert found[prefix + state.row_key_body(*bucket)] == row
    read_back = {
        state.unique_key(
            state.row_key_prefix(u.meter.id, u.meter.version) + state.row_key_body(*u.bucket), u.hash
        )
        for u in uniques
    }  # fmt: skip
    assert read_back == known


quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=100, deadline=None, suppress_health_check=quiet)
@given(logs(), st.lists(step, max_size=40), st.sampled_from([0, 10_000]))
def test_any_number_of_owners_and_crashes_give_the_oracles_state(log, steps, row_cache_max):
    check(log, steps, row_cache_max)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=3000, deadline=None, suppress_health_check=quiet)
@given(logs((5, 60)), st.lists(step, min_size=20, max_size=120), st.sampled_from([0, 10_000]))
def test_any_number_of_owners_and_crashes_give_the_oracles_state_at_length(log, steps, cache):
    check(log, steps, cache)


def a_plain_log(count=12, each=1):
    """Events of one subject and minute, the last ones repeated, a week after every fourth record: one row for all."""
    records, events, texts = [], [], []
    time = datetime.fromtimestamp(BASE_SECOND, UTC).isoformat()
    for i in range(count):
        told = {
            "id": f"{i % 8}",
            "source": "s",
            "subject": "s1",
            "type": "request",
            "data": {"n": i},
        }
        texts.append(json.dumps({"specversion": "1.0", **told, "time": time}))
        offset = len(records)
        events.append((position(offset, len(texts) - 1), oracle.Event(**told, second=BASE_SECOND)))
        if len(texts) == each:
            value = texts[0] if each == 1 else f"[{','.join(texts)}]"
            records.append(a_record(offset, BASE_MS + offset // 4 * WEEK_MS, value.encode()))
            texts = []
    return records, events


LANDED, BACK = ("land", "A"), ("start", "A", [1] * 40, False, None)


@pytest.mark.parametrize(
    ("steps", "left_out", "deaths"),
    [
        pytest.param(
            [("race", 4, 2, False, []), ("compact", 0), ("fold", "A", 2, 100), LANDED],
            1, 0, id="older rows arrive late, are mended, and the newer ones are compacted away",
        ),
        pytest.param(
            [("race", 3, 6, True, [0, 1, 2, 3, 4]), ("fold", "A", 3, 100), LANDED],
            2, 0, id="a chunk that goes further, but does not know of a new meter",
        ),
        pytest.param(
            [("race", 2, 2, True, [4]), ("kill", "A"), ("compact", 0), BACK],
            1, 0, id="a chunk that counts for a meter which stopped before it",
        ),
        pytest.param(
            [LANDED, ("fold", "A", 3, 100), ("start", "B", [], False, None), ("fold", "B", 2, 100),
             ("send", "A"), ("send", "B"), ("apply", "A"), ("fold", "A", 2, 100), LANDED,
             BACK, ("compact", 0), ("fold", "A", 2, 100), LANDED, ("compact", 0)],
            2, 1, id="the owner stops when somebody wrote in between, and what it sent is left out too",
        ),
        pytest.param(
            [LANDED, ("fold", "A", 4, 2), ("send", "A"), ("kill", "A"), BACK, ("fold", "A", 4, 100),
             ("arrive",), LANDED, BACK, LANDED],
            1, 1, id="a late chunk counts when nobody wrote before it, and who came back stops",
        ),
        pytest.param(
            [("race", 4, 2, False, []), ("kill", "A"), ("start", "A", [], True, 1), BACK],
            1, 0, id="killed after mending was logged, before it was noted",
        ),
    ],
)  # fmt: skip
def test_known_stories_of_rivals(steps, left_out, deaths):
    world = check(a_plain_log(), steps)

    assert (world.changelog.left_out, world.deaths) == (left_out, deaths)


def test_a_worker_that_ends_inside_a_record_goes_on_inside_it():
    steps = [LANDED, ("fold", "A", 1, 2), ("send", "A"), ("apply", "A"), ("kill", "A"), BACK,
             ("fold", "A", 2, 2), ("send", "A"), ("apply", "A"), ("kill", "A")]  # fmt: skip

    check(a_plain_log(each=3), steps)


def test_a_row_stays_in_its_week_when_it_is_loaded_again():
    steps = [
        LANDED,
        ("fold", "A", 6, 100),
        LANDED,
        ("kill", "A"),
        BACK,
        ("fold", "A", 6, 100),
        LANDED,
    ]

    check(a_plain_log(), steps)
