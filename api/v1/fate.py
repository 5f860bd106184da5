"""`/api/v1/events/fate`: what became of the events with an id. Beside the contract: docs/decisions/0130."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.calls import calls_of
from api.parsing import read_query
from api.routing import Resource
from api.times import Time, of_ms, unix_s
from api.v1.rejected import rejected_json
from domain.errors import Refused
from domain.metering.rejected import RejectedListing
from domain.metering.verdicts import Place, StoredVerdict, VerdictListing, in_order, originals
from domain.metering.windows import utc
from schemas.cloudevents import ATTRIBUTE_LENGTH_MAX
from schemas.position import index_of, offset_of

STORED_MAX = 100
REJECTED_MAX = 100

_Attribute = Annotated[str, msgspec.Meta(min_length=1, max_length=ATTRIBUTE_LENGTH_MAX)]


class FateQuery(msgspec.Struct, kw_only=True):
    """Which events; the times are the events' own."""

    id: _Attribute
    source: _Attribute | None = None
    subject: _Attribute | None = None
    from_: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None


async def fate(request: Request) -> Response:
    """Every verdict that is stored, by arrival, and what was refused with the id in its text."""
    ports = calls_of(request).ports
    asked = read_query(request, FateQuery)
    if asked.from_ is not None and asked.to is not None and asked.to < asked.from_:
        raise Refused("bounds_reversed", "from is after to", "from")
    verdicts = await ports.verdicts.find(
        VerdictListing(
            id=asked.id,
            source=asked.source,
            subject=asked.subject,
            start_s=None if asked.from_ is None else unix_s(asked.from_),
            end_s=None if asked.to is None else unix_s(asked.to),
            limit=STORED_MAX,
        )
    )
    refused = await ports.rejected.list_rejected(
        RejectedListing(containing=_texts(asked.id), limit=REJECTED_MAX)
    )
    topic, before = ports.verdicts.topic, originals(verdicts)
    return json_answer(
        {
            "stored": [_verdict_json(topic, one, before) for one in in_order(verdicts)],
            "rejected": [rejected_json(record, None) for record in refused.records],
            "complete": len(verdicts) < STORED_MAX and refused.next is None,
        }
    )


def _texts(id: str) -> tuple[bytes, ...]:
    """The id as it may stand in a record: as it is, or as JSON writes it."""
    forms = (id, json.dumps(id)[1:-1], json.dumps(id, ensure_ascii=False)[1:-1])
    return tuple(dict.fromkeys(form.encode() for form in forms))


def _verdict_json(
    topic: str, verdict: StoredVerdict, before: Mapping[Place, Place]
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "verdict": "accepted" if verdict.accepted else "duplicate",
        "at": _place(topic, verdict.place),
        "event": {
            "id": verdict.id,
            "source": verdict.source,
            "type": verdict.type,
            "subject": verdict.subject,
            "time": utc(verdict.time_s),
        },
        "ingestedAt": of_ms(verdict.ingested_ms),
        "storedAt": of_ms(verdict.stored_ms),
    }
    if verdict.place in before:
        shown["duplicateOf"] = _place(topic, before[verdict.place])
    return shown


def _place(topic: str, place: Place) -> dict[str, Any]:
    partition, position = place
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset_of(position),
        "index": index_of(position),
    }


FATE = Resource("/api/v1/events/fate", {"GET": fate})
