"""A meter's answer as CSV. Source: metering §2.6, §11.11."""

from __future__ import annotations

import csv
import io

from starlette.responses import Response

from api.metering.usage import Answer
from domain.metering.windows import utc


def accepts_csv(accept: str) -> bool:
    """Only when CSV is the one media type that is asked for; its parameters do not matter."""
    return "," not in accept and accept.split(";")[0].strip().lower() == "text/csv"


def csv_answer(answer: Answer) -> Response:
    """The rows with a header; values have six decimals."""
    query = answer.query
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    subject = ["subject"] if query.by_subject else []
    writer.writerow(["window_start", "window_end", *subject, *query.group_by, "value"])
    for row in answer.rows:
        writer.writerow(
            [
                _time(row.window_start),
                _time(row.window_end),
                *([row.subject] if query.by_subject else []),
                *(row.groups[key] for key in query.group_by),
                f"{float(row.value):.6f}",
            ]
        )
    return Response(
        out.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": f"attachment; filename={query.meter.slug}.csv"},
    )


def _time(second: int) -> str:
    return utc(second).isoformat().replace("+00:00", "Z")
