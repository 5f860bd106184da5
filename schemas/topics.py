"""The topics catalogue: every topic the product lives on, with its partitions, cleanup and bounds.

Applied and checked at start by connectors/kafka/admin.py. Source: design "Topics".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import Refused

_NAMESPACE = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*\Z", re.ASCII)

CHANGELOG_BATCH_BYTES_MAX = 16 << 20
EVENT_RECORD_BYTES_MAX = 1 << 20
COMPACTION_LAG_MS_MIN = 30 * 60 * 1000
"""How long a stale worker's batch leaves the records that it hides in place: the owner must have mended it by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic as it must be. `keyed`: the partition count is part of stored formats and never changes in place."""

    name: str
    partitions: int
    cleanup: str
    keyed: bool
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicNames:
    """The names in one namespace."""

    events: str
    events_raw: str
    rejected: str
    usage: str
    balances: str
    alerts: str
    catalog: str
    changelog: str


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
        alerts=f"{prefix}_alerts",
        catalog=f"{prefix}_catalog",
        changelog=f"{prefix}_meter_changelog",
    )


def catalogue(namespace: str, *, partitions: int, retention_ms: int) -> list[Topic]:
    """Every topic of `namespace`. `retention_ms` bounds the topics that are deleted by age."""
    name = names(namespace)

    def deleted(topic: str) -> Topic:
        return Topic(
            name=topic,
            partitions=partitions,
            cleanup="delete",
            keyed=topic != name.rejected,
            config={"retention.ms": str(retention_ms), "max.message.bytes": str(8 << 20)},
        )

    def compacted(topic: str, count: int = partitions) -> Topic:
        return Topic(
            name=topic,
            partitions=count,
            cleanup="compact",
            keyed=True,
            config={
                "max.message.bytes": str(CHANGELOG_BATCH_BYTES_MAX),
                "min.compaction.lag.ms": str(COMPACTION_LAG_MS_MIN),
            },
        )

    return [
        deleted(name.events),
        deleted(name.events_raw),
        deleted(name.rejected),
        deleted(name.alerts),
        compacted(name.usage),
        compacted(name.balances),
        compacted(name.catalog, 1),
        compacted(name.changelog),
    ]
