"""Reading the histories of accounts that wait for them, many together, beside everything else.

An account may begin when ClickHouse has everything that was counted before the agent kept its rows: each source partition
of its subjects has told of its progress since (with the catalog that sends the rows here), and ClickHouse has as much.
Source: docs/decisions/0160.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from domain.errors import Refused, Unavailable
from domain.metering.series import Series, SeriesRow
from domain.metering.ulid import ulid_text
from schemas import balance_state as stored
from schemas.balance_state import LoadingWire, ProgressWire
from schemas.catalog import meter_of
from schemas.partitioner import partition_of
from streams.balances import metrics
from streams.balances.accounts import Accounts
from streams.balances.kept import Kept
from streams.balances.options import BalanceOptions
from streams.balances.ports import History
from tables.balances import BalanceStore

log = logging.getLogger(__name__)

_LOOKED_AT_ONCE = 500
"""Waiting accounts that one look considers: the look takes a few milliseconds."""
_HINTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """The history of an account that was loading as `loading` says."""

    id: str
    loading: LoadingWire
    rows: Sequence[SeriesRow]
    covered: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An account whose history may be read once ClickHouse has `positions`, by source partition."""

    kept: Kept
    loading: LoadingWire
    subjects: tuple[str, ...]
    positions: Mapping[int, int]


class Loader:
    """Looks for accounts that may begin and reads their histories; `loaded` has what came."""

    def __init__(
        self,
        store: BalanceStore,
        accounts: Accounts,
        history: History,
        progress: Mapping[int, ProgressWire],
        *,
        number: int,
        options: BalanceOptions,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._history = history
        self._progress = progress
        self._options = options
        self._label = str(number)
        self._cursor = stored.LOADING
        self._task: asyncio.Task[None] | None = None
        self._visible: Mapping[int, int] = {}
        self._refused: dict[str, LoadingWire] = {}
        self._nobody = False
        """The index was empty: whoever begins to wait is a hint first. Looking costs what all deleted keys cost."""
        self.loaded: deque[Loaded] = deque()

    def start(self) -> None:
        """Begin a look if none is under way and somebody waits. Raises what the last one died of."""
        if self._task is not None:
            if not self._task.done():
                return
            self._task.result()
            self._task = None
        if not self.loaded and self.anybody():
            self._task = asyncio.create_task(self._look(), name=f"balances-history-{self._label}")

    @property
    def reading(self) -> bool:
        """Whether a look is under way."""
        return self._task is not None and not self._task.done()

    async def wait(self) -> None:
        """Until the look under way is over."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """No more looks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def anybody(self) -> bool:
        """Whether an account waits for its history."""
        if self._accounts.loading:
            self._nobody = False
        elif not self._nobody:
            end = stored.after(stored.LOADING)
            self._nobody = next(self._store.items(stored.LOADING, end), None) is None
        return not self._nobody

    # -- one look

    async def _look(self) -> None:
        wanted = self._wanted()
        if not wanted:
            await asyncio.sleep(self._options.look_s)
            return
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=self._options.retry_max_s),
            before_sleep=before_sleep_log(log, logging.WARNING),
        ):
            with attempt:
                self._visible = await self._history.visible()
        ready = [one for one in wanted if self._has(self._visible, one)]
        if not ready:
            await asyncio.sleep(self._options.look_s)
            return
        for group in self._groups(ready):
            try:
                self.loaded.extend(await self._read(group))
            except Unavailable as error:
                log.warning("histories wait: %s", error)
                await asyncio.sleep(self._options.look_s)
                return

    def _wanted(self) -> list[_Wanted]:
        """Accounts that have been told of enough progress, those that came last first, at most a few hundred."""
        found: dict[str, _Wanted] = {}
        for id_ in self._candidates():
            kept = self._accounts.find(id_)
            if kept is None or kept.loading is None:
                self._accounts.loading.pop(id_, None)
                continue
            one = self._due(kept, kept.loading)
            if one is not None and self._refused.get(id_) != kept.loading:
                found[id_] = one
            if len(found) == self._options.load_accounts_max:
                break
        metrics.loading.labels(self._label).set(len(self._accounts.loading))
        return list(found.values())

    def _candidates(self) -> list[str]:
        """Those that were asked for or made since, then the next ones of the index, round and round."""
        hints = self._accounts.loading
        while len(hints) > _HINTS_MAX:
            hints.pop(next(iter(hints)))
        found = list(islice(reversed(hints), _LOOKED_AT_ONCE))
        end = stored.after(stored.LOADING)
        keys = [key for key, _ in islice(self._store.items(self._cursor, end), _LOOKED_AT_ONCE)]
        self._cursor = keys[-1] + b"\0" if len(keys) == _LOOKED_AT_ONCE else stored.LOADING
        return [*found, *(ulid_text(key[1:]) for key in keys)]

    def _due(self, kept: Kept, loading: LoadingWire) -> _Wanted | None:
        subjects = tuple(s for s in kept.route.subjects if kept.route.takes(s))
        positions = {}
        for subject in subjects:
            partition = partition_of(subject.encode(), self._options.partitions)
            told = self._progress.get(partition)
            if told is None or told.offset <= loading.offset or told.catalog < loading.catalog:
                return None
            positions[partition] = told.source_next
        return _Wanted(kept, loading, subjects, positions)

    @staticmethod
    def _has(visible: Mapping[int, int], wanted: _Wanted) -> bool:
        return all(visible.get(p, 0) >= position for p, position in wanted.positions.items())

    def _groups(self, ready: Sequence[_Wanted]) -> list[list[_Wanted]]:
        """Those that one question can answer: of one meter with the same filters."""
        groups: dict[object, list[_Wanted]] = defaultdict(list)
        for one in ready:
            route = one.kept.route
            meter = route.meter
            key = None if meter is None else (meter.id, meter.version, route.group_tests)
            groups[key].append(one)
        return list(groups.values())

    async def _read(self, group: Sequence[_Wanted]) -> list[Loaded]:
        route = group[0].kept.route
        subjects = sorted({subject for one in group for subject in one.subjects})
        if route.meter is None or not subjects:
            return [Loaded(one.kept.id, one.loading, (), {}) for one in group]
        start = min(one.kept.measured_minute for one in group)
        try:
            series = await self._history.read(
                meter_of(route.meter), subjects, start, None, route.group_tests
            )
        except Refused as refused:
            return await self._refusal(group, refused)
        by_subject: dict[str, list[SeriesRow]] = defaultdict(list)
        for row in series.rows:
            by_subject[row.subject].append(row)
        return [_loaded(one, by_subject, series) for one in group if self._has(series.visible, one)]

    async def _refusal(self, group: Sequence[_Wanted], refused: Refused) -> list[Loaded]:
        """Too much at once: each alone; one that is too much alone stays without a balance here, and the API says why."""
        if len(group) > 1:
            return [loaded for one in group for loaded in await self._read([one])]
        self.refuse(group[0].kept, refused)
        return []

    def refuse(self, kept: Kept, refused: Refused) -> None:
        """It has no running balance until something about it changes."""
        assert kept.loading is not None
        log.error("no running balance: %s", refused, extra={"entitlement": kept.id})
        metrics.refused.inc()
        self._refused[kept.id] = kept.loading


def _loaded(one: _Wanted, by_subject: Mapping[str, list[SeriesRow]], series: Series) -> Loaded:
    rows = [row for subject in one.subjects for row in by_subject.get(subject, ())]
    covered = {p: series.visible.get(p, 0) for p in one.positions}
    return Loaded(one.kept.id, one.loading, rows, covered)
