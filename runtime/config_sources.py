"""Where the values of the configuration come from, and how a wrong one is named: by its file or variable, with the key that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

_PREFIX = "METERSTREAM_"
_NOT_KEYS = frozenset(("CONFIG", "CACHE_DIR", "CRASH_AT"))

KeyPath = tuple[str, ...]


class ConfigProblem(Exception):
    """The configuration is wrong; the message names the file or the variable, and the key."""


def read_file(path: Path) -> dict[str, Any]:
    """The values of a YAML file. ConfigProblem."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigProblem(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigProblem(f"{path}: not YAML: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigProblem(f"{path}: a mapping of keys is expected, see config.example.yaml")
    return found


def add_variables(
    values: dict[str, Any], environment: Mapping[str, str], model: type[BaseModel]
) -> dict[KeyPath, str]:
    """Put METERSTREAM_… variables into `values`; returns which key came from which variable. ConfigProblem.

    A key that is text takes the variable as it is; others are read as YAML, so that numbers, lists and JSON work.
    """
    kinds = dict(key_paths(model))
    variables: dict[KeyPath, str] = {}
    for name in sorted(environment):
        short = name.removeprefix(_PREFIX)
        if not name.startswith(_PREFIX) or short in _NOT_KEYS:
            continue
        path = tuple(short.lower().split("__"))
        if path not in kinds:
            raise ConfigProblem(f"{name}: no such key{_meant_variable(name, kinds)}")
        _put(values, path, _value(name, environment[name], kinds[path]), name)
        variables[path] = name
    return variables


def key_paths(model: type[BaseModel]) -> Iterator[tuple[KeyPath, Any]]:
    """Every key of the model, sections too, with its type."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        yield (name,), kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (((name, *path), below) for path, below in key_paths(kind))


def explain(
    error: ValidationError,
    model: type[BaseModel],
    file: Path | None,
    variables: Mapping[KeyPath, str],
) -> str:
    """One line for each wrong key."""
    return "\n".join(
        _line(tuple(map(str, e["loc"])), e, model, file, variables) for e in error.errors()
    )


def _line(
    path: KeyPath,
    error: Any,
    model: type[BaseModel],
    file: Path | None,
    variables: Mapping[KeyPath, str],
) -> str:
    where = next(
        (variables[path[:n]] for n in range(len(path), 0, -1) if path[:n] in variables),
        str(file or "configuration"),
    )
    key = ".".join(path)
    said = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        said = f"no such key{_meant_key(path, model)}"
    return ": ".join(part for part in (where, key, said) if part)


def _meant_key(path: KeyPath, model: type[BaseModel]) -> str:
    known = [".".join(found) for found, _ in key_paths(model) if len(found) >= len(path)]
    names = {found.rpartition(".")[2]: found for found in reversed(known)}
    wrong = ".".join(path)
    near = difflib.get_close_matches(wrong, known, 1, 0.7)
    near = near or [names[n] for n in difflib.get_close_matches(path[-1], names, 1, 0.75)]
    return f", is {near[0]} meant?" if near else " (every key is in config.example.yaml)"


def _meant_variable(name: str, kinds: Mapping[KeyPath, Any]) -> str:
    known = [_PREFIX + "__".join(path).upper() for path in kinds]
    near = difflib.get_close_matches(name, known, 1, 0.7)
    return f", is {near[0]} meant?" if near else " (every key is in config.example.yaml)"


def _value(name: str, text: str, kind: Any) -> Any:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if str in kinds or Path in kinds:
        return None if text in ("", "null") and type(None) in kinds else text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigProblem(f"{name}: not YAML: {error}") from None


def _put(values: dict[str, Any], path: KeyPath, value: Any, name: str) -> None:
    at = values
    for key in path[:-1]:
        below = at.setdefault(key, {})
        if below is None:
            below = at[key] = {}
        if not isinstance(below, dict):
            raise ConfigProblem(f"{name}: the file has a value where {key} is a section")
        at = below
    at[path[-1]] = value
