"""The input of `meterstream simulate` as JSON, and its output."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec

from runtime.simulate.reading import WrongInput

MAX_INPUT_BYTES = 256 * 1024 * 1024
"""Of one input."""
MAX_CASES = 100_000
"""Cases of one array."""

Case = dict[str, object]
Result = dict[str, object]


def read_document(data: bytes) -> Case | list[object]:
    """The JSON object, or the array of cases; every number keeps the digits that it was written with.

    WrongInput for all that is not JSON, and for what JSON readers take in different ways: a name that occurs twice.
    """
    if len(data) > MAX_INPUT_BYTES:
        raise WrongInput("$", f"more than {MAX_INPUT_BYTES} bytes")
    try:
        document = json.loads(
            data.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_constant=Decimal,  # NaN and Infinity: the reader of the field refuses them by its name
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise WrongInput("$", "not UTF-8") from None
    except RecursionError:
        raise WrongInput("$", "nested too deeply") from None
    except ValueError as problem:
        raise WrongInput("$", f"not JSON: {problem}") from None
    if not isinstance(document, dict | list):
        raise WrongInput("$", "has to be an object or an array of objects")
    if isinstance(document, list) and len(document) > MAX_CASES:
        raise WrongInput("$", f"more than {MAX_CASES} cases")
    return document


def written(outcome: Result | list[Result]) -> str:
    """The outcome as JSON, two spaces a level; a Decimal is a number with all its digits."""
    encoded = msgspec.json.Encoder(decimal_format="number").encode(outcome)
    return msgspec.json.format(encoded).decode()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WrongInput(twice[:80], "occurs twice in one object")
    return read
