"""Makes and checks the topics of the configured namespace: every process does so before it uses them."""

from __future__ import annotations

from connectors.kafka.admin import TopicAdmin
from runtime.config import Config
from schemas import topics


def ensure_topics(config: Config, *, timeout_s: float = 10.0) -> None:
    """Make and check the topics. TopicProblem; Unavailable when Kafka does not answer within `timeout_s`."""
    assert config.kafka.bootstrap_servers is not None
    retention_ms = int(config.kafka.retention.total_seconds() * 1000)
    TopicAdmin(config.kafka.bootstrap_servers, timeout_s).ensure(
        topics.catalogue(
            config.namespace, partitions=config.kafka.partitions, retention_ms=retention_ms
        ),
        replication_factor=config.kafka.replication_factor,
        retention_ms_min=int(config.dedupe.window.total_seconds() * 1000),
    )
