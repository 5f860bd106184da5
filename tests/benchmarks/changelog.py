"""A changelog as a worker writes it, with as many rows as are asked for: every event makes one row of each of two meters.

No two events share a row, so the state has as many rows as the changelog has records of rows, and half as many ids: the
most that a restore can have to do for its records.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from confluent_kafka import Producer

from connectors.kafka.chunk_log import ChunkLog, Options
from domain.metering.rows import Row
from schemas import state
from schemas.changelog import Author, encode_chunk
from tests.benchmarks.events import MODELS, PARTITIONS, START
from tests.benchmarks.stack import COUNT_METER, NAMES, SUM_METER

CHUNK_EVENTS = 8_000
_SUBJECTS = 10_000
_STRIDE = 7_919
"""Coprime to the subjects: a walk that meets each of them once, in no order."""
_UNDER_WAY_MAX = 4
_ARRIVAL_MS = START * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Changelog:
    """Where it is, and what it brings: `events` in each partition."""

    kafka: str
    topic_id: str
    events: int

    @property
    def chunks(self) -> int:
        """Chunks of a partition: each stands for one record of the events topic."""
        return -(-self.events // CHUNK_EVENTS)

    @property
    def rows(self) -> int:
        """Rows of all partitions."""
        return 2 * self.events * PARTITIONS


def write(changelog: Changelog) -> None:
    """Append it, and the records of the events topic that it says have been read."""
    producer = Producer({"bootstrap.servers": changelog.kafka})
    for partition in range(PARTITIONS):
        for _ in range(changelog.chunks):
            producer.produce(NAMES.events, b"[]", partition=partition)
    assert producer.flush(60) == 0
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_write_partition, [changelog] * PARTITIONS, range(PARTITIONS)):
            pass


def _write_partition(changelog: Changelog, partition: int) -> None:
    asyncio.run(_append(changelog, partition))


async def _append(changelog: Changelog, partition: int) -> None:
    log = ChunkLog(
        Options(
            bootstrap_servers=changelog.kafka,
            events_topic=NAMES.events,
            raw_topic=NAMES.events_raw,
            changelog_topic=NAMES.changelog,
            usage_topic=NAMES.usage,
            rejected_topic=NAMES.rejected,
        ),
        lambda subject: partition,
    )
    await log.start()
    under_way: list[asyncio.Future[int]] = []
    end = 0
    for chunk in range(changelog.chunks):
        records = encode_chunk(
            Author(topic_id=changelog.topic_id, partition=partition, generation=1, begins_at=end),
            week=state.week_of(_ARRIVAL_MS),
            base=chunk << 20,
            stored=rows_of(changelog, partition, chunk),
            ids=ids_of(changelog, partition, chunk),
            applied=(),
            source_next=(chunk + 1) << 20,
            newest_ms=_ARRIVAL_MS,
        )
        end += len(records)
        under_way.append(asyncio.ensure_future(await log.append_changelog(partition, records)))
        if len(under_way) > _UNDER_WAY_MAX:
            await under_way.pop(0)
    await asyncio.gather(*under_way)
    await log.stop()


def rows_of(changelog: Changelog, partition: int, chunk: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(week, store key, value) of the rows of a chunk, as a worker stores them."""
    week = state.week_of(_ARRIVAL_MS)
    numbers = _numbers(changelog, chunk)
    bodies = [_body(partition, n) for n in numbers]
    for meter, total in ((SUM_METER, True), (COUNT_METER, False)):
        prefix = state.ROW + state.row_key_prefix(meter, 1)
        rows = [
            Row(position, position, 1, int(total), n % 2000 * total)
            for position, n in enumerate(numbers, chunk << 20)
        ]
        for body, value in zip(bodies, state.encode_rows(rows), strict=True):
            yield week, prefix + body, value


def ids_of(changelog: Changelog, partition: int, chunk: int) -> list[tuple[bytes, bytes]]:
    """(hash, packed position) of the ids of a chunk."""
    return [
        (
            hashlib.blake2b(b"%d/%d" % (partition, n), digest_size=16).digest(),
            state.pack_u64(position),
        )
        for position, n in enumerate(_numbers(changelog, chunk), chunk << 20)
    ]


def _numbers(changelog: Changelog, chunk: int) -> range:
    first = chunk * CHUNK_EVENTS
    return range(first, min(first + CHUNK_EVENTS, changelog.events))


def _body(partition: int, n: int) -> bytes:
    subject = f"customer-{partition}{n * _STRIDE % _SUBJECTS:05d}"
    return state.row_key_body(subject, START // 60 + n // _SUBJECTS, (MODELS[n % len(MODELS)],))
