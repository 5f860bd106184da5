"""Rows of usage as readings of a balance."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.credits.cuts import Plan
from domain.credits.roster import Roster
from domain.credits.usage import Added, Fresh, Last
from domain.entitlements.balance import balance_at
from domain.entitlements.readings import readings
from domain.entitlements.usage_period import new_timeline
from domain.metering.meter import Aggregation
from domain.metering.rows import Latest, Row
from domain.metering.series import SeriesRow, nearest
from domain.time.duration import parse_duration
from tests.credit_builders import a_grant

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
MINUTE = int(NOON.timestamp()) // 60


def a_row(minute=0, *, epoch=1, values=(), subject="s", **columns):
    row = Row(epoch, epoch, columns.pop("count", 1), **columns)
    return SeriesRow(subject, MINUTE + minute, (), 0, row, frozenset(values))


def between(found, start, end):
    return found(NOON + timedelta(minutes=start), NOON + timedelta(minutes=end))


def test_a_sum_is_that_of_all_rows_of_the_span_whatever_their_epoch():
    rows = [
        a_row(1, total=Decimal("0.1"), numeric=1),
        a_row(1, epoch=7, total=Decimal("0.2"), numeric=1),
        a_row(2, total=5, numeric=1),
    ]

    found = readings(rows, Aggregation.SUM)

    assert between(found, 0, 2) == Added(Decimal("0.3"))
    assert between(found, 2, 3) == Added(Decimal(5))


def test_a_count_is_of_all_events_numbers_or_not():
    found = readings([a_row(count=3, numeric=1, total=9)], Aggregation.COUNT)

    assert between(found, 0, 1) == Added(Decimal(3))


def test_the_latest_value_is_that_of_the_later_second_then_of_the_later_position():
    second = int(NOON.timestamp()) + 30
    rows = [
        a_row(latest=Latest(second, 9, 4), numeric=1),
        a_row(epoch=5, latest=Latest(second, 5, 7), numeric=1),
        a_row(epoch=2, latest=Latest(second - 1, 20, 8), numeric=1),
        a_row(epoch=3, latest=None),
    ]

    found = between(readings(rows, Aggregation.LATEST), 0, 1)

    assert found == Last(Decimal(4), NOON + timedelta(seconds=30))


def test_a_value_of_two_rows_is_one():
    rows = [a_row(values=[b"a" * 16, b"b" * 16]), a_row(subject="t", values=[b"a" * 16])]

    found = between(readings(rows, Aggregation.UNIQUE_COUNT), 0, 1)

    assert isinstance(found, Fresh)
    assert found.amount == 2


@pytest.mark.parametrize(
    ("number", "quantity"),
    [
        (7, Decimal(7)),
        (Decimal("0.1"), Decimal("0.1")),
        (1e300, Decimal(10) ** 28 - 1),
        (-1e300, 1 - Decimal(10) ** 28),
        (float("inf"), Decimal(10) ** 28 - 1),
        (float("nan"), Decimal(0)),
        (1e-39, Decimal(0)),
        (2.5, Decimal("2.5")),
    ],
)
def test_a_number_outside_the_exact_lane_is_the_nearest_quantity(number, quantity):
    assert nearest(number) == quantity


def test_before_measuring_begins_grants_that_are_active_are_whole():
    timeline = new_timeline(
        interval=parse_duration("P1D"),
        anchor=NOON,
        measured_from=NOON + timedelta(hours=2),
    )
    grant = a_grant(amount=10, effective_at=NOON)
    plan = Plan(Roster([grant]), timeline, Aggregation.SUM)
    usage = readings([a_row(total=3, numeric=1)], Aggregation.SUM)

    early = balance_at(plan, timeline, usage, NOON + timedelta(hours=1)).standing
    later = balance_at(plan, timeline, usage, NOON + timedelta(hours=3)).standing

    assert (early.balance, early.usage) == (10, 0)
    assert (later.balance, later.usage) == (10, 0)
