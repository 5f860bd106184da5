"""A meter's answer as CSV. Source: metering §2.6, §11.11."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from starlette.responses import Response

from api.metering.usage import CUSTOMER, Answer
from domain.metering.query import ResultRow
from domain.metering.windows import utc


def accepts_csv(accept: str) -> bool:
    """Only when CSV is the one media type that is asked for; its parameters do not matter."""
    return "," not in accept and accept.split(";")[0].strip().lower() == "text/csv"


def csv_answer(answer: Answer, names: Mapping[str, str | None]) -> Response:
    """The rows with a header; values have six decimals. `names`: the display names of those subjects that are managed.

    The customer's column is empty, as the reference has it: clients of the one read the other's (docs/decisions/0163).
    """
    query = answer.query
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    subject = ["subject"] if query.by_subject else []
    if names and query.by_subject:
        subject.append("subject_display_name")
    writer.writerow(["window_start", "window_end", *subject, *answer.columns, "value"])
    for row in answer.rows:
        writer.writerow(
            [
                _time(row.window_start),
                _time(row.window_end),
                *_subject(row, names)[: len(subject)],
                *("" if key == CUSTOMER else row.groups[key] for key in answer.columns),
                f"{float(row.value):.6f}",
            ]
        )
    return Response(
        out.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": f"attachment; filename={query.meter.slug}.csv"},
    )


def _subject(row: ResultRow, names: Mapping[str, str | None]) -> Sequence[str]:
    subject = row.subject or ""
    return subject, names.get(subject) or ""


def _time(second: int) -> str:
    return utc(second).isoformat().replace("+00:00", "Z")
