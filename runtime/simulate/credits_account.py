"""Why a balance is what it is, for people: `meterstream simulate credits --explain`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from io import StringIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from domain.credits.engine import Evaluation
from domain.credits.explanation import Cause, Step, Why, explain
from domain.credits.grant import GrantId
from domain.credits.quantity import ZERO
from domain.credits.segment import EndedBy
from runtime.simulate.credits_case import CreditCase
from runtime.simulate.writing import decimal_text, time_text

_WIDTH = 160
_WHY = {
    Why.START: "start",
    Why.BEGAN: "begins, full",
    Why.RECURRED: "recurs, full",
    Why.EXPIRED: "expired",
    Why.VOIDED: "voided",
    Why.DELETED: "deleted",
    Why.REFILLED: "all full: a level begins anew",
    Why.RESET: "reset: what is kept",
}


def account(case: CreditCase, done: Evaluation) -> str:
    """A table of the segments, each with what began it, and a sentence about where it ends."""
    now, until = done.standing, time_text(case.until)
    order = ", ".join(grant.id for grant in case.plan.roster.grants) or "none"
    said = [
        f"grants in burn order: {order}",
        _table(explain(case.plan, done)),
        f"at {until} {_amounts(now.balances) or 'no grant is active'}",
        f"balance {decimal_text(now.balance)}, overage {decimal_text(now.overage)}; "
        f"since {time_text(now.period_start)} used {decimal_text(now.usage)}, "
        f"paid by grants {decimal_text(now.taken)}, available {decimal_text(now.total_available)}",
    ]
    return "\n".join(said)


def _table(steps: Iterable[Step]) -> str:
    table = Table(box=box.ASCII2, show_edge=False, pad_edge=False)
    for name in ("from", "to", "because", "holding", "overage", "usage", "paid by", "left over"):
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for step in steps:
        segment = step.segment
        table.add_row(
            time_text(segment.start),
            "" if segment.ended_by is EndedBy.ROLLOVER else time_text(segment.end),
            escape(", ".join(_because(cause) for cause in step.causes) or "goes on"),
            escape(_amounts(segment.balances)),
            decimal_text(segment.overage_at_start),
            decimal_text(segment.usage),
            escape(_amounts({id_: share for id_, share in segment.taken if share})),
            decimal_text(segment.overage),
        )
    out = StringIO()
    Console(file=out, width=_WIDTH).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


_NUMBERS = frozenset({"overage", "usage", "left over"})


def _because(cause: Cause) -> str:
    return f"{cause.grant} {_WHY[cause.why]}" if cause.grant else _WHY[cause.why]


def _amounts(amounts: Mapping[GrantId, Decimal]) -> str:
    """`g1 40, g2 100`; grants that hold nothing are left out unless all do."""
    held = {id_: amount for id_, amount in amounts.items() if amount} or amounts
    return ", ".join(f"{id_} {decimal_text(amount or ZERO)}" for id_, amount in held.items())
