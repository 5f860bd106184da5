"""What the demo prints: a table with bars for each question, and the verdict."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from runtime.demo.truth import Answer

_BAR = 30
_EIGHTHS = " ▏▎▍▌▋▊▉"


def show_by_carrier(console: Console, title: str, answer: Answer) -> None:
    """A bar for each carrier, largest first."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    table.add_column("carrier")
    table.add_column("value", justify="right")
    table.add_column("")
    most = max(answer.values(), default=0)
    for (carrier,), value in sorted(answer.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(carrier, _number(value), _bar(value / most if most > 0 else 0))
    console.print(table)
    console.print()


def show_by_month(console: Console, title: str, answer: Answer) -> None:
    """Origins of the carriers in rows, months in columns as a line of blocks: the sums are too many for a table."""
    months = sorted({month for _, _, month in answer})
    series: dict[tuple[str, str], dict[str, float]] = {}
    for (carrier, origin, month), value in answer.items():
        series.setdefault((carrier, origin), {})[month] = value
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for name in ("carrier", "origin"):
        table.add_column(name)
    table.add_column("miles in the year", justify="right")
    table.add_column(f"{months[0]} … {months[-1]}" if months else "")
    largest = sorted(series, key=lambda key: (-sum(series[key].values()), key))
    for key in largest[:12]:
        values = [series[key].get(month, 0.0) for month in months]
        table.add_row(*key, _number(sum(values)), _line(values))
    console.print(table)
    console.print(
        f"  … {len(answer)} sums in all, {max(0, len(largest) - 12)} more series\n", style="dim"
    )


def differences(ours: Answer, expected: Answer) -> list[str]:
    """Where the answers are not equal, in words; empty when they are."""
    found = []
    for key in sorted(ours.keys() | expected.keys()):
        a, b = ours.get(key), expected.get(key)
        if a != b:
            found.append(f"{' '.join(key)}: {a} from the API, {b} from the table")
    return found


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"


def _bar(share: float) -> str:
    eighths = max(0, round(share * _BAR * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _line(values: list[float]) -> str:
    most = max(values, default=0) or 1
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(value / most * 7.999))] for value in values)
