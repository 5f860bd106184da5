"""The report as one HTML file without anything from elsewhere: for whoever has to be shown that the numbers are right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from runtime.audit.report import MEANING, Report
from runtime.audit.speech import COLUMNS, as_json, as_values, conclusion, sha256_of, sums_of
from schemas.position import offset_of

_DIFFERENCES_MAX = 1_000
"""Rows of the table; the JSON below it has more."""

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child,.t td,.t th{text-align:left}.verdict{padding:.6rem 1rem;border-left:.4rem solid}"
    ".equal{border-color:#1a7f37;background:#eaf7ee}.differences{border-color:#c0262d;background:#fdecec}"
    ".undecided,.interrupted{border-color:#9a6700;background:#fff8e1}pre{overflow:auto;background:#f6f6f6;padding:1rem}"
    "code{word-break:break-all}.wide{overflow-x:auto}"
)

_CHECKED = (
    "Every record of the range was read from Kafka again and decoded again.",
    "Each event was judged again: the first of its identity (source, id, subject) within the dedupe window is accepted, what "
    "repeats it is a duplicate. What is no valid event is refused.",
    "Each judgement was compared with the verdict in ClickHouse at the same place (partition, offset, index), with all fields "
    "and the MD5 of the data; each refusal with the rejected topic; each forwarded event with the partition that it went to.",
    "For each meter whose rows of usage begin in the range, the number of events that they count was compared.",
    "The state of each partition's worker must hold at least what ClickHouse shows.",
)


def write_page(report: Report, path: Path) -> None:
    """Replace the file whole. OSError."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(page(report), encoding="utf-8")
    os.replace(beside, path)


def page(report: Report) -> str:
    """The document."""
    text = as_json(report)
    told = as_values(report)
    facts = [
        ("Namespace", report.namespace),
        ("Topic", f"{report.topic} (id {report.topic_id})"),
        ("Appended from", told["from"] if report.from_ms else "the beginning of the log"),
        ("Appended before", told["to"] or "the end of the log when the audit began"),
        ("Subjects", "all" if report.subjects is None else ", ".join(report.subjects)),
        ("Dedupe window", f"{report.window_ms / 86_400_000:g} days"),
        ("Ids from before the log that was read", f"{report.earlier_ids:,}, from ClickHouse"),
        ("Audit", f"{told['began']} to {told['ended']}"),
        ("Program", f"meterstream {report.version}"),
        ("SHA-256 of the JSON below", sha256_of(text)),
    ]
    parts = [
        f'<p class="verdict {told["verdict"]}"><strong>{escape(conclusion(report))}</strong></p>',
        "<h2>What was checked</h2><ul>",
        *(f"<li>{escape(line)}</li>" for line in _CHECKED),
        "</ul>",
        _table((), facts, "t"),
        "<h2>Partitions</h2>",
        "<p>Events are counted from the log; the last three columns are what ClickHouse and the rejected topic have.</p>",
        _table(
            ("partition", "ids from", "from offset", "to offset", "visible", "state", *COLUMNS),
            [
                *(
                    (
                        one.partition,
                        one.ids_from,
                        one.start,
                        one.end,
                        offset_of(one.visible),
                        "" if one.state is None else offset_of(one.state),
                        *sums_of(one.counts),
                    )
                    for one in report.partitions
                ),
                ("all", "", "", "", "", "", *sums_of(report.total)),
            ],
        ),
        "<h2>Meters</h2>",
        _table(
            (
                "meter",
                "version",
                "event type",
                "events sent",
                "in ClickHouse",
                "counted by rows",
                "",
            ),
            [
                (
                    one.slug or one.id,
                    one.version,
                    one.event_type,
                    _number(one.sent),
                    _number(one.stored),
                    _number(one.rows),
                    f"not compared: {one.why}" if one.why else "",
                )
                for one in report.meters
            ],
        ),
        "<h2>Differences</h2>",
        _table(
            ("kind", "count", "meaning"), [(k, n, MEANING[k]) for k, n in report.kinds.items()], "t"
        )
        if report.kinds
        else "<p>None.</p>",
        _table(
            ("kind", "partition", "offset", "index", "id", "subject", "note"),
            [tuple(one.values()) for one in told["differences"][:_DIFFERENCES_MAX]],
            "t",
        )
        if report.differences
        else "",
        "<h2>Not decided</h2>",
        _table(
            ("partition", "what", "why"),
            [(u.partition, u.what, u.why) for u in report.undecided],
            "t",
        )
        if report.undecided
        else "<p>Nothing.</p>",
        f'<details><summary>JSON</summary><pre id="json">{escape(text, quote=False)}</pre></details>',
    ]
    title = f"Audit of {escape(report.namespace)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{''.join(parts)}</body></html>\n"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "") -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_said(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table class="{kind}"><tr>{head}</tr>{body}</table></div>'


def _said(cell: object) -> str:
    return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)


def _number(number: int | None) -> object:
    return "" if number is None else number
