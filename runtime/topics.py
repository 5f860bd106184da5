"""Makes and checks the topics of the configured namespace: every process does so before it uses them.

The mechanism is that of `meterstream topology` (runtime/topology/), but a process only makes what is missing. It leaves settings
that merely differ as they are, and refuses to run on those that would lose or double something.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from connectors.kafka.admin import TopicAdmin, TopicProblem
from runtime.config import Config
from runtime.topology.applying import Admin, Wanted, carry_out, plan_for, spoken, wait_until
from runtime.topology.planning import Plan, Set, problems
from schemas import topics

log = logging.getLogger(__name__)


def wanted_topics(config: Config) -> Wanted:
    """What the configuration asks of a cluster."""
    return Wanted(
        topics=topics.catalogue(
            config.namespace,
            partitions=config.kafka.partitions,
            retention_ms=_ms(config.kafka.retention.total_seconds()),
            window_ms=_ms(config.dedupe.window.total_seconds()),
        ),
        replication=config.kafka.replication_factor,
    )


def ensure_topics(
    config: Config, *, timeout_s: float = 10.0, say: Callable[[str], None] = lambda _: None
) -> None:
    """Make what is missing, then check all. TopicProblem; Unavailable when Kafka does not answer within `timeout_s`."""
    assert config.kafka.bootstrap_servers is not None
    admin = TopicAdmin(config.kafka.bootstrap_servers, timeout_s)
    ensure(admin, wanted_topics(config), timeout_s=timeout_s, say=say)


def ensure(
    admin: Admin,
    wanted: Wanted,
    *,
    timeout_s: float = 10.0,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """The same for any topics. TopicProblem, Unavailable."""
    plan = plan_for(admin, wanted)
    _refuse_unsafe(plan)
    missing = _only_missing(plan)
    if missing.changes:
        carry_out(admin, missing, say=say)
        plan = wait_until(admin, wanted, _settled, timeout_s)
        _refuse_unsafe(plan)  # another process may have made them, otherwise than we would
    for change in plan.changes:
        log.warning(
            "a topic differs from the configuration: `meterstream topology apply` changes it",
            extra={"difference": spoken(change)},
        )


def _settled(plan: Plan) -> bool:
    return bool(plan.refusals) or not _only_missing(plan).changes


def _refuse_unsafe(plan: Plan) -> None:
    if not plan.safe:
        raise TopicProblem("\n".join(problems(plan)))


def _only_missing(plan: Plan) -> Plan:
    return Plan(changes=tuple(c for c in plan.changes if not isinstance(c, Set)))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
