"""What an audit found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.audit.report import MEANING, Counts, Difference, MeterReport, PartitionReport, Report
from schemas.position import offset_of

_ROWS_MAX = 50
FORM = 1
"""Of the JSON; grows when a member changes its meaning."""


def verdict(report: Report) -> str:
    """equal, differences, undecided or interrupted."""
    if report.interrupted:
        return "interrupted"
    if report.kinds:
        return "differences"
    return "undecided" if report.undecided_count else "equal"


def show(report: Report, console: Console) -> None:
    """Tables and a line."""
    console.print(_partitions(report))
    if report.meters:
        console.print()
        console.print(_meters(report))
    if report.differences:
        console.print()
        console.print(_differences(report))
    for line in _told(report):
        console.print(line, soft_wrap=True, markup=False)


def _partitions(report: Report) -> Table:
    """A column for each side of the equation."""
    table = Table(box=None, pad_edge=False)
    for name in ("partition", "offsets", *COLUMNS):
        table.add_column(name, justify="right")
    for one in report.partitions:
        offsets = f"{one.start:,}-{one.end:,}"
        table.add_row(str(one.partition), offsets, *_sums(one.counts))
    table.add_row("all", "", *_sums(report.total), style="bold")
    return table


COLUMNS = {
    "records": "records",
    "events": "events",
    "= accepted": "accepted",
    "+ duplicate": "duplicate",
    "+ rejected": "rejected",
    "+ forwarded": "forwarded",
    "+ waiting": "waiting",
    "ClickHouse accepted": "stored_accepted",
    "duplicate": "stored_duplicate",
    "rejected topic": "stored_rejected",
}
"""Heads of the table and the sums under them; what was handed over counts as forwarded."""


def sums_of(counts: Counts) -> list[int]:
    """In the order of COLUMNS."""
    return [
        getattr(counts, name) + (counts.handed_over if name == "forwarded" else 0)
        for name in COLUMNS.values()
    ]


def _sums(counts: Counts) -> list[str]:
    return [f"{number:,}" for number in sums_of(counts)]


def _meters(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("meter")
    for name in ("version", "events sent", "in ClickHouse", "counted by rows"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in report.meters[:_ROWS_MAX]:
        numbers = ["" if n is None else f"{n:,}" for n in (one.sent, one.stored, one.rows)]
        table.add_row(
            _text(one.slug or one.id),
            str(one.version),
            *numbers,
            f"not compared: {one.why}" if one.why else "",
        )
    return table


def _differences(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("difference", "partition", "offset", "index", "id", "subject", "note"):
        table.add_column(name, no_wrap=name == "difference")
    for one in report.differences[:_ROWS_MAX]:
        table.add_row(*map(_text, difference_values(one).values()))
    return table


def _text(value: object) -> Text:
    """As it is: what a producer wrote is no markup."""
    return Text("" if value is None else str(value))


def _told(report: Report) -> Iterator[str]:
    if len(report.differences) > _ROWS_MAX:
        yield f"… and {sum(report.kinds.values()) - _ROWS_MAX:,} more differences: --json shows them"
    for kind, count in sorted(report.kinds.items()):
        yield f"{count:,} {kind}: {MEANING[kind]}"
    for gap in report.undecided[:_ROWS_MAX]:
        where = "" if gap.partition is None else f"partition {gap.partition}: "
        yield f"not decided: {where}{gap.what}: {gap.why}"
    if report.undecided_count > _ROWS_MAX:
        yield f"not decided: {report.undecided_count - _ROWS_MAX:,} more"
    yield conclusion(report)


def conclusion(report: Report) -> str:
    """One line."""
    total, found = report.total, sum(report.kinds.values())
    said = {
        "equal": "equal: every event is accounted for",
        "differences": f"{found:,} difference{'' if found == 1 else 's'}",
        "undecided": "no difference, but not everything could be decided",
        "interrupted": f"interrupted after {report.reached:,} of {report.records_of:,} records",
    }[verdict(report)]
    if not total.events and verdict(report) == "equal":
        said = "no event stands in the range"
    seconds = (report.ended_ms - report.began_ms) / 1000
    return f"{total.events:,} events of {total.records:,} records in {seconds:.1f} s: {said}"


def progress(report: Report, elapsed_s: float) -> str:
    """One line while it runs."""
    line = f"{report.reached:,} of {report.records_of:,} records"
    if elapsed_s > 0 and report.reached:
        rate = report.reached / elapsed_s
        left_s = max(0, report.records_of - report.reached) / rate
        line += f", {rate:,.0f}/s, {left_s:.0f} s left"
    return f"{line}, {sum(report.kinds.values()):,} differences"


def as_json(report: Report) -> str:
    """For programs; the report in HTML carries this text and its SHA-256."""
    return msgspec.json.format(msgspec.json.encode(as_values(report))).decode()


def sha256_of(text: str) -> str:
    """In hex."""
    return sha256(text.encode()).hexdigest()


def as_values(report: Report) -> dict[str, Any]:
    """The whole report."""
    return {
        "form": FORM,
        "verdict": verdict(report),
        "version": report.version,
        "namespace": report.namespace,
        "topic": report.topic,
        "topicId": report.topic_id,
        "began": _time(report.began_ms),
        "ended": _time(report.ended_ms),
        "from": _time(report.from_ms),
        "to": _time(report.to_ms),
        "subjects": report.subjects,
        "dedupeWindowSeconds": report.window_ms // 1000,
        "earlierIdsFromClickHouse": report.earlier_ids,
        "total": counts_values(report.total),
        "partitions": [_partition_values(one) for one in report.partitions],
        "meters": [_meter_values(one) for one in report.meters],
        "differencesByKind": {kind.value: count for kind, count in sorted(report.kinds.items())},
        "differences": [difference_values(one) for one in report.differences],
        "notDecidedCount": report.undecided_count,
        "notDecided": [
            {"what": gap.what, "why": gap.why, "partition": gap.partition}
            for gap in report.undecided
        ],
    }


def counts_values(counts: Counts) -> dict[str, int]:
    """Sums by where they come from."""
    return {
        "records": counts.records,
        "events": counts.events,
        "accepted": counts.accepted,
        "duplicate": counts.duplicate,
        "rejected": counts.rejected,
        "forwarded": counts.forwarded,
        "handedOver": counts.handed_over,
        "waiting": counts.waiting,
        "clickhouseAccepted": counts.stored_accepted,
        "clickhouseDuplicate": counts.stored_duplicate,
        "rejectedTopic": counts.stored_rejected,
    }


def _partition_values(one: PartitionReport) -> dict[str, Any]:
    return {
        "partition": one.partition,
        "idsFromOffset": one.ids_from,
        "fromOffset": one.start,
        "toOffset": one.end,
        "visibleOffset": offset_of(one.visible),
        "stateOffset": None if one.state is None else offset_of(one.state),
        **counts_values(one.counts),
    }


def _meter_values(one: MeterReport) -> dict[str, Any]:
    return {
        "slug": one.slug,
        "id": one.id,
        "version": one.version,
        "eventType": one.event_type,
        "sent": one.sent,
        "clickhouse": one.stored,
        "rows": one.rows,
        "notCompared": one.why,
    }


def difference_values(one: Difference) -> dict[str, Any]:
    """One difference; in the order of the table's columns."""
    return {
        "kind": one.kind.value,
        "partition": one.partition,
        "offset": one.offset,
        "index": one.index,
        "id": one.id,
        "subject": one.subject,
        "note": one.note,
    }


def _time(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
