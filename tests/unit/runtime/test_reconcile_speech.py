"""What reconcile prints, exits with, and leaves for Prometheus."""

import io
import json
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from runtime.reconcile.command import DRIFT, INTERRUPTED, UNSETTLED, _exit_code
from runtime.reconcile.comparing import Difference
from runtime.reconcile.run import DIFFERENCES_MAX, Report
from runtime.reconcile.speech import as_json, progress, show, write_metrics


def a_difference(amount="0.5", entitlement="e1"):
    return Difference(
        customer_id="c1",
        entitlement_id=entitlement,
        feature_key="tokens",
        field="balance",
        worker="69.5",
        recomputed="70",
        amount=Decimal(amount),
    )


def a_report(*differences, unsettled=(), **more):
    report = Report(customers=7, customers_of=9, entitlements=12, **more)
    if differences:
        report.drift(differences)
    for customer in unsettled:
        report.give_up(customer, "loading")
    return report


def said(report):
    console = Console(file=io.StringIO(), width=200, color_system=None)
    show(report, console)
    return console.file.getvalue()


def test_without_drift_there_is_one_line():
    assert said(a_report()) == (
        "12 balances of 7 customers compared: 0 drift, the largest difference is 0\n"
    )


def test_drift_is_a_table_and_what_was_not_compared_is_named():
    text = said(a_report(a_difference(), a_difference("2", "e2"), unsettled=["c9"]))

    assert [line.split() for line in text.splitlines()[:2]] == [
        ["customer", "entitlement", "feature", "field", "worker", "recomputed", "apart"],
        ["c1", "e1", "tokens", "balance", "69.5", "70", "0.5"],
    ]
    assert "not compared: c9: the worker is still loading its history" in text
    assert text.endswith(
        "2 drift, the largest difference is 2; 1 customers could not be compared\n"
    )


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (a_report(), 0),
        (a_report(a_difference()), DRIFT),
        (a_report(unsettled=["c9"]), UNSETTLED),
        (a_report(a_difference(), unsettled=["c9"]), DRIFT),
        (a_report(interrupted=True), INTERRUPTED),
    ],
)
def test_the_exit_code_is_0_only_when_everything_was_compared_and_equal(report, code):
    assert _exit_code(report) == code


def test_programs_get_json():
    told = json.loads(as_json(a_report(a_difference(), unsettled=["c9"])))

    assert (told["drifting"], told["largestDifference"], told["notCompared"]) == (1, "0.5", 1)
    assert told["differences"][0] == {
        "customerId": "c1",
        "entitlementId": "e1",
        "featureKey": "tokens",
        "field": "balance",
        "worker": "69.5",
        "recomputed": "70",
        "apart": "0.5",
    }


def test_the_figures_are_a_file_that_prometheus_reads(tmp_path):
    path = tmp_path / "meterstream.prom"
    path.write_text("older")

    write_metrics(a_report(a_difference("0.25"), unsettled=["c9"]), path, 1234.0)

    families = text_string_to_metric_families(path.read_text())
    found = {sample.name: sample.value for family in families for sample in family.samples}
    assert found == {
        "meterstream_reconcile_drift_entitlements": 1,
        "meterstream_reconcile_drift_largest": 0.25,
        "meterstream_reconcile_entitlements": 12,
        "meterstream_reconcile_not_compared_customers": 1,
        "meterstream_reconcile_finished_timestamp_seconds": 1234,
    }
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_lists_a_bounded_number_of_differences_and_counts_all():
    report = Report()
    for number in range(3):
        report.drift([a_difference(entitlement=f"e{number}-{n}") for n in range(5_000)])

    assert (report.drifting, len(report.differences)) == (15_000, DIFFERENCES_MAX)


def test_progress_is_a_line():
    assert progress(a_report(unsettled=["c9"])) == "8 of 9 customers, 0 drift"
