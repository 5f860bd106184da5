"""The kinds of cases, apart so that `meterstream --help` need not load what answers them."""

from enum import StrEnum


class Kind(StrEnum):
    """What is simulated."""

    CREDITS = "credits"
    RATING = "rating"
    RECURRENCE = "recurrence"
    PERIODS = "periods"
