"""Currencies and their smallest unit.

Source: ISO 4217 list one of 2026-01-01: the currencies of today that have a minor unit. Metals, fund units without one
and test codes are no currencies to bill in. tests/unit/domain/test_currency.py compares the table with the library
`iso4217`, which reads the list as published.
"""

import re
from dataclasses import dataclass

from domain.errors import Refused

MAX_EXPONENT = 18
"""Digits after the point that a custom currency may have."""

_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
        CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
        HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK
        MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD
        RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
        USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {code: digits for digits, codes in _BY_EXPONENT.items() for code in codes.split()}

_FIAT_CODE = re.compile(r"[A-Z]{3}")
_CUSTOM_CODE_LENGTHS = range(4, 25)


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency and the number of digits after the point that its amounts have (`exponent`, 0 to 18).

    Made by `fiat` and `custom`, which check it.
    """

    code: str
    exponent: int


def fiat(code: str) -> Currency:
    """The ISO currency; Refused with field `currency` and code `currency_invalid` (no code) or `currency_not_found`."""
    if not _FIAT_CODE.fullmatch(code):
        raise Refused(
            "currency_invalid", f"not three capital letters: {code[:40]!r}", field="$.currency"
        )
    if code not in _EXPONENTS:
        raise Refused("currency_not_found", f"no currency of ISO 4217: {code}", field="$.currency")
    return Currency(code, _EXPONENTS[code])


def custom(code: str, exponent: int) -> Currency:
    """A currency of one's own (credits, tokens): a code of 4 to 24 characters, which ISO never has.

    Refused with `currency_invalid` and the field `code` or `precision`.
    """
    if len(code) not in _CUSTOM_CODE_LENGTHS:
        raise Refused("currency_invalid", f"not 4 to 24 characters: {code[:40]!r}", field="$.code")
    if not 0 <= exponent <= MAX_EXPONENT:
        raise Refused(
            "currency_invalid", f"not 0 to {MAX_EXPONENT} digits: {exponent}", field="$.precision"
        )
    return Currency(code, exponent)


def fiat_codes() -> tuple[str, ...]:
    """Every ISO currency that can be billed in, sorted."""
    return tuple(sorted(_EXPONENTS))
