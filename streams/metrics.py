"""Metrics of the worker's agents. Labels have few values; times are in seconds. docs/metrics.md is made from here."""

from __future__ import annotations

import time
from collections import Counter as Counts
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.sink_block import Block
    from streams.decoded import RejectedEvent
    from streams.folding import Folded

_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_RESTORE_BUCKETS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_LATENESS_BUCKETS = (0.1, 1, 10, 60, 600, 3600, 86400, 864000)
_EVENTS_BUCKETS = (1, 10, 100, 1000, 5000, 10000, 20000, 50000)

events = Counter(
    "meterstream_events_total",
    "Events judged, by verdict (accepted, duplicate, rejected, forwarded).",
    ["verdict"],
)
holds = Counter(
    "meterstream_holds_total",
    "Holds decided: granted, confirmed, released, or the code of what stood against it.",
    ["outcome"],
)
holds_active = Gauge(
    "meterstream_holds_active",
    "Holds that reserve something now, as the owner has them.",
    ["partition"],
)
holds_judged_again = Counter(
    "meterstream_holds_judged_again_total",
    "Batches of holds that did not count because somebody else wrote first: judged again over what that one wrote.",
)
balances_published = Counter(
    "meterstream_balances_published_total", "Balances put into the balances topic."
)
balances_to_publish = Gauge(
    "meterstream_balances_to_publish",
    "Changed balances that are not in their topic yet.",
    ["partition"],
)
rejected = Counter("meterstream_rejected_total", "Rejected events and records, by code.", ["code"])
rows_changed = Counter("meterstream_rows_changed_total", "Rows of usage changed, once per chunk.")
chunk_events = Histogram("meterstream_chunk_events", "Events in a chunk.", buckets=_EVENTS_BUCKETS)
fold_seconds = Histogram(
    "meterstream_fold_seconds", "Time to fold one chunk.", buckets=_STAGE_BUCKETS
)
apply_seconds = Histogram(
    "meterstream_apply_seconds", "Time to write one chunk to RocksDB.", buckets=_STAGE_BUCKETS
)
lateness_seconds = Histogram(
    "meterstream_lateness_seconds",
    "How long after its own time the last event of a chunk arrived.",
    buckets=_LATENESS_BUCKETS,
)
lateness_seconds_most = Histogram(
    "meterstream_lateness_most_seconds",
    "How long after the earliest time among its events a chunk arrived: late events show here.",
    buckets=_LATENESS_BUCKETS,
)
source_next = Gauge(
    "meterstream_source_next_offset", "Offset of the next event to fold.", ["partition"]
)
restore_seconds = Histogram(
    "meterstream_restore_seconds",
    "Time to bring one partition's state up to date.",
    buckets=_RESTORE_BUCKETS,
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
    "meterstream_sink_behind_records",
    "Records of the events topic that are folded but not readable in ClickHouse; all of them until ClickHouse has answered once. As of the scrape.",
    ["partition"],
)
sink_newest = Gauge(
    "meterstream_sink_newest_event_timestamp_seconds",
    "The broker's time of the newest event that is readable in ClickHouse, Unix seconds; compare it with the state's.",
    ["partition"],
)
sink_block_events = Histogram(
    "meterstream_sink_block_events", "Events in a block.", buckets=_EVENTS_BUCKETS
)
sink_rows = Counter(
    "meterstream_sink_rows_total", "Rows of usage written to ClickHouse, repeats included."
)
sink_rows_missing = Counter(
    "meterstream_sink_rows_missing_total",
    "Rows that the sink wanted to write again but that had expired; more than none means that ClickHouse lost data.",
)
sink_blocks = Counter("meterstream_sink_blocks_total", "Blocks written to ClickHouse.")
sink_events = Counter(
    "meterstream_sink_events_total", "Events written to ClickHouse, repeats included."
)
weeks_dropped = Counter(
    "meterstream_state_weeks_dropped_total", "Weeks dropped from the state after the dedupe window."
)
state_ids = Gauge("meterstream_state_ids", "Ids remembered for deduplication.", ["partition"])
state_keys = Gauge(
    "meterstream_state_keys",
    "Keys in a partition's state (ids, rows of usage, distinct values, all weeks), as RocksDB estimates it. As of the scrape.",
    ["partition"],
)
state_bytes = Gauge(
    "meterstream_state_bytes",
    "Bytes on disk of a partition's state. As of the scrape.",
    ["partition"],
)
state_newest = Gauge(
    "meterstream_state_newest_event_timestamp_seconds",
    "The broker's time of the newest event that is in the state, Unix seconds; how old it is is the lag in time while events come.",
    ["partition"],
)
changelog_next = Gauge(
    "meterstream_changelog_next_offset", "Offset after the changelog's last batch.", ["partition"]
)
partition_lag = Gauge(
    "meterstream_partition_lag_records",
    "Records of the events topic that are not in the state yet, as of the last fetch and every 10 s.",
    ["partition"],
)
partitions_owned = Gauge("meterstream_partitions_owned", "Partitions this worker owns.")
restores = Counter("meterstream_restores_total", "Partitions whose state was brought up to date.")
restore_remaining = Gauge(
    "meterstream_restore_remaining_records",
    "Changelog records still to be read by the restore under way.",
    ["partition"],
)
catalog_version = Gauge("meterstream_catalog_version", "The newest catalog version applied.")
catalog_refused = Counter(
    "meterstream_catalog_refused_total", "Catalog records left out because they cannot be used."
)
progress_told = Counter(
    "meterstream_progress_told_total",
    "Times that a source partition told the usage topic how far it is.",
)
progress_failures = Counter(
    "meterstream_progress_failures_total",
    "Times that Kafka did not take what was told of progress: it is told again.",
)
buffered_bytes = Gauge(
    "meterstream_buffered_bytes", "Bytes of fetched records that wait for their fold."
)
log_seconds = Histogram(
    "meterstream_log_seconds",
    "Time from a chunk's sending to its acknowledgement by the brokers.",
    buckets=_STAGE_BUCKETS,
)
decode_seconds = Histogram(
    "meterstream_decode_seconds", "Time to decode one chunk.", buckets=_STAGE_BUCKETS
)
event_to_state_seconds = Histogram(
    "meterstream_event_to_state_seconds",
    "From the broker's clock at a chunk's newest event to its rows being on disk.",
    buckets=_STAGE_BUCKETS,
)
event_to_visible_seconds = Histogram(
    "meterstream_event_to_visible_seconds",
    "From the broker's clock at a block's newest event to its rows being readable.",
    buckets=_STAGE_BUCKETS,
)
rejected_cut = Counter(
    "meterstream_rejected_cut_total", "Rejected records too long for the rejected topic, cut."
)

handed_over = Counter(
    "meterstream_handed_over_total",
    "Records of the events topic that need a schema of the registry, put into the raw topic for the route agent.",
)
routed = Counter(
    "meterstream_routed_total",
    "Events of the raw topic that the route agent took, by verdict (forwarded, rejected).",
    ["verdict"],
)
route_waiting = Gauge(
    "meterstream_route_waiting_partitions",
    "Partitions of the raw topic that wait for a schema registry which is down.",
)
schemas_asked = Counter(
    "meterstream_schemas_asked_total", "Questions to the schema registry, answered or not."
)


_OF_A_PARTITION = (
    holds_active,
    source_next,
    changelog_next,
    partition_lag,
    restore_remaining,
    sink_behind,
    sink_newest,
    state_bytes,
    state_ids,
    state_keys,
    state_newest,
)


def observe_chunk(partition: int, folded: Folded, *, changelog_end: int, ids: int) -> None:
    """Count what one chunk brought, after it is on disk."""
    decoded, number = folded.decoded, str(partition)
    count = len(decoded.positions)
    events.labels("accepted").inc(folded.accepted)
    events.labels("duplicate").inc(count - folded.accepted)
    events.labels("rejected").inc(len(decoded.rejected))
    events.labels("forwarded").inc(len(decoded.forwarded))
    handed_over.inc(len(decoded.handed_over))
    count_rejected(decoded.rejected)
    rows_changed.inc(folded.row_count)
    chunk_events.observe(count)
    if decoded.seconds:
        arrived = decoded.newest_ms / 1000
        lateness_seconds.observe(max(0.0, arrived - decoded.seconds[-1]))
        lateness_seconds_most.observe(max(0.0, arrived - min(decoded.seconds)))
    source_next.labels(number).set(decoded.next >> 20)
    changelog_next.labels(number).set(changelog_end)
    state_ids.labels(number).set(ids)
    if decoded.appended_ms:
        event_to_state_seconds.observe(max(0.0, time.time() - decoded.newest_ms / 1000))
        state_newest.labels(number).set(decoded.newest_ms / 1000)


def count_rejected(refused: Iterable[RejectedEvent]) -> None:
    """Count refusals by code."""
    for code, count in Counts(event.code for event in refused).items():
        rejected.labels(code).inc(count)


def observe_block(block: Block) -> None:
    """Count what one block brought, after ClickHouse has it."""
    sink_blocks.inc()
    sink_events.inc(len(block.events.ids))
    sink_rows.inc(len(block.rows))
    sink_block_events.observe(len(block.events.ids))
    if block.events.ingested_ms:
        newest_s = block.events.ingested_ms[-1] / 1000
        event_to_visible_seconds.observe(max(0.0, time.time() - newest_s))
        if block.visible >= block.next:
            sink_newest.labels(str(block.partition)).set(newest_s)


def forget_partition(partition: int) -> None:
    """Another worker tells of it from now on."""
    for metric in _OF_A_PARTITION:
        metric.remove(str(partition))
