from prometheus_client import REGISTRY

from streams import metrics

NAMED = {
    "meterstream_events": "verdicts",
    "meterstream_rejected": "refusals by code",
    "meterstream_lateness_seconds": "lateness",
    "meterstream_event_to_state_seconds": "event to state",
    "meterstream_event_to_visible_seconds": "event to readable",
    "meterstream_partition_lag_records": "lag",
    "meterstream_chunk_events": "batch size",
    "meterstream_decode_seconds": "time per stage",
    "meterstream_fold_seconds": "time per stage",
    "meterstream_log_seconds": "time per stage",
    "meterstream_apply_seconds": "time per stage",
    "meterstream_sink_block_seconds": "time per stage",
    "meterstream_state_ids": "what the state holds",
    "meterstream_state_bytes": "what the state holds",
    "meterstream_restore_remaining_records": "restore progress",
    "meterstream_restored_records": "restore progress",
    "meterstream_sink_behind_events": "sink lag",
    "meterstream_sink_retries": "block retries",
}


def test_what_operators_watch_has_a_metric_with_a_help_text():
    found = {family.name: family.documentation for family in REGISTRY.collect()}

    assert metrics.events is not None
    assert NAMED.keys() <= found.keys()
    assert all(text.endswith(".") for name, text in found.items() if name in NAMED)
