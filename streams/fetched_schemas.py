"""Schemas that are not stored here, asked for at a registry and kept, within bounds.

A registry is never asked for the same thing over and over: schemas are kept (their ids never change), an answer that there
is none is kept for a while, and after a failure nothing is asked until a pause has passed.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from domain.errors import NotFound, Refused, Unavailable
from schemas.avro_schemas import STORED, EventSchema, Schemas, event_schema
from streams import metrics

log = logging.getLogger(__name__)

_PAUSE_S_MIN, _PAUSE_S_MAX = 0.5, 15.0


class Registry(Protocol):
    """A schema registry."""

    async def schema(self, id: int) -> str:
        """The text of a schema. NotFound, Refused, Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOptions:
    """`kept_max` answers are remembered; that there is no such schema, for `unknown_s` seconds."""

    kept_max: int = 1_000
    unknown_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of the ids of one list of records: a lookup that does not change."""

    known: Mapping[int, EventSchema]
    refused: Mapping[int, Refused]
    unavailable: Collection[int]
    """The registry could not be asked for these."""
    stored: Schemas = STORED

    def by_id(self, id: int) -> EventSchema | None:
        """By the number that a record in Confluent's framing names."""
        return self.known.get(id) or self.stored.by_id(id)

    def by_fingerprint(self, found: bytes) -> EventSchema | None:
        """By the CRC-64-AVRO of its canonical form."""
        return self.stored.by_fingerprint(found)


class FetchedSchemas:
    """The stored schemas and those of a registry, or only the stored ones when there is none."""

    def __init__(
        self,
        registry: Registry | None,
        options: SchemaOptions,
        *,
        stored: Schemas = STORED,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._options = options
        self._stored = stored
        self._now = now
        self._kept: OrderedDict[int, EventSchema | tuple[Refused, float]] = OrderedDict()
        self._failures = 0
        self._ask_again_at = 0.0

    @property
    def kept_max(self) -> int:
        """How many different ids one question may have."""
        return self._options.kept_max

    async def find(self, ids: Collection[int]) -> Found:
        """What is known of `ids`, at most `kept_max` of them, the registry asked for what is not."""
        known: dict[int, EventSchema] = {}
        refused: dict[int, Refused] = {}
        unavailable = set()
        for id in ids:
            if self._stored.by_id(id) is not None:
                continue
            answer = self._remembered(id) or await self._asked(id)
            match answer:
                case EventSchema():
                    known[id] = answer
                case Refused():
                    refused[id] = answer
                case None:
                    unavailable.add(id)
        return Found(known=known, refused=refused, unavailable=unavailable, stored=self._stored)

    def _remembered(self, id: int) -> EventSchema | Refused | None:
        kept = self._kept.get(id)
        if kept is None:
            return None
        self._kept.move_to_end(id)
        if isinstance(kept, EventSchema):
            return kept
        refused, until = kept
        return refused if self._now() < until else None

    async def _asked(self, id: int) -> EventSchema | Refused | None:
        """The registry's answer; None when there is none."""
        if self._registry is None:
            return Refused("avro_schema_unknown", f"no schema with the id {id} is known")
        if self._now() < self._ask_again_at:
            return None
        try:
            answer = event_schema(await self._registry.schema(id), name=str(id))
        except Unavailable as cause:
            self._pause(cause)
            return None
        except NotFound as none:
            return self._keep(id, Refused("avro_schema_unknown", str(none)))
        except Refused as refused:
            return self._keep(id, refused)
        finally:
            metrics.schemas_asked.inc()
        return self._keep(id, answer)

    def _keep(self, id: int, answer: EventSchema | Refused) -> EventSchema | Refused:
        self._failures = 0
        until = self._now() + self._options.unknown_s
        self._kept[id] = answer if isinstance(answer, EventSchema) else (answer, until)
        while len(self._kept) > self._options.kept_max:
            self._kept.popitem(last=False)
        return answer

    def _pause(self, cause: Unavailable) -> None:
        self._failures += 1
        pause_s = min(_PAUSE_S_MAX, _PAUSE_S_MIN * 2 ** min(self._failures - 1, 10))
        self._ask_again_at = self._now() + pause_s
        log.warning(
            "the schema registry does not answer",
            extra={"cause": str(cause), "retry_in_s": pause_s},
        )
