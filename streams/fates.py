"""Log lines of what became of the events of a chunk: refusals always, the others at debug; never a line an event.

Where one event is asked for, `GET /api/v1/events/fate` answers. Source: docs/decisions/0130.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import compress, islice
from operator import not_
from typing import TYPE_CHECKING

from schemas.position import index_of, offset_of

if TYPE_CHECKING:
    from streams.decoded import RejectedEvent
    from streams.folding import Folded

log = logging.getLogger(__name__)

NAMED_MAX = 100
"""Events that a line names; the counts are of all."""


def tell_chunk(partition: int, folded: Folded) -> None:
    """After it is on disk."""
    decoded = folded.decoded
    tell_refused(partition, decoded.rejected)
    if not log.isEnabledFor(logging.DEBUG):
        return
    repeated = compress(
        zip(decoded.positions, decoded.ids, strict=True), map(not_, folded.accepted_flags)
    )
    log.debug(
        "chunk counted",
        extra={
            "partition": partition,
            "first": place(decoded.first),
            "next": place(decoded.next),
            "accepted": folded.accepted,
            "duplicates": len(decoded.positions) - folded.accepted,
            "forwarded": len(decoded.forwarded),
            "duplicate_events": [f"{place(at)} {id}" for at, id in islice(repeated, NAMED_MAX)],
        },
    )


def tell_refused(partition: int, refused: Sequence[RejectedEvent]) -> None:
    """One line for all that a chunk has of them: how many by code, and where the first ones stand."""
    if refused:
        log.warning(
            "events refused",
            extra={
                "partition": partition,
                "codes": dict(Counter(event.code for event in refused)),
                "at": [place(event.position) for event in refused[:NAMED_MAX]],
            },
        )


def place(position: int) -> str:
    """`offset/index` in its partition."""
    return f"{offset_of(position)}/{index_of(position)}"
