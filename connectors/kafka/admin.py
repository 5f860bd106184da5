"""What a cluster has, and the few changes to it that runtime/topology/ decides on: Kafka's admin API with our errors."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from domain.errors import Unavailable
from schemas.cluster import Cluster, FoundTopic
from schemas.topics import Topic, insync_replicas_min

_AWAY = (
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
    KafkaError.BROKER_NOT_AVAILABLE,
)
_ASK_AGAIN_S = 0.05
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART,)
_LEADERLESS = (
    *_MISSING,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
)
"""A partition that was just made, or whose broker is down: where it begins is not known."""


class TopicProblem(Exception):
    """A topic on the cluster is not what the catalogue says, or cannot be made so; the message says how."""


class TopicAdmin:
    """Sees and changes topics. Every method: Unavailable when Kafka does not answer in time; a change: TopicProblem when it is refused."""

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

    def look(self, wanted: Collection[str], *, begins: bool = False) -> Cluster:
        """The brokers that are up and those topics of `wanted` that are there; `begins`: also where their partitions begin, as far as those have a leader."""
        metadata = self._metadata()
        there = {
            name: topic
            for name, topic in metadata.topics.items()
            if name in wanted and topic.error is None
        }
        settings = self._settings(there)
        offsets = self._begins(there) if begins else {}
        return Cluster(
            brokers=len(metadata.brokers),
            topics={
                name: FoundTopic(
                    name=name,
                    partitions=len(topic.partitions),
                    replication=min(
                        (len(p.replicas) for p in topic.partitions.values()), default=0
                    ),
                    settings={key: entry.value for key, entry in settings[name].items()},
                    own=frozenset(
                        key
                        for key, entry in settings[name].items()
                        if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
                    ),
                    begins=offsets.get(name, {}),
                )
                for name, topic in there.items()
                if name in settings  # deleted in between: it is not there
            },
        )

    def create(self, topics: Sequence[Topic], replication: int) -> None:
        """Make those that are not there; returns when every broker may be asked for them."""
        isr = {"min.insync.replicas": str(insync_replicas_min(replication))}
        new = [
            NewTopic(t.name, t.partitions, replication, config={**t.config, **isr}) for t in topics
        ]
        for name, future in (self._admin.create_topics(new) if new else {}).items():
            self._done(
                future, f"topic {name} could not be created", but=(KafkaError.TOPIC_ALREADY_EXISTS,)
            )
        self._wait_until_listed({topic.name for topic in topics})

    def grow(self, name: str, partitions: int) -> None:
        """Give a topic without keys more partitions."""
        for future in self._admin.create_partitions([NewPartitions(name, partitions)]).values():
            self._done(future, f"topic {name} could not get {partitions} partitions")

    def change(self, name: str, settings: Mapping[str, str]) -> None:
        """Change settings of a topic, the others stay."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        for future in self._admin.incremental_alter_configs([resource]).values():
            self._done(future, f"topic {name} could not be changed")

    # -- asking

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=self._timeout_s)
        except KafkaException as error:
            raise self._unavailable(error) from error

    def _settings(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        found = {}
        for resource, future in (
            self._admin.describe_configs(resources) if resources else {}
        ).items():
            entries = self._done(
                future, f"the settings of {resource.name} could not be read", but=_MISSING
            )
            if entries is not None:
                found[resource.name] = entries
        return found

    def _begins(self, topics: Mapping[str, Any]) -> dict[str, dict[int, int]]:
        asked = {
            TopicPartition(name, number): OffsetSpec.earliest()
            for name, topic in topics.items()
            for number in topic.partitions
        }
        found: dict[str, dict[int, int]] = {}
        for place, future in (self._admin.list_offsets(asked) if asked else {}).items():
            answer = self._done(future, f"where {place.topic} begins is not known", but=_LEADERLESS)
            if answer is not None:
                found.setdefault(place.topic, {})[place.partition] = answer.offset
        return found

    def _wait_until_listed(self, names: set[str]) -> None:
        """A topic is made by the controller; the brokers hear of it a moment later."""
        deadline = time.monotonic() + self._timeout_s
        while missing := names - self._metadata().topics.keys():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"topics {sorted(missing)} were created but the cluster does not list them"
                )
            time.sleep(_ASK_AGAIN_S)

    def _done(self, future: Any, what: str, *, but: Collection[int] = ()) -> Any:
        """The result, None when it failed with one of `but`."""
        try:
            return future.result(self._timeout_s)
        except TimeoutError as error:
            raise Unavailable(f"Kafka at {self._servers} does not answer in time") from error
        except KafkaException as error:
            code = error.args[0].code()
            if code in but:
                return None
            if code in _AWAY:
                raise self._unavailable(error) from error
            raise TopicProblem(f"{what}: {error.args[0].str()}") from error

    def _unavailable(self, error: KafkaException) -> Unavailable:
        return Unavailable(f"Kafka at {self._servers} does not answer: {error.args[0].str()}")
