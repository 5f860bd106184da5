"""A meter: which events it looks at, what it reads from them and how it adds that up.

Source: metering §2.1 for fields and refusals.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from domain.errors import Refused
from domain.metering.jsonpath import compile_path
from domain.metering.ulid import is_ulid
from domain.texts import check_length, check_metadata, check_storable

SLUG = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*\Z", re.ASCII)
GROUP_KEY = re.compile(r"[a-zA-Z_][0-9a-zA-Z_]*\Z", re.ASCII)
SLUG_LENGTH_MAX = 64
NAME_LENGTH_MAX = 256
DESCRIPTION_LENGTH_MAX = 1024
EVENT_TYPE_LENGTH_MAX = 1024
GROUP_KEYS_MAX = 64
GROUP_KEY_LENGTH_MAX = 256


class Aggregation(StrEnum):
    """How the values of a meter's events become one number."""

    SUM = "SUM"
    COUNT = "COUNT"
    UNIQUE_COUNT = "UNIQUE_COUNT"
    AVG = "AVG"
    MIN = "MIN"
    MAX = "MAX"
    LATEST = "LATEST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A validated meter. `version` starts at 1 and grows when `group_by` changes; nothing else of the fold can change."""

    id: str
    namespace: str
    slug: str
    name: str
    aggregation: Aggregation
    event_type: str
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    value_property: str | None = None
    group_by: Mapping[str, str]
    event_from: datetime | None = None
    deleted_at: datetime | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if not is_ulid(self.id):
            raise Refused("id_invalid", f"not a ULID: {self.id[:40]!r}", "$.id")
        _check_slug(self.slug)
        check_length("$.name", self.name, 1, NAME_LENGTH_MAX)
        if self.description is not None:
            check_length("$.description", self.description, 1, DESCRIPTION_LENGTH_MAX)
        check_length("$.eventType", self.event_type, 1, EVENT_TYPE_LENGTH_MAX)
        check_metadata(self.metadata)
        _check_event_from(self.event_from)
        _check_value_property(self.aggregation, self.value_property)
        _check_group_by(self.group_by, self.value_property)


def new_meter(
    *,
    id: str,
    namespace: str,
    slug: str,
    aggregation: Aggregation,
    event_type: str,
    at: datetime,
    name: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    value_property: str | None = None,
    group_by: Mapping[str, str] | None = None,
    event_from: datetime | None = None,
    reserved: Sequence[str] = (),
) -> Meter:
    """A meter made at `at`: a missing name is the slug. Refused when a rule is broken or the event type is `reserved`."""
    refuse_reserved(event_type, reserved)
    return Meter(
        id=id,
        namespace=namespace,
        slug=slug,
        name=slug if name is None else name,
        description=description,
        metadata=metadata,
        aggregation=aggregation,
        event_type=event_type,
        value_property=value_property,
        group_by=dict(group_by or {}),
        event_from=event_from,
        created_at=at,
        updated_at=at,
    )


def changed(
    meter: Meter,
    *,
    name: str | None,
    description: str | None,
    metadata: Mapping[str, str] | None,
    group_by: Mapping[str, str] | None,
    at: datetime,
) -> Meter:
    """`meter` after a PUT: a missing name is the slug, a missing description is kept, the rest is replaced."""
    groups = dict(group_by or {})
    return replace(
        meter,
        name=meter.slug if name is None else name,
        description=meter.description if description is None else description,
        metadata=metadata,
        group_by=groups,
        updated_at=at,
        version=meter.version + (groups != dict(meter.group_by)),
    )


def refuse_reserved(event_type: str, patterns: Sequence[str]) -> None:
    """Refuse an event type that a reserved pattern (`*` matches anything) covers."""
    for pattern in patterns:
        allowed = ".*".join(re.escape(part) for part in pattern.split("*"))
        if re.fullmatch(allowed, event_type, re.DOTALL):
            raise Refused(
                "event_type_reserved",
                f"event type {event_type!r} is reserved by {pattern!r}",
                "$.eventType",
            )


def _check_slug(slug: str) -> None:
    if not 1 <= len(slug) <= SLUG_LENGTH_MAX or not SLUG.match(slug):
        raise Refused(
            "slug_invalid",
            f"a slug is 1-{SLUG_LENGTH_MAX} lower-case letters and digits, joined by single _: {slug[:80]!r}",
            "$.slug",
        )


def _check_event_from(event_from: datetime | None) -> None:
    if event_from is None:
        return
    if event_from.tzinfo is None:
        raise Refused("time_invalid", "eventFrom has no time zone", "$.eventFrom")
    try:
        event_from.astimezone(UTC)
    except OverflowError:
        raise Refused(
            "time_invalid", "eventFrom is not in the years 1-9999", "$.eventFrom"
        ) from None


def _check_value_property(aggregation: Aggregation, path: str | None) -> None:
    if aggregation is Aggregation.COUNT:
        if path is not None:
            raise Refused(
                "value_property_not_allowed",
                "a COUNT meter has no valueProperty",
                "$.valueProperty",
            )
        return
    if path is None:
        raise Refused(
            "value_property_missing",
            f"a {aggregation} meter needs a valueProperty",
            "$.valueProperty",
        )
    _compile(path, "$.valueProperty")


def _check_group_by(group_by: Mapping[str, str], value_property: str | None) -> None:
    if len(group_by) > GROUP_KEYS_MAX:
        raise Refused(
            "too_many_group_keys", f"a meter groups by at most {GROUP_KEYS_MAX} keys", "$.groupBy"
        )
    for key, path in group_by.items():
        field = f"$.groupBy.{key}"
        if not GROUP_KEY.match(key):
            raise Refused(
                "group_key_invalid",
                f"a group key is letters, digits and _, not starting with a digit: {key!r}",
                field,
            )
        check_length(field, key, 1, GROUP_KEY_LENGTH_MAX)
        _compile(path, field)
        if path == value_property:
            raise Refused(
                "group_is_value", f"group {key!r} reads the same path as valueProperty", field
            )


def _compile(path: str, field: str) -> None:
    check_storable(field, path)
    try:
        compile_path(path)
    except Refused as refused:
        raise Refused(refused.code, str(refused), field) from None
