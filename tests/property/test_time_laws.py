"""Laws of recurring times and of the periods between them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.time.duration import (
    Duration,
    add_clamped,
    add_overflowing,
    format_duration,
    parse_duration,
)
from domain.time.interval import Interval, ceil_minute, truncate_minute
from domain.time.recurrence import Recurrence, next_after, occurrences, period_at, prev_before
from domain.time.usage_periods import Entry, UsagePeriods

zones = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
times = st.builds(
    lambda zone, us: (datetime(1900, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(zone),
    zones, st.integers(0, 400 * 365 * 86_400_000_000),
)  # fmt: skip
month_ends = st.builds(
    lambda year, month, hours: datetime(year, month, 1, tzinfo=UTC) - timedelta(hours=hours),
    st.integers(1990, 2060), st.integers(1, 12), st.integers(-48, 72),
)  # fmt: skip
moments = times | month_ends
counts = st.integers(0, 40)
fractions = st.decimals(0, 100, places=6)
intervals = st.builds(
    Duration, years=st.integers(0, 3), months=counts, weeks=counts, days=counts, hours=counts,
    minutes=counts, seconds=counts | fractions,
).filter(lambda duration: duration.total_months or duration.total_microseconds >= 60_000_000)  # fmt: skip
plain = st.sampled_from(["PT1H", "P1D", "P1W", "P4W", "P1M", "P3M", "P1Y", "P1M1D"]).map(
    parse_duration
)
recurrences = st.builds(Recurrence, interval=plain | intervals, anchor=moments)
signed = st.integers(-9_999, 9_999)
durations = st.builds(
    Duration, years=signed, months=signed, weeks=signed, days=signed, hours=signed, minutes=signed,
    seconds=signed | st.decimals(-1000, 1000, places=6).map(Decimal.normalize),
)  # fmt: skip


@given(recurrences, moments)
def test_next_and_previous_are_inverse(recurrence, at):
    after = next_after(recurrence, at, inclusive=False)
    before = prev_before(recurrence, at, inclusive=False)

    assert before < at < after
    assert prev_before(recurrence, after, inclusive=False) == prev_before(
        recurrence, at, inclusive=True
    )
    assert next_after(recurrence, before, inclusive=False) == next_after(
        recurrence, at, inclusive=True
    )


@given(recurrences, moments)
def test_an_occurrence_is_its_own_neighbour_when_inclusive(recurrence, at):
    occurrence = next_after(recurrence, at, inclusive=True)

    assert occurrence >= at
    assert next_after(recurrence, occurrence, inclusive=True) == occurrence
    assert prev_before(recurrence, occurrence, inclusive=True) == occurrence


@given(recurrences, st.integers(-200, 200))
def test_every_occurrence_counts_from_the_anchor(recurrence, index):
    occurrence = add_clamped(recurrence.anchor, recurrence.interval, index)

    assert next_after(recurrence, occurrence, inclusive=True) == occurrence
    assert next_after(recurrence, occurrence, inclusive=False) == add_clamped(
        recurrence.anchor, recurrence.interval, index + 1
    )


@given(recurrences, moments)
def test_periods_cover_time_without_gap_or_overlap(recurrence, at):
    period = period_at(recurrence, at)

    assert at in period
    assert period_at(recurrence, period.start) == period
    assert period_at(recurrence, period.end - timedelta(microseconds=1)) == period
    assert period_at(recurrence, period.end).start == period.end


@given(recurrences, moments, st.integers(0, 20))
def test_occurrences_are_the_starts_of_the_periods_of_a_stretch(recurrence, start, count):
    walked = [next_after(recurrence, start, inclusive=True)]
    for _ in range(count):
        walked.append(period_at(recurrence, walked[-1]).end)

    assert list(occurrences(recurrence, start, walked[-1])) == walked[:-1]


@given(recurrences, recurrences, moments, moments.map(lambda at: at), moments)
def test_usage_periods_cover_time_and_are_cut_by_a_reset(first, second, since, reset, at):
    entries = [Entry(since=since, recurrence=first)]
    if reset > since:
        entries.append(Entry(since=reset, recurrence=second))
    periods = UsagePeriods(entries)
    moment = max(at, since)

    period = periods.at(moment)

    assert moment in period
    assert periods.at(period.end).start == period.end == periods.next_start_after(moment)
    assert not period.start < reset < period.end or reset <= since


@given(moments, moments, recurrences)
def test_starts_of_usage_periods_are_in_order_and_each_begins_one(since, after, recurrence):
    periods = UsagePeriods([Entry(since=since, recurrence=recurrence)])

    starts = list(islice(periods.starts(after, datetime(9000, 1, 1, tzinfo=UTC)), 10))

    assert all(one < other for one, other in pairwise([after, *starts]))
    assert [periods.at(start).start for start in starts] == starts


@given(durations)
def test_a_duration_is_read_as_it_was_written(duration):
    assert parse_duration(format_duration(duration)) == duration


@given(moments, st.integers(0, 600))
def test_clamped_and_overflowing_differ_only_past_a_months_end(at, months):
    clamped = add_clamped(at, Duration(months=months))
    overflowing = add_overflowing(at, Duration(months=months))

    lost = at.astimezone(UTC).day - clamped.day
    assert overflowing - clamped == timedelta(days=lost)
    assert 0 <= lost <= 3
    assert (clamped + timedelta(days=1)).day == 1 or lost == 0


@given(moments)
def test_a_time_lies_between_its_minute_and_the_next_full_one(at):
    assert truncate_minute(at) <= at <= ceil_minute(at)
    assert ceil_minute(at) - truncate_minute(at) in (timedelta(0), timedelta(minutes=1))


@given(moments, moments, moments, moments)
def test_what_two_intervals_share_is_in_both(a, b, c, d):
    one = Interval(start=min(a, b), end=max(a, b))
    other = Interval(start=min(c, d), end=None)

    shared = one.intersection(other)

    for at in (a, b, c, d, min(a, b) + (max(a, b) - min(a, b)) / 2):
        assert (shared is not None and at in shared) == (at in one and at in other)
