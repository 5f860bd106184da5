"""What a process does about topics at its start: makes what is missing, leaves what differs, refuses what is unsafe."""

import logging
from dataclasses import replace

import pytest

from connectors.kafka.admin import TopicProblem
from domain.errors import Unavailable
from runtime.topics import ensure
from runtime.topology.applying import Wanted
from tests.clusters import (
    ClusterInMemory,
    a_catalogue,
    a_cluster,
    as_made,
    with_partitions,
    with_setting,
)

TOPICS = a_catalogue()
WANTED = Wanted(topics=TOPICS, replication=1)
EVENTS = TOPICS[0].name


def test_an_empty_cluster_gets_every_topic():
    admin = ClusterInMemory(a_cluster([]))

    ensure(admin, WANTED)

    assert admin.cluster == a_cluster(TOPICS)


def test_what_differs_is_left_to_apply_and_said(caplog):
    before = with_setting(a_cluster(TOPICS), EVENTS, "retention.ms", "-1")
    admin = ClusterInMemory(before, changes_left=0)

    with caplog.at_level(logging.WARNING):
        ensure(admin, WANTED)

    (record,) = caplog.records
    assert "meterstream topology apply" in record.message
    assert record.difference == f"{EVENTS}: retention.ms -1 to 3456000000"


@pytest.mark.parametrize(
    "cluster",
    [
        with_partitions(a_cluster(TOPICS[:4]), EVENTS, 8),
        with_setting(a_cluster(TOPICS[:4]), EVENTS, "cleanup.policy", "compact"),
        a_cluster(TOPICS[:4], brokers=0),
    ],
)
def test_nothing_is_made_on_a_cluster_that_is_not_safe(cluster):
    admin = ClusterInMemory(cluster, changes_left=0)

    with pytest.raises(TopicProblem):
        ensure(admin, WANTED)


def test_topics_that_another_process_made_meanwhile_are_checked_too():
    class OvertakenCluster(ClusterInMemory):
        def create(self, topics, replication):
            for topic in topics:
                self._put(replace(as_made(topic, replication), partitions=3))

    with pytest.raises(TopicProblem, match=r"has 3 partitions, kafka\.partitions is 4"):
        ensure(OvertakenCluster(a_cluster([])), WANTED)


def test_a_cluster_that_never_shows_what_was_made_is_unavailable():
    class SilentCluster(ClusterInMemory):
        def create(self, topics, replication):
            pass

    with pytest.raises(Unavailable, match="does not show within 0 s"):
        ensure(SilentCluster(a_cluster([])), WANTED, timeout_s=0)
