"""What the commands print, one fact a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.metering.rejected import RejectedRecord
from runtime.redrive.run import Report
from schemas.rejected import redriven_from

_MESSAGE_MAX = 160


def told(report: Report, *, dry_run: bool) -> Iterator[str]:
    """The report for people."""
    yield f"{report.found} refused records found"
    would = "would be sent" if dry_run else "sent"
    yield f"{report.sent} {would} again, with {report.events} events"
    for count, why in (
        (report.done_before, "were sent again before"),
        (
            report.too_old,
            "left alone: refused longer ago than dedupe.window (--beyond-window sends them)",
        ),
        (
            report.uncertain,
            "left alone: a redrive was interrupted and the dedupe window is over, so they may count already",
        ),
        (report.left, "not looked at: --limit"),
    ):
        if count:
            yield f"{count} {why}"
    for code, count in sorted(report.refused.items()):
        yield f"{count} refused again: {code} (e.g. {report.examples[code]})"


def as_values(report: Report, *, dry_run: bool) -> dict[str, Any]:
    """The report for programs."""
    return {
        "dryRun": dry_run,
        "found": report.found,
        "sent": report.sent,
        "events": report.events,
        "sentBefore": report.done_before,
        "tooOld": report.too_old,
        "uncertain": report.uncertain,
        "notLookedAt": report.left,
        "refusedAgain": dict(sorted(report.refused.items())),
    }


def listed(records: Sequence[RejectedRecord], redriven: Mapping[str, datetime]) -> Iterator[str]:
    """Refused records for people: when, why, where, and whether it was sent again."""
    for record in records:
        at = datetime.fromtimestamp(record.rejected_ms / 1000, UTC)
        where = f" {record.field}" if record.field else ""
        again = "  sent again" if record.id in redriven else ""
        message = " ".join(record.message.split())[:_MESSAGE_MAX]
        yield (
            f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3]
            + f"Z  {record.code}{where}  {redriven_from(record).decode()}  {message}{again}"
        )
