"""Metrics of what the processes are wired of."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

relay_holder = Gauge(
    "meterstream_relay_holder",
    "1 while this process carries the catalog's changes to the workers; the sum over all api processes is 1.",
)
relay_published = Counter(
    "meterstream_relay_changes_total", "Changes of the catalog that Kafka has acknowledged."
)
relay_failures = Counter(
    "meterstream_relay_failures_total",
    "Times that the relay lost Postgres or Kafka and tried again later.",
)
meters_contradicted = Gauge(
    "meterstream_configured_meters_contradicted",
    "Fields of configured meters that contradict the live meter with the slug, at the last start.",
)
