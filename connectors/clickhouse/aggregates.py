"""What an aggregation needs of a row beyond its count, as sums over rows: of minutes, or of days that are such sums already."""

from __future__ import annotations

from domain.metering.meter import Aggregation

_SUM = "sum(numeric), sum(total), sumOrNull(outside)"
_LATEST = (
    "argMax(tuple(latest_time, latest_position, latest, latest_outside), "
    "tuple(ifNull(latest_time, -1), ifNull(latest_position, 0), "
    "ifNull(latest_outside, toFloat64(ifNull(latest, 0))), ifNull(latest, 0)))"
)
NEEDED = {
    Aggregation.COUNT: "0",
    Aggregation.UNIQUE_COUNT: "0",
    Aggregation.SUM: _SUM,
    Aggregation.AVG: _SUM,
    Aggregation.MIN: "sum(numeric), min(least), min(least_outside)",
    Aggregation.MAX: "sum(numeric), max(most), max(most_outside)",
    Aggregation.LATEST: f"sum(numeric), {_LATEST}",
}

_ADDED = ("count", "numeric", "total", "outside")
_LATEST_COLUMNS = ("latest_time", "latest_position", "latest", "latest_outside")
COLUMNS = {
    Aggregation.COUNT: ("count",),
    Aggregation.UNIQUE_COUNT: ("count",),
    Aggregation.SUM: _ADDED,
    Aggregation.AVG: _ADDED,
    Aggregation.MIN: ("count", "numeric", "least", "least_outside"),
    Aggregation.MAX: ("count", "numeric", "most", "most_outside"),
    Aggregation.LATEST: ("count", "numeric", *_LATEST_COLUMNS),
}
"""The columns that NEEDED reads."""
ALL_COLUMNS = (*_ADDED, "least", "least_outside", "most", "most_outside", *_LATEST_COLUMNS)
EVERYTHING = ", ".join(
    (
        f"sum(count), {_SUM}, min(least), min(least_outside), max(most), max(most_outside)",
        *(f"tupleElement({_LATEST}, {number})" for number in range(1, 5)),
    )
)
"""What all aggregations need, for ALL_COLUMNS."""
