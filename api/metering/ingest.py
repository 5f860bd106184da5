"""Accepting events: the whole request is checked, then produced, then acknowledged."""

from __future__ import annotations

import time
from collections.abc import Sequence

from api import metrics
from api.ports import EventLog
from schemas.cloudevents import Envelope, encode_records
from schemas.partitioner import partition_of
from schemas.topics import EVENT_RECORD_BYTES_MAX


async def accept(log: EventLog, events: Sequence[Envelope]) -> None:
    """Append every event to the partition of its subject; returns after the last acknowledgement.

    Refused for an event that is too large, before anything is appended. After Unavailable some of the events may have
    been appended: sending all of them again is right, because an event counts once.
    """
    partitions = log.partitions
    records = encode_records(
        [(partition_of(event.subject.encode(), partitions), event) for event in events],
        record_bytes_max=EVENT_RECORD_BYTES_MAX,
    )
    if not records:
        return
    began = time.perf_counter()
    await log.append(records)
    metrics.produce_seconds.observe(time.perf_counter() - began)
    metrics.events_accepted.inc(len(events))
