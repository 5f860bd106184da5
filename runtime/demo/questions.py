"""The demo's five meters and the question to each, as data: what is sent to the API, and which formula checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.demo import truth
from runtime.demo.truth import Answer

if TYPE_CHECKING:
    import pandas as pd

EVENT_TYPE = "flight"
ZONE = "America/New_York"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A meter, what is asked of it, and the same from the table. `key_of` names a row of the answer as `check` does."""

    title: str
    meter: Mapping[str, Any]
    parameters: Mapping[str, str | list[str]]
    key_of: Callable[[Mapping[str, Any]], tuple[str, ...]]
    check: Callable[[pd.DataFrame], Answer]

    @property
    def slug(self) -> str:
        """The meter's slug."""
        return str(self.meter["slug"])

    def answer_of(self, body: Mapping[str, Any]) -> Answer:
        """The API's answer in the form of `check`."""
        return {self.key_of(row): row["value"] for row in body["data"]}


def _meter(slug: str, aggregation: str, value: str | None = None, **groups: str) -> dict[str, Any]:
    meter: dict[str, Any] = {"slug": slug, "aggregation": aggregation, "eventType": EVENT_TYPE}
    if value is not None:
        meter["valueProperty"] = value
    if groups:
        meter["groupBy"] = groups
    return meter


def _carrier(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (row["subject"],)


def _carrier_origin_month(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A month of New York begins at 04:00 or 05:00 of the same day in UTC."""
    return row["subject"], row["groupBy"]["origin"], row["windowStart"][:7]


QUESTIONS = (
    Question(
        title="Flights per carrier (COUNT)",
        meter=_meter("flights", "COUNT"),
        parameters={"groupBy": "subject"},
        key_of=_carrier,
        check=truth.flights_per_carrier,
    ),
    Question(
        title="Miles per carrier, origin and month in New York (SUM)",
        meter=_meter("distance", "SUM", "$.distance", origin="$.origin"),
        parameters={
            "groupBy": ["subject", "origin"],
            "windowSize": "MONTH",
            "windowTimeZone": ZONE,
        },
        key_of=_carrier_origin_month,
        check=truth.distance_per_carrier_origin_month,
    ),
    Question(
        title="Mean departure delay in minutes (AVG)",
        meter=_meter("departure_delay", "AVG", "$.dep_delay"),
        parameters={"groupBy": "subject"},
        key_of=_carrier,
        check=truth.mean_delay_per_carrier,
    ),
    Question(
        title="Longest flight in miles (MAX)",
        meter=_meter("longest_flight", "MAX", "$.distance"),
        parameters={"groupBy": "subject"},
        key_of=_carrier,
        check=truth.longest_flight_per_carrier,
    ),
    Question(
        title="Distinct aircraft per carrier (UNIQUE_COUNT)",
        meter=_meter("aircraft", "UNIQUE_COUNT", "$.tailnum"),
        parameters={"groupBy": "subject"},
        key_of=_carrier,
        check=truth.aircraft_per_carrier,
    ),
)
