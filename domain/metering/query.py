"""A question to a meter and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.metering.filters import TextFilter
from domain.metering.meter import Meter
from domain.metering.rows import Number
from domain.metering.windows import WindowSize


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterQuery:
    """A validated question. Times are Unix seconds; the range is `[start, end)`; None = unbounded.

    `start` is already the later of the request's `from` and the meter's `event_from`;
    `asked_from`/`asked_to` are what the request said and become the window of an unwindowed answer.
    `group_by` holds the meter's group keys in the order asked; `by_subject` says whether subjects are kept apart.
    `subjects` None = all. `customers`: the customer of each of the `subjects`, when usage is kept apart by customer. `group_filters`: every filter must hold for its key's value ("" when missing).
    """

    meter: Meter
    start: int | None = None
    end: int | None = None
    asked_from: int | None = None
    asked_to: int | None = None
    window_size: WindowSize | None = None
    zone: str = "UTC"
    by_subject: bool = False
    group_by: tuple[str, ...] = ()
    subjects: tuple[str, ...] | None = None
    customers: Mapping[str, str] | None = None
    group_filters: tuple[tuple[str, TextFilter], ...] = ()
    subject_filters: tuple[TextFilter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One row of an answer: window bounds in Unix seconds, the value, and whose it is."""

    window_start: int
    window_end: int
    value: Number
    subject: str | None = None
    customer: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
