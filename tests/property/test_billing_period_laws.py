"""Laws of the periods of a subscription phase: nothing is charged twice, and nothing is left out."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.subscriptions.history import check_history
from domain.subscriptions.item_periods import Charging, ItemPeriod, ItemVersion, item_periods
from domain.subscriptions.phase import Phase, cadence
from domain.time.duration import parse_duration
from domain.time.interval import Interval

T0 = datetime(2024, 1, 1, tzinfo=UTC)
ALL = T0 + timedelta(days=40 * 366)
RECURRING = [Charging.FLAT_IN_ADVANCE, Charging.FLAT_IN_ARREARS, Charging.UNIT_IN_ARREARS]

seconds = st.integers(0, 400 * 86_400).map(lambda s: T0 + timedelta(seconds=s))
cadences = st.builds(
    cadence,
    st.sampled_from(["P1D", "P1W", "P4W", "P1M", "P3M", "P1Y"]).map(parse_duration),
    seconds,
)


@st.composite
def phases(draw) -> Phase:
    start = draw(seconds)
    length = timedelta(seconds=draw(st.integers(1, 400 * 86_400)))
    return Phase(interval=Interval(start=start, end=start + length), billing=draw(cadences))


@st.composite
def versions_of_one_item(draw) -> tuple[Phase, list[ItemVersion]]:
    """Versions that fill the phase from its start to its end."""
    phase = draw(phases())
    start, end = phase.interval.start, phase.interval.end
    assert end is not None
    length = int((end - start).total_seconds())
    edits = draw(st.sets(st.integers(1, max(length - 1, 1)), max_size=4))
    cuts = [start, *(start + timedelta(seconds=s) for s in sorted(edits) if s < length), end]
    recurrence = draw(cadences)
    return phase, [
        ItemVersion(
            key="item",
            version=version,
            charging=draw(st.sampled_from(RECURRING)),
            cadence=recurrence,
            interval=Interval(start=one, end=other),
        )
        for version, (one, other) in enumerate(pairwise(cuts))
    ]


def all_periods(phase: Phase, items: list[ItemVersion], until: datetime = ALL) -> list[ItemPeriod]:
    return [period for item in items for period in item_periods(item, phase, until)]


@given(versions_of_one_item())
def test_service_periods_of_the_versions_partition_the_phase(given_):
    phase, items = given_

    services = [period.service for period in all_periods(phase, items)]

    assert services[0].start == phase.interval.start
    assert services[-1].end == phase.interval.end
    assert all(one.end == other.start for one, other in pairwise(services))
    assert not any(service.is_empty for service in services)
    check_history(items)


@given(versions_of_one_item())
def test_a_service_period_lies_in_what_the_price_is_for_and_starts_in_its_billing_period(given_):
    phase, items = given_

    for period in all_periods(phase, items):
        assert period.full_service.intersection(period.service) == period.service
        assert period.service.start in period.billing
        assert phase.interval.intersection(period.billing) == period.billing


@given(versions_of_one_item(), seconds)
def test_a_later_end_adds_periods_and_changes_none(given_, until):
    phase, items = given_

    for item in items:
        early, everything = all_periods(phase, [item], until), all_periods(phase, [item])

        assert everything[: len(early)] == early
        assert all(period.invoice_at <= until for period in early)
        assert all(period.invoice_at > until for period in everything[len(early) :])


@given(versions_of_one_item())
def test_periods_count_from_zero_and_fall_due_in_order(given_):
    phase, items = given_

    for item in items:
        periods = all_periods(phase, [item])

        assert [period.index for period in periods] == list(range(len(periods)))
        assert all(one.invoice_at <= other.invoice_at for one, other in pairwise(periods))


@given(versions_of_one_item())
def test_in_arrears_nothing_is_due_before_it_was_served(given_):
    phase, items = given_

    for item in items:
        for period in all_periods(phase, [item]):
            served = period.invoice_at >= max(period.service.end, period.billing.end)
            assert served or item.charging is Charging.FLAT_IN_ADVANCE
