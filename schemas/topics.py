"""The topics catalogue: every topic the product lives on, with its partitions and settings and what another value would do.

The only place that says so: `meterstream topology` plans, applies and describes it, every process checks it at its start
(runtime/topology/). Source: design "Topics".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Refused

_NAMESPACE = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*\Z", re.ASCII)

CHANGELOG_BATCH_BYTES_MAX = 16 << 20
EVENT_BATCH_BYTES_MAX = 8 << 20
EVENT_RECORD_BYTES_MAX = 1 << 20
COMPACTION_LAG_MS_MIN = 30 * 60 * 1000
"""How long a stale worker's batch leaves the records that it hides in place: the owner must have mended it by then."""


class Role(StrEnum):
    """What a topic is for; the names of TopicNames."""

    EVENTS = "events"
    EVENTS_RAW = "events_raw"
    REJECTED = "rejected"
    USAGE = "usage"
    BALANCES = "balances"
    HOLDS = "holds"
    ALERTS = "alerts"
    CATALOG = "catalog"
    OWNERS = "owners"
    CHANGELOG = "changelog"


class Fit(StrEnum):
    """Which values of a setting do. Minus one stands for "without limit" where Kafka has it so."""

    EXACTLY = "exactly"
    """Every other value is unsafe."""
    AT_LEAST = "at least"
    """Less is unsafe; more is an operator's choice and stays."""
    CHOSEN = "chosen"
    """Follows the configuration. Below `floor` it is unsafe, else another value only differs."""


class Verdict(StrEnum):
    """What a value found on a cluster means."""

    FITS = "fits"
    DIFFERS = "differs"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of a topic: `value` is what the topic is made with, `code` and `why` name what an unsafe value would do."""

    name: str
    value: str
    fit: Fit
    code: str
    why: str
    floor: int | None = None
    """In the setting's unit; for CHOSEN only."""

    def judge(self, found: str) -> Verdict:
        """What `found`, the value in effect on a cluster, means."""
        if found == self.value:
            return Verdict.FITS
        match self.fit:
            case Fit.EXACTLY:
                return Verdict.UNSAFE
            case Fit.AT_LEAST:
                return Verdict.UNSAFE if _below(found, int(self.value)) else Verdict.FITS
            case Fit.CHOSEN:
                short = self.floor is not None and _below(found, self.floor)
                return Verdict.UNSAFE if short else Verdict.DIFFERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic as it must be. `keyed`: the partition count is part of stored formats and never changes in place."""

    role: Role
    name: str
    partitions: int
    keyed: bool
    settings: tuple[Setting, ...]
    holds: str

    @property
    def config(self) -> Mapping[str, str]:
        """What it is made with."""
        return {setting.name: setting.value for setting in self.settings}

    @property
    def cleanup(self) -> str:
        """delete: goes by age. compact: keeps the newest record of every key, which is somebody's state."""
        return self.config["cleanup.policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicNames:
    """The names in one namespace."""

    events: str
    events_raw: str
    rejected: str
    usage: str
    balances: str
    holds: str
    alerts: str
    catalog: str
    owners: str
    changelog: str

    def of(self, role: Role) -> str:
        """The name of the topic for `role`."""
        name: str = getattr(self, role.value)
        return name


def names(namespace: str) -> TopicNames:
    """The names in `namespace`; Refused when it cannot be part of a topic's name."""
    if not _NAMESPACE.match(namespace) or len(namespace) > 64:
        raise Refused(
            "namespace_invalid",
            f"a namespace is letters and digits joined by single _, at most 64: {namespace!r}",
            "namespace",
        )
    prefix = f"om_{namespace}"
    return TopicNames(
        events=f"{prefix}_events",
        events_raw=f"{prefix}_events_raw",
        rejected=f"{prefix}_rejected",
        usage=f"{prefix}_usage",
        balances=f"{prefix}_balances",
        holds=f"{prefix}_holds",
        alerts=f"{prefix}_alerts",
        catalog=f"{prefix}_catalog",
        owners=f"{prefix}_owners",
        changelog=f"{prefix}_meter_changelog",
    )


def catalogue(
    namespace: str, *, partitions: int, retention_ms: int, window_ms: int = 0
) -> list[Topic]:
    """Every topic of `namespace`. `retention_ms` bounds the topics that go by age, of which events may not be younger than `window_ms`.

    Refused when the retention is below the dedupe window, or the namespace cannot be part of a name.
    """
    if 0 <= retention_ms < window_ms:
        raise Refused(
            "retention_below_window",
            f"a retention of {retention_ms} ms is below the dedupe window of {window_ms} ms",
            "kafka.retention",
        )
    name = names(namespace)
    events = _by_age(retention_ms, window_ms)
    others = _by_age(retention_ms, None)
    state = _kept_by_key()

    def topic(
        role: Role, settings: tuple[Setting, ...], holds: str, count: int, *, keyed: bool = True
    ) -> Topic:
        return Topic(
            role=role,
            name=name.of(role),
            partitions=count,
            keyed=keyed,
            settings=settings,
            holds=holds,
        )

    return [
        topic(Role.EVENTS, events, "CloudEvents, by subject", partitions),
        topic(Role.EVENTS_RAW, events, "CloudEvents, by any key", partitions),
        topic(
            Role.REJECTED, others, "refused events with their code", partitions, keyed=False
        ),  # written by number, to the partition of the source: more than that do no harm
        topic(Role.ALERTS, others, "threshold crossings, by customer", partitions),
        topic(Role.USAGE, state, "absolute usage rows, by row", partitions),
        topic(Role.BALANCES, state, "balances, by entitlement", partitions),
        topic(Role.HOLDS, state, "what holds reserve, by entitlement and key", partitions),
        topic(Role.CATALOG, state, "meters, by id", 1),
        topic(Role.OWNERS, (*state, _rolled_hourly()), "live workers, by name", 1),
        topic(
            Role.CHANGELOG, state, "the meter's state: rows, ids, markers, by state key", partitions
        ),
    ]


def insync_replicas_min(replication: int) -> int:
    """How many copies an acknowledged record must have, of `replication`: more than half of three and more, so that a broker may be down."""
    return replication // 2 + 1 if replication > 2 else 1


def _by_age(retention_ms: int, floor_ms: int | None) -> tuple[Setting, ...]:
    return (
        Setting(
            name="cleanup.policy",
            value="delete",
            fit=Fit.EXACTLY,
            code="cleanup_would_delete_events",
            why="compaction keeps the newest event of a subject and deletes the others",
        ),
        Setting(
            name="retention.ms",
            value=str(retention_ms),
            fit=Fit.CHOSEN,
            floor=floor_ms,
            code="retention_below_window",
            why=f"events go before the dedupe window of {floor_ms} ms has passed: a restored state could not judge repeats",
        ),
        Setting(
            name="retention.bytes",
            value="-1",
            fit=Fit.EXACTLY,
            code="retention_by_size",
            why="a busy day deletes events by size, before the dedupe window has passed or before they were counted",
        ),
        _length(EVENT_BATCH_BYTES_MAX),
        *_EVERYWHERE,
    )


def _kept_by_key() -> tuple[Setting, ...]:
    return (
        Setting(
            name="cleanup.policy",
            value="compact",
            fit=Fit.EXACTLY,
            code="cleanup_would_delete_state",
            why="records of live keys would be deleted by age: state that nothing else can restore",
        ),
        Setting(
            name="min.compaction.lag.ms",
            value=str(COMPACTION_LAG_MS_MIN),
            fit=Fit.AT_LEAST,
            code="compaction_too_early",
            why="what a worker that had lost its partition wrote could replace good records before the owner has mended them",
        ),
        _length(CHANGELOG_BATCH_BYTES_MAX),
        *_EVERYWHERE,
    )


def _rolled_hourly() -> Setting:
    return Setting(
        name="segment.ms",
        value=str(3_600_000),
        fit=Fit.CHOSEN,
        code="",
        why="only what is no longer written to is compacted: every live worker writes a record a second",
    )


def _length(bytes_max: int) -> Setting:
    return Setting(
        name="max.message.bytes",
        value=str(bytes_max),
        fit=Fit.AT_LEAST,
        code="batch_too_short",
        why="the broker would refuse a batch of the length that we write, and the partition would stand still",
    )


_EVERYWHERE = (
    Setting(
        name="message.timestamp.type",
        value="LogAppendTime",
        fit=Fit.EXACTLY,
        code="timestamps_not_by_arrival",
        why="a producer's clock would decide how long ids are remembered and when records go",
    ),
    Setting(
        name="unclean.leader.election.enable",
        value="false",
        fit=Fit.EXACTLY,
        code="unclean_election",
        why="a broker that lags may become leader, and acknowledged records are lost",
    ),
)


def _below(found: str, floor: int) -> bool:
    """Whether `found` is less than `floor`; what is not a number is."""
    if not re.fullmatch(r"-?\d+", found):
        return True
    return 0 <= int(found) < floor
