"""The timeline of a run as a picture: faults, lag, throughput and failed requests over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.run import Outcome

_WIDTH, _LEFT, _RIGHT = 1200, 90, 20
_FAULTS_HEIGHT, _ROW, _PANEL, _GAP = 24, 16, 110, 30
_INK, _BROKEN, _HEALING, _LINE, _BAD = "#222", "#e4572e", "#f2b134", "#2e86ab", "#c1121f"


def picture(outcome: Outcome) -> str:
    """An SVG document."""
    timeline = outcome.timeline
    end = max([outcome.ended, *(sample.at for sample in timeline.samples)], default=timeline.began)
    start = timeline.samples[0].at if timeline.samples else timeline.began
    scale = (_WIDTH - _LEFT - _RIGHT) / max(1.0, end - start)

    def x(at: float) -> float:
        return _LEFT + (at - start) * scale

    kinds = list(dict.fromkeys(one.kind for one in timeline.happenings))
    parts, top = [], _FAULTS_HEIGHT
    for row, kind in enumerate(kinds):
        y = top + row * _ROW
        parts.append(_text(_LEFT - 6, y + 11, kind, "end", 10))
        for one in timeline.happenings:
            if one.kind != kind:
                continue
            healing, healed = one.healing or end, one.healed or end
            parts.append(_box(x(one.began), y + 2, x(healing) - x(one.began), _BROKEN, one.said))
            parts.append(_box(x(healing), y + 2, x(healed) - x(healing), _HEALING, "healing"))
    top += len(kinds) * _ROW + _GAP
    rates = [
        (b.at, (b.acknowledged - a.acknowledged) / (b.at - a.at))
        for a, b in pairwise(timeline.samples)
    ]
    lags = [(sample.at, float(sample.lag)) for sample in timeline.samples]
    waiting = [(sample.at, float(sample.waiting)) for sample in timeline.samples]
    failed = Counter(int(probe.at - start) for probe in outcome.probes if not probe.good)
    failures = [(start + s, float(failed[s])) for s in range(int(end - start) + 1)]
    panels = (
        ("acknowledged events/s", rates, _LINE),
        ("records not yet in ClickHouse", lags, _LINE),
        ("HTTP batches that wait", waiting, _LINE),
        ("failed probes/s", failures, _BAD),
    )
    for name, points, colour in panels:
        parts += _panel(name, [(x(at), value) for at, value in points], top, colour)
        top += _PANEL + _GAP
    for second in range(0, int(end - start) + 1, _step(end - start)):
        parts.append(_text(x(start + second), top - 8, f"{second} s", "middle", 10))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{_text(_LEFT, 15, f"seed {outcome.wanted.seed}", "start", 12)}{"".join(parts)}</svg>\n'
    )


def _panel(name: str, points: Sequence[tuple[float, float]], top: float, colour: str) -> list[str]:
    most = max((value for _, value in points), default=0) or 1
    bottom = top + _PANEL
    line = " ".join(f"{x:.1f},{bottom - value / most * _PANEL:.1f}" for x, value in points)
    return [
        _text(_LEFT, top - 5, name, "start", 11),
        _text(_LEFT - 6, top + 10, f"{most:,.0f}", "end", 10),
        _text(_LEFT - 6, bottom, "0", "end", 10),
        f'<path d="M{_LEFT},{bottom}H{_WIDTH - _RIGHT}" stroke="{_INK}" stroke-width="0.5"/>',
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.3"/>',
    ]


def _box(x: float, y: float, width: float, colour: str, title: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, width):.1f}" height="{_ROW - 4}" fill="{colour}"><title>{escape(title)}</title></rect>'


def _text(x: float, y: float, text: str, anchor: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{_INK}">{escape(text)}</text>'


def _step(seconds: float) -> int:
    return next(step for step in (5, 10, 30, 60, 300, 600, 3600) if seconds / step <= 20)
