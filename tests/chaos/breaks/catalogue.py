"""Every kind of fault."""

from __future__ import annotations

from tests.chaos.breaks.brokers import BrokerKilled, ClusterRestarts, LeadersMove
from tests.chaos.breaks.fault import Fault
from tests.chaos.breaks.records import Poison
from tests.chaos.breaks.services import (
    ApiKilled,
    ClickHouseCut,
    ClickHouseDown,
    ClickHouseRefuses,
    ClickHouseSlow,
    PostgresDown,
)
from tests.chaos.breaks.states import SstDamaged, StateDeleted, WalCut
from tests.chaos.breaks.workers import (
    RebalanceStorm,
    WorkerAdded,
    WorkerAsleep,
    WorkerCutFromOne,
    WorkerCutOff,
    WorkerKilled,
    WorkerStopped,
)

ALL: dict[str, type[Fault]] = {
    fault.kind: fault
    for fault in (
        WorkerKilled,
        WorkerStopped,
        WorkerAsleep,
        StateDeleted,
        WalCut,
        SstDamaged,
        RebalanceStorm,
        WorkerAdded,
        WorkerCutOff,
        WorkerCutFromOne,
        BrokerKilled,
        LeadersMove,
        ClusterRestarts,
        ClickHouseDown,
        ClickHouseRefuses,
        ClickHouseSlow,
        ClickHouseCut,
        PostgresDown,
        ApiKilled,
        Poison,
    )
}
SHORT = (
    "worker-kill",
    "broker-kill",
    "clickhouse-down",
    "postgres-down",
    "worker-asleep",
    "api-kill",
    "state-deleted",
    "worker-stop",
)
"""One after another in the short run."""
