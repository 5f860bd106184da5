"""`meterstream simulate recurrence`: one question about recurring times."""

from __future__ import annotations

from enum import StrEnum

from domain.time.duration import add_clamped, format_duration
from domain.time.recurrence import Recurrence, next_after, period_at, prev_before
from runtime.simulate.reading import Fields, choice, duration, inside, time
from runtime.simulate.writing import time_text


class Kind(StrEnum):
    """What is asked."""

    NEXT_AFTER = "next_after"
    PREV_BEFORE = "prev_before"
    PERIOD_AT = "period_at"
    ADD = "add"


class Boundary(StrEnum):
    """Whether an occurrence at the very time counts."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


def run(case: dict[str, object]) -> dict[str, object]:
    """The answer: `{"at"}`, of `period_at` `{"from", "to"}`."""
    fields = Fields(case)
    kind = fields.get("kind", choice(Kind))
    answer = _add(fields) if kind is Kind.ADD else _recurring(kind, fields)
    fields.done()
    return answer


def explain(case: dict[str, object]) -> str:
    """The answer in a sentence."""
    answer, fields = run(case), Fields(case)
    kind = fields.get("kind", choice(Kind))
    if kind is Kind.ADD:
        length = format_duration(fields.get("duration", duration))
        return f"{time_text(fields.get('start', time))} + {length} = {answer['at']}"
    rule = (
        f"every {format_duration(fields.get('interval', duration))}, "
        f"counted from {time_text(fields.get('anchor', time))}"
    )
    at = time_text(fields.get("at", time))
    if kind is Kind.PERIOD_AT:
        return f"{rule}: {at} lies in [{answer['from']}, {answer['to']})"
    side = "the first after" if kind is Kind.NEXT_AFTER else "the last before"
    or_at = " or at" if fields.get("boundary", choice(Boundary)) is Boundary.INCLUSIVE else ""
    return f"{rule}: {side}{or_at} {at} is {answer['at']}"


def _add(fields: Fields) -> dict[str, object]:
    start, length = fields.get("start", time), fields.get("duration", duration)
    with inside(fields.where("duration")):
        return {"at": time_text(add_clamped(start, length))}


def _recurring(kind: Kind, fields: Fields) -> dict[str, object]:
    with inside("$"):
        recurrence = Recurrence(
            interval=fields.get("interval", duration), anchor=fields.get("anchor", time)
        )
    at = fields.get("at", time)
    with inside(fields.where("at")):
        if kind is Kind.PERIOD_AT:
            period = period_at(recurrence, at)
            assert period.end is not None
            return {"from": time_text(period.start), "to": time_text(period.end)}
        inclusive = fields.get("boundary", choice(Boundary)) is Boundary.INCLUSIVE
        search = next_after if kind is Kind.NEXT_AFTER else prev_before
        return {"at": time_text(search(recurrence, at, inclusive=inclusive))}
