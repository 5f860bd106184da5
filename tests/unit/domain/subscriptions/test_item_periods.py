from datetime import UTC, datetime

import pytest

from domain.errors import Refused
from domain.subscriptions.item_periods import MAX_PERIODS, Charging, ItemVersion, item_periods
from domain.subscriptions.phase import Phase, billing_period, cadence, item_interval
from domain.time.duration import Duration, parse_duration
from domain.time.interval import Interval

DAY = parse_duration("P1D")


def day(month: int, day: int, year: int = 2024) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def a_phase(end: datetime | None = None, every: str = "P1M") -> Phase:
    return Phase(
        interval=Interval(start=day(1, 10), end=end),
        billing=cadence(parse_duration(every), day(1, 1)),
    )


def an_item(charging: Charging = Charging.FLAT_IN_ADVANCE, **fields) -> ItemVersion:
    fields = {
        "key": "seats",
        "version": 0,
        "charging": charging,
        "cadence": cadence(DAY, day(1, 1)),
        "interval": Interval(start=day(1, 10), end=None),
    } | fields
    return ItemVersion(**fields)


def test_the_end_of_generation_is_bounded():
    periods = list(item_periods(an_item(), a_phase(), day(1, 1, 2100)))

    assert [period.index for period in periods] == list(range(MAX_PERIODS))


@pytest.mark.parametrize(
    ("charging", "due"),
    [
        (Charging.FLAT_IN_ADVANCE, day(1, 10)),
        (Charging.FLAT_IN_ARREARS, day(2, 1)),
        (Charging.UNIT_IN_ARREARS, day(2, 1)),
    ],
)
def test_when_a_charge_is_due(charging, due):
    first = next(item_periods(an_item(charging), a_phase(), day(12, 31)))

    assert first.invoice_at == due


def test_a_service_that_outlasts_its_billing_period_is_due_when_it_is_over():
    item = an_item(Charging.UNIT_IN_ARREARS, cadence=cadence(parse_duration("P1W"), day(1, 1)))
    phase = a_phase(every="P1D")

    first = next(item_periods(item, phase, day(12, 31)))

    assert first.billing == Interval(start=day(1, 10), end=day(1, 11))
    assert first.invoice_at == first.service.end == day(1, 15)


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        (day(1, 10), day(1, 10), day(2, 1)),
        (day(2, 1), day(2, 1), day(3, 1)),
        (day(3, 19), day(3, 1), day(3, 20)),
        (day(3, 20), day(3, 1), day(3, 20)),
        (day(9, 1), day(3, 1), day(3, 20)),
    ],
)
def test_the_billing_period_is_cut_to_the_phase_and_after_it_is_the_last(at, start, end):
    assert billing_period(a_phase(end=day(3, 20)), at) == Interval(start=start, end=end)


def test_where_the_phase_ended_on_a_boundary_the_period_before_is_meant():
    assert billing_period(a_phase(end=day(3, 1)), day(3, 1)) == Interval(
        start=day(2, 1), end=day(3, 1)
    )


def test_before_the_phase_there_is_no_billing_period():
    with pytest.raises(Refused) as refused:
        billing_period(a_phase(), day(1, 9))

    assert refused.value.code == "subscription_billing_period_queried_before_subscription_start"


@pytest.mark.parametrize(
    ("starts_after", "ends_after", "start", "end"),
    [
        (None, None, day(1, 10), day(1, 20)),
        (Duration(days=2), None, day(1, 12), day(1, 20)),
        (None, Duration(days=2), day(1, 10), day(1, 12)),
        (None, Duration(days=99), day(1, 10), day(1, 20)),
        (Duration(days=3), Duration(days=3), day(1, 13), day(1, 13)),
        (Duration(), Duration(), day(1, 10), day(1, 10)),
    ],
)
def test_an_item_runs_between_its_offsets_within_the_phase(starts_after, ends_after, start, end):
    phase = Interval(start=day(1, 10), end=day(1, 20))

    assert item_interval(phase, starts_after, ends_after) == Interval(start=start, end=end)


@pytest.mark.parametrize("days", [10, 11])
def test_an_item_that_would_begin_where_the_phase_ended_does_not_run(days):
    phase = Interval(start=day(1, 10), end=day(1, 20))

    assert item_interval(phase, Duration(days=days), None) is None


def test_an_item_taken_off_at_once_owes_its_flat_price_and_no_usage():
    nothing = Interval(start=day(1, 10), end=day(1, 10))

    flat = list(item_periods(an_item(interval=nothing), a_phase(), day(12, 31)))
    usage = an_item(Charging.UNIT_IN_ARREARS, interval=nothing)

    assert [period.service for period in flat] == [nothing]
    assert list(item_periods(usage, a_phase(), day(12, 31))) == []


@pytest.mark.parametrize("interval", ["PT59M59S", "P0D", "-P1M", "P1M-1D"])
def test_a_cadence_lasts_at_least_an_hour(interval):
    with pytest.raises(Refused) as refused:
        cadence(parse_duration(interval), day(1, 1))

    assert refused.value.code == "billing_cadence_invalid_value"


def test_an_hour_is_a_cadence():
    assert cadence(parse_duration("PT60M"), day(1, 1)).anchor == day(1, 1)
