"""A balance over time as a picture: in the terminal (plotext), or as a PNG (matplotlib, which the extra `png` brings)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import plotext

from domain.credits.curve import Point, curve
from runtime.simulate.credits_case import CreditCase
from runtime.simulate.reading import WrongInput

_COLUMNS, _ROWS = 100, 24
_SAMPLES = 200
"""Points between the cut points: as many as the terminal's dots in a row."""
_TICKS = 5


def points(case: CreditCase) -> list[Point]:
    """What is drawn: both sides of every cut point, and enough in between to see usage burn."""
    start, length = case.state.at, case.until - case.state.at
    times = [start + length * n / _SAMPLES for n in range(_SAMPLES)] + [case.until]
    return list(curve(case.plan, case.state, case.readings, times))


def in_terminal(case: CreditCase) -> str:
    """The picture as text."""
    found = points(case)
    seconds = [point.at.timestamp() for point in found]
    plotext.clear_figure()
    plotext.plotsize(_COLUMNS, _ROWS)
    plotext.plot(seconds, [float(p.balance) for p in found], marker="braille", label="balance")
    if any(point.overage for point in found):
        plotext.plot(
            seconds, [float(-p.overage) for p in found], marker="dot", label="overage, below 0"
        )
    ticks = _ticks(found)
    plotext.xticks([at.timestamp() for at in ticks], [_label(at, found) for at in ticks])
    return "\n".join(
        line.rstrip() for line in plotext.uncolorize(plotext.build()).rstrip().splitlines()
    )


def as_png(case: CreditCase, target: Path) -> str:
    """Write the picture and say where."""
    try:
        from matplotlib.dates import date2num
        from matplotlib.figure import Figure
    except ImportError:
        message = "a PNG needs matplotlib: pip install 'meterstream[png]'"
        raise WrongInput("--png", message) from None
    found = points(case)
    times = date2num([point.at for point in found])  # type: ignore[no-untyped-call]  # its own
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(times, [float(p.balance) for p in found], label="balance")
    if any(point.overage for point in found):
        axes.plot(times, [float(-p.overage) for p in found], label="overage, below 0")
    axes.axhline(0, color="black", linewidth=0.5)
    axes.xaxis_date()
    axes.legend()
    axes.tick_params(axis="x", rotation=30)
    try:
        figure.savefig(target, format="png")
    except OSError as problem:
        raise WrongInput("--png", f"{target}: {problem.strerror}") from None
    return f"drawn into {target}"


def _ticks(found: Sequence[Point]) -> list[datetime]:
    start, length = found[0].at, found[-1].at - found[0].at
    if not length:
        return [start]
    return [start + length * n / (_TICKS - 1) for n in range(_TICKS)]


def _label(at: datetime, found: Sequence[Point]) -> str:
    """As much of a time as tells the ticks apart."""
    days = (found[-1].at - found[0].at).days
    return f"{at:%Y-%m-%d}" if days > 2 * _TICKS else f"{at:%m-%d %H:%M}"
