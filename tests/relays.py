"""Relays for tests: wired as the api wires them, in this process or as one that kills itself; and what the topic then holds."""

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

from confluent_kafka import Consumer, TopicPartition

from connectors.kafka import catalog_topic
from connectors.kafka.admin import TopicAdmin
from connectors.postgres.outbox import PostgresOutbox
from connectors.postgres.pool import Options
from runtime.relay import Relay
from runtime.topics import ensure
from runtime.topology.applying import Wanted
from schemas import topics
from schemas.catalog import CatalogRecord, decode_catalog_record
from tests.workers import ROOT


class DyingOutbox:
    """An outbox whose holder is killed when the topic has the records and the outbox still has them, too."""

    def __init__(self, outbox):
        self._outbox = outbox

    @asynccontextmanager
    async def hold(self):
        async with self._outbox.hold() as held:
            self.read, self.changed = held.read, held.changed
            yield self

    async def remove(self, versions):
        os.kill(os.getpid(), signal.SIGKILL)


def outbox_and_topic(dsn: str, kafka: str, namespace: str):
    options = catalog_topic.Options(
        bootstrap_servers=kafka, topic=topics.names(namespace).catalog, timeout_s=20.0
    )
    return PostgresOutbox(Options(dsn=dsn), namespace), catalog_topic.CatalogTopic(options)


def a_relay(dsn: str, kafka: str, namespace: str) -> Relay:
    def fail(error):
        raise error

    return Relay(*outbox_and_topic(dsn, kafka, namespace), fail)


def run_relay_that_is_killed(dsn: str, kafka: str, namespace: str) -> int:
    """Returns the exit code once the process is dead."""
    code = "import asyncio, sys; from tests.relays import die; asyncio.run(die(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, dsn, kafka, namespace]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


async def die(dsn: str, kafka: str, namespace: str) -> None:
    """The killed process's main."""
    outbox, topic = outbox_and_topic(dsn, kafka, namespace)
    await Relay(DyingOutbox(outbox), topic, print)._run()


def make_catalog_topic(kafka: str, namespace: str) -> None:
    wanted = topics.catalogue(namespace, partitions=1, retention_ms=86_400_000)
    name = topics.names(namespace).catalog
    catalog = [topic for topic in wanted if topic.name == name]
    ensure(TopicAdmin(kafka), Wanted(topics=catalog, replication=1))


def published(kafka: str, namespace: str) -> list[CatalogRecord]:
    """All that the topic holds, in order."""
    tp = TopicPartition(topics.names(namespace).catalog, 0, 0)
    reader = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "unused",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    reader.assign([tp])
    found = []
    while (message := reader.poll(20)) is not None and message.error() is None:
        found.append(decode_catalog_record(message.value()))
    reader.close()
    return found
