"""Meters, customers, features and entitlements of a run, made and read as users do: over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import httpx

from runtime import clock
from tests.chaos.events import CUSTOMERS, FEATURES, LATE_S_MAX, METERS

GRANTED = Decimal(10**9)


def make_accounts(url: str) -> datetime:
    """Each customer is entitled to each feature; from when usage is measured."""
    since = clock.wall_now().replace(second=0, microsecond=0) - timedelta(seconds=LATE_S_MAX + 600)
    with httpx.Client(base_url=url, timeout=60) as client:

        def make(path: str, **body) -> None:
            answer = client.post(path, json=body)
            assert answer.status_code in (200, 201), f"{path} {answer.status_code} {answer.text}"

        for slug, meter in METERS.items():
            more = {} if meter.value_property is None else {"valueProperty": meter.value_property}
            make(
                "/api/v1/meters",
                slug=slug,
                eventType=meter.event_type,
                aggregation=meter.aggregation.value,
                groupBy=meter.group_by,
                **more,
            )
        for feature, slug in FEATURES.items():
            make("/api/v1/features", key=feature, name=feature, meterSlug=slug)
        for key in CUSTOMERS:
            subjects = [key, f"{key}-app"]
            make(
                "/api/v1/customers",
                key=key,
                name=key,
                usageAttribution={"subjectKeys": subjects},
            )
            for feature in FEATURES:
                make(
                    f"/api/v2/customers/{key}/entitlements",
                    type="metered",
                    featureKey=feature,
                    usagePeriod={"interval": "YEAR", "anchor": since.isoformat()},
                    measureUsageFrom=since.isoformat(),
                    grants=[
                        {"amount": int(GRANTED), "priority": 1, "effectiveAt": since.isoformat()}
                    ],
                )
    return since


def value_path(customer: str, feature: str) -> str:
    return f"/api/v2/customers/{customer}/entitlements/{feature}/value"
