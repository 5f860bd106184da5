"""Bytewax: an id counts once for its subject, and sums by subject and minute, with its recovery store switched on.

One worker, snapshots at the default of every 10 seconds into SQLite. It reads to the end of the topic, where Bytewax
closes all windows. Run in an environment of its own, see `environment.py`; arguments: `clock.arguments`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax._bytewax import cli_main, init_db_dir
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig

from tests.benchmarks.peers.clock import Clock, arguments, report

Event = tuple[str, datetime, int]
"""Identity, time, tokens."""
Sums = tuple[int, int]
"""Events, tokens."""


class KnownIds(op.StatefulBatchLogic):
    """The ids of a subject: an event whose id is known goes no further."""

    def __init__(self, known: set[str] | None) -> None:
        self._known = known or set()

    def on_batch(self, values: list[Event]) -> tuple[list[Event], bool]:
        known, new = self._known, []
        for event in values:
            if event[0] not in known:
                known.add(event[0])
                new.append(event)
        return new, op.StatefulBatchLogic.RETAIN

    def snapshot(self) -> set[str]:
        return self._known.copy()


class Totals(DynamicSink, StatelessSinkPartition):
    """The sums of all windows that were closed, added up."""

    def __init__(self) -> None:
        self.events = self.tokens = 0

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Totals:
        return self

    def write_batch(self, items: list[tuple[str, tuple[int, Sums]]]) -> None:
        for _, (_, (events, tokens)) in items:
            self.events += events
            self.tokens += tokens


def main() -> None:
    servers, topic, wanted, directory, kafka_pid = arguments()
    clock, totals = Clock(wanted, kafka_pid), Totals()

    def decode(message: Any) -> tuple[str, Event]:
        clock.take()
        event = orjson.loads(message.value)
        identity = event["source"] + "/" + event["id"]
        at = datetime.fromisoformat(event["time"])
        return event["subject"], (identity, at, event["data"]["tokens"])

    flow = Dataflow("bench")
    source = kafka.input(
        "events", flow, brokers=[servers], topics=[topic], tail=False, batch_size=10_000
    )
    events = op.map("decode", source.oks, decode)
    new = op.stateful_batch("dedupe", events, KnownIds)
    windows = fold_window(
        "minutes",
        new,
        EventClock(ts_getter=lambda event: event[1], wait_for_system_duration=timedelta(minutes=1)),
        TumblingWindower(length=timedelta(minutes=1), align_to=datetime(2026, 1, 1, tzinfo=UTC)),
        builder=lambda: (0, 0),
        folder=lambda sums, event: (sums[0] + 1, sums[1] + event[2]),
        merger=lambda a, b: (a[0] + b[0], a[1] + b[1]),
    )
    op.output("out", windows.down, totals)
    recovery = Path(directory)
    recovery.mkdir(parents=True)
    init_db_dir(recovery, 1)
    cli_main(flow, recovery_config=RecoveryConfig(recovery))
    report(clock.stop(), counted=totals.events, tokens=totals.tokens)


if __name__ == "__main__":
    main()
