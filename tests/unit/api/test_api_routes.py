"""Every route of the contract that exists by now is there, and no other answers under /api."""

from api.app import RESOURCES

CONTRACT = {
    "POST /api/v1/events",
    "GET /api/v1/events",
    "GET /api/v2/events",
    "POST /api/v1/meters",
    "GET /api/v1/meters",
    "GET /api/v1/meters/{meterIdOrSlug}",
    "PUT /api/v1/meters/{meterIdOrSlug}",
    "DELETE /api/v1/meters/{meterIdOrSlug}",
    "GET /api/v1/meters/{meterIdOrSlug}/query",
    "POST /api/v1/meters/{meterIdOrSlug}/query",
    "GET /api/v1/meters/{meterIdOrSlug}/subjects",
    "GET /api/v1/meters/{meterIdOrSlug}/group-by/{groupByKey}/values",
    "POST /api/v1/customers",
    "GET /api/v1/customers",
    "GET /api/v1/customers/{customerIdOrKey}",
    "PUT /api/v1/customers/{customerIdOrKey}",
    "DELETE /api/v1/customers/{customerIdOrKey}",
    "POST /api/v1/subjects",
    "GET /api/v1/subjects",
    "GET /api/v1/subjects/{subjectIdOrKey}",
    "DELETE /api/v1/subjects/{subjectIdOrKey}",
    "POST /api/v1/features",
    "GET /api/v1/features",
    "GET /api/v1/features/{featureId}",
    "DELETE /api/v1/features/{featureId}",
    "GET /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/value",
    "GET /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}/history",
    "GET /api/v1/customers/{customerIdOrKey}/entitlements/{featureKey}/value",
    "GET /api/v1/customers/{customerIdOrKey}/access",
    "GET /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/value",
    "GET /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/history",
    "POST /api/v3/openmeter/entitlement-access/query",
    "GET /api/v3/openmeter/customers/{customerId}/entitlement-access",
    "GET /api/v1/debug/metrics",
    "GET /api/v1/entitlements",
    "GET /api/v1/entitlements/{entitlementId}",
    "POST /api/v1/subjects/{subjectIdOrKey}/entitlements",
    "GET /api/v1/subjects/{subjectIdOrKey}/entitlements",
    "GET /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}",
    "DELETE /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}",
    "PUT /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/override",
    "POST /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementId}/reset",
    "GET /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    "POST /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    "GET /api/v1/grants",
    "DELETE /api/v1/grants/{grantId}",
    "GET /api/v2/entitlements",
    "GET /api/v2/entitlements/{entitlementId}",
    "POST /api/v2/customers/{customerIdOrKey}/entitlements",
    "GET /api/v2/customers/{customerIdOrKey}/entitlements",
    "GET /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}",
    "DELETE /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}",
    "PUT /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/override",
    "POST /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/reset",
    "GET /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    "POST /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/grants",
    "GET /api/v2/grants",
}
OURS = {
    "GET /api/v1/events/rejected",
    "GET /api/v1/events/fate",
    "POST /api/v1/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/holds",
    "GET /api/v1/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/holds",
    "GET /api/v1/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/holds/{holdKey}",
    "POST /api/v1/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/holds/{holdKey}/confirm",
    "POST /api/v1/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/holds/{holdKey}/release",
    "GET /api/v1/stream/balances",
    "GET /api/v1/subjects/{subjectIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/explain",
    "GET /api/v2/customers/{customerIdOrKey}/entitlements/{entitlementIdOrFeatureKey}/explain",
    "GET /api/v1/openapi.json",
    "GET /api/v1/openapi.yaml",
}
"""Beside the contract: docs/api.md."""

NAMES = {
    "{id_or_slug}": "{meterIdOrSlug}",
    "{key}": "{groupByKey}",
    "{feature_key}": "{featureKey}",
    "{customer_id}": "{customerId}",
    "{customer}": "{customerIdOrKey}",
    "{subject}": "{subjectIdOrKey}",
    "{feature}": "{featureId}",
    "{entitlement}": "{entitlementIdOrFeatureKey}",
    "{entitlement_id}": "{entitlementId}",
    "{grant_id}": "{grantId}",
    "{hold_key}": "{holdKey}",
}


def test_the_routes_are_those_of_the_contract():
    found = set()
    for resource in RESOURCES:
        path = resource.path
        for ours, theirs in NAMES.items():
            path = path.replace(ours, theirs)
        if path.startswith("/api/"):
            found |= {f"{method} {path}" for method in resource.handlers}

    assert found == CONTRACT | OURS


def test_operators_find_health_metrics_and_version():
    paths = {resource.path for resource in RESOURCES}

    assert {"/healthz/live", "/healthz/ready", "/metrics", "/version"} <= paths
