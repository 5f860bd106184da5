"""What a Kafka cluster has, as far as the topics catalogue asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTopic:
    """A topic on the cluster. `replication`: copies of the partition that has the fewest."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]
    """The values in effect, wherever they come from."""
    own: frozenset[str] = frozenset()
    """Names of the settings that the topic itself has; the others are the brokers' defaults."""
    begins: Mapping[int, int] = field(default_factory=dict)
    """First offset by partition, when it was asked for: above 0, older records were deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The brokers that are up, and those topics asked for that are there, by name."""

    brokers: int
    topics: Mapping[str, FoundTopic]
