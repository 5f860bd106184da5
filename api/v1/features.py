"""`/api/v1/features`: create, list, read, archive. Source: metering §4."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, no_content
from api.calls import calls_of
from api.features import management
from api.paging import PAGE_SIZE, Order, Page, PageSize, page_json
from api.parsing import read_json, read_query
from api.routing import Resource, path_text
from api.v1.filters import StringFilter, text_filter
from domain.features.feature import Feature, FeatureFace
from domain.features.listing import FeatureListing
from domain.features.unit_cost import LlmCost, ManualCost, TokenType, UnitCost

_Key = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9]+(?:_[a-z0-9]+)*\Z")
]
_Meter = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        pattern=r"^(?:[a-z0-9]+(?:_[a-z0-9]+)*|[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25})\Z",
    ),
]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Numeric = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^-?[0-9]+(\.[0-9]+)?\Z")]


class ManualUnitCost(msgspec.Struct, kw_only=True, tag_field="type", tag="manual"):
    """A fixed amount."""

    amount: _Numeric


class LlmUnitCost(
    msgspec.Struct, kw_only=True, tag_field="type", tag="llm", rename="camel", omit_defaults=True
):
    """The price of a language model's tokens: of each pair one is given."""

    provider: str | UnsetType = UNSET
    provider_property: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    model_property: str | UnsetType = UNSET
    token_type: TokenType | UnsetType = UNSET
    token_type_property: str | UnsetType = UNSET


class FeatureBody(msgspec.Struct, kw_only=True, rename="camel"):
    """A new feature; what the contract does not know is ignored."""

    key: _Key
    name: _Name
    metadata: dict[str, str] | UnsetType = UNSET
    meter_slug: _Meter | UnsetType = UNSET
    meter_group_by_filters: dict[str, str] | UnsetType = UNSET
    advanced_meter_group_by_filters: dict[str, StringFilter] | UnsetType = UNSET
    unit_cost: ManualUnitCost | LlmUnitCost | UnsetType = UNSET


class ListQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """With `page` or `page_size` the answer is a page, else an array of `limit` after `offset`."""

    meter_slug: list[str] | None = None
    include_archived: bool = False
    page: Page | None = None
    page_size: PageSize | None = None
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: PageSize = PAGE_SIZE
    order: Order = "ASC"
    order_by: Annotated[str, msgspec.Meta(pattern=r"^(key|name|createdAt|updatedAt)\Z")] | None = (
        None
    )


async def create(request: Request) -> Response:
    """201."""
    calls = calls_of(request)
    body = await read_json(request, calls.bodies, FeatureBody)
    made = await management.create(calls.ports, calls.rules.namespace, _face(body))
    return json_answer(feature_json(made), 201)


async def list_features(request: Request) -> Response:
    """Live ones by key, unless asked otherwise."""
    query = read_query(request, ListQuery)
    paged = query.page is not None or query.page_size is not None
    page, page_size = query.page or 1, query.page_size or PAGE_SIZE
    found = await calls_of(request).ports.features.list_features(
        FeatureListing(
            offset=(page - 1) * page_size if paged else query.offset,
            limit=page_size if paged else query.limit,
            order_by=query.order_by or "key",
            descending=query.order == "DESC",
            include_archived=query.include_archived,
            meters=query.meter_slug,
        )
    )
    items = [feature_json(one) for one in found.features]
    if not paged:
        return json_answer(items)
    return json_answer(page_json(items, total=found.total, page=page, page_size=page_size))


async def read(request: Request) -> Response:
    """A live one by id or key."""
    found = await calls_of(request).ports.features.find(path_text(request, "feature"))
    return json_answer(feature_json(found))


async def delete(request: Request) -> Response:
    """Archives it."""
    await calls_of(request).ports.features.archive(path_text(request, "feature"))
    return no_content()


def feature_json(feature: Feature) -> dict[str, Any]:
    """A feature as v1 shows it, without what is empty; plain filters only when all are plain."""
    plain = {key: test["$eq"] for key, test in feature.filters.items() if list(test) == ["$eq"]}
    shown: dict[str, Any] = {
        "id": feature.id,
        "key": feature.key,
        "name": feature.name,
        "metadata": dict(feature.metadata or {}) or None,
        "meterSlug": feature.meter_slug,
        "meterGroupByFilters": plain if plain and len(plain) == len(feature.filters) else None,
        "advancedMeterGroupByFilters": dict(feature.filters) or None,
        "unitCost": feature.unit_cost and _cost_json(feature.unit_cost),
        "createdAt": feature.created_at,
        "updatedAt": feature.updated_at,
        "archivedAt": feature.archived_at,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _face(body: FeatureBody) -> FeatureFace:
    return FeatureFace(
        key=body.key,
        name=body.name,
        metadata=body.metadata or None,
        meter=body.meter_slug or None,
        filters=_filters(body),
        unit_cost=_cost(body.unit_cost) if body.unit_cost else None,
    )


def _filters(body: FeatureBody) -> Mapping[str, Any]:
    """Advanced ones as they were given, without their nulls; only without any the plain ones count."""
    if not body.advanced_meter_group_by_filters:
        return {key: {"$eq": text} for key, text in (body.meter_group_by_filters or {}).items()}
    found = {}
    for key, given in body.advanced_meter_group_by_filters.items():
        text_filter(given, f"$.advancedMeterGroupByFilters.{key}")
        found[key] = _without_nulls(msgspec.to_builtins(given))
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return value


def _cost(body: ManualUnitCost | LlmUnitCost) -> UnitCost:
    if isinstance(body, ManualUnitCost):
        return ManualCost(amount=Decimal(body.amount))
    given = {name: getattr(body, name) for name in body.__struct_fields__}
    return LlmCost(**{name: text for name, text in given.items() if text is not UNSET})


def _cost_json(cost: UnitCost) -> ManualUnitCost | LlmUnitCost:
    if isinstance(cost, ManualCost):
        return ManualUnitCost(amount=_plain(cost.amount))
    given = {name: getattr(cost, name) for name in LlmUnitCost.__struct_fields__}
    return LlmUnitCost(**{name: text for name, text in given.items() if text is not None})


def _plain(amount: Decimal) -> str:
    """Without an exponent, and without zeros that say nothing."""
    text = f"{amount.copy_abs():f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


COLLECTION = Resource("/api/v1/features", {"POST": create, "GET": list_features})
ITEM = Resource("/api/v1/features/{feature}", {"GET": read, "DELETE": delete})
