"""Currencies: the table is ISO 4217's, everything else is refused."""

import iso4217
import pytest

from domain.errors import Refused
from domain.money.currency import Currency, custom, fiat, fiat_codes


def refusal(make, *args) -> tuple[str, str | None]:
    with pytest.raises(Refused, match=r"\w+\W+\w+") as refused:
        make(*args)
    return refused.value.code, refused.value.field


def test_the_table_is_that_of_iso_4217():
    published = {one.code: one.exponent for one in iso4217.Currency if one.exponent is not None}

    assert {code: fiat(code).exponent for code in fiat_codes()} == published
    assert list(fiat_codes()) == sorted(published)


@pytest.mark.parametrize("code", ["usd", "US", "USDX", "U$D", "", "USD\n", "ÜSD"])
def test_what_is_no_code_is_refused(code):
    assert refusal(fiat, code) == ("currency_invalid", "$.currency")


@pytest.mark.parametrize("code", ["XXX", "XAU", "XTS", "ABC"])
def test_a_code_that_nobody_pays_in_is_refused(code):
    assert refusal(fiat, code) == ("currency_not_found", "$.currency")


@pytest.mark.parametrize(("code", "digits"), [("GOLD", 0), ("x" * 24, 18), ("tokens", 4)])
def test_a_currency_of_ones_own_has_its_precision(code, digits):
    assert custom(code, digits) == Currency(code, digits)


@pytest.mark.parametrize(
    ("code", "digits", "field"),
    [("USD", 2, "code"), ("x" * 25, 2, "code"), ("GOLD", -1, "precision"), ("GOLD", 19, "precision")],
)  # fmt: skip
def test_a_wrong_currency_of_ones_own_is_refused(code, digits, field):
    assert refusal(custom, code, digits) == ("currency_invalid", f"$.{field}")
