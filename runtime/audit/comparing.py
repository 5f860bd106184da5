"""What the log says of each event beside what ClickHouse and the rejected topic have of it, place by place. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from runtime.audit.judging import Fate
from runtime.audit.report import Counts, Difference, Kind
from schemas.position import index_of, offset_of


class Sent(NamedTuple):
    """An event of the log that its partition owns. `digest`: MD5 of the data; `first`: of what it repeats."""

    position: int
    id: str
    source: str
    type: str
    subject: str
    second: int
    arrived_ms: int
    digest: bytes
    fate: Fate = Fate.ACCEPTED
    first: int | None = None


class Stored(NamedTuple):
    """An event of ClickHouse."""

    position: int
    id: str
    source: str
    type: str
    subject: str
    second: int
    arrived_ms: int
    digest: bytes
    accepted: bool


class Slice(NamedTuple):
    """Everything of one partition at positions `[first, next)`, each in the order of positions.

    `refused` and `handed_over` are places of the log, `told` those of the rejected topic with their codes. What stands at
    or after `visible` may still be on its way.
    """

    partition: int
    visible: int
    sent: Sequence[Sent]
    refused: Mapping[int, str]
    handed_over: frozenset[int] | set[int]
    stored: Iterable[Stored]
    told: Mapping[int, str]


FOLD_REFUSES = frozenset(("rows_too_large",))
"""Codes of events that can be read and are refused nevertheless, when they are counted."""
_FIELDS = ("id", "source", "type", "subject", "second", "arrived_ms", "digest")
_SAID = {"second": "time", "arrived_ms": "time of arrival", "digest": "data"}


def compare(of: Slice, counts: Counts) -> list[Difference]:
    """Differences in the order of the log; `counts` takes the sums, records and what was forwarded aside."""
    found: list[Difference] = []
    stored = _by_place(of, counts)
    for event in of.sent:
        found += _of_event(of, event, stored.pop(event.position, ()), counts)
    for at, code in of.refused.items():
        found += _of_refusal(of, at, code, counts)
    for at in of.handed_over:
        _count_handed_over(of, at, counts)
    for at, rows in stored.items():
        found.append(_difference(of, Kind.INVENTED, at, rows[0]))
    found += _told_of_nothing(of)
    found.sort(key=lambda one: (one.offset or 0, one.index or 0))
    return found


def _by_place(of: Slice, counts: Counts) -> dict[int, list[Stored]]:
    stored: dict[int, list[Stored]] = {}
    for at, rows in groupby(of.stored, lambda row: row.position):
        if at < of.visible:
            stored[at] = list(rows)
            counts.stored_accepted += sum(row.accepted for row in stored[at])
            counts.stored_duplicate += sum(not row.accepted for row in stored[at])
    counts.stored_rejected += len(of.told)
    return stored


def _of_event(
    of: Slice, event: Sent, rows: Sequence[Stored], counts: Counts
) -> Iterator[Difference]:
    counts.events += 1
    told = of.told.get(event.position)
    if told in FOLD_REFUSES:
        counts.rejected += 1
        if rows:
            yield _difference(of, Kind.INVENTED, event.position, event, f"refused: {told}")
        return
    if told is not None:
        yield _difference(of, Kind.REFUSED_WRONGLY, event.position, event, told)
    if event.position >= of.visible:
        counts.waiting += 1
        return
    if event.fate is Fate.ACCEPTED:
        counts.accepted += 1
    else:
        counts.duplicate += 1
    yield from _of_rows(of, event, rows)


def _of_rows(of: Slice, event: Sent, rows: Sequence[Stored]) -> Iterator[Difference]:
    at, accepted = event.position, event.fate is Fate.ACCEPTED
    if not rows:
        kind = Kind.LOST if accepted else Kind.REPEAT_MISSING
        yield _difference(of, kind, at, event, _repeats(event))
        return
    if len(rows) > 1:
        yield _difference(of, Kind.STORED_TWICE, at, event, f"{len(rows)} rows")
    if any(row.accepted for row in rows) != accepted:
        kind = Kind.NOT_COUNTED if accepted else Kind.DOUBLE
        yield _difference(of, kind, at, event, _repeats(event))
    for row in rows:
        other = [
            _SAID.get(name, name) for name in _FIELDS if getattr(row, name) != getattr(event, name)
        ]
        if other:
            yield _difference(of, Kind.ALTERED, at, event, ", ".join(other))


def _of_refusal(of: Slice, at: int, code: str, counts: Counts) -> Iterator[Difference]:
    counts.events += 1
    if at not in of.told and at >= of.visible:
        counts.waiting += 1
        return
    counts.rejected += 1
    if at not in of.told:
        yield _difference(of, Kind.REFUSAL_MISSING, at, None, code)


def _count_handed_over(of: Slice, at: int, counts: Counts) -> None:
    counts.events += 1
    if at in of.told:
        counts.rejected += 1
    elif at >= of.visible:
        counts.waiting += 1
    else:
        counts.handed_over += 1


def _told_of_nothing(of: Slice) -> Iterator[Difference]:
    known = {event.position for event in of.sent} | of.refused.keys() | of.handed_over
    for at, code in of.told.items():
        if at not in known:
            yield _difference(
                of, Kind.REFUSED_WRONGLY, at, None, f"{code}: the log has no such event"
            )


def _repeats(event: Sent) -> str:
    if event.first is None:
        return ""
    return f"repeats {offset_of(event.first)}/{index_of(event.first)}"


def _difference(
    of: Slice, kind: Kind, at: int, event: Sent | Stored | None, note: str = ""
) -> Difference:
    return Difference(
        kind=kind,
        partition=of.partition,
        offset=offset_of(at),
        index=index_of(at),
        id=None if event is None else event.id,
        subject=None if event is None else event.subject,
        note=note,
    )
