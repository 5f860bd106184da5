"""The descriptions of all operations."""

from __future__ import annotations

from api.openapi.operation import Operation
from api.openapi.operations import events, meters, service

OPERATIONS: tuple[Operation, ...] = (
    *events.OPERATIONS,
    *meters.OPERATIONS,
    *service.OPERATIONS,
)
