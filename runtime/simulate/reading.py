"""Reading a case of `meterstream simulate`: every fault names its field, a field that nothing reads is warned of.

A reader is a function of a JSON value and its path (`$.grants[0].amount`) that returns what the value means, or raises
WrongInput with the path. `Fields` applies readers to the fields of an object; larger readers are made of smaller ones:

    fields = Fields(case)
    amounts = fields.get("amounts", list_of(number))   # has to be there and not null
    until = fields.optional("until", time)             # None when it is absent or null
    fields.done()                                      # warns of fields that were not asked for
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from api.times import parse_time
from domain.errors import Refused
from domain.time.duration import Duration, parse_duration

MAX_DIGITS = 38
"""Of a number on each side of its point; more are refused."""
MAX_TEXT = 1_024
"""Characters of a text."""
MAX_ITEMS = 2_000_000
"""Elements of one list or map."""

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Reader = Callable[[object, str], T]

_NUMBER = re.compile(r"[-+]?[0-9]{1,80}(?:\.[0-9]{1,80})?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_LIMIT = Decimal(10) ** MAX_DIGITS


class WrongInput(Exception):
    """The input is not what the format asks for; `field` is the path of the value that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class UnknownField(UserWarning):
    """A field that the format does not have: ignored, and perhaps a slip of the pen."""


class Fields:
    """The fields of one JSON object. Is itself a reader: `list_of(Fields)` reads a list of objects."""

    def __init__(self, value: object, path: str = "$") -> None:
        if not isinstance(value, dict):
            raise WrongInput(path, f"has to be an object, not {shown(value)}")
        self.path = path
        self._values: dict[str, object] = value
        self._asked = {"id"}  # the command echoes it in every case

    def get(self, name: str, reader: Reader[T]) -> T:
        """What the field means; WrongInput where it is absent or null."""
        self._asked.add(name)
        value = self._values.get(name)
        if value is None:
            raise WrongInput(self.where(name), "has to be given")
        return reader(value, self.where(name))

    def optional(self, name: str, reader: Reader[T]) -> T | None:
        """What the field means; None where it is absent or null."""
        return self.get(name, reader) if self.has(name) else None

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        self._asked.add(name)
        return self._values.get(name) is not None

    def where(self, name: str) -> str:
        """The path of a field."""
        return member(self.path, name)

    def done(self) -> None:
        """Warn with UnknownField of every field, null ones excepted, that was not asked for."""
        for name, value in self._values.items():
            if name not in self._asked and value is not None:
                message = f"{self.where(name)}: not a field of this case, ignored"
                warnings.warn(UnknownField(message), stacklevel=2)


def text(value: object, field: str) -> str:
    """A text of 1 to MAX_TEXT characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise WrongInput(
            field, f"has to be a text of 1 to {MAX_TEXT} characters, not {shown(value)}"
        )
    return value


def number(value: object, field: str) -> Decimal:
    """A finite number, as a JSON number or a text, exactly as written."""
    written = str(value) if isinstance(value, str | int | Decimal) else ""
    if not _NUMBER.fullmatch(written):
        raise WrongInput(field, f"has to be a finite number, not {shown(value)}")
    read = Decimal(written)
    exponent = read.as_tuple().exponent
    if read.copy_abs() >= _LIMIT or (isinstance(exponent, int) and exponent < -MAX_DIGITS):
        raise WrongInput(
            field, f"has to have at most {MAX_DIGITS} digits before and after its point"
        )
    return read


def whole(value: object, field: str) -> int:
    """A whole number."""
    read = number(value, field)
    if read != int(read):
        raise WrongInput(field, f"has to be a whole number, not {shown(value)}")
    return int(read)


def flag(value: object, field: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise WrongInput(field, f"has to be true or false, not {shown(value)}")
    return value


def time(value: object, field: str) -> datetime:
    """An RFC 3339 time with a zone, in UTC; what is finer than a microsecond is cut off."""
    if not isinstance(value, str):
        raise WrongInput(field, f"has to be an RFC 3339 time, not {shown(value)}")
    try:
        at = parse_time(value)
        return datetime.fromisoformat(at.isoformat()).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"has to be an RFC 3339 time with a zone, not {shown(value)}"
        raise WrongInput(field, message) from None


def duration(value: object, field: str) -> Duration:
    """An ISO 8601 duration."""
    if not isinstance(value, str):
        raise WrongInput(field, f"has to be an ISO 8601 duration, not {shown(value)}")
    try:
        return parse_duration(value)
    except Refused as refused:
        raise WrongInput(field, str(refused)) from None


def choice(options: type[E]) -> Reader[E]:
    """The reader of one of the texts of an enum."""
    known = list(options)

    def read(value: object, field: str) -> E:
        if not isinstance(value, str) or value not in known:
            raise WrongInput(field, f"has to be one of {', '.join(known)}, not {shown(value)}")
        return options(value)

    return read


def list_of(reader: Reader[T]) -> Reader[list[T]]:
    """The reader of a list."""

    def read(value: object, field: str) -> list[T]:
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise WrongInput(field, f"has to be a list of at most {MAX_ITEMS}, not {shown(value)}")
        return [reader(element, f"{field}[{index}]") for index, element in enumerate(value)]

    return read


def map_of(reader: Reader[T]) -> Reader[dict[str, T]]:
    """The reader of an object whose names are data."""

    def read(value: object, field: str) -> dict[str, T]:
        if not isinstance(value, dict) or len(value) > MAX_ITEMS:
            raise WrongInput(
                field, f"has to be an object of at most {MAX_ITEMS}, not {shown(value)}"
            )
        return {name: reader(element, member(field, name)) for name, element in value.items()}

    return read


def member(path: str, name: str) -> str:
    """The path of a member of the object at `path`."""
    return f"{path}.{name}" if _IDENTIFIER.fullmatch(name) else f"{path}[{name[:80]!r}]"


@contextmanager
def inside(path: str) -> Iterator[None]:
    """Let a rule's refusal name the field from the case's root: `$.interval` in `$.recurrence` is `$.recurrence.interval`."""
    try:
        yield
    except Refused as refused:
        field = path + (refused.field or "$").removeprefix("$")
        raise Refused(refused.code, str(refused), field) from None


def shown(value: object) -> str:
    """A value for a message, cut to one short line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    return repr(value)[:80] if isinstance(value, str) else str(value)[:80]
