"""The periods that an item of a subscription phase is billed for.

Three periods go with every charge: the *full service period* is what the price is for (a month of a monthly fee), the
*service period* is the part of it in which the item runs, the *billing period* is the subscription's at that time and
decides with them when the charge goes on an invoice.

Source: catalog §2.10.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.subscriptions.phase import Phase, billing_period
from domain.time.interval import Interval, earlier, truncate_second
from domain.time.recurrence import Recurrence, period_at

MAX_PERIODS = 1_000
"""Of one item version; generation ends there."""


class Charging(StrEnum):
    """What an item's price means for its periods."""

    FLAT_IN_ADVANCE = "flat_in_advance"
    FLAT_IN_ARREARS = "flat_in_arrears"
    UNIT_IN_ARREARS = "unit_in_arrears"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemVersion:
    """One version of an item: `cadence` None is charged once; `interval` is its part of the phase."""

    key: str
    version: int
    charging: Charging
    cadence: Recurrence | None
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPeriod:
    """One charge. `index` counts an item version's periods from 0, None = charged once. Cut to whole seconds."""

    key: str
    version: int
    index: int | None
    service: Interval
    full_service: Interval
    billing: Interval
    invoice_at: datetime


def item_periods(item: ItemVersion, phase: Phase, until: datetime) -> Iterator[ItemPeriod]:
    """The periods of an item that go on an invoice at `until` or earlier (by whole seconds), in order.

    An empty service period charges nothing by usage; a flat price is still charged.
    """
    if item.charging is Charging.NONE:
        return
    found = _once(item, phase) if item.cadence is None else _recurring(item, item.cadence, phase)
    for period in found:
        if period.invoice_at > until:
            return
        if item.charging is not Charging.UNIT_IN_ARREARS or not period.service.is_empty:
            yield period


def _once(item: ItemVersion, phase: Phase) -> Iterator[ItemPeriod]:
    """From the item's start to its end. Without an end nothing falls due in arrears, and in advance it has no length."""
    run = item.interval
    whole = Interval(start=run.start, end=run.start if run.end is None else run.end)
    if whole.is_empty and item.charging is not Charging.FLAT_IN_ADVANCE:
        return
    yield _period(item, phase, None, whole, whole)


def _recurring(item: ItemVersion, cadence: Recurrence, phase: Phase) -> Iterator[ItemPeriod]:
    at, end = item.interval.start, item.interval.end
    for index in range(MAX_PERIODS):
        full = period_at(cadence, at)
        assert full.end is not None
        yield _period(item, phase, index, Interval(start=at, end=earlier(full.end, end)), full)
        at = full.end
        if end is not None and at >= end:
            return


def _period(
    item: ItemVersion, phase: Phase, index: int | None, service: Interval, full: Interval
) -> ItemPeriod:
    billing = _whole_seconds(billing_period(phase, service.start))
    served = _whole_seconds(service)
    return ItemPeriod(
        key=item.key,
        version=item.version,
        index=index,
        service=served,
        full_service=_whole_seconds(full),
        billing=billing,
        invoice_at=_invoice_at(item.charging, served, billing),
    )


def _invoice_at(charging: Charging, service: Interval, billing: Interval) -> datetime:
    """In advance: when the billing period starts. In arrears: when service and billing period are both over."""
    if charging is Charging.FLAT_IN_ADVANCE:
        return billing.start
    assert service.end is not None
    assert billing.end is not None
    return max(service.end, billing.end)


def _whole_seconds(interval: Interval) -> Interval:
    end = None if interval.end is None else truncate_second(interval.end)
    return Interval(start=truncate_second(interval.start), end=end)
