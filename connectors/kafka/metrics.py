"""Metrics of what we write to Kafka. `producer` is one of api, worker and relay; `error` is a name of the client library."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

produce_errors = Counter(
    "meterstream_kafka_produce_errors_total",
    "Records, and of a worker batches, that Kafka has not acknowledged, by producer (api, worker, relay) and the library's name of the error.",
    ["producer", "error"],
)
client_errors = Counter(
    "meterstream_kafka_client_errors_total",
    "Troubles with brokers that the api's producer reported, most of which pass, by the library's name of the error.",
    ["error"],
)
route_lag = Gauge(
    "meterstream_route_lag_records",
    "Records of the raw topic that the route agent has not read yet, as of the last fetch.",
    ["partition"],
)
