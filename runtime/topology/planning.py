"""What would have to change on a cluster so that it has the topics of the catalogue, and what must not be done. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.cluster import Cluster, FoundTopic
from schemas.topics import Role, Setting, Topic, Verdict, insync_replicas_min

_MIN_ISR = "min.insync.replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A topic that is not there."""

    topic: Topic
    replication: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grow:
    """A topic without keys has too few partitions."""

    topic: str
    found: int
    wanted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A setting has another value than the catalogue says, and either does."""

    topic: str
    name: str
    found: str
    wanted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A setting has a value that loses or doubles something: nothing may run on it. `code` and `why` say what."""

    topic: str
    name: str
    found: str
    wanted: str
    code: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What cannot be done at all. `reason` goes on from the topic's name: what is wrong, why not, what to do instead."""

    topic: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Worth knowing; neither an obstacle nor something that we would change. `text` goes on from the topic's name."""

    topic: str
    text: str


Change = Create | Grow | Set


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Safe changes in the order in which they are made, unsafe settings, what is refused, what is worth knowing."""

    changes: tuple[Change, ...] = ()
    repairs: tuple[Repair, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether processes may run on the cluster once the changes are made."""
        return not self.repairs and not self.refusals

    @property
    def done(self) -> bool:
        """Whether the cluster is as the catalogue says."""
        return self.safe and not self.changes


def make_plan(wanted: Sequence[Topic], replication: int, cluster: Cluster) -> Plan:
    """What turns `cluster` into `wanted`, new topics with `replication` copies of each partition."""
    changes: list[Change] = []
    repairs: list[Repair] = []
    refusals: list[Refusal] = []
    notes: list[Note] = []
    for topic in wanted:
        found = cluster.topics.get(topic.name)
        if found is None and replication > cluster.brokers:
            refusals.append(_too_few_brokers(topic, replication, cluster.brokers))
        elif found is None:
            changes.append(Create(topic=topic, replication=replication))
        else:
            _compare_partitions(topic, found, changes, refusals)
            _compare_settings(topic, found, changes, repairs)
            _compare_copies(found, changes, repairs)
            notes += _remarks(topic, found, replication)
    order = (Create, Grow, Set)
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: order.index(type(change)))),
        repairs=tuple(repairs),
        refusals=tuple(refusals),
        notes=tuple(notes),
    )


def _too_few_brokers(topic: Topic, replication: int, brokers: int) -> Refusal:
    return Refusal(
        topic=topic.name,
        code="replication_above_brokers",
        reason=f"cannot be made: kafka.replication_factor is {replication}, but {counted(brokers, 'broker')} {'is' if brokers == 1 else 'are'} up: "
        "start the others, or set it to what the cluster has",
    )


def _compare_partitions(
    topic: Topic, found: FoundTopic, changes: list[Change], refusals: list[Refusal]
) -> None:
    if found.partitions == topic.partitions or (
        not topic.keyed and found.partitions > topic.partitions
    ):
        return
    if topic.keyed:
        refusals.append(_other_partitions(topic, found))
    else:
        changes.append(Grow(topic=topic.name, found=found.partitions, wanted=topic.partitions))


def _other_partitions(topic: Topic, found: FoundTopic) -> Refusal:
    has = counted(found.partitions, "partition")
    if topic.role is Role.CATALOG:
        wanted = "it must have 1: one partition is what keeps the changes in order"
        instead = (
            "delete the topic and apply again if nothing has used it yet, or begin a new namespace"
        )
    else:
        wanted = (
            f"kafka.partitions is {topic.partitions}: the partition count of a keyed topic never changes in place, keys would move "
            "away from their state and repeats would count again"
        )
        instead = f"set kafka.partitions to {found.partitions}, or begin a new namespace with another count"
    return Refusal(
        topic=topic.name,
        code="partitions_changed",
        reason=f"has {has}, {wanted}; {instead}",
    )


def _compare_settings(
    topic: Topic, found: FoundTopic, changes: list[Change], repairs: list[Repair]
) -> None:
    for setting in topic.settings:
        value = found.settings.get(setting.name, "")
        match setting.judge(value):
            case Verdict.DIFFERS:
                changes.append(
                    Set(topic=topic.name, name=setting.name, found=value, wanted=setting.value)
                )
            case Verdict.UNSAFE:
                repairs.append(_repair(topic, setting, value))
            case Verdict.FITS:
                pass


def _repair(topic: Topic, setting: Setting, found: str) -> Repair:
    return Repair(
        topic=topic.name,
        name=setting.name,
        found=found,
        wanted=setting.value,
        code=setting.code,
        why=setting.why,
    )


def _compare_copies(found: FoundTopic, changes: list[Change], repairs: list[Repair]) -> None:
    """min.insync.replicas goes by the copies that the topic has, not by those that a new one would get; a stricter one stays."""
    value = found.settings.get(_MIN_ISR, "1")
    wanted = insync_replicas_min(found.replication)
    if int(value) > found.replication:
        repairs.append(
            Repair(
                topic=found.name,
                name=_MIN_ISR,
                found=value,
                wanted=str(wanted),
                code="nothing_can_be_written",
                why=f"each partition has {found.replication} copies, so no write is ever acknowledged",
            )
        )
    elif int(value) < wanted:
        changes.append(Set(topic=found.name, name=_MIN_ISR, found=value, wanted=str(wanted)))


def _remarks(topic: Topic, found: FoundTopic, replication: int) -> list[Note]:
    texts = []
    if found.replication < replication:
        texts.append(
            f"has {found.replication} of {replication} copies of each partition: apply does not move data, use kafka-reassign-partitions.sh, "
            f"then apply again for {_MIN_ISR}"
        )
    gone = {number: offset for number, offset in sorted(found.begins.items()) if offset > 0}
    if topic.cleanup == "compact" and gone:
        where = ", ".join(f"{number} at {offset}" for number, offset in gone.items())
        texts.append(
            f"has lost its oldest records, partitions begin at other offsets than 0 ({where}): a worker without its disk could not "
            "restore what stood there"
        )
    declared = {setting.name for setting in topic.settings} | {_MIN_ISR}
    texts += [
        f"has {name}={found.settings[name]}, which is not ours and stays"
        for name in sorted(found.own - declared)
    ]
    return [Note(topic=topic.name, text=text) for text in texts]


def problems(plan: Plan) -> list[str]:
    """Why nothing may run on the cluster, and what to do: a line each, one for all topics with the same trouble."""
    return by_text(
        [
            *((refusal.topic, refusal.reason) for refusal in plan.refusals),
            *(
                (
                    repair.topic,
                    f"has {repair.name} {repair.found}, it must be {repair.wanted}: {repair.why}; "
                    "`meterstream topology apply --repair` sets it",
                )
                for repair in plan.repairs
            ),
        ]
    )


def by_text(said: Iterable[tuple[str, str]]) -> list[str]:
    """(topic, text) as lines, a text that several topics have only once."""
    topics: dict[str, list[str]] = {}
    for topic, text in said:
        topics.setdefault(text, []).append(topic)
    return [f"{_first_of(names)} {text}" for text, names in topics.items()]


def _first_of(topics: list[str]) -> str:
    more = len(topics) - 1
    if not more:
        return topics[0]
    return f"{topics[0]}, like {more} more topic{'s' * (more > 1)},"


def counted(count: int, what: str) -> str:
    """1 partition, 4 partitions, 2 copies."""
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count} {what if count == 1 else many}"
