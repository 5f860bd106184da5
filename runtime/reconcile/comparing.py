"""What a worker says of entitlements, beside what was recomputed: where they differ and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.balances import Value

_NUMBERS = ("balance", "usage", "overage", "total_available")
_REST = Decimal("1e-12")
"""Part of a number by which sums of doubles (outside the exact lane) may differ: their last digits go by the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`field` of an entitlement has two values. `amount`: how far apart they are, 0 where that is not a number.

    `worker` or `recomputed` is None where one side does not have the entitlement, or the grant, at all.
    """

    customer_id: str
    entitlement_id: str
    feature_key: str
    field: str
    worker: str | None
    recomputed: str | None
    amount: Decimal = Decimal(0)


def differences(worker: Sequence[Value], recomputed: Sequence[Value]) -> list[Difference]:
    """Of the metered entitlements on either side, by their ids. A hold is in a worker's balance only, and is added back."""
    ours, theirs = _metered(worker), _metered(recomputed)
    found: list[Difference] = []
    for id in sorted(ours.keys() | theirs.keys()):
        found.extend(_of_one(ours.get(id), theirs.get(id)))
    return found


def same(before: Sequence[Value], after: Sequence[Value]) -> bool:
    """Whether a worker said the same twice."""
    return not differences(before, after)


def _metered(values: Sequence[Value]) -> dict[str, Value]:
    return {value.entitlement_id: value for value in values if value.type == "metered"}


def _of_one(worker: Value | None, recomputed: Value | None) -> Iterator[Difference]:
    if worker is None or recomputed is None:
        there = worker or recomputed
        assert there is not None
        yield _difference(
            there,
            "entitlement",
            None if worker is None else "there",
            None if recomputed is None else "there",
            abs(there.balance or Decimal(0)),
        )
        return
    for field in _NUMBERS:
        yield from _of_numbers(worker, field, _number(worker, field), _number(recomputed, field))
    ours, theirs = worker.grant_balances or {}, recomputed.grant_balances or {}
    for grant in sorted(ours.keys() | theirs.keys()):
        yield from _of_numbers(worker, f"grant {grant}", ours.get(grant), theirs.get(grant))
    for field in ("period_start", "period_end"):
        a, b = getattr(worker, field), getattr(recomputed, field)
        if a != b:
            yield _difference(worker, field, str(a), str(b))


def _number(value: Value, field: str) -> Decimal | None:
    number: Decimal | None = getattr(value, field)
    if field == "balance" and number is not None and value.held is not None:
        return number + value.held
    return number


def _of_numbers(
    of: Value, field: str, worker: Decimal | None, recomputed: Decimal | None
) -> Iterator[Difference]:
    if worker is None and recomputed is None:
        return
    amount = abs((worker or Decimal(0)) - (recomputed or Decimal(0)))
    largest = max(abs(worker or Decimal(0)), abs(recomputed or Decimal(0)))
    if amount <= _REST * largest and (worker is None) == (recomputed is None):
        return
    shown = [None if number is None else format(number, "f") for number in (worker, recomputed)]
    yield _difference(of, field, shown[0], shown[1], amount)


def _difference(
    of: Value,
    field: str,
    worker: str | None,
    recomputed: str | None,
    amount: Decimal = Decimal(0),
) -> Difference:
    return Difference(
        customer_id=of.customer_id,
        entitlement_id=of.entitlement_id,
        feature_key=of.feature_key,
        field=field,
        worker=worker,
        recomputed=recomputed,
        amount=amount,
    )
