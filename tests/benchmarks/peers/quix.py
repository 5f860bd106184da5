"""Quix Streams: an id counts once for its subject, and sums by subject and minute, in its RocksDB state with changelog topics.

Exactly-once processing (a transaction for each checkpoint) and its default checkpoint of 5 seconds. The sums are emitted
at every update (`current`): with `final` the last minutes would never come. Run in an environment of its own, see
`environment.py`; arguments: `clock.arguments`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import quixstreams.dataframe.windows.aggregations as agg
from quixstreams import Application, State

from tests.benchmarks.peers.clock import Clock, arguments, report


def main() -> None:
    servers, topic, wanted, directory, kafka_pid = arguments()
    app = Application(
        broker_address=servers,
        consumer_group=f"quix-{topic}",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=directory,
        loglevel="WARNING",
    )
    clock = Clock(wanted, kafka_pid)
    sums: dict[tuple[str, int], tuple[int, int]] = {}

    def take(event: Any) -> None:
        if clock.take():
            app.stop()

    def keep(window: Any, key: Any, timestamp: int, headers: Any) -> None:
        sums[key, window["start"]] = window["events"], window["tokens"]

    events = app.topic(topic, value_deserializer="json", timestamp_extractor=_event_time)
    frame = app.dataframe(events)
    frame = frame.update(take)
    frame = frame.filter(_is_new, stateful=True)
    frame = frame.apply(lambda event: event["data"])
    frame = (
        frame.tumbling_window(duration_ms=60_000, grace_ms=60_000)
        .agg(events=agg.Count(), tokens=agg.Sum("tokens"))
        .current()
    )
    frame.update(keep, metadata=True)
    app.run()
    figures = clock.stop()
    report(
        figures,
        counted=sum(events for events, _ in sums.values()),
        tokens=sum(tokens for _, tokens in sums.values()),
    )


def _event_time(event: Any, headers: Any, timestamp: float, timestamp_type: Any) -> int:
    return int(datetime.fromisoformat(event["time"]).timestamp() * 1000)


def _is_new(event: Any, state: State) -> bool:
    identity = event["source"] + "/" + event["id"]
    if state.exists(identity):
        return False
    state.set(identity, True)
    return True


if __name__ == "__main__":
    main()
