"""What is planned for a cluster: each danger has its code, each difference its change."""

from dataclasses import replace

import pytest

from domain.errors import Refused
from runtime.topology.planning import Create, Grow, Set, make_plan, problems
from schemas.topics import Role, catalogue, insync_replicas_min
from tests.clusters import (
    DAY_MS,
    a_catalogue,
    a_cluster,
    with_partitions,
    with_setting,
)

TOPICS = a_catalogue()
NAME = {topic.role: topic.name for topic in TOPICS}


def planned(cluster, *, topics=TOPICS, replication=1):
    return make_plan(topics, replication, cluster)


def test_nothing_is_planned_for_a_cluster_as_we_make_it():
    plan = planned(a_cluster(TOPICS))

    assert plan.done
    assert (plan.changes, plan.repairs, plan.refusals, plan.notes) == ((), (), (), ())


def test_an_empty_cluster_gets_every_topic():
    plan = planned(a_cluster([], brokers=3), replication=3)

    assert plan.changes == tuple(Create(topic=topic, replication=3) for topic in TOPICS)
    assert plan.safe


@pytest.mark.parametrize("count", [1, 3, 5, 8])
@pytest.mark.parametrize("role", sorted(set(Role) - {Role.REJECTED, Role.CATALOG, Role.OWNERS}))
def test_another_partition_count_of_a_keyed_topic_is_refused_up_and_down(role, count):
    plan = planned(with_partitions(a_cluster(TOPICS), NAME[role], count))

    (refusal,) = plan.refusals
    assert (refusal.code, refusal.topic) == ("partitions_changed", NAME[role])
    assert f"set kafka.partitions to {count}" in refusal.reason
    assert plan.changes == ()


def test_the_catalog_has_one_partition_whatever_is_configured():
    plan = planned(with_partitions(a_cluster(TOPICS), NAME[Role.CATALOG], 4))

    assert [refusal.code for refusal in plan.refusals] == ["partitions_changed"]
    assert "has 4 partitions, it must have 1" in plan.refusals[0].reason


def test_rejected_events_get_the_partitions_of_their_sources_and_may_have_more():
    rejected = NAME[Role.REJECTED]

    few = planned(with_partitions(a_cluster(TOPICS), rejected, 2))
    many = planned(with_partitions(a_cluster(TOPICS), rejected, 9))

    assert few.changes == (Grow(topic=rejected, found=2, wanted=4),)
    assert few.safe
    assert many.done


@pytest.mark.parametrize(
    ("role", "name", "value", "code"),
    [
        (Role.EVENTS, "retention.ms", str(31 * DAY_MS), "retention_below_window"),
        (Role.EVENTS_RAW, "retention.ms", "0", "retention_below_window"),
        (Role.EVENTS, "retention.bytes", "1073741824", "retention_by_size"),
        (Role.EVENTS, "cleanup.policy", "compact", "cleanup_would_delete_events"),
        (Role.EVENTS, "cleanup.policy", "delete,compact", "cleanup_would_delete_events"),
        (Role.EVENTS, "message.timestamp.type", "CreateTime", "timestamps_not_by_arrival"),
        (Role.CHANGELOG, "cleanup.policy", "delete", "cleanup_would_delete_state"),
        (Role.USAGE, "cleanup.policy", "compact,delete", "cleanup_would_delete_state"),
        (Role.CATALOG, "cleanup.policy", "delete", "cleanup_would_delete_state"),
        (Role.BALANCES, "cleanup.policy", "delete", "cleanup_would_delete_state"),
        (Role.CHANGELOG, "min.compaction.lag.ms", "1799999", "compaction_too_early"),
        (Role.CHANGELOG, "max.message.bytes", "1048588", "batch_too_short"),
        (Role.CHANGELOG, "unclean.leader.election.enable", "true", "unclean_election"),
        (Role.CHANGELOG, "min.insync.replicas", "2", "nothing_can_be_written"),
    ],
)
def test_a_dangerous_setting_is_unsafe_and_says_why(role, name, value, code):
    plan = planned(with_setting(a_cluster(TOPICS), NAME[role], name, value))

    (repair,) = plan.repairs
    assert not plan.safe
    assert (repair.code, repair.topic, repair.name, repair.found) == (
        code,
        NAME[role],
        name,
        value,
    )
    assert repair.why
    assert plan.changes == ()


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        (Role.CHANGELOG, "min.compaction.lag.ms", "3600000"),
        (Role.CHANGELOG, "max.message.bytes", "33554432"),
        (Role.EVENTS, "max.message.bytes", "33554432"),
    ],
)
def test_an_operators_larger_bound_stays(role, name, value):
    plan = planned(with_setting(a_cluster(TOPICS), NAME[role], name, value))

    assert plan.done


@pytest.mark.parametrize("value", [str(32 * DAY_MS), str(90 * DAY_MS), "-1"])
def test_another_safe_retention_is_changed_to_the_configured_one(value):
    plan = planned(with_setting(a_cluster(TOPICS), NAME[Role.EVENTS], "retention.ms", value))

    (change,) = plan.changes
    assert change == Set(
        topic=NAME[Role.EVENTS], name="retention.ms", found=value, wanted=str(40 * DAY_MS)
    )
    assert plan.safe


def test_rejected_events_may_go_early_since_nothing_is_counted_from_them():
    cluster = with_setting(a_cluster(TOPICS), NAME[Role.REJECTED], "retention.ms", str(DAY_MS))

    plan = planned(cluster)

    assert plan.safe
    assert [change.name for change in plan.changes] == ["retention.ms"]


def test_more_copies_than_brokers_are_refused_for_what_has_to_be_made():
    missing = planned(a_cluster(TOPICS[1:], brokers=2, replication=3), replication=3)
    there = planned(a_cluster(TOPICS, brokers=2, replication=3), replication=3)

    assert [(r.code, r.topic) for r in missing.refusals] == [
        ("replication_above_brokers", TOPICS[0].name)
    ]
    assert there.done  # a broker is down: no reason to keep a worker from starting


def test_fewer_copies_than_configured_are_noted_since_data_is_not_moved():
    plan = planned(a_cluster(TOPICS, brokers=3, replication=1), replication=3)

    assert plan.done
    assert len(plan.notes) == len(TOPICS)
    assert "1 of 3 copies" in plan.notes[0].text


def test_more_than_half_of_the_copies_must_have_a_record_so_that_one_broker_may_be_down():
    assert [insync_replicas_min(copies) for copies in range(1, 6)] == [1, 1, 2, 3, 3]

    cluster = a_cluster(TOPICS, replication=3)
    events = NAME[Role.EVENTS]
    fewer = planned(with_setting(cluster, events, "min.insync.replicas", "1"), replication=3)
    stricter = planned(with_setting(cluster, events, "min.insync.replicas", "3"), replication=3)

    assert [(c.name, c.wanted) for c in fewer.changes] == [("min.insync.replicas", "2")]
    assert stricter.done


def test_what_somebody_else_set_is_noted_and_stays():
    plan = planned(with_setting(a_cluster(TOPICS), NAME[Role.EVENTS], "segment.ms", "3600000"))

    assert plan.done
    assert [(n.topic, n.text) for n in plan.notes] == [
        (NAME[Role.EVENTS], "has segment.ms=3600000, which is not ours and stays")
    ]


def test_state_that_was_deleted_is_noted():
    cluster = a_cluster(TOPICS)
    changelog = NAME[Role.CHANGELOG]
    cut = replace(cluster.topics[changelog], begins={0: 0, 1: 512})

    plan = planned(replace(cluster, topics={**cluster.topics, changelog: cut}))

    assert "1 at 512" in plan.notes[0].text


def test_a_catalogue_that_asks_for_less_than_the_dedupe_window_is_refused():
    with pytest.raises(Refused) as refused:
        catalogue("t", partitions=4, retention_ms=DAY_MS, window_ms=2 * DAY_MS)

    assert (refused.value.code, refused.value.field) == (
        "retention_below_window",
        "kafka.retention",
    )


def test_one_trouble_of_many_topics_is_one_line():
    lines = problems(planned(a_cluster(TOPICS), topics=a_catalogue(partitions=8)))

    (line,) = lines
    assert line.startswith(
        "om_t_events, like 6 more topics, has 4 partitions, kafka.partitions is 8"
    )


def test_a_line_names_the_setting_what_it_must_be_and_what_sets_it():
    cluster = with_setting(a_cluster(TOPICS), NAME[Role.USAGE], "cleanup.policy", "delete")

    (line,) = problems(planned(cluster))

    assert line.startswith("om_t_usage has cleanup.policy delete, it must be compact: records of")
    assert line.endswith("`meterstream topology apply --repair` sets it")
