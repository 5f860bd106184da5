"""A feature: what customers are entitled to. With a meter, its usage is what passes its filters. Source: metering §4."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.entitlements.features import group_filters
from domain.errors import Refused
from domain.features.unit_cost import LlmCost, UnitCost
from domain.metering.meter import SLUG, SLUG_LENGTH_MAX, Aggregation, Meter
from domain.metering.ulid import is_ulid
from domain.texts import check_length, check_metadata, check_storable

NAME_LENGTH_MAX = 256
FILTERS_BYTES_MAX = 64 << 10
"""All filters together, as JSON: a feature is one record of the catalog topic."""

_FILTERS = "$.advancedMeterGroupByFilters"

AGGREGATIONS = frozenset(
    (Aggregation.SUM, Aggregation.COUNT, Aggregation.UNIQUE_COUNT, Aggregation.LATEST)
)
"""Of meters that a balance can be kept of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A validated feature. `filters`: group-by key of the meter -> filter in the form of the API (`{"$eq": "gpt-4"}`)."""

    id: str
    namespace: str
    key: str
    name: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, str] | None = None
    meter_id: str | None = None
    meter_slug: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    unit_cost: UnitCost | None = None
    archived_at: datetime | None = None

    def __post_init__(self) -> None:
        if not is_ulid(self.id):
            raise Refused("id_invalid", f"not a ULID: {self.id[:40]!r}", "$.id")
        if not 1 <= len(self.key) <= SLUG_LENGTH_MAX or not SLUG.match(self.key):
            raise Refused(
                "key_invalid",
                f"a key is 1-{SLUG_LENGTH_MAX} lower-case letters and digits, joined by single _: {self.key[:80]!r}",
                "$.key",
            )
        if is_ulid(self.key):
            raise Refused("key_is_id", f"a key cannot look like an id: {self.key}", "$.key")
        check_length("$.name", self.name, 1, NAME_LENGTH_MAX)
        check_metadata(self.metadata)
        _check_filters(self.filters)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFace:
    """What a request says of a feature; `meter` is an id or a slug."""

    key: str
    name: str
    metadata: Mapping[str, str] | None = None
    meter: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    unit_cost: UnitCost | None = None


def new_feature(
    face: FeatureFace, *, id: str, namespace: str, meter: Meter | None, at: datetime
) -> Feature:
    """A feature made at `at` of `meter`, which is the live one that the face names. Refused."""
    if meter is not None and meter.aggregation not in AGGREGATIONS:
        raise Refused(
            "aggregation_not_supported",
            f"no balance can be kept of {meter.aggregation}: take SUM, COUNT, UNIQUE_COUNT or LATEST",
            "$.meterSlug",
        )
    for key in face.filters:
        if meter is None or key not in meter.group_by:
            raise Refused(
                "invalid_group_by_filter",
                f"the meter has no group {key[:100]!r}" if meter else "filters need a meter",
                _FILTERS,
            )
    if isinstance(face.unit_cost, LlmCost):
        face.unit_cost.check_groups(None if meter is None else meter.group_by.keys())
    return Feature(
        id=id,
        namespace=namespace,
        key=face.key,
        name=face.name,
        metadata=face.metadata,
        meter_id=None if meter is None else meter.id,
        meter_slug=None if meter is None else meter.slug,
        filters=dict(face.filters),
        unit_cost=face.unit_cost,
        created_at=at,
        updated_at=at,
    )


def _check_filters(filters: Mapping[str, Any]) -> None:
    group_filters(filters)
    _check_texts(filters)
    size = len(json.dumps(filters, ensure_ascii=False).encode())
    if size > FILTERS_BYTES_MAX:
        raise Refused(
            "filters_too_large",
            f"the filters have {size} bytes as JSON, {FILTERS_BYTES_MAX} are allowed",
            _FILTERS,
        )


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        check_storable(_FILTERS, value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            check_storable(_FILTERS, key)
            _check_texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_texts(inner)
