"""Makes the topics of the catalogue and refuses to start on a cluster whose topics would lose or split state."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from domain.errors import Unavailable
from schemas.topics import Topic


class TopicProblem(Exception):
    """A topic on the cluster is not what the catalogue says; the message says how."""


class TopicAdmin:
    """Creates and verifies topics."""

    def __init__(self, bootstrap_servers: str, timeout_s: float = 10.0) -> None:
        self._admin = AdminClient(
            {
                "bootstrap.servers": bootstrap_servers,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,  # a broker that starts beside us is found at once
            }
        )
        self._timeout_s = timeout_s
        self._servers = bootstrap_servers

    def ensure(
        self, topics: Sequence[Topic], *, replication_factor: int, retention_ms_min: int
    ) -> None:
        """Create what is missing, then check all. TopicProblem, Unavailable."""
        new = [
            NewTopic(
                t.name,
                t.partitions,
                replication_factor,
                config={
                    "cleanup.policy": t.cleanup,
                    "message.timestamp.type": "LogAppendTime",
                    **t.config,
                },
            )
            for t in topics
            if t.name not in self._existing()
        ]
        for name, future in (self._admin.create_topics(new) if new else {}).items():
            try:
                future.result(self._timeout_s)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise TopicProblem(
                        f"topic {name} could not be created: {error.args[0].str()}"
                    ) from error
        self._wait_until_known([t.name for t in topics])
        self._verify(topics, retention_ms_min)

    def _existing(self) -> dict[str, int]:
        try:
            found = self._admin.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise Unavailable(
                f"Kafka at {self._servers} does not answer: {error.args[0].str()}"
            ) from error
        return {name: len(topic.partitions) for name, topic in found.items()}

    def _wait_until_known(self, names: Sequence[str]) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not set(names) <= self._existing().keys():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"topics {sorted(set(names) - self._existing().keys())} were created but the cluster does not list them"
                )

    def _verify(self, topics: Sequence[Topic], retention_ms_min: int) -> None:
        counts = self._existing()
        resources = [ConfigResource(ResourceType.TOPIC, t.name) for t in topics]
        configs = {
            r.name: f.result(self._timeout_s)
            for r, f in self._admin.describe_configs(resources).items()
        }
        problems = []
        for topic in topics:
            config = configs[topic.name]
            if topic.keyed and counts[topic.name] != topic.partitions:
                problems.append(
                    f"{topic.name} has {counts[topic.name]} partitions, kafka.partitions is {topic.partitions}: the partition count of "
                    "a keyed topic never changes in place; set kafka.partitions to what it has"
                )
            if config["cleanup.policy"].value != topic.cleanup:
                problems.append(
                    f"{topic.name} has cleanup.policy {config['cleanup.policy'].value}, it must be {topic.cleanup}"
                )
            retention = int(config["retention.ms"].value)
            if topic.cleanup == "delete" and 0 <= retention < retention_ms_min:
                problems.append(
                    f"{topic.name} keeps {retention} ms, the dedupe window is {retention_ms_min} ms: raise retention.ms"
                )
        if problems:
            raise TopicProblem("\n".join(problems))
