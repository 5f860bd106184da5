"""Types into JSON Schema for the document: msgspec's own, in the dialect of OpenAPI 3.1 and under names for readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from api.times import Time
from api.v1 import meter_query, meters

Schema = dict[str, Any]

_PREFIX = "#/components/schemas/"
_NAMES = {
    meters.CreateBody.__name__: "MeterCreate",
    meters.UpdateBody.__name__: "MeterUpdate",
    meter_query.QueryBody.__name__: "MeterQueryRequest",
    "MeterAnswer": "Meter",
    "CustomerBody": "CustomerRequest",
    "CustomerAnswer": "Customer",
    "CustomerPageAnswer": "CustomerPage",
    "SubjectBody": "SubjectUpsert",
    "SubjectAnswer": "Subject",
    "FeatureBody": "FeatureCreate",
    "FeatureAnswer": "Feature",
    "FeaturePageAnswer": "FeaturePage",
    "MeteredBody": "EntitlementMeteredCreate",
    "MeteredV2Body": "EntitlementMeteredV2Create",
    "StaticBody": "EntitlementStaticCreate",
    "BooleanBody": "EntitlementBooleanCreate",
    "EntitlementAnswer": "Entitlement",
    "EntitlementV2Answer": "EntitlementV2",
    "ResetBody": "EntitlementReset",
    "IssueBody": "IssueCreate",
    "HoldAnswer": "Hold",
    "HoldPageAnswer": "HoldPage",
    "GrantBody": "GrantCreate",
    "GrantV2Body": "GrantV2Create",
    "GrantAnswer": "Grant",
    "GrantV2Answer": "GrantV2",
    "PeriodBody": "RecurringPeriodCreate",
    "ExpirationBody": "ExpirationCreate",
    "WhenFilter": "TimeFilter",
}
"""Where the type's own name says too little outside of its module."""


def schemas_of(types: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each type, and the named ones that they refer to."""
    found, named = msgspec.json.schema_components(
        types, schema_hook=_own_type, ref_template=_PREFIX + "{name}"
    )
    return [_tidy(one) for one in found], {
        _NAMES.get(name, name): _tidy(schema) for name, schema in sorted(named.items())
    }


def with_words(schema: Schema, words: Mapping[str, str]) -> Schema:
    """An object's schema whose members are explained."""
    members = {
        name: {**member, "description": words[name]} if name in words else member
        for name, member in schema["properties"].items()
    }
    return {**schema, "properties": members}


def without_null(schema: Schema) -> Schema:
    """For parameters, which cannot be null: left out is what None stands for."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    if not kinds:
        return schema
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _own_type(kind: type) -> Schema:
    if kind is Time:
        return {"type": "string", "format": "date-time"}
    raise NotImplementedError(kind)


def _tidy(schema: Any) -> Any:
    """Patterns end as in ECMA's expressions, references have the new names, and what says nothing is left out."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {}
    for name, value in schema.items():
        if name == "properties":
            tidied[name] = {member: _tidy(inner) for member, inner in value.items()}
        elif name == "pattern":
            tidied[name] = value.replace("\\Z", "$")
        elif name == "$ref":
            target = value.removeprefix(_PREFIX)
            tidied[name] = _PREFIX + _NAMES.get(target, target)
        elif name == "title" or (name == "default" and value is None) or value == []:
            continue
        else:
            tidied[name] = _tidy(value)
    return tidied
