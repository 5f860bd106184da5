"""Accepting events: the whole request is checked, then produced, then acknowledged."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from api import metrics
from api.ports import EventLog
from api.times import unix_s
from domain.metering.judge import SECOND_MAX, SECOND_MIN
from schemas.cloudevents import Envelope, encode_records
from schemas.partitioner import partition_of
from schemas.topics import EVENT_RECORD_BYTES_MAX

log = logging.getLogger(__name__)

_YEAR_MIN, _YEAR_MAX = 1970, 2299


async def accept(event_log: EventLog, events: Sequence[Envelope], request_id: str) -> None:
    """Append every event to the partition of its subject; returns after the last acknowledgement.

    Where they stand is logged at debug, with the request's id.

    Refused for an event that is too large, before anything is appended. After Unavailable some of the events may have
    been appended: sending all of them again is right, because an event counts once.
    """
    records = _records(events, event_log.partitions)
    if not records:
        return
    began = time.perf_counter()
    places = await event_log.append(records)
    metrics.produce_seconds.observe(time.perf_counter() - began)
    metrics.events_accepted.inc(len(events))
    if log.isEnabledFor(logging.DEBUG):
        log.debug(
            "events acknowledged",
            extra={
                "request_id": request_id,
                "events": [event.id for event in events],
                "places": [f"{partition}/{offset}" for partition, offset in places],
            },
        )


def _records(events: Sequence[Envelope], partitions: int) -> list[tuple[int, bytes, bytes]]:
    """An event whose time is out of range gets a record of its own, because a worker rejects a record as a whole."""
    placed = [(partition_of(event.subject.encode(), partitions), event) for event in events]
    countable = [one for one in placed if _can_be_counted(one[1])]
    groups = [countable]
    if len(countable) < len(placed):
        groups += [[one] for one in placed if not _can_be_counted(one[1])]
    return [
        record
        for group in groups
        for record in encode_records(group, record_bytes_max=EVENT_RECORD_BYTES_MAX)
    ]


def _can_be_counted(event: Envelope) -> bool:
    """The years in between are told without arithmetic."""
    assert event.time is not None
    if _YEAR_MIN < event.time.year < _YEAR_MAX:
        return True
    return SECOND_MIN <= unix_s(event.time) <= SECOND_MAX
