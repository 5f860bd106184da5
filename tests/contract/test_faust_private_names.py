"""The private names of Faust and aiokafka that the batch transport stands on, under Cython and without it.

A version that moves one of them fails here, not in production.
"""

import inspect
import os
import subprocess
import sys

import aiokafka
import faust
import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, TopicPartitionState
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as driver

from connectors.kafka.chunk_log import _filled
from streams.whole_logs import FETCH_WAIT_MS


def _source(thing: object) -> str:
    return inspect.getsource(thing)


def test_the_versions_are_the_pinned_ones():
    assert faust.__version__.startswith("0.15.")
    assert aiokafka.__version__ == "0.14.0"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (driver.Consumer, "getmany", ["self", "timeout"]),
        (driver.Consumer, "_wait_next_records", ["self", "timeout"]),
        (driver.Consumer, "_add_gap", ["self", "tp", "offset_from", "offset_to"]),
        (driver.Consumer, "_new_offset", ["self", "tp"]),
        (driver.Consumer, "perform_seek", ["self"]),
        (driver.Consumer, "_seek", ["self", "partition", "offset"]),
        (driver.Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (driver.Consumer, "commit", ["self", "topics", "start_new_transaction"]),
        (driver.Consumer, "highwater", ["self", "tp"]),
        (aiokafka.AIOKafkaConsumer, "highwater", ["self", "partition"]),
        (aiokafka.AIOKafkaConsumer, "last_poll_timestamp", ["self", "partition"]),
        (Assignment, "state_value", ["self", "tp"]),
        (driver.AIOKafkaConsumerThread, "on_thread_stop", ["self"]),
        (faust.App, "_on_agent_error", ["self", "agent", "exc"]),
        (faust.Worker, "_sentinel_task", ["self"]),
        (faust.Worker, "_setproctitle", ["self", "info", "ident"]),
        (GroupCoordinator, "_maybe_leave_group", ["self"]),
        (Recovery, "_resume_streams", ["self", "generation_id"]),
        (Recovery, "_wait", ["self", "coro", "timeout"]),
    ],
)
def test_an_overridden_or_called_name_is_there_with_its_parameters(owner, name, parameters):
    found = list(inspect.signature(getattr(owner, name)).parameters)

    assert found == parameters


def test_a_member_leaves_the_group_when_it_has_no_instance_id():
    source = _source(GroupCoordinator._maybe_leave_group)

    assert "self._group_instance_id is None" in source


def test_an_agent_asks_the_app_what_to_do_with_an_error():
    assert "on_error=self._on_agent_error" in _source(faust.App.agent)


def test_drain_messages_still_reads_what_the_batch_consumer_sets():
    source = _source(base.Consumer._drain_messages)

    for name in ("getmany", "_read_offset", "_add_gap", "suspend_flow", "_n_acked"):
        assert name in source


def test_acknowledging_still_fills_the_lists_that_new_offset_reads():
    source = _source(base.Consumer.ack)

    for name in ("_acked_index", "_acked", "_unacked_messages", "_committed_offset"):
        assert name in source


def test_the_fetcher_hands_out_lists_of_records_by_partition():
    source = _source(driver.AIOKafkaConsumerThread._fetch_records)

    assert "fetcher.fetched_records" in source
    assert "fetch_context" in source


def test_the_fetcher_files_its_results_by_item_and_wraps_records_in_one_method():
    assert "self._records[tp] = FetchResult(" in _source(fetcher.Fetcher)
    assert "self._consumer_record(tp, record)" in _source(fetcher.PartitionRecords)
    assert "self._fetcher = Fetcher(" in _source(aiokafka.AIOKafkaConsumer.start)
    assert "_partition_records" in _source(fetcher.FetchResult.getall)


def test_an_answered_fetch_says_where_the_log_ends_and_when_that_was_and_a_fetch_waits_so_long():
    source = _source(fetcher.Fetcher._proc_fetch_request)

    assert "tp_state.highwater = highwater" in source
    assert "tp_state.timestamp = now_ms" in source
    assert hasattr(TopicPartitionState, "has_valid_position")
    assert hasattr(TopicPartitionState, "position")
    worker = _source(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert f"fetch_max_wait_ms={FETCH_WAIT_MS}," in worker


def test_the_consumer_makes_its_thread_in_one_method():
    assert "AIOKafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)" in _source(
        driver.Consumer._new_consumer_thread
    )


def test_recovery_without_faust_tables_goes_straight_to_resume_streams():
    source = _source(Recovery._restart_recovery.fun)

    assert "if not self.tables" in source
    assert "self._resume_streams" in source


def test_the_table_manager_starts_by_updating_channels_and_starting_recovery():
    source = _source(TableManager.on_start)

    assert "self._update_channels()" in source
    assert "self.recovery.start()" in source


def test_a_stream_compares_the_generation_of_a_message():
    from faust import streams

    assert "generation_id" in _source(streams)


@pytest.mark.parametrize("no_cython", ["", "1"])
def test_the_transport_is_found_by_its_scheme_with_and_without_cython(no_cython):
    code = (
        "from faust import transport; "
        "t = transport.by_name('kafkabatch'); "
        "assert t.__module__ == 'streams.batch_transport', t; "
        "assert t.Consumer.__module__ == 'streams.batch_transport'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NO_CYTHON": no_cython},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def a_batch(batch_size=1 << 20):
    return BatchBuilder(batch_size, 0, is_transactional=False)


def test_a_batch_filled_through_its_builder_holds_what_its_own_append_would_have_put_there():
    records = [(b"k%d" % i, b"v" * i if i % 3 else None) for i in range(300)]
    ours, theirs = a_batch(), a_batch()

    filled = _filled(ours, records)
    for key, value in records:
        theirs.append(key=key, value=value, timestamp=None)

    assert filled == ours.record_count() == theirs.record_count() == 300
    read = [
        [(r.offset, r.key, r.value) for r in MemoryRecords(bytes(b._build())).next_batch()]
        for b in (ours, theirs)
    ]
    assert read[0] == read[1] == [(i, *record) for i, record in enumerate(records)]


def test_a_full_batch_says_how_many_records_it_took_and_stays_sound():
    records = [(b"key", b"v" * 100)] * 300
    batch = a_batch(10_000)

    filled = _filled(batch, records)

    assert 0 < filled == batch.record_count() < 300
    assert len(list(MemoryRecords(bytes(batch._build())).next_batch())) == filled
