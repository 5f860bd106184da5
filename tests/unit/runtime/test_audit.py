"""A whole audit over a log, a ClickHouse and workers in memory; what it tells, and what it exits with."""

import asyncio
import hashlib
import html
import io
import json
import re
from dataclasses import dataclass, field

import msgspec
import pytest
from rich.console import Console

from connectors.clickhouse.audited import Counted, CoveredRange, EventRow
from domain.errors import NotFound
from domain.metering.rejected import Place, RejectedRecord
from runtime.audit.command import DIFFERENCES, INTERRUPTED, UNDECIDED, _exit_code
from runtime.audit.meters import MeterCounts
from runtime.audit.page import page
from runtime.audit.remembered import Remembered
from runtime.audit.report import DIFFERENCES_MAX, Difference, Kind, Report
from runtime.audit.run import Auditor, Order
from runtime.audit.speech import as_json, conclusion, progress, show, verdict
from schemas.partitioner import partition_of
from schemas.position import offset_of, record_start
from schemas.state import WEEK_MS
from streams.decoding import decode
from tests.builders import a_meter_record, an_event

NOW_MS = 100 * WEEK_MS
PARTITIONS = 2


def owner_of(subject):
    return partition_of(subject.encode(), PARTITIONS)


SUBJECTS = {owner_of(f"s{i}"): f"s{i}" for i in range(20)}
"""A subject of each partition."""


@dataclass
class Record:
    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: tuple = ()


@dataclass
class World:
    """The log of each partition, and what a worker and its sink made of it."""

    log: dict = field(default_factory=lambda: {n: [] for n in range(PARTITIONS)})
    lows: dict = field(default_factory=dict)
    rows: dict = field(default_factory=lambda: {n: [] for n in range(PARTITIONS)})
    told: list = field(default_factory=list)
    seen: dict = field(default_factory=lambda: {n: {} for n in range(PARTITIONS)})
    states: dict = field(default_factory=dict)
    shown: dict = field(default_factory=dict)
    lost_rows: int = 0
    began_at: int = 0
    refusals_begin_ms: int = 0

    def send(self, *events, partition=None, ago_ms=1000):
        """Append a record and work on it as a worker does; its offset."""
        value = events[0] if isinstance(events[0], bytes) else msgspec.json.encode(list(events))
        at = owner_of(events[0]["subject"]) if partition is None else partition
        offset = len(self.log[at])
        record = Record(offset, NOW_MS - ago_ms, value)
        self.log[at].append(record)
        decoded = decode([record], namespace="ns", partition=at, owner_of=owner_of, not_before=0)
        for one in decoded.rejected:
            self.refuse(at, one.position, one.code)
        for i, position in enumerate(decoded.positions):
            first = self.seen[at].setdefault(decoded.hashes[i], position)
            digest = hashlib.md5(decoded.texts[i]).digest()
            row = EventRow(
                position, decoded.ids[i], decoded.sources[i], decoded.types[i], decoded.subjects[i],
                decoded.seconds[i], record.timestamp, digest, first == position,
            )  # fmt: skip
            self.rows[at].append(row)
        return offset

    def refuse(self, partition, position, code):
        place = Place(topic="events", partition=partition, offset=offset_of(position))
        self.told.append(
            RejectedRecord(
                id="",
                code=code,
                field=None,
                message="",
                rejected_ms=NOW_MS,
                origin=place,
                index=0,
                stored=place,
                key=None,
                value=b"",
                value_bytes=0,
            )
        )

    # -- the log

    async def read(self, topic, partition, start, end):
        for record in self.log[partition][start:end]:
            yield [record], record.offset + 1

    async def bounds(self):
        return {n: (self.lows.get(n, 0), len(log)) for n, log in self.log.items()}

    async def at(self, moment_ms):
        return {
            n: next((r.offset for r in log if r.timestamp >= moment_ms), len(log))
            for n, log in self.log.items()
        }

    def since(self, moment_ms):
        return iter(self.told)

    async def begins_ms(self, partition):
        return self.refusals_begin_ms

    async def positions(self):
        return self.visible() if not self.states else self.states

    # -- ClickHouse

    async def call(self, ask, *arguments):
        return ask(*arguments)

    def visible(self):
        return {n: self.shown.get(n, record_start(len(log))) for n, log in self.log.items()}

    def events(self, partition, first, next, subjects):
        return [
            row
            for row in self.rows[partition]
            if first <= row.position < next and (subjects is None or row.subject in subjects)
        ]

    def identities(self, partition, before, since_ms, subjects):
        rows = [r for r in self.rows[partition] if r.accepted and r.position < before]
        if rows:
            yield [(r.source, r.id, r.subject, r.position, r.arrived_ms) for r in rows]

    def has_event(self, partition, source, id, subject):
        return any((r.source, r.id) == (source, id) for r in self.rows[partition])

    def ranges(self):
        meter = a_meter_record().id
        return [
            CoveredRange(meter=meter, version=1, partition=n, start=self.began_at, until=None)
            for n in self.log
        ]

    def counted(self, meter, version, limits, subjects):
        counts = {n: sum(row.accepted for row in rows) for n, rows in self.rows.items()}
        counts[0] -= self.lost_rows
        return {n: Counted(rows=count, under_way=()) for n, count in counts.items()}

    def accepted_of(self, *asked):
        return 0

    # -- the audit

    def audit(self, tmp_path, from_ms=0, **more):
        report = Report(began_ms=NOW_MS, ended_ms=NOW_MS + 1500)
        order = Order(
            namespace="ns", topic="events", window_ms=WEEK_MS, from_ms=from_ms, to_ms=None,
            wait_s=0, **{"demanded": False, "keeps_events_ms": 50 * WEEK_MS, **more},
        )  # fmt: skip
        remembered = Remembered(tmp_path / "ids")
        meters = {a_meter_record().id: a_meter_record()}
        auditor = Auditor(
            order=order, reader=self, times=self, usage=self, refusals=self, states=self,
            remembered=remembered, meters=MeterCounts(self, meters, order.subjects), report=report,
        )  # fmt: skip
        try:
            asyncio.run(auditor.run())
        finally:
            remembered.close()
        return report


@pytest.fixture
def world():
    """Accepted, repeated, refused and forwarded ones."""
    made = World()
    for number, subject in SUBJECTS.items():
        for i in range(3):
            made.send(an_event(f"e{i}", subject=subject, n=i), ago_ms=5000 - i)
        made.send(an_event("e1", subject=subject, n=1), an_event("e9", subject=subject))
        made.send(b"{", partition=number)
    made.send(an_event("f", subject=SUBJECTS[1]), partition=0)
    made.send(an_event("f", subject=SUBJECTS[1]))
    return made


def test_what_is_right_is_equal_and_every_event_is_in_one_sum(world, tmp_path):
    report = world.audit(tmp_path)

    total = report.total
    assert (verdict(report), report.differences, report.undecided) == ("equal", [], [])
    assert (total.records, total.events) == (12, 14)
    assert (total.accepted, total.duplicate, total.rejected, total.forwarded) == (9, 2, 2, 1)
    assert (total.stored_accepted, total.stored_duplicate, total.stored_rejected) == (9, 2, 2)
    assert [(one.sent, one.stored, one.rows) for one in report.meters] == [(9, 9, 9)]


def test_what_is_missing_in_a_range_is_named_and_repeats_of_ids_before_it_are_known(
    world, tmp_path
):
    del world.rows[1][-1]
    for from_log in (True, False):
        path = tmp_path / str(from_log)
        path.mkdir()

        report = world.audit(path, from_ms=NOW_MS - 2000, ids_from_log=from_log)

        assert [(d.kind, d.partition, d.id) for d in report.differences] == [(Kind.LOST, 1, "f")]
        assert report.total.duplicate == 2


def test_an_event_that_was_not_forwarded_is_named(world, tmp_path):
    offset = world.send(an_event("gone", subject=SUBJECTS[0]), partition=1)

    report = world.audit(tmp_path)

    (lost,) = report.differences
    assert (lost.kind, lost.partition, lost.offset, lost.id) == (
        Kind.NOT_FORWARDED,
        1,
        offset,
        "gone",
    )


def test_rows_that_count_another_number_are_told(world, tmp_path):
    world.lost_rows = 1

    report = world.audit(tmp_path)

    assert [(d.kind, d.partition) for d in report.differences] == [(Kind.ROWS_DIFFER, 0)]


def test_rows_from_before_the_range_are_not_compared(world, tmp_path):
    report = world.audit(tmp_path, from_ms=NOW_MS - 2000)

    assert verdict(report) == "equal"
    assert report.meters[0].why == "its rows hold events from before the range"


def test_a_state_behind_clickhouse_is_told_and_one_without_worker_is_undecided(world, tmp_path):
    world.states = {0: record_start(1)}

    report = world.audit(tmp_path)

    assert [(d.kind, d.partition) for d in report.differences] == [(Kind.STATE_BEHIND, 0)]
    assert [(u.what, u.partition) for u in report.undecided] == [("state", 1)]


def test_what_clickhouse_does_not_show_yet_is_undecided(world, tmp_path):
    world.shown = {0: record_start(4)}
    world.rows[0] = [row for row in world.rows[0] if row.position < record_start(4)]
    world.told = [one for one in world.told if one.origin.partition]
    world.lost_rows = 0

    report = world.audit(tmp_path)

    assert verdict(report) == "undecided"
    assert [(u.what, u.partition) for u in report.undecided] == [("2 events", 0)]
    assert report.total.waiting == 2


def test_a_range_that_begins_before_the_log_is_undecided_only_when_it_was_asked_for(
    world, tmp_path
):
    world.lows = {0: 1}
    world.began_at = record_start(1)

    asked = world.audit(tmp_path, demanded=True)

    assert [(u.what, u.partition) for u in asked.undecided] == [("the beginning of the range", 0)]


def test_what_left_clickhouse_and_the_rejected_topic_is_undecided(world, tmp_path):
    world.rows[0], world.told = [], []
    world.lost_rows = -sum(row.accepted for row in world.rows[0])
    world.refusals_begin_ms = NOW_MS

    report = world.audit(tmp_path, keeps_events_ms=0)

    assert Kind.LOST not in report.kinds
    assert Kind.REFUSAL_MISSING not in report.kinds
    assert {u.what for u in report.undecided} >= {"1 refusals", "the oldest events of the range"}


def test_subjects_narrow_it_to_their_partitions_and_events(world, tmp_path):
    world.rows[0].clear()

    report = world.audit(tmp_path, subjects=frozenset({SUBJECTS[1]}))

    assert [one.partition for one in report.partitions] == [1]
    assert report.total.events == report.total.accepted + report.total.duplicate == 6
    assert not {d.kind for d in report.differences} - {Kind.ROWS_DIFFER}


def test_a_partition_that_is_not_there_is_refused(world, tmp_path):
    with pytest.raises(NotFound, match="no partition 7"):
        world.audit(tmp_path, partitions=frozenset({7}))


# -- what is told


def a_report(*kinds, undecided=False, **more):
    report = Report(namespace="ns", began_ms=1000, ended_ms=2500, **more)
    report.found(
        Difference(kind=kind, partition=1, offset=2, index=0, id="<b>", subject="s")
        for kind in kinds
    )
    if undecided:
        report.give_up("state", "no worker", 3)
    return report


@pytest.mark.parametrize(
    ("report", "code", "word"),
    [
        (a_report(), 0, "equal"),
        (a_report(Kind.LOST, undecided=True), DIFFERENCES, "differences"),
        (a_report(undecided=True), UNDECIDED, "undecided"),
        (a_report(Kind.LOST, interrupted=True), INTERRUPTED, "interrupted"),
    ],
)
def test_the_exit_code_is_the_verdict(report, code, word):
    assert (_exit_code(report), verdict(report)) == (code, word)


def test_people_see_what_is_wrong_where_and_what_could_not_be_decided():
    console = Console(file=io.StringIO(), width=200, color_system=None)

    show(a_report(Kind.LOST, undecided=True), console)

    said = console.file.getvalue()
    assert "lost" in said
    assert "<b>" in said
    assert "not decided: partition 3: state: no worker" in said


def test_an_id_that_looks_like_markup_is_shown_as_it_is():
    console = Console(file=io.StringIO(), width=200, color_system=None)
    report = a_report()
    report.found([Difference(kind=Kind.LOST, partition=0, offset=1, index=0, id="[/red]e[b]")])

    show(report, console)

    assert "[/red]e[b]" in console.file.getvalue()
    assert conclusion(report).endswith("1 difference")


def test_an_empty_range_says_so():
    assert conclusion(a_report()).endswith("no event stands in the range")


def test_progress_has_the_rate_and_the_time_left():
    assert (
        progress(Report(records_of=3000, reached=1000), 2.0)
        == "1,000 of 3,000 records, 500/s, 4 s left, 0 differences"
    )


def test_more_differences_than_are_listed_are_counted():
    report = a_report(*[Kind.LOST] * (DIFFERENCES_MAX + 1))

    assert (report.kinds[Kind.LOST], len(report.differences)) == (
        DIFFERENCES_MAX + 1,
        DIFFERENCES_MAX,
    )


def test_the_page_carries_the_json_and_its_hash_and_no_markup_of_events():
    report = a_report(Kind.LOST)

    shown = page(report)

    inside = html.unescape(re.search(r'<pre id="json">(.*)</pre>', shown, re.S)[1])
    assert inside == as_json(report)
    assert json.loads(inside)["differences"][0]["id"] == "<b>"
    assert hashlib.sha256(inside.encode()).hexdigest() in shown
    assert "<b>" not in shown
    assert not re.search(r"(src|href)=", shown)
