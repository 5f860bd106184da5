"""Holds what tests send and get against our own OpenAPI document: hooks for their HTTP clients.

Strict: a member that the document does not name is a failure, so that answers and document cannot drift apart.
"""

import json
import re
from functools import cache
from urllib.parse import unquote

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.app import openapi

BASE = "urn:meterstream:openapi"
PROBLEM = "application/problem+json"
BODY_BYTES_MAX = 1 << 20
seen: set[tuple[str, str, str]] = set()
"""(path, method, status) of everything that was held against it."""


@cache
def document() -> dict:
    return json.loads(openapi())


async def check_async(answer: httpx.Response) -> None:
    await answer.aread()
    check(answer)


def check_sync(answer: httpx.Response) -> None:
    answer.read()
    check(answer)


def check(answer: httpx.Response) -> None:
    """Fails when the document says otherwise; what no path of it fits must be a plain 404, a method it has not a 405."""
    request = answer.request
    path = path_of(request.url.raw_path.decode().partition("?")[0])
    method = request.method.lower()
    if path is None or method not in document()["paths"][path]:
        assert answer.status_code in (404, 405, 500), (request.method, request.url)
        if request.method != "HEAD":
            valid(answer.json(), "#/components/schemas/Problem")
        return
    seen.add((path, method, str(answer.status_code)))
    operation = document()["paths"][path][method]
    pointer = f"#/paths/{escaped(path)}/{method}"
    status = str(answer.status_code)
    told = status if status in operation["responses"] else "default"
    assert told != "default" or answer.is_server_error, f"{status} is not in the document: {path}"
    content = operation["responses"][told].get("content")
    where = f"{pointer}/responses/{told}/content"
    hold_body(answer, content, where)
    if answer.is_success and len(request.content) < BODY_BYTES_MAX:
        hold_request(request, operation, pointer)


def hold_body(answer, content, where) -> None:
    if content is None:
        assert answer.content == b""
        return
    media = answer.headers["content-type"]
    named = next((one for one in (media, media.partition(";")[0]) if one in content), None)
    assert named is not None, f"{media} is not in the document: {where}"
    if named in ("application/json", PROBLEM):
        valid(answer.json(), f"{where}/{escaped(named)}/schema")


def hold_request(request, operation, pointer) -> None:
    body = operation.get("requestBody")
    if body is not None:
        media = request.headers["content-type"].partition(";")[0].strip().lower()
        assert media in body["content"]
        where = f"{pointer}/requestBody/content/{escaped(media)}/schema"
        valid(json.loads(request.content), where, strict=False)


def path_of(raw: str) -> str | None:
    """The path of the document that the request's path fits; the one with fewer parameters first."""
    for path in sorted(document()["paths"], key=lambda path: path.count("{")):
        parts = re.split(r"\{\w+\}", path)
        if re.fullmatch("([^/]+)".join(map(re.escape, parts)), raw) and unquote(raw):
            return path
    return None


def escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def valid(value, pointer: str, *, strict: bool = True) -> None:
    errors = sorted(validator(pointer, strict).iter_errors(value), key=str)
    assert not errors, "\n".join(f"{error.json_path}: {error.message[:500]}" for error in errors)


@cache
def validator(pointer: str, strict: bool) -> Draft202012Validator:
    root = closed(document()) if strict else document()
    registry = Registry().with_resource(BASE, Resource(contents=root, specification=DRAFT202012))
    return Draft202012Validator(
        {"$ref": BASE + pointer},
        registry=registry,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def closed(root: dict) -> dict:
    """The same with objects that have no other members than those named."""
    schemas = {
        name: {**schema, "additionalProperties": False} if "properties" in schema else schema
        for name, schema in root["components"]["schemas"].items()
    }
    return {**root, "components": {**root["components"], "schemas": schemas}}
