"""Bodies and query strings into typed values: each request has a msgspec Struct, which says what the contract says.

Query strings: a text parameter that is given empty is its default when it has one, else refused; a parameter that is no
list is given once; unknown parameters are ignored. Source: metering §0.1, §0.4, §11.11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect
from starlette.requests import Request

from api.body import Bodies
from api.times import Time, parse_time
from domain.errors import Refused

T = TypeVar("T", bound=msgspec.Struct)
B = TypeVar("B")

JSON_TEXT = msgspec.Meta(extra={"json_text": True})
"""Marks a query parameter whose text is JSON."""

_PARAMETERS_MAX = 1000
_AT = re.compile(r" - at `(?:key in )?(\$[^`]*)`")


def _read_own_type(kind: type, value: Any) -> Any:
    if kind is Time and isinstance(value, str):
        return parse_time(value)
    raise ValueError(f"expected a date-time, got {type(value).__name__}")


# -- bodies


async def read_json(request: Request, bodies: Bodies, model: type[B]) -> B:
    """The JSON body as `model`. Refused."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(
            "invalid_content_type", f"send application/json, not {media_type or 'nothing'}"
        )
    wanted: Any = (
        model  # a list of a struct is no class to the type checker, and has a hash all the same
    )
    async with bodies.read(request) as body:
        if not body.strip():
            raise Refused("body_missing", "a body is needed")
        try:
            found: B = _decoder(wanted).decode(body)
            return found
        except msgspec.ValidationError as error:
            raise _refused("invalid_body", error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused("invalid_json", f"decode json: {error}") from None


@cache
def _decoder(model: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(model, dec_hook=_read_own_type)


# -- query strings


@dataclass(frozen=True, slots=True)
class Parameter:
    """How one parameter is written: `style` is once, repeated, by_key (name[key]) or json_text."""

    name: str
    style: str
    default: str | None


def read_query(request: Request, model: type[T]) -> T:
    """The query string as `model`. Refused."""
    pairs = _pairs(request)
    values = {}
    for parameter in parameters_of(model):
        found = _READERS[parameter.style](parameter, pairs)
        if found is not None:
            values[parameter.name] = found
    try:
        return msgspec.convert(values, model, strict=False, dec_hook=_read_own_type)
    except msgspec.ValidationError as error:
        raise _refused("invalid_parameter", error) from None


def _pairs(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            request.scope["query_string"].decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_PARAMETERS_MAX,
        )
    except ValueError as error:
        raise Refused("invalid_query", f"the query string cannot be read: {error}") from None


def _once(parameter: Parameter, pairs: list[tuple[str, str]]) -> str | None:
    found = [value for name, value in pairs if name == parameter.name]
    if len(found) > 1:
        raise Refused(
            "parameter_repeated", f"{parameter.name} is given more than once", parameter.name
        )
    if found == [""]:
        if parameter.default is None:
            raise _empty(parameter.name)
        return parameter.default
    return found[0] if found else None


def _repeated(parameter: Parameter, pairs: list[tuple[str, str]]) -> list[str] | None:
    found = [value for name, value in pairs if name == parameter.name]
    if "" in found:
        raise _empty(parameter.name)
    return found or None


def _by_key(parameter: Parameter, pairs: list[tuple[str, str]]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith(f"{parameter.name}[") and name.endswith("]"):
            key = name[len(parameter.name) + 1 : -1]
            if key in found:
                raise Refused("parameter_repeated", f"{name} is given more than once", name)
            if not key or "[" in key or "]" in key:
                raise Refused("invalid_parameter", f"write {parameter.name}[key]=value", name)
            found[key] = value
    return found or None


def _json_text(parameter: Parameter, pairs: list[tuple[str, str]]) -> Any:
    text = next((value for name, value in pairs if name == parameter.name), "")
    if not text:
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise Refused(
            "invalid_parameter", f"{parameter.name} is not JSON: {error}", parameter.name
        ) from None
    if found is None:
        raise _empty(parameter.name)
    return found


_READERS: dict[str, Any] = {
    "once": _once,
    "repeated": _repeated,
    "by_key": _by_key,
    "json_text": _json_text,
}


def _empty(name: str) -> Refused:
    return Refused("parameter_empty", f"{name} is empty", name)


@cache
def parameters_of(model: type[msgspec.Struct]) -> tuple[Parameter, ...]:
    """The parameters that `read_query` looks for."""
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)
    return tuple(
        Parameter(
            field.encode_name,
            _style(field.type),
            field.default if isinstance(field.default, str) else None,
        )
        for field in info.fields
    )


def _style(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return "json_text" if kind.extra and kind.extra.get("json_text") else _style(kind.type)
    for inner in kind.types if isinstance(kind, inspect.UnionType) else (kind,):
        if isinstance(inner, inspect.Metadata):
            return _style(inner)
        if isinstance(inner, inspect.ListType):
            return "repeated"
        if isinstance(inner, inspect.DictType):
            return "by_key"
    return "once"


def _refused(code: str, error: msgspec.ValidationError) -> Refused:
    """msgspec's words, with the place as the field."""
    text = str(error)
    found = _AT.search(text)
    field = found[1] if found else None
    if field is not None and code == "invalid_parameter":
        field = field.removeprefix("$.")
    return Refused(code, _AT.sub(f" ({field})" if field else "", text), field)
