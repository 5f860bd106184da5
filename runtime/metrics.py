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
relay_version = Gauge(
    "meterstream_relay_catalog_version",
    "The newest catalog version that this process has put into the catalog topic; workers follow with meterstream_catalog_version.",
)
relay_failures = Counter(
    "meterstream_relay_failures_total",
    "Times that the relay lost Postgres or Kafka and tried again later.",
)
outbox_waiting = Gauge(
    "meterstream_outbox_waiting_changes",
    "Changes of the catalog that Kafka does not have yet, at most 100,000. As of the scrape; NaN when Postgres does not answer.",
)
outbox_oldest_seconds = Gauge(
    "meterstream_outbox_oldest_seconds",
    "Age of the first of these changes, 0 without one. As of the scrape; NaN when Postgres does not answer.",
)
redrives = Gauge(
    "meterstream_redrives",
    "Refused records that `meterstream events redrive` sent again (done), or began to and does not know (begun), at most 100,000 each, until they are forgotten. As of the scrape.",
    ["state"],
)
meters_contradicted = Gauge(
    "meterstream_configured_meters_contradicted",
    "Fields of configured meters that contradict the live meter with the slug, at the last start.",
)
