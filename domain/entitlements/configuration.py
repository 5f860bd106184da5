"""The configuration of a static entitlement: any JSON, kept in one spelling, the one of PostgreSQL's jsonb.

One space after commas and colons, members ordered by the length of their names and then by name (in bytes of UTF-8), the
last of equal names, numbers in plain decimals as they were written (`1.50` stays, `1e2` is `100`). Source: metering §11.13.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from domain.errors import Refused
from domain.texts import UNSTORABLE

CONFIG_BYTES_MAX = 64 << 10
"""Of the text as it comes and as it is kept, in UTF-8."""

DEPTH_MAX = 100
"""Lists and objects within each other."""

_EXPONENT_MAX = 1_000
"""A number with more zeros than this is refused: written out it would be long."""


def normalised(config: str) -> str:
    """The configuration in its one spelling.

    Refused: `config_not_json`, `config_too_deep`, `config_too_large`, `config_number_out_of_range`, `text_invalid`.
    """
    if len(config) > CONFIG_BYTES_MAX:
        raise _too_large()
    try:
        value = json.loads(
            config, parse_float=_number, parse_int=_number, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise _too_deep() from None
    except (ValueError, ArithmeticError):
        raise Refused("config_not_json", "config has to be JSON", "$.config") from None
    text = _text(value, 0)
    if len(text.encode()) > CONFIG_BYTES_MAX:
        raise _too_large()
    return text


class _Number(str):
    """A number in plain decimals."""

    __slots__ = ()


def _number(text: str) -> _Number:
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > _EXPONENT_MAX:
        raise Refused(
            "config_number_out_of_range",
            f"a number of the config has an exponent past {_EXPONENT_MAX}: {text[:40]}",
            "$.config",
        )
    plain = format(value, "f")
    return _Number(plain if value else plain.removeprefix("-"))


def _text(value: Any, depth: int) -> str:
    if depth > DEPTH_MAX:
        raise _too_deep()
    match value:
        case dict():
            members = sorted(value.items(), key=lambda item: _name_order(item[0]))
            inner = ", ".join(
                f"{_string(name)}: {_text(each, depth + 1)}" for name, each in members
            )
            return f"{{{inner}}}"
        case list():
            return f"[{', '.join(_text(each, depth + 1) for each in value)}]"
        case _Number():
            return str(value)
        case str():
            return _string(value)
        case _:
            return json.dumps(value)


def _string(text: str) -> str:
    if UNSTORABLE.search(text):
        raise Refused(
            "text_invalid", "config has a text with a NUL or a lone surrogate", "$.config"
        )
    return json.dumps(text, ensure_ascii=False)


def _name_order(name: str) -> tuple[int, bytes]:
    raw = name.encode(errors="surrogatepass")
    return len(raw), raw


def _refuse_constant(text: str) -> None:
    """NaN and Infinity, which Python reads, are no JSON."""
    raise ValueError(text)


def _too_deep() -> Refused:
    return Refused("config_too_deep", f"config has more than {DEPTH_MAX} levels", "$.config")


def _too_large() -> Refused:
    return Refused("config_too_large", f"config has more than {CONFIG_BYTES_MAX} bytes", "$.config")
