"""Reads single records where they stand: the originals of what was refused, while Kafka still has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from confluent_kafka import Consumer

from connectors.kafka.rejected_topic import failing_as_unavailable, messages, new_consumer
from domain.metering.rejected import Place
from schemas.binary_mode import Headers

_NEAR = 500
"""Offsets this close are read in one go: passing over records is cheaper than asking for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalRecord:
    """A record as its producer wrote it. `appended_ms` Unix milliseconds."""

    key: bytes | None
    value: bytes
    appended_ms: int
    headers: Headers


class OriginalRecords:
    """A consumer without a group."""

    def __init__(self, bootstrap_servers: str, fetch_bytes_max: int = 8 << 20) -> None:
        self._consumer: Consumer = new_consumer(bootstrap_servers, fetch_bytes_max)

    def read(self, places: Iterable[Place]) -> dict[Place, OriginalRecord]:
        """The records at these places; those that Kafka does not have any more are left out. Unavailable.

        The places must belong to partitions that exist.
        """
        found: dict[Place, OriginalRecord] = {}
        wanted = sorted(set(places), key=lambda at: (at.topic, at.partition, at.offset))
        with failing_as_unavailable():
            for (topic, partition), group in groupby(wanted, lambda at: (at.topic, at.partition)):
                for run in _runs({at.offset: at for at in group}):
                    found |= self._read_run(topic, partition, run)
        return found

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _read_run(
        self, topic: str, partition: int, run: Mapping[int, Place]
    ) -> dict[Place, OriginalRecord]:
        span = messages(self._consumer, topic, partition, min(run), max(run) + 1)
        return {
            run[message.offset()]: OriginalRecord(
                key=message.key(),
                value=message.value() or b"",
                appended_ms=message.timestamp()[1],
                headers=message.headers() or (),
            )
            for message in span
            if message.offset() in run
        }


def _runs(places: Mapping[int, Place]) -> Iterator[dict[int, Place]]:
    """The same, in order, in parts whose offsets lie near each other."""
    run: dict[int, Place] = {}
    for offset, place in places.items():
        if run and offset - max(run) > _NEAR:
            yield run
            run = {}
        run[offset] = place
    if run:
        yield run
