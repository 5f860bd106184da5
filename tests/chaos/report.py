"""report.md and timeline.svg of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.chaos.breaks.catalogue import ALL
from tests.chaos.picture import picture
from tests.chaos.prober import Probe
from tests.chaos.run import Outcome
from tests.chaos.timeline import Happening

_AFTERWARDS_S = 3.0
"""A fault's share of the time after it has healed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Requests while a kind of fault was there. `first`: answered well by the api asked first; `good`: by it or the other one.

    `gap_s`: the longest time in which no request that began was answered well.
    """

    asked: int
    first: int
    good: int
    statuses: Counter[str]
    slowest_s: float
    gap_s: float
    sources: Counter[str]
    oldest_ms: int

    @property
    def part(self) -> float:
        return self.good / self.asked if self.asked else 1.0


def availability(probes: list[Probe], kind: str, spans: list[tuple[float, float]]) -> Availability:
    """Of the requests of a kind that began inside one of the spans."""
    inside = [
        probe
        for probe in probes
        if probe.kind == kind and any(start <= probe.at < end for start, end in spans)
    ]
    gap = 0.0
    for start, end in spans:
        last = start
        for at in [p.at for p in inside if p.good and start <= p.at < end] + [end]:
            gap = max(gap, at - last)
            last = at
    return Availability(
        asked=len(inside),
        first=sum(200 <= probe.first < 300 for probe in inside),
        good=sum(probe.good for probe in inside),
        statuses=Counter(str(probe.status or "none") for probe in inside if not probe.good),
        slowest_s=max((probe.seconds for probe in inside), default=0.0),
        gap_s=gap,
        sources=Counter(probe.source for probe in inside if probe.source),
        oldest_ms=max((probe.behind_ms for probe in inside), default=0),
    )


def write_report(outcome: Outcome, directory: Path) -> Path:
    path = directory / "report.md"
    path.write_text(report(outcome))
    (directory / "timeline.svg").write_text(picture(outcome))
    lines = (msgspec.json.encode(probe) for probe in outcome.probes)
    (directory / "probes.jsonl").write_bytes(b"\n".join(lines))
    return path


def report(outcome: Outcome) -> str:
    wanted = outcome.wanted
    return "\n".join(
        [
            f"# Chaos run, seed {wanted.seed}",
            "",
            f"{'Everything is exact' if outcome.exact else '**Not exact**'} after {len(outcome.timeline.happenings)} faults at "
            f"{wanted.rate:.0f} events/s.",
            "",
            "![timeline](timeline.svg)",
            "",
            "## What was compared",
            "",
            "| check | values | differing |",
            "| --- | --- | --- |",
            *(
                f"| {check.name} | {check.compared} | {check.differing} {' '.join(check.wrong)} |"
                for check in outcome.checks
            ),
            "",
            "## Availability by fault",
            "",
            *_availability_table(outcome),
            "",
            "## Figures",
            "",
            *(f"- {name}: {value}" for name, value in outcome.figures.items()),
            "",
            "## What happened",
            "",
            "```text",
            *outcome.timeline.lines,
            "```",
            "",
            *_failures(outcome),
        ]
    )


def _availability_table(outcome: Outcome) -> list[str]:
    lines = [
        "Requests that began between the fault and 3 s after it had healed. `good`: answered well by the api asked first or, when that failed, by the other.",
        "",
        "| fault | times | requests | asked | first | good | longest gap | slowest | failed | answered by | oldest balance |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    spans = {kind: _spans(outcome.timeline.happenings, kind) for kind in ALL}
    calm = {"(none)": _calm(outcome)}
    for kind, times in {**calm, **spans}.items():
        if not times:
            continue
        for requests in ("read", "ingest"):
            found = availability(outcome.probes, requests, times)
            failed = ", ".join(f"{count} {status}" for status, count in found.statuses.items())
            sources = ", ".join(f"{count} {name}" for name, count in found.sources.most_common())
            asked = found.asked or 1
            lines.append(
                f"| {kind} | {len(times)} | {requests} | {found.asked} | {found.first / asked:.2%} | {found.part:.2%} | {found.gap_s:.1f} s | "
                f"{found.slowest_s:.2f} s | {failed} | {sources} | {f'{found.oldest_ms} ms' if found.sources else ''} |"
            )
    return lines


def _spans(happenings: list[Happening], kind: str) -> list[tuple[float, float]]:
    return [
        (one.began, one.healed + _AFTERWARDS_S)
        for one in happenings
        if one.kind == kind and one.healed
    ]


def _calm(outcome: Outcome) -> list[tuple[float, float]]:
    """When nothing was broken."""
    spans, start = [], outcome.probes[0].at if outcome.probes else outcome.timeline.began
    for one in outcome.timeline.happenings:
        if one.began > start:
            spans.append((start, one.began))
        start = one.healed + _AFTERWARDS_S
    return [*spans, (start, outcome.ended)] if outcome.ended > start else spans


def _failures(outcome: Outcome) -> list[str]:
    """The first few of each status, in full."""
    began = outcome.timeline.began
    shown: Counter[tuple] = Counter()
    lines = []
    for probe in outcome.probes:
        key = (probe.kind, probe.status, probe.code[:80])
        if probe.good or shown[key] >= 2:
            continue
        shown[key] += 1
        again = "" if not probe.status else f", Retry-After: {'yes' if probe.retry_after else 'no'}"
        lines.append(
            f"- {probe.at - began:.1f} s: {probe.kind} {probe.status or 'no answer'} after {probe.seconds:.2f} s{again} `{probe.code}`"
        )
    return ["## Failed requests", "", *lines] if lines else []
