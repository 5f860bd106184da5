"""`/api/v1/debug/metrics`: the day's events by subject, in OpenMetrics' text form. Source: metering §9.1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from api.calls import calls_of
from api.routing import Resource
from api.times import unix_s

SUBJECTS_MAX = 50_000
"""Subjects in one answer, those with the most events."""


async def metrics(request: Request) -> Response:
    """Counted events since 00:00 UTC of the day, so it begins anew every day."""
    ports = calls_of(request).ports
    midnight = ports.now().replace(hour=0, minute=0, second=0, microsecond=0)
    counted = await ports.verdicts.counted_since(unix_s(midnight), SUBJECTS_MAX)
    return Response(exposition(counted), media_type="text/plain")


def exposition(counted: Sequence[tuple[str, int]]) -> bytes:
    """One counter with a sample for each subject."""
    registry = CollectorRegistry()
    registry.register(_Events(counted))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no types
    return text


class _Events(Collector):
    def __init__(self, counted: Sequence[tuple[str, int]]) -> None:
        self._counted = counted

    def collect(self) -> Iterable[Metric]:
        """The one family."""
        family = CounterMetricFamily(
            "openmeter_events", "Number of ingested events", labels=["subject"], unit="events"
        )
        for subject, found in self._counted:
            family.add_metric([subject], found)
        yield family

    def describe(self) -> Iterator[Metric]:
        """Nothing to compare with: the registry has no other."""
        return iter(())


METRICS = Resource("/api/v1/debug/metrics", {"GET": metrics})
