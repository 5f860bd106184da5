"""What operators watch has a metric, chunks and blocks move them, and no label comes from an event."""

import time

import msgspec
from prometheus_client import REGISTRY

from streams import metrics
from tests.builders import an_event
from tests.unit.streams.fakes import FakeLog, Owned, a_chunk

NAMED = {
    "meterstream_events": "verdicts",
    "meterstream_rejected": "refusals by code",
    "meterstream_lateness_seconds": "lateness",
    "meterstream_lateness_most_seconds": "lateness",
    "meterstream_event_to_state_seconds": "event to state",
    "meterstream_event_to_visible_seconds": "event to readable",
    "meterstream_partition_lag_records": "lag",
    "meterstream_state_newest_event_timestamp_seconds": "lag in time",
    "meterstream_chunk_events": "batch size",
    "meterstream_sink_block_events": "batch size",
    "meterstream_decode_seconds": "time per stage",
    "meterstream_fold_seconds": "time per stage",
    "meterstream_log_seconds": "time per stage",
    "meterstream_apply_seconds": "time per stage",
    "meterstream_sink_block_seconds": "time per stage",
    "meterstream_state_ids": "what the state holds",
    "meterstream_state_keys": "what the state holds",
    "meterstream_state_bytes": "what the state holds",
    "meterstream_restore_remaining_records": "restore progress",
    "meterstream_restored_records": "restore progress",
    "meterstream_sink_behind_records": "sink lag",
    "meterstream_sink_newest_event_timestamp_seconds": "sink lag in time",
    "meterstream_sink_retries": "block retries",
    "meterstream_catalog_version": "catalog",
    "meterstream_routed": "route agent",
}


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def shown():
    return {
        f"{sample.name} {sample.labels}"
        for family in REGISTRY.collect()
        for sample in family.samples
    }


def test_what_operators_watch_has_a_metric():
    found = {family.name for family in REGISTRY.collect()}

    assert metrics.events is not None
    assert NAMED.keys() <= found


async def test_verdicts_are_counted_each_as_what_it_is(tmp_path):
    owned = Owned(tmp_path, FakeLog())
    before = {v: value("meterstream_events_total", verdict=v) for v in ("accepted", "duplicate", "rejected")}  # fmt: skip
    refused = value("meterstream_rejected_total", code="invalid_json")
    values = [an_event("1"), an_event("2"), an_event("1")]

    await owned.submit(a_chunk(*[msgspec.json.encode(v) for v in values], b"{", b"["))
    await owned.settle()
    await owned.partition.close()

    after = {v: value("meterstream_events_total", verdict=v) - n for v, n in before.items()}
    assert after == {"accepted": 2, "duplicate": 1, "rejected": 2}
    assert value("meterstream_rejected_total", code="invalid_json") == refused + 2
    assert value("meterstream_state_ids", partition="0") == 2


async def test_lateness_of_the_earliest_event_of_a_chunk_is_seen(tmp_path):
    owned = Owned(tmp_path, FakeLog())
    sums = [value("meterstream_lateness_seconds_sum"), value("meterstream_lateness_most_seconds_sum")]  # fmt: skip
    events = [an_event("1", time="2026-09-21T00:00:00Z"), an_event("2", time="2026-09-21T13:00:00Z")]  # fmt: skip

    await owned.submit(a_chunk(*map(msgspec.json.encode, events)))  # arrived 14:13:20
    await owned.settle()
    await owned.partition.close()

    last = value("meterstream_lateness_seconds_sum") - sums[0]
    most = value("meterstream_lateness_most_seconds_sum") - sums[1]
    assert most - last == 13 * 3600


async def test_whatever_events_say_no_label_is_made_of_it(tmp_path):
    owned = Owned(tmp_path, FakeLog())
    good = [msgspec.json.encode(an_event(f"id{n}", subject=f"who{n}", type=f"t{n}", source=f"from{n}")) for n in range(50)]  # fmt: skip
    bad = [b'{"id":"x%d","specversion":"%d","nonsense%d":1}' % (n, n, n) for n in range(50)]
    await owned.submit(a_chunk(*good[:1], *bad[:1]))
    await owned.settle()
    before = shown()

    await owned.submit(a_chunk(*good, *bad, at=2))
    await owned.settle()
    await owned.partition.close()

    assert shown() == before


async def test_a_partition_that_was_given_up_is_told_of_no_more(tmp_path):
    metrics.forget_partition(0)
    of_others = shown()
    owned = Owned(tmp_path, FakeLog())
    await owned.submit(a_chunk(msgspec.json.encode(an_event("1")), timestamp=int(time.time() * 1000)))  # fmt: skip
    await owned.settle()
    await owned.partition.close()
    there = {line for line in shown() - of_others if "{'partition': '0'}" in line}

    metrics.forget_partition(0)
    metrics.forget_partition(0)

    assert there
    assert not there & shown()
