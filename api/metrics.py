"""Metrics of the API. Labels have few values: routes are templates, methods the known ones. Times are in seconds."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

requests = Counter(
    "meterstream_http_requests_total",
    "Requests answered, by route template, method and status.",
    ["route", "method", "status"],
)
request_seconds = Histogram(
    "meterstream_http_request_seconds",
    "Time from the first byte of a request to the end of its answer, by route template and status.",
    ["route", "status"],
    buckets=_BUCKETS,
)
problems = Counter(
    "meterstream_http_problems_total",
    "Requests answered with a problem document, by its code: an event that is refused over HTTP is one of them.",
    ["code"],
)
events_accepted = Counter(
    "meterstream_http_events_accepted_total",
    "Events answered with success: every one is acknowledged by Kafka.",
)
produce_seconds = Histogram(
    "meterstream_http_produce_seconds",
    "Time from handing a request's events to the producer to Kafka's last acknowledgement.",
    buckets=_BUCKETS,
)
in_flight_bytes = Gauge(
    "meterstream_http_in_flight_bytes", "Bytes of request bodies that are held in memory now."
)
balance_reads = Counter(
    "meterstream_http_balance_reads_total",
    "Customers whose balances were answered, by source: the owner of the balances, a standby, or recomputed from what is stored.",
    ["source"],
)
streams = Gauge("meterstream_http_streams", "Streams of balances that are open.")
stream_events = Counter(
    "meterstream_http_stream_events_total", "Changes of balances told to clients of streams."
)
stream_resets = Counter(
    "meterstream_http_stream_resets_total",
    "Streams that could not go on where the client was: it was told to read values anew.",
)
streams_cut = Counter(
    "meterstream_http_streams_cut_total",
    "Streams that were ended because the client took changes too slowly.",
)
