"""A stock Faust agent that counts the events of each subject in a table: RocksDB (rocksdict) and a changelog topic.

At-least-once, and the rest as Faust has it by default, but for the producer: batches of up to 1 MiB within 0.1 s (with the
defaults, 16 KiB and no waiting, it is half as fast). Arguments: `clock.arguments`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import faust
from faust.types import StreamT

from tests.benchmarks.events import PARTITIONS
from tests.benchmarks.peers.clock import Clock, arguments, report


def main() -> None:
    servers, topic, wanted, directory, kafka_pid = arguments()
    app = faust.App(
        f"faust-table-{topic}",
        broker=f"kafka://{servers}",
        store="rocksdb://",
        datadir=directory,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        topic_disable_leader=True,
        producer_linger=0.1,
        producer_max_batch_size=1 << 20,
        web_enabled=False,
    )
    clock = Clock(wanted, kafka_pid)
    counts = app.Table("counts", default=int, partitions=PARTITIONS)

    @app.agent(app.topic(topic, key_type=str, value_serializer="json", partitions=PARTITIONS))
    async def count(events: StreamT[Any]) -> None:
        async for event in events:
            counts[event["subject"]] += 1
            if clock.take():
                await app.producer.flush()
                figures = clock.stop()
                report(figures, counted=sum(counts.values()))
                os._exit(0)

    sys.argv = ["faust", "worker", "--without-web"]
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
