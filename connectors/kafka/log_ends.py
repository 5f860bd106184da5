"""Where the partitions of a topic end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from domain.errors import Unavailable

_TIMEOUT_S = 2.0


class TopicEnds:
    """Asks the cluster; nothing is consumed."""

    def __init__(self, bootstrap_servers: str, topic: str, partitions: int) -> None:
        self._servers = bootstrap_servers
        self._asked = {TopicPartition(topic, n): OffsetSpec.latest() for n in range(partitions)}
        self._admin: AdminClient | None = None

    async def ends(self) -> Mapping[int, int]:
        """By partition, the offset after its last record. Unavailable."""
        try:
            return await asyncio.to_thread(self._ask)
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error}") from error
        except TimeoutError as error:
            raise Unavailable("Kafka does not say where the log ends") from error

    def _ask(self) -> Mapping[int, int]:
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 2})
        asked = self._admin.list_offsets(self._asked, request_timeout=_TIMEOUT_S)
        return {
            place.partition: answer.result(_TIMEOUT_S).offset for place, answer in asked.items()
        }
