"""What one unit of a feature costs the one who offers it: an amount, or the price of a language model. Source: metering §4."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum

from domain.credits.quantity import check_quantity
from domain.errors import Refused
from domain.texts import camel, check_length

NAME_LENGTH_MAX = 256


class TokenType(StrEnum):
    """The kinds of tokens that language models are paid by."""

    INPUT = "input"
    OUTPUT = "output"
    CACHE_READ = "cache_read"
    REASONING = "reasoning"
    CACHE_WRITE = "cache_write"
    REQUEST = "request"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualCost:
    """A fixed amount a unit, at least 0, in the currency of whoever reads it."""

    amount: Decimal

    def __post_init__(self) -> None:
        check_quantity(self.amount, "$.unitCost.amount")
        if self.amount < 0:
            raise Refused("unit_cost_negative", "a unit cost is at least 0", "$.unitCost.amount")


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmCost:
    """The price of a model's tokens. Each of provider, model and token type is fixed, or read from a group of the meter."""

    provider: str | None = None
    provider_property: str | None = None
    model: str | None = None
    model_property: str | None = None
    token_type: TokenType | None = None
    token_type_property: str | None = None

    def __post_init__(self) -> None:
        for name in ("provider", "model", "token_type"):
            given = [getattr(self, name), getattr(self, f"{name}_property")]
            if sum(each is not None for each in given) != 1:
                raise Refused(
                    "unit_cost_invalid",
                    f"give exactly one of {camel(name)} and {camel(name)}Property",
                    "$.unitCost",
                )
        for field in fields(self):
            text = getattr(self, field.name)
            if text is not None:
                check_length(f"$.unitCost.{camel(field.name)}", text, 1, NAME_LENGTH_MAX)

    def check_groups(self, group_keys: Collection[str] | None) -> None:
        """Refuse it for a feature without a meter (None), and properties that are no group keys of the meter."""
        if group_keys is None:
            raise Refused(
                "unit_cost_needs_meter",
                "the price of a language model needs a feature with a meter",
                "$.unitCost",
            )
        for name in ("provider_property", "model_property", "token_type_property"):
            key = getattr(self, name)
            if key is not None and key not in group_keys:
                raise Refused(
                    "unit_cost_invalid", f"the meter has no group {key[:100]!r}", "$.unitCost"
                )


UnitCost = ManualCost | LlmCost
