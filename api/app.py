"""The HTTP application: every resource, the problem documents, the counting."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import StatelessLifespan

from api import health
from api.answers import json_bytes
from api.balances import explain_routes
from api.balances.calls import BalanceCalls
from api.calls import Calls
from api.health import Check, Look
from api.holds.ports import WorkerHolds
from api.observed import Observed
from api.openapi import serving
from api.openapi.catalogue import OPERATIONS
from api.openapi.document import build
from api.openapi.operations import testing as testing_operations
from api.problem import HANDLERS
from api.routing import MatchAsSent, Resource
from api.streaming.hub import Hub
from api.v1 import (
    customers,
    debug,
    entitlement_values,
    entitlements,
    events,
    events_v2,
    fate,
    features,
    grants,
    holds,
    meter_query,
    meter_values,
    meters,
    rejected,
    stream,
    subjects,
)
from api.v1.testing import CLOCK
from api.v2 import entitlement_values as entitlement_values_v2
from api.v2 import entitlements as entitlements_v2
from api.v2 import grants as grants_v2
from api.v3 import entitlement_access

RESOURCES: tuple[Resource, ...] = (
    events.EVENTS,
    events_v2.EVENTS_V2,
    rejected.REJECTED,
    fate.FATE,
    meters.COLLECTION,
    meters.ITEM,
    meter_query.QUERY,
    meter_values.SUBJECTS,
    meter_values.GROUP_VALUES,
    customers.COLLECTION,
    customers.ITEM,
    subjects.COLLECTION,
    subjects.ITEM,
    features.COLLECTION,
    features.ITEM,
    *entitlements.RESOURCES,
    *grants.RESOURCES,
    *entitlements_v2.RESOURCES,
    *grants_v2.RESOURCES,
    *entitlement_values.RESOURCES,
    *entitlement_values_v2.RESOURCES,
    *entitlement_access.RESOURCES,
    *holds.RESOURCES,
    stream.BALANCES,
    *explain_routes.RESOURCES,
    debug.METRICS,
    *health.RESOURCES,
    *serving.RESOURCES,
)


TESTING: tuple[Resource, ...] = (CLOCK,)
"""Beside them with `testing.clock`."""


@cache
def openapi(with_testing: bool = False) -> bytes:
    """The OpenAPI document of all this, as JSON."""
    if with_testing:
        return json_bytes(
            build((*RESOURCES, *TESTING), (*OPERATIONS, *testing_operations.OPERATIONS))
        )
    return json_bytes(build(RESOURCES, OPERATIONS))


def create_app(
    calls: Calls | None = None,
    balances: BalanceCalls | None = None,
    worker_holds: WorkerHolds | None = None,
    hub: Hub | None = None,
    checks: Mapping[str, Check] | None = None,
    lifespan: StatelessLifespan[Starlette] | None = None,
    look: Look | None = None,
    with_testing: bool = False,
) -> Starlette:
    """The application. Without `calls` it answers 503 until `app.state.calls` is set; what `balances` can answer it answers before."""
    resources = (*RESOURCES, *TESTING) if with_testing else RESOURCES
    app = Starlette(
        routes=[resource.route() for resource in resources],
        middleware=[Middleware(Observed), Middleware(MatchAsSent)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.calls = calls
    app.state.balances = balances
    app.state.holds = worker_holds
    app.state.hub = hub
    app.state.checks = checks or {}
    app.state.look = look
    app.state.openapi = partial(openapi, with_testing)
    return app
