"""What one client is told, in order and without a gap: a beginning, what it has missed, then every change as it comes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sse_starlette import ServerSentEvent

from api import metrics
from api.answers import json_bytes
from api.balances.shown import value_v2
from api.streaming.hub import Hub, read_change
from api.streaming.position import Position
from api.streaming.subscriber import Subscriber, Wanted
from api.times import of_ms
from domain.errors import Unavailable
from schemas.balance_changes import Change
from schemas.balances import Value

log = logging.getLogger(__name__)

SEPARATOR = "\n"


async def why_not_resumed(hub: Hub, since: Position) -> str | None:
    """Why what came after `since` cannot be told from the topic; None when it can. Unavailable."""
    at = hub.position
    if since.topic != at.topic or len(since.offsets) != len(at.offsets):
        return "these are the balances of another topic"
    missed = 0
    for partition, (seen, end) in enumerate(zip(since.offsets, at.offsets, strict=True)):
        if seen == end:
            continue
        first, end = await hub.topic.bounds(partition)
        if not first <= seen <= end:
            return "the topic no longer has what came then"
        missed += end - seen
    if missed > hub.bounds.resume_records_max:
        return f"{missed} changes were missed"
    return None


@dataclass(slots=True, kw_only=True)
class Session:
    """One connection. `since`: from where on it is told; `reset`: why that is not where it was; `snapshot`: what it is told first."""

    hub: Hub
    wanted: Wanted
    since: Position
    reset: str | None = None
    snapshot: Sequence[tuple[Value, int]] = ()
    _seen: list[int] = field(default_factory=list)
    """By partition, the first offset that this client has not been told of."""
    _subscriber: Subscriber | None = None
    _closed: bool = False

    def close(self) -> None:
        """The process stops: end with what is under way."""
        self._closed = True
        if self._subscriber is not None:
            self._subscriber.close()

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """Until the client goes, is too slow or the process stops."""
        self._seen = list(self.since.offsets)
        if self.reset is not None:
            metrics.stream_resets.inc()
            yield self._event("reset", {"reason": self.reset})
        else:
            yield self._event("connected", {})
        for value, as_of_ms in self.snapshot:
            yield self._event("balance", _shown(value, None, as_of_ms, "snapshot"))
        while True:
            with self.hub.subscribed(self.wanted) as subscriber:
                self._subscriber = subscriber
                if self._closed:
                    subscriber.close()
                read = False
                try:
                    async for event in self._missed(self.hub.position.offsets):
                        read = True
                        yield event
                except Unavailable as error:
                    log.warning("a stream ends", extra={"cause": str(error)})
                    return
                if subscriber.behind and read:
                    continue  # it was busy with what it had missed: there is more of that now
                async for event in self._live(subscriber):
                    yield event
                return

    async def _missed(self, ends: Sequence[int]) -> AsyncIterator[ServerSentEvent]:
        """What stands between what the client has seen and where following was when it began to be told."""
        if all(seen >= end for seen, end in zip(self._seen, ends, strict=True)):
            return
        async with self.hub.resuming:
            for partition, end in enumerate(ends):
                start = self._seen[partition]
                if start >= end:
                    continue
                async for records, _ in self.hub.topic.read(partition, start, end):
                    for record in records:
                        change = read_change(record)
                        if change is not None and self.wanted.has(change):
                            self._seen[partition] = record.offset + 1
                            yield self._balance(change)
                self._seen[partition] = end

    async def _live(self, subscriber: Subscriber) -> AsyncIterator[ServerSentEvent]:
        while True:
            told = subscriber.take()
            if told is not None:
                if told.offset >= self._seen[told.partition]:
                    self._have_seen(told.after)
                    yield self._balance(told.change)
            elif subscriber.closed:
                yield self._event("closing", {"reason": "the server stops: connect again"})
                return
            elif subscriber.behind:
                metrics.streams_cut.inc()
                yield self._event("slow", {"reason": "too many changes wait: connect again"})
                return
            elif not await subscriber.wait(self.hub.bounds.heartbeat_s) and subscriber.is_idle:
                self._have_seen(self.hub.position.offsets)
                yield ServerSentEvent(comment="heartbeat", id=self._id(), sep=SEPARATOR)

    def _have_seen(self, offsets: Sequence[int]) -> None:
        self._seen = list(map(max, self._seen, offsets))

    def _balance(self, change: Change) -> ServerSentEvent:
        metrics.stream_events.inc()
        shown = _shown(change.value, change.customer_key, change.as_of_ms, change.cause.value)
        if change.gone:
            shown["deleted"] = True
        return self._event("balance", shown)

    def _event(self, name: str, data: dict[str, Any]) -> ServerSentEvent:
        return ServerSentEvent(json_bytes(data).decode(), event=name, id=self._id(), sep=SEPARATOR)

    def _id(self) -> str:
        return Position(self.hub.position.topic, tuple(self._seen)).text()


def _shown(value: Value, customer_key: str | None, as_of_ms: int, cause: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "entitlementId": value.entitlement_id,
        "customerId": value.customer_id,
        "featureId": value.feature_id,
        "featureKey": value.feature_key,
        "cause": cause,
        "asOf": of_ms(as_of_ms),
        "value": value_v2(value),
    }
    if customer_key is not None:
        shown["customerKey"] = customer_key
    return shown
