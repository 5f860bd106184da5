"""What reconcile found, for people, for programs, and for Prometheus (a file for the node exporter's textfile collector)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from rich.console import Console
from rich.table import Table

from runtime.reconcile.run import Report

_ROWS_MAX = 50
WHY = {
    "loading": "the worker is still loading its history",
    "behind": "the worker has not heard of its newest change",
    "elsewhere": "its partition is moving to another worker",
    "past": "the minute ended",
    "unknown": "the worker does not know it",
    "deleted": "it was deleted",
}
"""Of the words of `schemas.balances.Answer`."""


def show(report: Report, console: Console) -> None:
    """A table where there is something to see, and one line."""
    if report.differences:
        table = Table(box=None, pad_edge=False)
        for name in ("customer", "entitlement", "feature", "field"):
            table.add_column(name, no_wrap=name != "feature")
        for name in ("worker", "recomputed", "apart"):
            table.add_column(name, justify="right")
        for one in report.differences[:_ROWS_MAX]:
            table.add_row(
                one.customer_id,
                one.entitlement_id,
                one.feature_key,
                one.field,
                one.worker or "nothing",
                one.recomputed or "nothing",
                format(one.amount, "f"),
            )
        console.print(table)
    for line in _told(report):
        console.print(line, soft_wrap=True, markup=False)


def _told(report: Report) -> Iterator[str]:
    if len(report.differences) > _ROWS_MAX:
        yield f"… and {len(report.differences) - _ROWS_MAX:,} more differences: --json shows them"
    for one in report.unsettled[:_ROWS_MAX]:
        yield f"not compared: {one.customer_id}: {WHY.get(one.why, one.why)}"
    if len(report.unsettled) > _ROWS_MAX:
        yield f"not compared: {report.unsettled_customers - _ROWS_MAX:,} more"
    said = (
        f"{report.entitlements:,} balances of {report.customers:,} customers compared: "
        f"{report.drifting:,} drift, the largest difference is {report.largest:f}"
    )
    if report.unsettled_customers:
        said += f"; {report.unsettled_customers:,} customers could not be compared"
    if report.interrupted:
        said += f"; interrupted, of {report.customers_of:,} customers"
    yield said


def progress(report: Report) -> str:
    """One line while it runs."""
    seen = report.customers + report.unsettled_customers
    return f"{seen:,} of {report.customers_of:,} customers, {report.drifting:,} drift"


def as_values(report: Report) -> dict[str, Any]:
    """For programs."""
    return {
        "customers": report.customers,
        "entitlements": report.entitlements,
        "drifting": report.drifting,
        "largestDifference": format(report.largest, "f"),
        "notCompared": report.unsettled_customers,
        "interrupted": report.interrupted,
        "differences": [
            {
                "customerId": one.customer_id,
                "entitlementId": one.entitlement_id,
                "featureKey": one.feature_key,
                "field": one.field,
                "worker": one.worker,
                "recomputed": one.recomputed,
                "apart": format(one.amount, "f"),
            }
            for one in report.differences
        ],
        "customersNotCompared": [
            {"customerId": one.customer_id, "why": WHY.get(one.why, one.why)}
            for one in report.unsettled
        ],
    }


def as_json(report: Report) -> str:
    """`as_values` as text."""
    return msgspec.json.format(msgspec.json.encode(as_values(report))).decode()


def write_metrics(report: Report, path: Path, finished_s: float) -> None:
    """Replace the file whole: a collector never reads half of it. OSError."""
    registry = CollectorRegistry()
    for name, about, value in (
        (
            "drift_entitlements",
            "Balances that differ from those recomputed; 0 is the only good value.",
            report.drifting,
        ),
        ("drift_largest", "Greatest amount by which a number differs.", float(report.largest)),
        ("entitlements", "Balances that were compared.", report.entitlements),
        (
            "not_compared_customers",
            "Customers that could not be compared.",
            report.unsettled_customers,
        ),
        ("finished_timestamp_seconds", "When the run ended, Unix seconds.", finished_s),
    ):
        Gauge(f"meterstream_reconcile_{name}", about, registry=registry).set(value)
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(generate_latest(registry))
    os.replace(beside, path)
