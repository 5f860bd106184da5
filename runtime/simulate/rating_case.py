"""Reading a case of `meterstream simulate rating`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum

from domain.errors import Refused
from domain.money.amounts import ZERO
from domain.money.currency import Currency, custom, fiat
from domain.rating.discounts import PercentageDiscount, UsageDiscount
from domain.rating.line import LinePart
from domain.rating.price import (
    Commitments,
    DynamicPrice,
    FlatPrice,
    PackagePrice,
    PaymentTerm,
    Price,
    Tier,
    TieredPrice,
    TierMode,
    UnitPrice,
)
from domain.rating.rate import BillableLine
from domain.rating.unit_conversion import Operation, Rounding, UnitConfig
from runtime.simulate.reading import Fields, choice, inside, list_of, number, text, whole

_NOT_FINITE = frozenset({"nan", "snan", "infinity", "inf"})


class PriceType(StrEnum):
    """How a case names the types of price."""

    FLAT = "flat"
    UNIT = "unit"
    TIERED = "tiered"
    PACKAGE = "package"
    DYNAMIC = "dynamic"


def read_line(case: dict[str, object]) -> BillableLine:
    """The line to rate. WrongInput for what the format does not allow, Refused for what the rules refuse."""
    fields = Fields(case)
    price = fields.get("price", _price)
    quantity = fields.optional if isinstance(price, FlatPrice) else fields.get
    with inside("$"):
        line = BillableLine(
            name=fields.optional("name", text) or "line",
            price=price,
            currency=fields.get("currency", _currency),
            part=fields.optional("line", choice(LinePart)) or LinePart.SINGLE,
            quantity=quantity("quantity", amount) or ZERO,
            quantity_before_line=fields.optional("quantity_before_line", amount) or ZERO,
            previously_billed=fields.optional("previously_billed", amount) or ZERO,
            discount_percentage=fields.optional("discount_percentage", _percentage),
            discount_usage=fields.optional("discount_usage", _free_units),
            unit_config=fields.optional("unit_config", _unit_config),
        )
    fields.done()
    return line


def amount(value: object, field: str) -> Decimal:
    """A number. NaN and infinities pass: the rules refuse them with a code."""
    if isinstance(value, str) and value.lstrip("+-").lower() in _NOT_FINITE:
        return Decimal(value)
    if isinstance(value, Decimal) and not value.is_finite():
        return value
    return number(value, field)


def _currency(value: object, field: str) -> Currency:
    """An ISO code, or an object with the `code` and `precision` of a currency of one's own."""
    if isinstance(value, dict):
        fields = Fields(value, field)
        with inside(field):
            return custom(fields.get("code", text), fields.get("precision", whole))
    with _naming(field):
        return fiat(text(value, field))


def _percentage(value: object, field: str) -> PercentageDiscount:
    with _naming(field):
        return PercentageDiscount(percentage=amount(value, field))


def _free_units(value: object, field: str) -> UsageDiscount:
    with _naming(field):
        return UsageDiscount(quantity=amount(value, field))


def _unit_config(value: object, field: str) -> UnitConfig:
    fields = Fields(value, field)
    with inside(field):
        config = UnitConfig(
            operation=fields.get("operation", choice(Operation)),
            factor=fields.get("factor", amount),
            rounding=fields.optional("rounding", choice(Rounding)) or Rounding.NONE,
            precision=fields.optional("precision", whole) or 0,
        )
    fields.done()
    return config


def _price(value: object, field: str) -> Price:
    fields = Fields(value, field)
    kind = fields.get("type", choice(PriceType))
    tiers = fields.get("tiers", list_of(_tier)) if kind is PriceType.TIERED else []
    with inside(field):
        price = _price_of(kind, fields, tuple(tiers))
    fields.done()
    return price


def _price_of(kind: PriceType, fields: Fields, tiers: tuple[Tier, ...]) -> Price:
    match kind:
        case PriceType.FLAT:
            term = fields.optional("payment_term", choice(PaymentTerm))
            return FlatPrice(
                amount=fields.get("amount", amount),
                payment_term=term or PaymentTerm.IN_ADVANCE,
            )
        case PriceType.UNIT:
            return UnitPrice(amount=fields.get("amount", amount), commitments=_limits(fields))
        case PriceType.PACKAGE:
            return PackagePrice(
                amount=fields.get("amount", amount),
                quantity_per_package=fields.get("quantity_per_package", amount),
                commitments=_limits(fields),
            )
        case PriceType.DYNAMIC:
            multiplier = fields.optional("multiplier", amount)
            return DynamicPrice(
                multiplier=Decimal(1) if multiplier is None else multiplier,
                commitments=_limits(fields),
            )
        case PriceType.TIERED:
            mode = fields.get("mode", choice(TierMode))
            return TieredPrice(mode=mode, tiers=tiers, commitments=_limits(fields))


def _limits(fields: Fields) -> Commitments:
    return Commitments(
        minimum=fields.optional("minimum", amount), maximum=fields.optional("maximum", amount)
    )


def _tier(value: object, field: str) -> Tier:
    fields = Fields(value, field)
    with inside(field):
        tier = Tier(
            up_to=fields.optional("up_to", amount),
            flat=fields.optional("flat", amount),
            unit=fields.optional("unit", amount),
        )
    fields.done()
    return tier


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Let a refusal name `field`, whatever the rule calls its input."""
    try:
        yield
    except Refused as refused:
        raise Refused(refused.code, str(refused), field) from None
