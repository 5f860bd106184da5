"""Laws of planning and applying, on clusters in any state."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runtime.topology.applying import Wanted, carry_out, plan_for
from runtime.topology.planning import Create, Grow, Plan, make_plan
from schemas.cluster import Cluster
from schemas.topics import Verdict
from tests.clusters import DAY_MS, ClusterInMemory, Interrupted, a_catalogue, as_made

VALUES = {
    "cleanup.policy": ["delete", "compact", "compact,delete"],
    "retention.ms": ["-1", "0", str(DAY_MS), str(32 * DAY_MS), str(40 * DAY_MS), "9" * 15],
    "retention.bytes": ["-1", "0", "1000000"],
    "max.message.bytes": ["1", str(8 << 20), str(16 << 20), str(64 << 20)],
    "min.compaction.lag.ms": ["0", "1800000", "86400000"],
    "message.timestamp.type": ["CreateTime", "LogAppendTime"],
    "unclean.leader.election.enable": ["true", "false"],
    "min.insync.replicas": ["1", "2", "3", "4"],
    "segment.ms": ["1000"],
}
TOPICS = a_catalogue()


@st.composite
def found_topics(draw, topic):
    found = as_made(topic, draw(st.integers(1, 3)))
    names = draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=4))
    changed = {name: draw(st.sampled_from(VALUES[name])) for name in sorted(names)}
    partitions = draw(st.sampled_from([topic.partitions] * 4 + [1, 2, 5, 8]))
    return replace(
        found,
        partitions=partitions,
        settings={**found.settings, **changed},
        own=found.own | names,
    )


@st.composite
def clusters(draw):
    there = draw(st.lists(st.sampled_from(TOPICS), unique_by=lambda topic: topic.name))
    return Cluster(
        brokers=draw(st.integers(1, 4)),
        topics={topic.name: draw(found_topics(topic)) for topic in there},
    )


copies = st.integers(1, 4)


@given(clusters(), copies)
def test_after_an_apply_with_repair_only_what_was_refused_is_left(cluster, replication):
    admin, wanted = ClusterInMemory(cluster), Wanted(topics=TOPICS, replication=replication)
    before = plan_for(admin, wanted)

    carry_out(admin, before, repair=True)

    after = plan_for(admin, wanted)
    assert (after.changes, after.repairs) == ((), ())
    assert after.refusals == before.refusals


@given(clusters(), copies)
def test_an_apply_without_repair_leaves_unsafe_settings_as_they_are(cluster, replication):
    admin, wanted = ClusterInMemory(cluster), Wanted(topics=TOPICS, replication=replication)
    before = plan_for(admin, wanted)

    carry_out(admin, before)

    after = plan_for(admin, wanted)
    assert (after.changes, after.repairs) == ((), before.repairs)


@given(clusters(), copies, st.integers(0, 20))
def test_an_apply_that_is_cut_short_is_resumed(cluster, replication, made):
    wanted = Wanted(topics=TOPICS, replication=replication)
    whole, cut = ClusterInMemory(cluster), ClusterInMemory(cluster, changes_left=made)
    carry_out(whole, plan_for(whole, wanted), repair=True)

    try:
        carry_out(cut, plan_for(cut, wanted), repair=True)
    except Interrupted:
        cut.changes_left = 1_000
        carry_out(cut, plan_for(cut, wanted), repair=True)

    assert cut.cluster == whole.cluster


@given(clusters(), copies)
def test_what_is_done_twice_changes_nothing(cluster, replication):
    wanted = Wanted(topics=TOPICS, replication=replication)
    admin = ClusterInMemory(cluster)
    plan = plan_for(admin, wanted)
    carry_out(admin, plan, repair=True)
    once = admin.cluster

    carry_out(admin, plan, repair=True)

    assert admin.cluster == once


@given(clusters(), copies)
def test_no_plan_changes_the_partitions_of_a_keyed_topic_or_takes_partitions_away(
    cluster, replication
):
    plan = make_plan(TOPICS, replication, cluster)

    keyed = {topic.name: topic.keyed for topic in TOPICS}
    for change in plan.changes:
        if isinstance(change, Create):
            assert change.topic.name not in cluster.topics
        if isinstance(change, Grow):
            assert not keyed[change.topic]
            assert change.wanted > change.found


@given(clusters(), copies)
def test_a_plan_is_safe_only_when_every_setting_and_count_is(cluster, replication):
    plan: Plan = make_plan(TOPICS, replication, cluster)

    dangers = 0
    for topic in TOPICS:
        found = cluster.topics.get(topic.name)
        if found is None:
            dangers += replication > cluster.brokers
            continue
        dangers += topic.keyed and found.partitions != topic.partitions
        dangers += int(found.settings["min.insync.replicas"]) > found.replication
        dangers += sum(
            setting.judge(found.settings[setting.name]) is Verdict.UNSAFE
            for setting in topic.settings
        )
    assert len(plan.repairs) + len(plan.refusals) == dangers
    assert plan.safe == (dangers == 0)
