"""Whether a log holds anything that is not counted yet, as the answers to fetches tell: nobody is asked for it.

What is private in aiokafka here is pinned by tests/contract/test_faust_private_names.py.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from faust.types import TP

FETCH_WAIT_MS = 1500
"""Faust's fetch_max_wait_ms: after this long the broker answers a fetch that finds nothing; one that finds something, at once."""
_ANSWER_MS = 1000
"""How much longer an answer takes before the broker counts as silent."""


class WholeLogs:
    """What is known of the logs that one aiokafka consumer fetches from."""

    def __init__(self) -> None:
        self._searched: dict[TP, int] = {}

    def forget(self) -> None:
        """The consumer reads on from elsewhere."""
        self._searched.clear()

    def note_fetch(self, consumer: Any, tps: Iterable[TP], records: Container[TP]) -> None:
        """A fetch is over. It brought `records`; of other partitions all before their position has been handed out.

        The position passes markers of transactions too, which are records for nobody.
        """
        subscription = consumer._subscription.subscription
        if subscription is None:
            return
        for tp in tps:
            state = None if tp in records else subscription.assignment.state_value(tp)
            if state is not None and state.has_valid_position:
                self._searched[tp] = state.position

    def whole_at(
        self, consumer: Any, tp: TP, *, counted: int, handed_out: int | None, now_ms: int
    ) -> int | None:
        """When (Unix milliseconds) the log of `tp` had nothing from offset `counted` on; None while it may have something.

        That is now, as long as fetches are answered in time: one that is not answered yet has found nothing. Records up
        to `handed_out` have been given to the stream.
        """
        try:
            end, asked_ms = consumer.highwater(tp), consumer.last_poll_timestamp(tp)
        except (
            AssertionError,
            AttributeError,
        ):  # the consumer's thread loses the partition just now
            return None
        if end is None or asked_ms is None:
            return None
        if counted < end and not (handed_out == counted and self._searched.get(tp) == end):
            return None
        return now_ms if now_ms - asked_ms < FETCH_WAIT_MS + _ANSWER_MS else int(asked_ms)
