"""A line's rating for people: `meterstream simulate rating --explain`."""

from __future__ import annotations

from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from domain.money.amounts import add_up, plain
from domain.rating.discounts import FreeUnits
from domain.rating.line import DetailedLine, DiscountReason, LinePart, MeteredUsage
from domain.rating.price import FlatPrice, Price
from domain.rating.rate import BillableLine, Rating

_WIDTH = 160
_PARTS = {
    LinePart.SINGLE: "the whole service period",
    LinePart.FIRST: "the first part of its service period",
    LinePart.MID: "a part of its service period that is not the last",
    LinePart.LAST: "the last part of its service period",
}

_REASONS = {
    DiscountReason.PERCENTAGE: "by percentage",
    DiscountReason.USAGE: "by free units",
    DiscountReason.MAXIMUM_SPEND: "over the maximum",
}


def account(line: BillableLine, rating: Rating) -> str:
    """Sentences about what was priced, the table of lines, and the total."""
    said = [f"{line.name}: {_PARTS[line.part]}, in {line.currency.code}"]
    if rating.usage is not None:
        said += _usage(line, rating.usage, rating.free_units)
    said += _limits(line.price, line)
    said.append(_table(rating.lines) if rating.lines else "nothing to charge: no lines")
    said.append(f"total {plain(rating.totals.total)} {line.currency.code}")
    return "\n".join(said)


def _usage(line: BillableLine, usage: MeteredUsage, free: FreeUnits) -> list[str]:
    said = [f"used {plain(line.quantity)}, {plain(line.quantity_before_line)} before it"]
    if line.unit_config:
        config = line.unit_config
        rounded = f", rounding {config.rounding}" if config.rounding != "none" else ""
        said.append(
            f"converted: {config.operation} by {plain(config.factor)}{rounded}: "
            f"{plain(add_up((usage.quantity, free.quantity)))}, "
            f"{plain(add_up((usage.before, free.before)))} before it"
        )
    if line.discount_usage:
        said.append(
            f"the first {plain(line.discount_usage.quantity)} are free: {plain(free.quantity)} of these, "
            f"{plain(free.before)} of those before; priced are {plain(usage.quantity)} "
            f"after {plain(usage.before)}"
        )
    return said


def _limits(price: Price, line: BillableLine) -> list[str]:
    if isinstance(price, FlatPrice):
        return []
    minimum, maximum = price.commitments.minimum, price.commitments.maximum
    billed = f", {plain(line.previously_billed)} billed before" if line.previously_billed else ""
    said = []
    if maximum is not None:
        said.append(f"at most {plain(maximum)} in the service period{billed}")
    if minimum is not None:
        due = "" if line.part.is_last else ", looked at on the last part"
        said.append(f"at least {plain(minimum)} in the service period{billed}{due}")
    return said


def _table(lines: tuple[DetailedLine, ...]) -> str:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("line", no_wrap=True)
    for name in ("quantity", "per unit", "amount", "discounts", "charges", "total"):
        table.add_column(name, justify="right")
    table.add_column("why")
    for line in lines:
        totals = line.totals
        numbers = (
            line.quantity,
            line.per_unit,
            totals.amount,
            totals.discounts,
            totals.charges,
            totals.total,
        )
        table.add_row(line.ref, *(plain(number) for number in numbers), _why(line))
    out = StringIO()
    Console(file=out, width=_WIDTH, color_system=None, force_terminal=False).print(table)
    return "\n".join(row.rstrip() for row in out.getvalue().splitlines())


def _why(line: DetailedLine) -> str:
    reasons = [
        f"-{plain(discount.amount)} {_REASONS[discount.reason]}" for discount in line.discounts
    ]
    return ", ".join([line.name.partition(": ")[2] or line.name, *reasons])
