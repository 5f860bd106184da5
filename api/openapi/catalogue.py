"""The descriptions of all operations."""

from __future__ import annotations

from api.openapi.operation import Operation
from api.openapi.operations import (
    balances,
    customers,
    entitlements,
    events,
    features,
    grants,
    holds,
    meters,
    service,
)

OPERATIONS: tuple[Operation, ...] = (
    *events.OPERATIONS,
    *meters.OPERATIONS,
    *customers.OPERATIONS,
    *features.OPERATIONS,
    *entitlements.OPERATIONS,
    *grants.OPERATIONS,
    *balances.OPERATIONS,
    *holds.OPERATIONS,
    *service.OPERATIONS,
)
