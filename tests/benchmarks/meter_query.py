"""How long a question about 30 days by day takes over 1 and 10 million stored events, for one subject and for all.

`python -m tests.benchmarks.meter_query [--events 1000000,10000000] [--json FILE]`. The rows are those that a sink leaves of
such events (10,000 subjects with 1/k shares, four models, spread evenly over 30 days), made by ClickHouse itself, a day an
insert; every answer is compared with a sum over the events themselves. The reader is the product's, asked in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from connectors.clickhouse.client import Clients, Options
from connectors.clickhouse.migrations import Retention, migrate
from connectors.clickhouse.reader import UsageReader
from domain.metering.query import MeterQuery
from domain.metering.windows import WindowSize
from runtime.embedded.clickhouse import prepare_clickhouse
from runtime.embedded.service import free_port
from schemas.catalog import meter_of
from tests.benchmarks.table import machine
from tests.builders import ULIDS, a_meter_record
from tests.conftest import start, stop

DAYS = 30
BEGIN = 1_772_323_200
"""2026-03-01T00:00:00Z."""
PARTITIONS = 4
_DAY_S = 86_400
_TIMES = 15
_TOPIC = "om_default_events"
METER = meter_of(a_meter_record("tokens", id=ULIDS[0], groups={"model": "$.model"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question: `first_ms` is the first time it was asked, before days were added up when `added_up` is False."""

    events: int
    rows: int
    parts: int
    question: str
    added_up: bool
    first_ms: float
    median_ms: float
    most_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.meter_query", description=__doc__
    )
    parser.add_argument("--events", type=_numbers, default=[1_000_000, 10_000_000])
    parser.add_argument("--json", type=Path, help="the figures go to this file")
    chosen = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    found = [one for events in chosen.events for one in measure(events)]
    show(console, found)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in found]))


def measure(events: int) -> list[Asked]:
    """Every question before and after the days are added up, all but the last, which is still under way."""
    with _database(events) as (clients, reader):
        fill(clients, events)
        truth = {subject: _truth(clients, events, subject) for subject in (None, "customer-77")}
        found = [_ask(clients, reader, events, added_up=False, truth=truth)]
        began = time.perf_counter()
        reader.roller.roll(quiet_s=0)
        sys.stderr.write(f"{events:,} events: added up in {time.perf_counter() - began:.1f} s\n")
        touch_last_day(clients)
        found.append(_ask(clients, reader, events, added_up=True, truth=truth))
    return [one for asked in found for one in asked]


@contextmanager
def _database(events: int) -> Iterator[tuple[Clients, UsageReader]]:
    with tempfile.TemporaryDirectory(prefix="meterstream-query-", ignore_cleanup_errors=True) as d:
        service = prepare_clickhouse(Path(d), free_port())
        process = start(service, Path(d))
        try:
            clients = Clients(Options(url=service.address, query_timeout_s=120))
            migrate(clients, Retention(events_days=400, usage_days=3650))
            reader = UsageReader(clients, namespace="default", topic=_TOPIC, threads=2)
            yield clients, reader
            reader.close()
        finally:
            stop(service, process)


def _events(events: int, day: int | None = None) -> str:
    """The events as a table: what a producer would have sent, as a function of the number alone."""
    each = events // DAYS
    numbers = f"numbers({each * DAYS})" if day is None else f"numbers({day * each}, {each})"
    return (
        "(SELECT number AS i, concat('customer-', toString(toUInt32(floor(pow(10000., "
        "cityHash64(number, 1) / 18446744073709551616.))))) AS subject, "
        "['\"a\"', '\"b\"', '\"c\"', '\"d\"'][cityHash64(number, 2) % 4 + 1] AS model, cityHash64(number, 3) % 2000 AS tokens, "
        f"{BEGIN} + intDiv(number * {_DAY_S}, {each}) AS second FROM {numbers})"
    )


def fill(clients: Clients, events: int) -> None:
    """A row for each subject, model and minute, as of its last event; everything may be seen."""
    for day in range(DAYS):
        _run(
            clients,
            "INSERT INTO usage (namespace, meter, version, subject, groups, minute, partition, epoch, part, position, count, "
            f"numeric, total, updated_at) SELECT 'default', '{METER.id}', 1, subject, [model], "
            "fromUnixTimestamp64Second(toInt64(intDiv(second, 60) * 60), 'UTC'), "
            f"cityHash64(subject) % {PARTITIONS}, min(i), 1, max(i), count(), count(), sum(tokens), now64(3) "
            f"FROM {_events(events, day)} GROUP BY subject, model, intDiv(second, 60)",
        )
    for partition in range(PARTITIONS):
        _run(
            clients, f"INSERT INTO visible VALUES ('{_TOPIC}', {partition}, {events + 1}, now64(3))"
        )
        _run(
            clients,
            f"INSERT INTO meter_ranges VALUES ('default', '{METER.id}', 1, '{_TOPIC}', {partition}, 0, 0, 0, now64(3))",
        )


def touch_last_day(clients: Clients) -> None:
    """Forget the last day's roll: it is the day under way, whose minutes are read."""
    _run(clients, f"DELETE FROM day_rolls WHERE day = toDate32({BEGIN // _DAY_S + DAYS - 1})")


def _ask(
    clients: Clients,
    reader: UsageReader,
    events: int,
    *,
    added_up: bool,
    truth: dict[str | None, list[tuple[int, int]]],
) -> list[Asked]:
    ((rows, parts),) = _run(
        clients,
        "SELECT sum(rows), count() FROM system.parts WHERE database = currentDatabase() AND table = 'usage' AND active",
    )
    found = []
    for name, subject, more in (
        ("all subjects by day", None, {}),
        ("all subjects by day and model", None, {"group_by": ("model",)}),
        ("one subject by day", "customer-77", {"subjects": ("customer-77",)}),
    ):
        query = MeterQuery(
            meter=METER,
            start=BEGIN,
            end=BEGIN + DAYS * _DAY_S,
            window_size=WindowSize.DAY,
            **more,
        )
        times = asyncio.run(_times(reader, query, truth[subject]))
        found.append(
            Asked(
                events=events,
                rows=int(rows),
                parts=int(parts),
                question=name,
                added_up=added_up,
                first_ms=times[0] * 1000,
                median_ms=statistics.median(times) * 1000,
                most_ms=max(times[1:]) * 1000,
            )
        )
    return found


async def _times(
    reader: UsageReader, query: MeterQuery, truth: list[tuple[int, int]]
) -> list[float]:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        rows = await reader.query(query)
        times.append(time.perf_counter() - began)
        sums: dict[int, int] = {}
        for row in rows:
            sums[row.window_start] = sums.get(row.window_start, 0) + int(row.value)
        assert sorted(sums.items()) == truth, f"{query}: another answer than the events' sum"
    return times


def _truth(clients: Clients, events: int, subject: str | None) -> list[tuple[int, int]]:
    """(day's start, sum of tokens), from the events and not from rows."""
    where = "1" if subject is None else f"subject = '{subject}'"
    rows = _run(
        clients,
        f"SELECT intDiv(second, {_DAY_S}) * {_DAY_S} AS day, sum(tokens) FROM {_events(events)} WHERE {where} GROUP BY day ORDER BY day",
    )
    return [(int(day), int(tokens)) for day, tokens in rows]


def _run(clients: Clients, sql: str) -> Any:
    with clients.client() as client:
        if sql.startswith("SELECT"):
            return client.query(sql, settings={"max_execution_time": 120}).result_rows
        return client.command(sql, settings={"max_execution_time": 120})


def show(console: Console, found: Sequence[Asked]) -> None:
    """The table."""
    table = Table(title="Meter query, 30 days by day", title_justify="left")
    for name in ("events", "rows", "parts", "question", "days added up", "first ms", "median ms", "most ms"):  # fmt: skip
        table.add_column(name, justify="left" if name == "question" else "right")
    for one in found:
        table.add_row(
            f"{one.events:,}",
            f"{one.rows:,}",
            str(one.parts),
            one.question,
            "yes" if one.added_up else "no",
            f"{one.first_ms:.0f}",
            f"{one.median_ms:.0f}",
            f"{one.most_ms:.0f}",
        )
    console.print(table)
    console.print(machine(), soft_wrap=True)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
