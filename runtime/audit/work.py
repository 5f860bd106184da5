"""Wires an audit to Kafka, ClickHouse and the workers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import aiohttp
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from connectors.clickhouse.audited import AuditedUsage
from connectors.clickhouse.client import Clients
from connectors.kafka import owners_topic, rejected_topic
from connectors.kafka.log_times import LogTimes
from connectors.kafka.partition_reader import Options, PartitionReader
from domain.errors import NotFound, Unavailable
from domain.metering.rejected import RejectedListing, RejectedRecord
from runtime import clock
from runtime.audit.meters import MeterCounts
from runtime.audit.remembered import Remembered
from runtime.audit.report import Report
from runtime.audit.run import Auditor, Order
from runtime.config import Config
from runtime.connections import clickhouse_options
from schemas import topics
from schemas.catalog import CustomerRecord, MeterRecord, decode_catalog_record
from schemas.owners import owner_by_partition

DAY_MS = 24 * 3600 * 1000
_OWNERS_S = 5.0
_STATUS_S = 5.0
_READ_IDLE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for on the command line; times in Unix milliseconds."""

    from_ms: int | None = None
    to_ms: int | None = None
    everything: bool = False
    subjects: Sequence[str] = ()
    customers: Sequence[str] = ()
    partitions: Sequence[int] = ()
    ids_from_log: bool = True
    wait_s: float = 15.0


async def audit(
    config: Config, asked: Asked, report: Report, on_progress: Callable[[Report], None]
) -> None:
    """Fill `report`. NotFound for a customer that is not there; Unavailable."""
    assert config.kafka.bootstrap_servers is not None
    servers = config.kafka.bootstrap_servers
    names = topics.names(config.namespace)
    report.namespace, report.topic = config.namespace, names.events
    report.version = version("meterstream")
    report.began_ms = clock.wall_ms()
    report.window_ms = _ms(config.dedupe.window)
    try:
        async with AsyncExitStack() as open_:
            times = LogTimes(servers, names.events)
            open_.callback(times.close)
            await times.bounds()  # what is not there is said here, and soon
            reader = PartitionReader(Options(bootstrap_servers=servers, idle_s=_READ_IDLE_S))
            open_.push_async_callback(reader.stop)
            report.topic_id = await reader.topic_id(names.events)
            meters, customers = await _catalog(reader, names.catalog)
            subjects = _subjects(asked, customers)
            order = _order(config, asked, report, subjects, names.events)
            usage = AuditedUsage(
                Clients(clickhouse_options(config)), namespace=config.namespace, topic=names.events
            )
            open_.callback(usage.close)
            refusals = _Refusals(reader, servers, names.rejected)
            open_.callback(refusals.close)
            states = _States(config, servers, names.owners)
            folder = open_.enter_context(tempfile.TemporaryDirectory(prefix="meterstream-audit-"))
            remembered = Remembered(Path(folder) / "ids")
            open_.callback(remembered.close)
            await Auditor(
                order=order,
                reader=reader,
                times=times,
                usage=usage,
                refusals=refusals,
                states=states,
                remembered=remembered,
                meters=MeterCounts(usage, meters, subjects),
                report=report,
                on_progress=on_progress,
            ).run()
    except (KafkaError, KafkaException) as error:
        raise Unavailable(f"Kafka: {error}") from error
    finally:
        report.ended_ms = clock.wall_ms()


def _order(
    config: Config, asked: Asked, report: Report, subjects: frozenset[str] | None, topic: str
) -> Order:
    default_ms = (report.began_ms if asked.to_ms is None else asked.to_ms) - DAY_MS
    from_ms = 0 if asked.everything else default_ms if asked.from_ms is None else asked.from_ms
    report.from_ms, report.to_ms = from_ms, asked.to_ms
    report.subjects = None if subjects is None else tuple(sorted(subjects))
    return Order(
        namespace=config.namespace,
        topic=topic,
        window_ms=report.window_ms,
        from_ms=from_ms,
        to_ms=asked.to_ms,
        demanded=asked.from_ms is not None and not asked.everything,
        subjects=subjects,
        partitions=frozenset(asked.partitions) or None,
        ids_from_log=asked.ids_from_log,
        wait_s=asked.wait_s,
        keeps_events_ms=config.retention.events_days * DAY_MS,
        registry=config.avro.registry_url is not None,
    )


def _subjects(asked: Asked, customers: Sequence[CustomerRecord]) -> frozenset[str] | None:
    """Those to audit, None for all. NotFound."""
    if not asked.subjects and not asked.customers:
        return None
    found = set(asked.subjects)
    for name in asked.customers:
        named = [one for one in customers if name in (one.id, one.key) and one.deleted_at is None]
        if not named:
            raise NotFound(f"--customer: no customer has the id or key {name[:80]!r}")
        for one in named:
            found |= {*one.subject_keys, *([] if one.key is None else [one.key])}
    return frozenset(found)


async def _catalog(
    reader: PartitionReader, topic: str
) -> tuple[dict[str, MeterRecord], list[CustomerRecord]]:
    """Meters by id, and customers, as the catalog topic has them now. Unavailable."""
    low, end = await reader.bounds(topic, 0)
    newest: dict[bytes, MeterRecord | CustomerRecord] = {}
    async for records, _ in reader.read(topic, 0, low, end):
        for record in records:
            if record.value is None or not record.key.startswith((b"meter/", b"customer/")):
                continue
            found = decode_catalog_record(record.value)
            entity = found.meter or found.customer
            if entity is not None:
                newest[record.key] = entity
    entities = newest.values()
    return (
        {one.id: one for one in entities if isinstance(one, MeterRecord)},
        [one for one in entities if isinstance(one, CustomerRecord)],
    )


class _Refusals:
    """The rejected topic from a moment on, to where it ends now."""

    def __init__(self, reader: PartitionReader, servers: str, topic: str) -> None:
        self._reader = reader
        self._name = topic
        self._topic = rejected_topic.RejectedTopic(
            rejected_topic.Options(bootstrap_servers=servers, topic=topic)
        )

    def since(self, moment_ms: int) -> Iterator[RejectedRecord]:
        """What was refused at or after a moment. Unavailable."""
        listing = RejectedListing(since_ms=moment_ms)
        for record, _ in self._topic.forwards(listing, self._topic.ends()):
            yield record

    async def begins_ms(self, partition: int) -> int:
        """When the oldest refusal that is left in a partition was written, 0 when none has gone. Unavailable."""
        low, end = await self._reader.bounds(self._name, partition)
        if not low:
            return 0
        async for records, _ in self._reader.read(self._name, partition, low, min(low + 1, end)):
            for record in records:
                return int(record.timestamp)
        return clock.wall_ms()  # nothing is left

    def close(self) -> None:
        """Disconnect."""
        self._topic.close()


class _States:
    """Asks the owner of each partition over HTTP, as the owners topic names it."""

    def __init__(self, config: Config, servers: str, topic: str) -> None:
        self._board = owners_topic.OwnersTopic(
            owners_topic.Options(
                bootstrap_servers=servers,
                topic=topic,
                dead_after_s=config.balances.owner_dead_after.total_seconds(),
            )
        )
        self._partitions = config.kafka.partitions

    async def positions(self) -> Mapping[int, int]:
        """The position after what each partition's state holds; without those that nobody answers for."""
        self._board.start()
        try:
            await self._wait()
            urls = {record.url for record in owner_by_partition(self._board.live()).values()}
        finally:
            await self._board.stop()
        found: dict[int, int] = {}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_STATUS_S)) as http:
            for told in await asyncio.gather(*(_status(http, url) for url in sorted(urls))):
                for number, position in told.items():
                    found[number] = max(position, found.get(number, 0))
        return found

    async def _wait(self) -> None:
        """Until the workers have said who owns what; they do each second."""
        try:
            async with asyncio.timeout(_OWNERS_S):
                while len(owner_by_partition(self._board.live())) < self._partitions:  # noqa: ASYNC110 - only the topic knows
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return  # those that are missing are reported, one by one


async def _status(http: aiohttp.ClientSession, url: str) -> dict[int, int]:
    try:
        async with http.get(f"{url}/status") as answer:
            answer.raise_for_status()
            told = await answer.json()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}  # its partitions are reported as those that no worker answers for
    return {one["partition"]: one["source_next"] or 0 for one in told["partitions"]}


def _ms(length: timedelta) -> int:
    return int(length.total_seconds() * 1000)
