"""Metrics of the worker's agents. Labels have few values; times are in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from streams.folding import Folded

_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

events = Counter(
    "meterstream_events_total",
    "Events judged, by verdict (accepted, duplicate, rejected, forwarded).",
    ["verdict"],
)
rejected = Counter("meterstream_rejected_total", "Rejected events and records, by code.", ["code"])
rows_changed = Counter("meterstream_rows_changed_total", "Rows of usage changed, once per chunk.")
chunk_events = Histogram(
    "meterstream_chunk_events", "Events in a chunk.", buckets=(1, 10, 100, 1000, 5000, 10000, 20000)
)
fold_seconds = Histogram(
    "meterstream_fold_seconds", "Time to fold one chunk.", buckets=_STAGE_BUCKETS
)
apply_seconds = Histogram(
    "meterstream_apply_seconds", "Time to write one chunk to RocksDB.", buckets=_STAGE_BUCKETS
)
lateness_seconds = Histogram(
    "meterstream_lateness_seconds",
    "How long after its own time the newest event of a chunk arrived.",
    buckets=(0.1, 1, 10, 60, 600, 3600, 86400, 864000),
)
source_next = Gauge(
    "meterstream_source_next_offset", "Offset of the next event to fold.", ["partition"]
)
restore_seconds = Histogram(
    "meterstream_restore_seconds",
    "Time to bring one partition's state up to date.",
    buckets=_STAGE_BUCKETS,
)
restored_rows = Counter(
    "meterstream_restored_records_total", "Changelog records applied by restores."
)
sink_block_seconds = Histogram(
    "meterstream_sink_block_seconds",
    "Time to write one block to ClickHouse.",
    buckets=_STAGE_BUCKETS,
)
sink_retries = Counter("meterstream_sink_retries_total", "Blocks that had to be tried again.")
sink_behind = Gauge(
    "meterstream_sink_behind_events",
    "Events folded but not yet in ClickHouse, about.",
    ["partition"],
)


def observe_chunk(partition: int, folded: Folded) -> None:
    """Count what one chunk brought, after it is on disk."""
    decoded = folded.decoded
    duplicates = len(decoded.events) - folded.accepted
    events.labels("accepted").inc(folded.accepted)
    events.labels("duplicate").inc(duplicates)
    events.labels("rejected").inc(len(decoded.rejected))
    events.labels("forwarded").inc(len(decoded.forwarded))
    for event in decoded.rejected:
        rejected.labels(event.code).inc()
    rows_changed.inc(len(folded.rows))
    chunk_events.observe(len(decoded.events))
    if decoded.seconds:
        lateness_seconds.observe(max(0.0, decoded.newest_ms / 1000 - decoded.seconds[-1]))
    source_next.labels(str(partition)).set(decoded.next >> 20)
