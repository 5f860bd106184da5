"""Answers the examples of tests/golden/invoice: the rules of an invoice have no command of their own.

`kind` says what is asked; an instant is RFC 3339, a state and a trigger are named as in domain/invoicing/states.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.invoicing.actions import Action, act, status_details
from domain.invoicing.dates import collection_at, draft_until, due_at
from domain.invoicing.guards import Facts
from domain.invoicing.lifecycle import fire, next_step
from domain.invoicing.lines import InvoiceLine, invoice_period, invoice_totals, line_totals
from domain.invoicing.numbers import customer_prefix
from domain.invoicing.progressive import (
    BilledPart,
    billable_period,
    line_quantity,
    part_of,
    previously_billed,
)
from domain.invoicing.states import State, Trigger
from domain.metering.meter import Aggregation
from domain.money.amounts import plain
from domain.money.currency import fiat
from domain.money.totals import PARTS, Totals
from domain.rating.proration import EndProration, flat_amount
from domain.rating.rate import BillableLine, rate
from domain.time.duration import parse_duration
from domain.time.interval import Interval
from runtime.simulate.rating_case import read_line
from runtime.simulate.writing import interval_texts, time_text

Case = dict[str, Any]

NOON = "2024-06-01T12:00:00Z"


def run(case: Case) -> Case:
    """The answer of the function that `kind` names."""
    return _KINDS[case["kind"]](case)


def totals(case: Case) -> Case:
    """The totals of an invoice of `lines`, each a rating case that may be `deleted`."""
    currency = fiat(case["currency"])
    lines = [
        InvoiceLine(
            id=str(index),
            name=one["name"],
            period=_period(one.get("period", [NOON, NOON])),
            invoice_at=_at(NOON),
            is_metered=one["price"]["type"] != "flat",
            detailed=rate(read_line(_rating_case(case["currency"], one))).lines,
            is_deleted=one.get("deleted", False),
        )
        for index, one in enumerate(case["lines"])
    ]
    period = invoice_period(lines)
    return {
        "lines": [{"name": line.name, **_totals(line_totals(line, currency))} for line in lines],
        "totals": _totals(invoice_totals(lines, currency)),
        "period": period and interval_texts(period),
    }


def progressive(case: Case) -> Case:
    """A line billed in parts: `ends` of the parts, and `used` in the period until each; deleted parts bill nothing."""
    line = read_line({"currency": "USD", "quantity": Decimal(0)} | case["line"])
    full = _period(case["period"])
    start, used_before = full.start, Decimal(0)
    billed: list[BilledPart] = []
    parts = []
    for part in case["parts"]:
        period = Interval(start=start, end=_at(part["end"]))
        rating = rate(
            BillableLine(
                name=line.name,
                price=line.price,
                currency=line.currency,
                part=part_of(period, full),
                quantity=line_quantity(until_start=used_before, until_end=part["used"]),
                quantity_before_line=used_before,
                previously_billed=previously_billed(billed, start=start),
                discount_percentage=line.discount_percentage,
                discount_usage=line.discount_usage,
                unit_config=line.unit_config,
            )
        )
        billed.append(
            BilledPart(
                period=period,
                gross=rating.totals.amount,
                is_deleted=part.get("deleted", False),
            )
        )
        usage = rating.usage
        parts.append(
            {
                "priced": usage and plain(usage.quantity),
                "priced_before": usage and plain(usage.before),
                "free": plain(rating.free_units.quantity),
                "free_before": plain(rating.free_units.before),
                **_totals(rating.totals),
            }
        )
        start, used_before = _at(part["end"]), part["used"]
    return {"parts": parts}


def billable(case: Case) -> Case:
    """What of a line can be billed at `as_of`."""
    found = billable_period(
        price=read_line({"currency": "USD", "quantity": Decimal(0), **case["line"]}).price,
        period=_period(case["period"]),
        invoice_at=_at(case["invoice_at"]),
        as_of=_at(case["as_of"]),
        progressive=case["progressive"],
        aggregation=Aggregation(case["aggregation"]) if "aggregation" in case else None,
    )
    return {"period": found and interval_texts(found)}


def proration(case: Case) -> Case:
    """A flat amount of a service period."""
    amount = flat_amount(
        Decimal(case["amount"]),
        fiat(case["currency"]),
        service=_period(case["service"]),
        full_service=_period(case["full_service"]),
        prorate=case.get("prorate", True),
        at_end=EndProration(case.get("at_end", "bill_actual_period")),
        reaches_subscription_end=case.get("reaches_subscription_end", False),
    )
    return {"amount": plain(amount)}


def status(case: Case) -> Case:
    """How an invoice in a state is shown."""
    details = status_details(State(case["state"]), _facts(case))
    return {
        "status": details.status,
        "failed": details.failed,
        "immutable": details.immutable,
        "available_actions": dict(details.available),
    }


def action(case: Case) -> Case:
    """The first move of an action."""
    move = act(State(case["state"]), Action(case["action"]), _facts(case))
    return {"to": move.to, "effects": list(move.effects)}


def walk(case: Case) -> Case:
    """Fire each trigger, then go on by itself: the states entered after each, with what entering them asks for."""
    state, facts = State(case["state"]), _facts(case)
    entered = []
    for trigger in case["triggers"]:
        move: Any = fire(state, Trigger(trigger), facts)
        while move is not None:
            state = move.to
            entered.append({state: list(move.effects)})
            move = next_step(state, facts)
    return {"entered": entered}


def dates(case: Case) -> Case:
    """Collection, end of the draft, due date."""
    lines = [
        InvoiceLine(
            id=str(index),
            name="line",
            period=_period([NOON, NOON]),
            invoice_at=_at(one["invoice_at"]),
            is_metered=one["metered"],
            collection_at=_at(one["collection_at"]) if "collection_at" in one else None,
        )
        for index, one in enumerate(case["lines"])
    ]
    collected = collection_at(lines, parse_duration(case["interval"]))
    ends = None
    if case["auto_advance"]:
        ends = draft_until(
            created_at=_at(case["created_at"]),
            collected_at=collected,
            draft_period=parse_duration(case["draft_period"]),
        )
    due = due_at(
        due_after=parse_duration(case["due_after"]),
        draft_until=ends,
        issued_at=_at(case["issued_at"]) if "issued_at" in case else None,
    )
    return {
        "collection_at": collected and time_text(collected),
        "draft_until": ends and time_text(ends),
        "due_at": due and time_text(due),
    }


def prefix(case: Case) -> Case:
    """The customer's letters in an invoice number."""
    return {"prefix": customer_prefix(case["name"])}


_KINDS: dict[str, Callable[[Case], Case]] = {
    function.__name__: function
    for function in (
        totals,
        progressive,
        billable,
        proration,
        status,
        action,
        walk,
        dates,
        prefix,
    )
}


def _rating_case(currency: str, line: Case) -> Case:
    of_the_invoice = ("period", "deleted")
    return {"currency": currency} | {k: v for k, v in line.items() if k not in of_the_invoice}


def _facts(case: Case) -> Facts:
    given = dict(case.get("facts", {}))
    for name in ("now", "collection_at", "draft_until"):
        if name in given:
            given[name] = _at(given[name])
    return Facts(**({"now": _at(NOON)} | given))


def _totals(found: Totals) -> Case:
    return {name: plain(getattr(found, name)) for name in (*PARTS, "total")}


def _period(ends: list[str]) -> Interval:
    return Interval(start=_at(ends[0]), end=_at(ends[1]))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
