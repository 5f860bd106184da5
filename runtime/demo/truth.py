"""The same answers from the package's own table, with pandas and nothing of ours: formulas a reader can check."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Answer = dict[tuple[str, ...], float]
"""A number by its key: (carrier,) or (carrier, origin, month)."""


def flights_per_carrier(flights: pd.DataFrame) -> Answer:
    """COUNT."""
    return _keyed(flights.groupby("carrier").size())


def distance_per_carrier_origin_month(flights: pd.DataFrame) -> Answer:
    """SUM of miles by origin and by month in America/New_York."""
    import pandas

    left = pandas.to_datetime(flights["time_hour"], utc=True) + pandas.to_timedelta(
        flights["minute"], unit="min"
    )
    month = left.dt.tz_convert("America/New_York").dt.strftime("%Y-%m").rename("month_ny")
    return _keyed(flights.groupby(["carrier", "origin", month])["distance"].sum())


def mean_delay_per_carrier(flights: pd.DataFrame) -> Answer:
    """AVG of the minutes of delay, over the flights that have one."""
    return _keyed(flights.groupby("carrier")["dep_delay"].mean())


def longest_flight_per_carrier(flights: pd.DataFrame) -> Answer:
    """MAX of miles."""
    return _keyed(flights.groupby("carrier")["distance"].max())


def aircraft_per_carrier(flights: pd.DataFrame) -> Answer:
    """UNIQUE_COUNT of tail numbers; a missing one counts as one value."""
    return _keyed(flights.groupby("carrier")["tailnum"].nunique(dropna=False))


def _keyed(series: pd.Series) -> Answer:
    return {
        key if isinstance(key, tuple) else (key,): float(value) for key, value in series.items()
    }
