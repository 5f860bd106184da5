"""Clusters as values, and one that can be changed: for tests of what is planned and applied."""

from dataclasses import replace

from schemas.cluster import Cluster, FoundTopic
from schemas.topics import Topic, catalogue, insync_replicas_min

DAY_MS = 86_400_000
BROKER_DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * DAY_MS),
    "retention.bytes": "-1",
    "max.message.bytes": "1048588",
    "min.compaction.lag.ms": "0",
    "message.timestamp.type": "CreateTime",
    "unclean.leader.election.enable": "false",
    "min.insync.replicas": "1",
}


def a_catalogue(*, partitions: int = 4, retention_ms: int = 40 * DAY_MS) -> list[Topic]:
    return catalogue("t", partitions=partitions, retention_ms=retention_ms, window_ms=32 * DAY_MS)


def as_made(topic: Topic, replication: int) -> FoundTopic:
    own = {**topic.config, "min.insync.replicas": str(insync_replicas_min(replication))}
    return FoundTopic(
        name=topic.name,
        partitions=topic.partitions,
        replication=replication,
        settings={**BROKER_DEFAULTS, **own},
        own=frozenset(own),
    )


def a_cluster(topics: list[Topic], *, brokers: int = 3, replication: int = 1) -> Cluster:
    """A cluster on which `topics` stand as we make them."""
    return Cluster(
        brokers=brokers, topics={topic.name: as_made(topic, replication) for topic in topics}
    )


def with_setting(cluster: Cluster, topic: str, name: str, value: str) -> Cluster:
    found = cluster.topics[topic]
    other = replace(found, settings={**found.settings, name: value}, own=found.own | {name})
    return replace(cluster, topics={**cluster.topics, topic: other})


def with_partitions(cluster: Cluster, topic: str, partitions: int) -> Cluster:
    other = replace(cluster.topics[topic], partitions=partitions)
    return replace(cluster, topics={**cluster.topics, topic: other})


class Interrupted(Exception):
    """The process that applies is gone."""


class ClusterInMemory:
    """A topic admin on a value. `changes_left` changes are made, then the process is interrupted."""

    def __init__(self, cluster: Cluster, changes_left: int = 1_000):
        self.cluster = cluster
        self.changes_left = changes_left

    def look(self, wanted, *, begins=False):
        there = {name: found for name, found in self.cluster.topics.items() if name in wanted}
        return replace(self.cluster, topics=there)

    def create(self, topics, replication):
        for topic in topics:
            self._one_more()
            self._put(as_made(topic, replication))

    def grow(self, name, partitions):
        self._one_more()
        self._put(replace(self.cluster.topics[name], partitions=partitions))

    def change(self, name, settings):
        self._one_more()
        found = self.cluster.topics[name]
        self._put(replace(found, settings={**found.settings, **settings}))

    def _put(self, topic):
        self.cluster = replace(self.cluster, topics={**self.cluster.topics, topic.name: topic})

    def _one_more(self):
        if not self.changes_left:
            raise Interrupted
        self.changes_left -= 1
