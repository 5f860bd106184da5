"""Corners of invoices that the worked examples of tests/golden/invoice leave open."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.errors import Refused
from domain.invoicing.dates import aligned_as_of, gathering_collection_at
from domain.invoicing.guards import Facts
from domain.invoicing.issues import (
    Severity,
    ValidationIssue,
    downgraded,
    has_critical,
    with_findings,
)
from domain.invoicing.lifecycle import TransitionNotAllowed, effect_key, fire, next_step
from domain.invoicing.lines import (
    InvoiceLine,
    in_invoice_order,
    invoice_period,
    invoice_totals,
    without_empty,
)
from domain.invoicing.numbers import customer_prefix, draft_number, gathering_number, sandbox_number
from domain.invoicing.progressive import BilledPart, line_quantity, previously_billed, split
from domain.invoicing.states import Effect, State, Trigger
from domain.money.currency import fiat
from domain.rating.proration import EndProration, flat_amount
from domain.rating.rate import rate
from domain.time.duration import Duration
from domain.time.interval import Interval
from domain.time.recurrence import Recurrence
from tests.rating import USD, a_flat_price, a_line, a_tier, a_tiered_price, a_unit_price

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def hours(start: int, end: int | None) -> Interval:
    return Interval(
        start=NOON + timedelta(hours=start), end=None if end is None else NOON + timedelta(hours=end)
    )  # fmt: skip


def an_invoice_line(id="1", name="Tokens", period=None, **more):
    return InvoiceLine(
        id=id, name=name, period=period or hours(0, 1), invoice_at=NOON, is_metered=True, **more
    )


def an_issue(severity=Severity.CRITICAL, component="openmeter", message="wrong"):
    return ValidationIssue(severity=severity, component=component, message=message)


def test_a_trigger_that_is_not_allowed_says_why():
    with pytest.raises(TransitionNotAllowed, match="the invoice is paid: it does not take void") as no:  # fmt: skip
        fire(State.PAID, Trigger.VOID, Facts(now=NOON))

    assert no.value.code == "transition_not_allowed"


def test_each_entry_of_a_state_has_its_own_key():
    keys = {
        effect_key(invoice, entry, effect)
        for invoice in ("a", "b")
        for entry in (1, 2)
        for effect in (Effect.CALCULATE, Effect.BOOK_CHARGES)
    }

    assert len(keys) == 8
    assert effect_key("a", 1, Effect.CALCULATE) == "a/1/calculate"


def test_a_draft_period_ends_at_its_very_moment():
    waiting = Facts(now=NOON, draft_until=NOON + timedelta(microseconds=1))

    assert next_step(State.WAITING_AUTO_APPROVAL, waiting) is None
    assert next_step(State.WAITING_AUTO_APPROVAL, Facts(now=NOON, draft_until=NOON)) is not None


def test_a_component_that_runs_again_replaces_its_own_issues_only():
    tax, meter = an_issue(component="app.tax"), an_issue(component="openmeter.metering")
    found = an_issue(component="app.tax", message="worse")

    assert with_findings([tax, meter], "app.tax", [found]) == (meter, found)
    assert with_findings([tax, meter], "app.tax", []) == (meter,)


def test_a_retry_takes_critical_issues_for_warnings():
    issues = [an_issue(), an_issue(Severity.WARNING)]

    assert has_critical(issues)
    assert [issue.severity for issue in downgraded(issues)] == [Severity.WARNING] * 2
    assert [issue.message for issue in downgraded(issues)] == ["wrong", "wrong"]
    assert not has_critical([])


def test_lines_are_sorted_by_name_then_start_then_id():
    lines = [
        an_invoice_line("3", "b", hours(0, 1)),
        an_invoice_line("2", "a", hours(1, 2)),
        an_invoice_line("1", "a", hours(1, 2)),
        an_invoice_line("4", "a", hours(0, 1)),
    ]

    assert [line.id for line in in_invoice_order(lines)] == ["4", "1", "2", "3"]


def test_an_invoice_without_live_lines_has_no_period_and_totals_of_zero():
    gone = an_invoice_line(detailed=rate(a_line()).lines, is_deleted=True)

    assert invoice_period([gone]) is None
    assert invoice_totals([gone], USD).total == 0


def test_a_line_in_another_currency_is_refused():
    yen = an_invoice_line(detailed=rate(a_line(currency=fiat("JPY"))).lines)

    with pytest.raises(Refused) as refused:
        invoice_totals([yen], USD)

    assert refused.value.code == "invoice_line_currency_mismatch"


def test_detailed_lines_of_nothing_are_not_shown():
    nothing = rate(a_line(a_unit_price("0.0049999"))).lines
    tiers = rate(a_line(a_tiered_price(a_tier(5, flat=100, unit=0), a_tier(unit=1)), "7")).lines
    free = rate(a_line(a_unit_price(maximum=0))).lines

    assert without_empty(nothing) == ()
    assert [line.ref for line in without_empty(tiers)] == [
        "graduated-tiered-1-flat-price",
        "graduated-tiered-2-price-usage",
    ]
    assert without_empty(free) == free


def test_pending_lines_are_collected_at_the_earliest_invoice_date_or_the_anchor_after_it():
    weekly = Recurrence(interval=Duration(weeks=1), anchor=NOON)
    lines = [
        replace(an_invoice_line(), invoice_at=NOON + timedelta(hours=5)),
        replace(an_invoice_line(), invoice_at=NOON + timedelta(hours=1)),
        replace(an_invoice_line(), invoice_at=NOON, is_deleted=True),
    ]

    assert gathering_collection_at(lines) == NOON + timedelta(hours=1)
    assert gathering_collection_at(lines, weekly) == NOON + timedelta(weeks=1)
    assert gathering_collection_at([an_invoice_line()], weekly) == NOON
    assert gathering_collection_at([], weekly) is None


def test_anchored_collection_looks_back_to_the_last_anchor():
    weekly = Recurrence(interval=Duration(weeks=1), anchor=NOON)

    assert aligned_as_of(NOON + timedelta(days=13), weekly) == NOON + timedelta(weeks=1)
    assert aligned_as_of(NOON, weekly) == NOON


@pytest.mark.parametrize(
    ("name", "letters"), [("Johannes", "JOHA"), ("Jo\x07hn\tDoe Ltd", "JOHN"), ("  Ann  ", "ANN")]
)
def test_a_customers_letters_are_four_at_most_and_printable(name, letters):
    assert customer_prefix(name) == letters


def test_numbers_name_their_kind():
    assert gathering_number("PETU", "USD", 3) == "GATHER-PETU-USD-3"
    assert draft_number("PETU", 3) == "DRAFT-PETU-3"
    assert sandbox_number("PETU", 3) == "OM-SANDBOX-PETU-3"


@pytest.mark.parametrize("at", [0, 5, -1, 6])
def test_a_period_is_not_split_at_its_ends_or_outside(at):
    with pytest.raises(Refused) as refused:
        split(hours(0, 5), NOON + timedelta(hours=at))

    assert (refused.value.code, refused.value.field) == ("invoice_line_split_outside_period", "$.at")  # fmt: skip


def test_an_open_period_can_be_split():
    assert split(hours(0, None), NOON + timedelta(hours=2)) == (hours(0, 2), hours(2, None))


def test_parts_that_end_after_the_line_starts_do_not_count():
    parts = [
        BilledPart(period=hours(0, 1), gross=Decimal(10)),
        BilledPart(period=hours(1, 2), gross=Decimal(20)),
        BilledPart(period=hours(2, 3), gross=Decimal(40)),
        BilledPart(period=hours(1, 2), gross=Decimal(80), is_deleted=True),
    ]

    assert previously_billed(parts, start=NOON + timedelta(hours=2)) == 30
    assert line_quantity(until_start=Decimal("1.5"), until_end=Decimal(4)) == Decimal("2.5")


@pytest.mark.parametrize(
    ("service", "full", "code"),
    [
        (hours(0, 3), hours(0, 2), "service_period_outside_full_period"),
        (hours(-1, 1), hours(0, 2), "service_period_outside_full_period"),
        (hours(0, 1), hours(0, 0), "service_period_outside_full_period"),
        (hours(0, None), hours(0, 2), "service_period_without_end"),
        (hours(0, 1), hours(0, None), "service_period_without_end"),
    ],
)
def test_a_service_period_that_cannot_be_prorated_is_refused(service, full, code):
    with pytest.raises(Refused, match="period") as refused:
        flat_amount(Decimal(20), USD, service=service, full_service=full)

    assert (refused.value.code, refused.value.field) == (code, "$.service")


def test_proration_counts_whole_seconds_and_days():
    service = Interval(start=NOON + timedelta(milliseconds=900), end=NOON + timedelta(days=15, seconds=0.9))  # fmt: skip
    full = Interval(start=NOON, end=NOON + timedelta(days=30, seconds=0.9))

    assert flat_amount(Decimal(20), USD, service=service, full_service=full) == 10


def test_a_day_has_86400_seconds():
    full, service = hours(0, 60), hours(0, 24)  # two days and a half, and one

    assert flat_amount(Decimal(10**6), USD, service=service, full_service=full) == 400_000


def test_a_period_is_not_taken_for_a_subscriptions_last_one():
    amount = flat_amount(
        Decimal(20),
        USD,
        service=hours(0, 1),
        full_service=hours(0, 2),
        at_end=EndProration.BILL_FULL_PERIOD,
    )

    assert amount == 10


def test_a_negative_flat_amount_is_refused():
    with pytest.raises(Refused) as refused:
        flat_amount(Decimal(-1), USD, service=hours(0, 1), full_service=hours(0, 1))

    assert (refused.value.code, refused.value.field) == ("field_must_be_positive_or_zero", "$.amount")  # fmt: skip


def test_a_flat_amount_is_rounded_whether_prorated_or_not():
    whole, half = hours(0, 2), hours(0, 1)

    assert flat_amount(Decimal("1.23556789"), USD, service=whole, full_service=whole) == Decimal("1.24")  # fmt: skip
    assert flat_amount(Decimal("0.05"), USD, service=half, full_service=whole) == Decimal("0.03")
    assert flat_amount(Decimal("0.05"), USD, service=half, full_service=whole, prorate=False) == Decimal("0.05")  # fmt: skip
    assert a_flat_price().amount == 100
