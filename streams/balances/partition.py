"""The running balances of one balance partition, as owner or standby: fed with usage records, asked for values.

Everything is done in one thread. History is read beside the rest (`loading.py`) and never holds it up.
Source: metering §6.11; docs/decisions/0160; stored formats: docs/internals.md, "Balances".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.balances import Answer, Question
from streams.balances.ports import CatalogView, Held, History, Now
from streams.steps import StepHook, unwatched
from tables.balances import BalanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceOptions:
    """Bounds of one balance partition.

    `partitions`: of the events topic, as many as balance partitions. `keep`: how long before its current period a balance can
    still take late rows without reading its history again. `accounts_max`: accounts decoded in memory.
    """

    partitions: int
    keep: timedelta = timedelta(days=2)
    accounts_max: int = 50_000
    rows_max: int = 50_000
    """Rows (of accounts) and matches of row keys that are remembered decoded."""
    slice_ms: float = 5.0
    """How long one turn of work may hold the event loop, about."""
    load_accounts_max: int = 200
    """Accounts whose history is read together."""


class BalancePartition:
    """One balance partition. `take` and `answer` may be called between any two steps of `work`, which is called by one task."""

    def __init__(
        self,
        store: BalanceStore,
        catalog: CatalogView,
        history: History,
        *,
        number: int,
        now: Now,
        options: BalanceOptions,
        held: Held | None = None,
        reached: StepHook = unwatched,
    ) -> None:
        self.number = number
        self.changed: Callable[[Sequence[str]], None] | None = None
        """Told the ids of entitlements whose values changed in a batch, after it is on disk."""

    @property
    def next_offset(self) -> int | None:
        """Where to read the usage topic on from; None = begin at its end, then call `began_at`."""
        raise NotImplementedError

    @property
    def as_of_ms(self) -> int:
        """Events of all source partitions appended up to then are counted; 0 = not known yet."""
        raise NotImplementedError

    @property
    def waiting_bytes(self) -> int:
        """Of records that were taken and wait for `work`: who feeds stops at a bound."""
        raise NotImplementedError

    def began_at(self, offset: int) -> None:
        """The usage topic is read from `offset` on: its end when a state begins."""
        raise NotImplementedError

    def take(self, records: Sequence[tuple[bytes, bytes | None]], next_offset: int) -> None:
        """Records of the usage topic, in order; the next one has `next_offset`. The newest of each key waits for `work`."""
        raise NotImplementedError

    async def work(self) -> bool:
        """One turn: what was taken, due timers, changes of the catalog, histories that have come. False = nothing is left.

        Nothing left does not mean nothing to come: call it after `take`, and every 100 ms without.
        """
        raise NotImplementedError

    def answer(self, question: Question, now: datetime) -> Answer:
        """The values asked for; see `schemas.balances.Answer` for why there may be none."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop loading, write what is to be written, close the store."""
        raise NotImplementedError
