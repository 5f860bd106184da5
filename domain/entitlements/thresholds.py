"""Thresholds on usage and balance: which one is reached, and when that is told again.

Source: metering §7.3, §7.4.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from hashlib import sha256

from domain.errors import DomainError, Refused
from domain.time.interval import Interval


class Kind(StrEnum):
    """Of each kind at most one threshold is told of at a time."""

    USAGE = "usage"
    BALANCE = "balance"


class ThresholdType(StrEnum):
    """What a threshold's value is compared with. NUMBER and PERCENT are the older names of the first two."""

    USAGE_VALUE = "usage_value"
    USAGE_PERCENTAGE = "usage_percentage"
    BALANCE_VALUE = "balance_value"
    NUMBER = "NUMBER"
    PERCENT = "PERCENT"


_PERCENTAGES = (ThresholdType.USAGE_PERCENTAGE, ThresholdType.PERCENT)


@dataclass(frozen=True, slots=True)
class Threshold:
    """`value` is usage, a percentage of what was available in the period, or a balance. Above 0; a balance may be 0.

    Refused: `threshold_invalid`.
    """

    type: ThresholdType
    value: Decimal

    def __post_init__(self) -> None:
        least = 0 if self.kind is Kind.BALANCE else None
        if not self.value.is_finite() or self.value < 0 or (least is None and self.value == 0):
            raise Refused(
                "threshold_invalid", f"a {self.type} threshold of {self.value}", "$.value"
            )

    @property
    def kind(self) -> Kind:
        """What it watches."""
        return Kind.BALANCE if self.type is ThresholdType.BALANCE_VALUE else Kind.USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where a metered entitlement stands; `total_available` None = not known."""

    usage: Decimal
    balance: Decimal
    overage: Decimal
    total_available: Decimal | None


class InconsistentLevel(DomainError):
    """There is a balance and overage at once."""

    code = "balance_and_overage"


def reached(thresholds: Iterable[Threshold], level: Level) -> dict[Kind, Threshold]:
    """The threshold that counts of each kind; none where nothing is reached or nothing was available.

    Of usage the reached one with the highest absolute value; on a tie a percentage takes the place of what was found
    before it. Of balances the lowest. Raises InconsistentLevel.
    """
    if not level.total_available:
        return {}
    if level.balance > 0 and level.overage > 0:
        raise InconsistentLevel(f"balance {level.balance} and overage {level.overage}")
    found: dict[Kind, Threshold] = {}
    for threshold in thresholds:
        best = found.get(threshold.kind)
        if _is_reached(threshold, level) and (best is None or _goes_before(threshold, best, level)):
            found[threshold.kind] = threshold
    return found


def to_tell(picked: dict[Kind, Threshold], told: dict[Kind, Threshold]) -> dict[Kind, Threshold]:
    """What of `picked` is news; `told` is the newest told of each kind in this usage period.

    The same threshold is told once a period. Another one is told again, be it higher or one that the level fell back to.
    """
    return {kind: threshold for kind, threshold in picked.items() if told.get(kind) != threshold}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a threshold is told about: one rule, entitlement and usage period."""

    rule_id: str
    namespace: str
    period: Interval
    subject_key: str
    entitlement_id: str
    feature_id: str
    measured_from: datetime


def dedupe_hash(watch: Watch, kind: Kind, xxh3_128: Callable[[bytes], str]) -> str:
    """The name of "told of this kind": `xxh3_128` gives the lower-case hex of a hash that the standard library lacks."""
    return "bsnap_v2_" + xxh3_128("".join((kind, *_parts(watch))).encode())


def dedupe_hash_v1(watch: Watch) -> str:
    """The older name, without the kind: still looked up."""
    return "bsnap_v1_" + sha256("/".join(_parts(watch)).encode()).hexdigest()


def _parts(watch: Watch) -> tuple[str, ...]:
    assert watch.period.end is not None
    return (
        watch.rule_id,
        watch.namespace,
        _text(watch.period.start),
        _text(watch.period.end),
        watch.subject_key,
        watch.entitlement_id,
        watch.feature_id,
        _text(watch.measured_from),
    )


def _text(at: datetime) -> str:
    """RFC 3339 in UTC, to the second: these times are whole minutes."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_reached(threshold: Threshold, level: Level) -> bool:
    if threshold.kind is Kind.BALANCE:
        over = threshold.value > level.balance
        return over or (threshold.value == 0 and threshold.value >= level.balance)
    return _absolute(threshold, level) < Fraction(level.usage)


def _goes_before(threshold: Threshold, best: Threshold, level: Level) -> bool:
    if threshold.kind is Kind.BALANCE:
        return threshold.value < best.value
    one, other = _absolute(threshold, level), _absolute(best, level)
    return one >= other if threshold.type in _PERCENTAGES else one > other


def _absolute(threshold: Threshold, level: Level) -> Fraction:
    """The usage at which a usage threshold lies; exact, whatever the digits."""
    if threshold.type in _PERCENTAGES:
        return Fraction(level.total_available or 0) * Fraction(threshold.value) / 100
    return Fraction(threshold.value)
