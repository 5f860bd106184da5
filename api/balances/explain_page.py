"""An explanation as a page for people: one file, which asks no other host for anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from api.balances.explaining import Explanation
from api.balances.step_picture import picture
from domain.credits.explanation import Why

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
WORDS = {
    Why.START: "the account begins here",
    Why.BEGAN: "begins and is full",
    Why.RECURRED: "recurs and is full again",
    Why.EXPIRED: "has expired",
    Why.VOIDED: "was voided",
    Why.DELETED: "was deleted",
    Why.REFILLED: "all grants are full again: the meter is a level",
    Why.RESET: "a usage period ended: what rolls over",
}
"""What a cause says, for people."""


def page(found: Explanation, told: Mapping[str, Any], asked: Mapping[str, str]) -> str:
    """The page of an explanation that is `told` as JSON; `asked` is the query that it came from."""
    resets = [reset.at for reset in found.of.resets]
    cursor = told["events"].get("nextCursor")
    return _template().render(
        told=told,
        picture=picture(found.of.points, resets) if found.of.points else None,
        more=None if cursor is None else "?" + urlencode({**asked, "cursor": cursor}),
        words=WORDS,
    )


def number_text(value: float) -> str:
    """With spaces between thousands, without a point where there is no fraction."""
    whole, _, fraction = (
        f"{value:,.12g}".partition(".") if abs(value) < 1e12 else (f"{value:.6g}", "", "")
    )
    return whole.replace(",", "\u202f") + (f".{fraction}" if fraction else "")


def count_of(count: int, what: str) -> str:
    """How many of something."""
    return f"{number_text(count)} {what}{'' if count == 1 else 's'}"


def time_text(at: datetime) -> str:
    """To the second, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}" + (f":{at:%S}" if at.second else "")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("api.balances", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number_text, "time": time_text, "count_of": count_of}
    return environment.get_template("explain.html")
