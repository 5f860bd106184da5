"""Bounds of a balance partition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceOptions:
    """`partitions`: of the events topic, as many as balance partitions.

    `keep`: how long before its current period a balance can still take late rows without reading its history again.
    `accounts_max`: accounts decoded in memory. `rows_max`: rows and row keys remembered decoded. `slice_ms`: how long a turn of
    work may hold the event loop, about. `load_accounts_max`: accounts whose history is read together; `look_s`: seconds
    between two looks for some that may be read.
    """

    partitions: int
    keep: timedelta = timedelta(days=2)
    accounts_max: int = 20_000
    rows_max: int = 100_000
    slice_ms: float = 5.0
    load_accounts_max: int = 200
    slice_rows: int = 200
    """Records that are counted before others get a turn of the event loop: a few milliseconds."""
    look_s: float = 0.1
    retry_max_s: float = 5.0
