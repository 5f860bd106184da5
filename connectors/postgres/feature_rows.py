"""A feature and its rows, and finding one: shared by all that look a feature up in its own transaction."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

from asyncpg import Record

from connectors.postgres.pool import PooledConnection
from connectors.postgres.texts import from_json, json_text
from domain.errors import NotFound
from domain.features.feature import Feature
from domain.features.unit_cost import LlmCost, ManualCost, TokenType, UnitCost
from domain.metering.meter import SLUG
from domain.metering.ulid import is_ulid
from schemas.catalog import FeatureRecord

COLUMNS = tuple(field.name for field in fields(Feature))
SELECT = f"SELECT {', '.join(COLUMNS)} FROM features"
_COST = tuple(field.name for field in fields(LlmCost))


async def find_feature(reading: PooledConnection, namespace: str, id_or_key: str) -> Feature:
    """By id (archived ones too) or by the key of a live one; no key looks like an id. NotFound."""
    row = None
    if is_ulid(id_or_key):
        row = await reading.fetchrow(
            f"{SELECT} WHERE namespace = $1 AND id = $2", namespace, id_or_key.upper()
        )
    elif SLUG.match(id_or_key):
        row = await reading.fetchrow(
            f"{SELECT} WHERE namespace = $1 AND key = $2 AND archived_at IS NULL",
            namespace,
            id_or_key,
        )
    if row is None:
        raise NotFound(f"no feature has the id or key {id_or_key[:80]!r}")
    return feature_of(row)


def feature_of(row: Record) -> Feature:
    """The feature of a row of `SELECT`."""
    values = {name: row[name] for name in COLUMNS}
    values["metadata"] = from_json(row["metadata"])
    values["filters"] = from_json(row["filters"])
    values["unit_cost"] = _cost_of(from_json(row["unit_cost"]))
    return Feature(**values)


def values_of(feature: Feature) -> list[Any]:
    """The column values of a feature, in the order of `COLUMNS`."""
    made = {
        "metadata": json_text(feature.metadata),
        "filters": json_text(feature.filters),
        "unit_cost": json_text(_cost_json(feature.unit_cost)),
    }
    return [made[name] if name in made else getattr(feature, name) for name in COLUMNS]


def feature_record(feature: Feature) -> FeatureRecord:
    """The feature as the workers learn of it."""
    return FeatureRecord(
        id=feature.id,
        namespace=feature.namespace,
        key=feature.key,
        name=feature.name,
        created_at=feature.created_at,
        updated_at=feature.updated_at,
        meter_id=feature.meter_id,
        filters=dict(feature.filters),
        archived_at=feature.archived_at,
    )


def _cost_json(cost: UnitCost | None) -> dict[str, Any] | None:
    match cost:
        case None:
            return None
        case ManualCost(amount=amount):
            return {"type": "manual", "amount": f"{amount:f}"}
        case LlmCost():
            given = {name: getattr(cost, name) for name in _COST}
            return {
                "type": "llm",
                **{name: text for name, text in given.items() if text is not None},
            }


def _cost_of(stored: dict[str, Any] | None) -> UnitCost | None:
    if stored is None:
        return None
    if stored["type"] == "manual":
        return ManualCost(amount=Decimal(stored["amount"]))
    values = {name: stored.get(name) for name in _COST}
    if values["token_type"] is not None:
        values["token_type"] = TokenType(values["token_type"])
    return LlmCost(**values)
