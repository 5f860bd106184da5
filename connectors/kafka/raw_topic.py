"""The raw topic as a consumer group reads it: positions are the group's, committed when all of a list was acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from connectors.kafka import metrics

log = logging.getLogger(__name__)

_WAIT_MS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`records_max` in one list, all partitions together; `fetch_bytes_max` per partition."""

    bootstrap_servers: str
    topic: str
    group: str
    instance_id: str
    session_timeout_s: float = 6.0
    heartbeat_s: float = 0.5
    records_max: int = 5_000
    fetch_bytes_max: int = 4 << 20


class RawTopic:
    """Implements the route agent's port RawFeed."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._consumer: Any = None
        self._anew: set[int] = set()

    async def start(self) -> None:
        """Join the group."""
        options = self._options
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=options.bootstrap_servers,
            group_id=options.group,
            group_instance_id=options.instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(options.session_timeout_s * 1000),
            heartbeat_interval_ms=int(options.heartbeat_s * 1000),
            max_partition_fetch_bytes=options.fetch_bytes_max,
        )
        self._consumer.subscribe([options.topic], listener=_Assigned(self))
        await self._consumer.start()

    async def stop(self) -> None:
        """Leave the group at once."""
        if self._consumer is not None:
            # aiokafka leaves a group only when it is no static member: a killed one keeps its partitions, a stopped one not.
            self._consumer._coordinator._group_instance_id = None
            await self._consumer.stop()

    async def fetch(self) -> Mapping[int, Sequence[Any]]:
        """The next records of the partitions that are ours; after half a second none."""
        got = await self._consumer.getmany(
            timeout_ms=_WAIT_MS, max_records=self._options.records_max
        )
        found = {tp.partition: records for tp, records in got.items() if records}
        for number, records in found.items():
            self._note_lag(number, records[-1].offset + 1)
        return found

    def assigned(self) -> set[int]:
        """The partitions that are ours."""
        return {tp.partition for tp in self._consumer.assignment()}

    def begun_anew(self) -> set[int]:
        """Those of which the group did not remember how far they were read."""
        return self._anew

    def go_back(self, partition: int, offset: int, *, paused: bool) -> None:
        """Read on from `offset`, when paused only after `resume`."""
        tp = self._tp(partition)
        try:
            self._consumer.seek(tp, offset)
            if paused:
                self._consumer.pause(tp)
            self._note_lag(partition, offset)
        except IllegalStateError:  # it is another's by now, who begins at what was committed
            log.info("partition given up while it waited", extra={"partition": partition})

    def resume(self, partition: int) -> None:
        """Read on."""
        if partition in self.assigned():
            self._consumer.resume(self._tp(partition))

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Remember how far each partition was read. What is another's by now is left out: it repeats, which counts nothing."""
        mine = self.assigned()
        found = {self._tp(n): offset for n, offset in offsets.items() if n in mine}
        if not found:
            return
        try:
            await self._consumer.commit(found)
        except (CommitFailedError, IllegalStateError) as error:
            log.info(
                "the group has changed: what was routed is repeated", extra={"cause": str(error)}
            )

    async def look_at(self, assigned: Sequence[TopicPartition]) -> None:
        """Remember which of them nobody has read before, as far as is known."""
        metrics.route_lag.clear()  # those that are another's tell of it there
        self._anew = {tp.partition for tp in assigned if await self._consumer.committed(tp) is None}

    def _note_lag(self, partition: int, offset: int) -> None:
        end = self._consumer.highwater(self._tp(partition))
        if end is not None:
            metrics.route_lag.labels(str(partition)).set(max(0, end - offset))

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._options.topic, partition)


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, topic: RawTopic) -> None:
        self._topic = topic

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing to do: what is under way is committed, or repeated by the next owner."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Before the first record."""
        await self._topic.look_at(sorted(assigned))
