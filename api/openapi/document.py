"""The OpenAPI 3.1 document, made of the router's resources and the descriptions of their handlers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, get_type_hints

import msgspec

from api.openapi.answers import Problem
from api.openapi.operation import JSON, PROBLEM, Operation
from api.openapi.schemas import Schema, schemas_of, with_words, without_null
from api.parsing import Parameter, parameters_of
from api.routing import Handler, Resource

_ABOUT = (
    "Counts every usage event once and answers what was used. Every error is a problem document (RFC 9457) with a stable "
    "`code` in `extensions.validationErrors`."
)
_TAGS = {
    "events": "Usage, as CloudEvents.",
    "meters": "What is counted, and the numbers.",
    "customers": "Who pays, and whose usage is whose.",
    "subjects": "Names and metadata for what events call by its key.",
    "features": "What customers are entitled to.",
    "entitlements": "What a customer may use, the credit for it, and its resets.",
    "service": "The process itself.",
}
_PATH_PARAMETERS: dict[str, tuple[str, str, Schema]] = {
    "id_or_slug": (
        "meterIdOrSlug",
        "The id of a meter, or the slug of a live one.",
        {"type": "string", "minLength": 1, "maxLength": 64},
    ),
    "key": ("groupByKey", "A group key of the meter.", {"type": "string", "minLength": 1}),
    "customer": (
        "customerIdOrKey",
        "The id of a customer, or the key of a live one.",
        {"type": "string", "minLength": 1, "maxLength": 256},
    ),
    "subject": (
        "subjectIdOrKey",
        "The id of a subject, or the key of a live one.",
        {"type": "string", "minLength": 1},
    ),
    "feature": (
        "featureId",
        "The id or the key of a live feature.",
        {"type": "string", "minLength": 1},
    ),
    "entitlement": (
        "entitlementIdOrFeatureKey",
        "The id of an entitlement, or the feature key of the active one.",
        {"type": "string", "minLength": 1},
    ),
    "entitlement_id": (
        "entitlementId",
        "The id of an entitlement.",
        {"type": "string", "minLength": 1},
    ),
    "feature_key": (
        "featureKey",
        "The key of a feature.",
        {"type": "string", "minLength": 1, "maxLength": 64},
    ),
    "customer_id": ("customerId", "The id of a customer.", {"type": "string", "minLength": 1}),
    "grant_id": ("grantId", "The id of a grant.", {"type": "string", "minLength": 1}),
    "hold_key": (
        "holdKey",
        "The key that the hold was made with.",
        {"type": "string", "minLength": 1, "maxLength": 256},
    ),
    "asset": ("asset", "The name of a file.", {"type": "string", "minLength": 1}),
}
"""By the name in our routes: the name for readers (also in problems), what it is, its schema."""

_IN_BRACES = re.compile(r"\{(\w+)\}")


def build(resources: Iterable[Resource], operations: Sequence[Operation]) -> dict[str, Any]:
    """The document. KeyError for a handler that nobody has described, or for a parameter without words."""
    by_handler = {operation.handler: operation for operation in operations}
    types = _Types(operations)
    paths: dict[str, Any] = {}
    ids: set[str] = set()
    for resource in resources:
        path = _IN_BRACES.sub(lambda found: f"{{{_PATH_PARAMETERS[found[1]][0]}}}", resource.path)
        paths[path] = _path_item(resource, by_handler, types, ids)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "meterstream",
            "version": version("meterstream"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": types.named},
    }


class _Types:
    """The schemas of all types of all operations, made together so that names are shared."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = {repr(kind): kind for one in operations for kind in _types_of(one)}
        found, self.named = schemas_of([*types.values(), Problem])
        self._schemas = dict(zip(types, found, strict=False))
        for operation in operations:
            for kind in operation.body.values():
                self._explain(self.of(kind), operation)

    def of(self, kind: Any) -> Schema:
        """Bytes have no schema: a media type says all."""
        return {} if kind is bytes else self._schemas[repr(kind)]

    def _explain(self, schema: Schema, operation: Operation) -> None:
        for one in (schema, *schema.get("anyOf", ())):
            name = one.get("$ref", "").rpartition("/")[2]
            if name and operation.words:
                self.named[name] = with_words(self.named[name], operation.words)


def _types_of(operation: Operation) -> Iterable[Any]:
    yield from (kind for answer in operation.answers.values() for kind in answer.content.values())
    yield from operation.body.values()
    if operation.query is not None:
        yield from get_type_hints(operation.query, include_extras=True).values()


def _path_item(
    resource: Resource, by_handler: dict[Handler, Operation], types: _Types, ids: set[str]
) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for method, handler in resource.handlers.items():
        item[method.lower()] = _operation(by_handler[handler], method, types, ids)
    parameters = []
    for found in _IN_BRACES.findall(resource.path):
        name, words, schema = _PATH_PARAMETERS[found]
        parameters.append(
            {"name": name, "in": "path", "required": True, "description": words, "schema": schema}
        )
    return {**({"parameters": parameters} if parameters else {}), **item}


def _free(id: str, ids: set[str]) -> str:
    """`id`, with a number when an operation has it already: one handler may answer at several paths."""
    found, number = id, 1
    while found in ids:
        number += 1
        found = f"{id}{number}"
    ids.add(found)
    return found


def _operation(operation: Operation, method: str, types: _Types, ids: set[str]) -> dict[str, Any]:
    is_head = method == "HEAD"
    shown: dict[str, Any] = {
        "operationId": _free(operation.id + ("Head" if is_head else ""), ids),
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.details:
        shown["description"] = operation.details
    if operation.query is not None:
        shown["parameters"] = _query(operation, operation.query, types)
    if operation.body:
        shown["requestBody"] = {"required": True, "content": _bodies(operation, types)}
    shown["responses"] = _responses(operation, types, has_content=not is_head)
    return shown


def _bodies(operation: Operation, types: _Types) -> dict[str, Any]:
    return {
        media: {
            "schema": types.of(kind),
            **({"example": operation.examples[media]} if media in operation.examples else {}),
        }
        for media, kind in operation.body.items()
    }


def _query(
    operation: Operation, model: type[msgspec.Struct], types: _Types
) -> list[dict[str, Any]]:
    hints = get_type_hints(model, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}
    shown = []
    for parameter in parameters_of(model):
        field = fields[parameter.name]
        schema = without_null(types.of(hints[field.name]))
        if field.default not in (None, msgspec.NODEFAULT):
            schema = {**schema, "default": field.default}
        shown.append(
            {
                "name": parameter.name,
                "in": "query",
                "required": field.required,
                "description": operation.words[parameter.name],
                **_written(parameter, schema),
            }
        )
    return shown


def _written(parameter: Parameter, schema: Schema) -> dict[str, Any]:
    match parameter.style:
        case "json_text":
            return {"content": {JSON: {"schema": schema}}}
        case "by_key":
            return {"style": "deepObject", "explode": True, "schema": schema}
        case "repeated":
            return {"style": "form", "explode": True, "schema": schema}
        case _:
            return {"schema": schema}


def _responses(operation: Operation, types: _Types, *, has_content: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for status, answer in operation.answers.items():
        shown[str(status)] = {"description": answer.says}
        if answer.content and has_content:
            shown[str(status)]["content"] = {
                media: {"schema": types.of(kind)} for media, kind in answer.content.items()
            }
    for status, codes in operation.problems().items():
        if status in operation.answers:
            continue  # it has a form of its own there
        shown[str(status)] = _problem(HTTPStatus(status), codes)
    shown["default"] = {
        "description": "Any other problem.",
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return dict(sorted(shown.items()))


def _problem(status: HTTPStatus, codes: Sequence[str]) -> dict[str, Any]:
    """A problem with one of `codes`."""
    schema: Schema = {"$ref": "#/components/schemas/Problem"}
    words = f"{status.phrase}."
    if codes:
        issue = {"properties": {"code": {"enum": list(codes)}}}
        extensions = {"properties": {"validationErrors": {"items": issue}}}
        schema = {**schema, "required": ["extensions"], "properties": {"extensions": extensions}}
        words += " Codes: " + ", ".join(f"`{code}`" for code in codes) + "."
    shown: dict[str, Any] = {"description": words, "content": {PROBLEM: {"schema": schema}}}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        shown["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}
        }
    return shown
