"""The meters of the configuration: made at start when no live meter has their slug.

A live meter wins over the configuration, because usage was counted by it. When the two contradict each other in what can never
be changed, the log says so at each start, and the process goes on: a stop would lose events, and would not make the numbers others.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.ports import Meters
from domain.errors import Conflict, NotFound, Refused
from domain.metering.meter import Aggregation, Meter, new_meter
from runtime import metrics
from runtime.config import ConfigProblem, MeterConfig

log = logging.getLogger(__name__)

_IMMUTABLE = ("aggregation", "event_type", "value_property", "event_from")
_ATTEMPTS = 5
"""A meter made by another process may be deleted before it is looked at: then it is made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A configured meter that is not what the live one with its slug is."""

    slug: str
    field: str
    configured: object
    live: object


async def seed_meters(
    configured: Sequence[MeterConfig],
    meters: Meters,
    *,
    namespace: str,
    now: Callable[[], datetime],
    new_id: Callable[[], str],
    reserved: Sequence[str] = (),
) -> list[Contradiction]:
    """Make what is missing; processes that start together make it once. ConfigProblem before anything is made; Unavailable."""
    wanted = configured_meters(
        configured, namespace=namespace, now=now, new_id=new_id, reserved=reserved
    )
    found: list[Contradiction] = []
    for meter in wanted:
        found += contradictions(meter, await _seed(meter, meters))
    metrics.meters_contradicted.set(len(found))
    for each in found:
        log.error(
            "a meter of the configuration contradicts the live one, which stays as it is: rename it in the configuration,"
            " or delete the live one",
            extra={
                "meter": each.slug,
                "field": each.field,
                "configured": each.configured,
                "live": each.live,
            },
        )
    return found


def configured_meters(
    configured: Sequence[MeterConfig],
    *,
    namespace: str,
    now: Callable[[], datetime],
    new_id: Callable[[], str],
    reserved: Sequence[str] = (),
) -> list[Meter]:
    """The meters that the configuration describes. ConfigProblem names the meter and the key that is wrong."""
    built: dict[str, Meter] = {}
    for number, each in enumerate(configured):
        if each.slug in built:
            raise ConfigProblem(f"meters[{number}]: slug: another meter has it: {each.slug}")
        try:
            built[each.slug] = new_meter(
                id=new_id(),
                namespace=namespace,
                slug=each.slug,
                name=each.name,
                description=each.description,
                aggregation=Aggregation(each.aggregation),
                event_type=each.event_type,
                value_property=each.value_property,
                group_by=each.group_by,
                event_from=each.event_from,
                at=now(),
                reserved=reserved,
            )
        except Refused as refused:
            raise ConfigProblem(
                f"meters[{number}] ({each.slug}): {_key(refused.field)}: {refused}"
            ) from None
    return list(built.values())


def contradictions(configured: Meter, live: Meter) -> list[Contradiction]:
    """Where the two differ in what a meter keeps for life; names, descriptions and groups may have been changed since."""
    return [
        Contradiction(
            slug=configured.slug,
            field=field,
            configured=getattr(configured, field),
            live=getattr(live, field),
        )
        for field in _IMMUTABLE
        if getattr(configured, field) != getattr(live, field)
    ]


async def _seed(meter: Meter, meters: Meters) -> Meter:
    """The live meter with the slug, `meter` itself when there was none."""
    for _ in range(_ATTEMPTS):
        live = await _live(meter.slug, meters)
        if live is not None:
            return live
        try:
            return await meters.create(meter)
        except Conflict:
            continue
    raise ConfigProblem(
        f"meters ({meter.slug}): slug: cannot be made: another meter's id reads the same, or others make and delete it all the time"
    )


async def _live(slug: str, meters: Meters) -> Meter | None:
    try:
        found = await meters.find(slug)
    except NotFound:
        return None
    # A slug that looks like an id finds the meter of that id first.
    return found if found.slug == slug and found.deleted_at is None else None


def _key(field: str | None) -> str:
    """The configuration's key of a field: `$.valueProperty` is value_property."""
    first, dot, rest = (field or "$.meter").removeprefix("$.").partition(".")
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), first) + dot + rest
