"""What a phase used: added up, the latest value, or values not seen before in the period.

Every kind is a value that more usage can be counted into at any instant, so that a phase may be stopped anywhere.

Source: metering §6.7. Of UNIQUE_COUNT a period counts every value anew (docs/decisions/0081).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from domain.credits.quantity import ZERO
from domain.errors import Refused
from domain.metering.meter import Aggregation


class Reading(NamedTuple):
    """Usage at an instant. `value` is a quantity (SUM, COUNT: how many; LATEST: the value) or, of UNIQUE_COUNT, a text."""

    at: datetime
    value: Decimal | str


@dataclass(frozen=True, slots=True)
class Added:
    """SUM and COUNT: everything together; below zero where more was taken back than used."""

    amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Last:
    """LATEST: the value of the last instant; of one instant the value that came last. 0 before the first."""

    amount: Decimal = ZERO
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fresh:
    """UNIQUE_COUNT: the values that no earlier phase of the period has seen."""

    values: frozenset[str] = frozenset()

    @property
    def amount(self) -> Decimal:
        """How many they are."""
        return Decimal(len(self.values))


PhaseUsage = Added | Last | Fresh

_NOTHING: dict[Aggregation, PhaseUsage] = {
    Aggregation.SUM: Added(),
    Aggregation.COUNT: Added(),
    Aggregation.LATEST: Last(),
    Aggregation.UNIQUE_COUNT: Fresh(),
}


def no_usage(aggregation: Aggregation) -> PhaseUsage:
    """Of a phase that has just begun. Refused with `aggregation_not_supported` for AVG, MIN and MAX."""
    if aggregation not in _NOTHING:
        raise Refused(
            "aggregation_not_supported",
            f"{aggregation} has no running total that credit could pay for",
            "$.aggregation",
        )
    return _NOTHING[aggregation]


def counted(usage: PhaseUsage, reading: Reading, seen: frozenset[str]) -> PhaseUsage:
    """`usage` with one reading; `seen` are the values of the period's earlier phases."""
    match usage:
        case Added(amount):
            assert isinstance(reading.value, Decimal)
            return Added(amount + reading.value)
        case Last(_, at):
            assert isinstance(reading.value, Decimal)
            return usage if at is not None and reading.at < at else Last(reading.value, reading.at)
        case Fresh(values):
            assert isinstance(reading.value, str)
            return usage if reading.value in seen else Fresh(values | {reading.value})


def together(earlier: PhaseUsage, later: PhaseUsage, seen: frozenset[str]) -> PhaseUsage:
    """Usage of one phase in two parts, of which `later` came after `earlier`."""
    match earlier, later:
        case Added(amount), Added(more):
            return Added(amount + more)
        case Last(), Last():
            return earlier if later.at is None else later
        case Fresh(values), Fresh(more_values):
            return Fresh((values | more_values) - seen)
    raise AssertionError("a phase has usage of one kind")


def without(usage: PhaseUsage, seen: frozenset[str]) -> PhaseUsage:
    """`usage` of a phase before which `seen` turned out to have been seen."""
    return replace(usage, values=usage.values - seen) if isinstance(usage, Fresh) else usage
