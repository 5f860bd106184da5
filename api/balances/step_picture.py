"""A balance over time as the coordinates of an SVG: steps of the balance above zero, of the overage below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from domain.credits.curve import Point

WIDTH, HEIGHT = 960, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 12, 26
_TICKS = 6


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at an axis: where, and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Paths in SVG's words. `resets` are x; `zero` is the line's y."""

    balance: str
    area: str
    overage: str
    zero: float
    times: Sequence[Tick]
    amounts: Sequence[Tick]
    resets: Sequence[float]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def picture(points: Sequence[Point], resets: Sequence[datetime]) -> Picture:
    """Of at least one point, in the order of time."""
    start, end = points[0].at, points[-1].at
    length = (end - start) / timedelta(seconds=1) or 1.0
    most = float(max(max(p.balance for p in points), Decimal(0)))
    least = -float(max(max(p.overage for p in points), Decimal(0)))
    height = most - least or 1.0

    def x(at: datetime) -> float:
        return round(_LEFT + (at - start).total_seconds() / length * (WIDTH - _LEFT - _RIGHT), 1)

    def y(amount: float) -> float:
        return round(_TOP + (most - amount) / height * (HEIGHT - _TOP - _BOTTOM), 1)

    balance = _steps([(x(p.at), y(float(p.balance))) for p in points])
    overage = ""
    if least < 0:
        overage = _steps([(x(p.at), y(-float(p.overage))) for p in points])
    zero = y(0.0)
    return Picture(
        balance=balance,
        area=f"{balance} V{zero} H{x(start)} Z",
        overage=overage,
        zero=zero,
        times=[_time_tick(start + (end - start) * n / (_TICKS - 1), x) for n in range(_TICKS)],
        amounts=[Tick(y(amount), f"{amount:,.6g}") for amount in sorted({least, 0.0, most})],
        resets=[x(at) for at in resets if start <= at <= end],
    )


def _steps(places: Sequence[tuple[float, float]]) -> str:
    """Level until the next point, then up or down."""
    first, *rest = places
    path = [f"M{first[0]} {first[1]}"]
    last = first
    for place in rest:
        if place[1] != last[1] or place is rest[-1]:
            path.append(f"H{place[0]}")
            if place[1] != last[1]:
                path.append(f"V{place[1]}")
            last = place
    return " ".join(path)


def _time_tick(at: datetime, x: object) -> Tick:
    assert callable(x)
    return Tick(x(at), f"{at:%Y-%m-%d %H:%M}")
