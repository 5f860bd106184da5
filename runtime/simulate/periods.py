"""`meterstream simulate periods`: every billable period of one subscription phase."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from io import StringIO

from rich.console import Console
from rich.table import Table

from domain.subscriptions.history import check_history
from domain.subscriptions.item_periods import Charging, ItemPeriod, ItemVersion, item_periods
from domain.subscriptions.phase import Phase, cadence, item_interval, phase_interval
from domain.time.interval import Interval
from domain.time.recurrence import Recurrence
from runtime.simulate.reading import (
    Fields,
    Reader,
    WrongInput,
    choice,
    duration,
    inside,
    list_of,
    text,
    time,
    whole,
)
from runtime.simulate.writing import interval_texts, time_text

MAX_ITEMS = 1_000
"""Item versions of one case."""


def run(case: dict[str, object]) -> dict[str, object]:
    """`{"periods"}`, by item in the order given, then by time."""
    return {"periods": [_written(period) for period in _periods(case)]}


def explain(case: dict[str, object]) -> str:
    """The periods as a table that also says when each goes on an invoice."""
    table = Table("item", "period", "service", "of full service", "billing", "on invoice at")
    for period in _periods(case):
        table.add_row(
            f"{period.key} v{period.version}",
            "once" if period.index is None else str(period.index),
            _shown(period.service),
            _shown(period.full_service),
            _shown(period.billing),
            time_text(period.invoice_at),
        )
    screen = Console(file=StringIO(), width=200, highlight=False)
    with screen.capture() as captured:
        screen.print(table)
    return captured.get().rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    phase: Phase
    anchor: datetime


def _periods(case: dict[str, object]) -> list[ItemPeriod]:
    fields = Fields(case)
    ends = (fields.optional("phase_end", time), fields.optional("subscription_end", time))
    with inside("$"):
        interval = phase_interval(
            fields.get("subscription_start", time), phase_end=ends[0], subscription_end=ends[1]
        )
    anchor = fields.get("billing_anchor", time)
    run = _Run(
        phase=Phase(interval=interval, billing=_cadence(fields, "billing_cadence", anchor)),
        anchor=anchor,
    )
    until = fields.get("generate_until", time)
    items = [item for item in fields.get("items", _items(run)) if item is not None]
    fields.done()
    check_history(items)
    return [period for item in items for period in item_periods(item, run.phase, until)]


def _items(run: _Run) -> Reader[list[ItemVersion | None]]:
    def read(value: object, field: str) -> list[ItemVersion | None]:
        if isinstance(value, list) and len(value) > MAX_ITEMS:
            raise WrongInput(field, f"has to be a list of at most {MAX_ITEMS}")
        return list_of(lambda item, path: _item(Fields(item, path), run))(value, field)

    return read


def _item(fields: Fields, run: _Run) -> ItemVersion | None:
    """None when the item does not run in the phase."""
    key, version = fields.get("key", text), fields.get("version", _count)
    charging = fields.get("price", choice(Charging))
    recurs = fields.has("cadence")
    recurrence = _cadence(fields, "cadence", run.anchor) if recurs else None
    with inside(fields.path):
        interval = item_interval(
            run.phase.interval,
            fields.optional("starts_after", duration),
            fields.optional("ends_after", duration),
        )
    fields.done()
    if interval is None:
        return None
    return ItemVersion(
        key=key, version=version, charging=charging, cadence=recurrence, interval=interval
    )


def _count(value: object, field: str) -> int:
    read = whole(value, field)
    if read < 0:
        raise WrongInput(field, f"counts from 0, is {read}")
    return read


def _cadence(fields: Fields, name: str, anchor: datetime) -> Recurrence:
    with inside(fields.where(name)):
        return cadence(fields.get(name, duration), anchor)


def _written(period: ItemPeriod) -> dict[str, object]:
    return {
        "key": period.key,
        "version": period.version,
        "period": period.index,
        "service": interval_texts(period.service),
        "full_service": interval_texts(period.full_service),
        "billing": interval_texts(period.billing),
    }


def _shown(interval: Interval) -> str:
    start, end = interval_texts(interval)
    return f"{start} to {end}"
