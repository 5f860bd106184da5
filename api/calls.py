"""What an endpoint finds in its application: the ports, once they are there, and the bounds."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from api.body import Bodies
from api.customers.management import CustomerRules
from api.metering.meters import MeterRules
from api.ports import Ports
from domain.entitlements.managing import Bounds
from domain.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Handed to every endpoint."""

    ports: Ports
    rules: MeterRules
    bodies: Bodies
    customers: CustomerRules = field(default_factory=CustomerRules)
    entitlements: Bounds = field(default_factory=Bounds)


def calls_of(request: Request) -> Calls:
    """Unavailable while the process still waits for the services it needs."""
    found: Calls | None = request.app.state.calls
    if found is None:
        raise Unavailable("starting: waiting for Kafka, PostgreSQL and ClickHouse")
    return found
