"""Adds up the days that nothing has touched for a while, on a thread of its own. Several processes may: a roll is read whole or not at all.

A roll has a number of its own. Its rows are written first, then what has touched the day is looked at again; only when that
lies below what could be seen before is the roll named, and from then on read. See connectors/clickhouse/day_rolls.py.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.clickhouse.aggregates import ALL_COLUMNS, EVERYTHING
from connectors.clickhouse.asking import Asking, limit_of
from connectors.clickhouse.sql import Parameters
from domain.errors import Unavailable

log = logging.getLogger(__name__)

_ROUND_S = 60.0
_QUIET_S = 600
_DAYS_A_ROUND = 1_000
_ROWS_AT_ONCE = 1_000_000
_CLEAN_S = 3600
_STOP_S = 2.0
# One thread: questions come first.
_SETTINGS = {"max_threads": 1, "do_not_merge_across_partitions_select_final": 1}
_COLUMNS = (
    "namespace, topic, meter, version, whole, day, roll, subject, groups, first_second, last_second, "
    f"{', '.join(ALL_COLUMNS)}, updated_at, at"
)


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a meter version that has about `rows` rows."""

    meter: str
    version: int
    day: int
    rows: int


class Roller:
    """Keeps rolls of quiet days for one namespace and topic."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="day-roller", daemon=True)

    def start(self) -> None:
        """Begin; the tables must be there."""
        self._thread.start()

    def stop(self) -> None:
        """End; a statement under way is not waited for longer than a moment, what it leaves is not read."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def roll(self, quiet_s: int = _QUIET_S) -> int:
        """Add up the newest days that changed since they were, except those touched within `quiet_s`; how many. Unavailable."""
        done = 0
        for days in _batches(self._changed(quiet_s)):
            if self._stopping.is_set():
                break
            done += self._roll(days)
        return done

    def clean(self, after_s: int = _CLEAN_S) -> None:
        """Delete what no question reads any more: rolls replaced or given up so long ago. Unavailable."""
        parameters = Parameters()
        mine = self._mine(parameters)
        day = "(meter, version, day)"
        self._asking.command(
            f"DELETE FROM usage_days WHERE {mine} AND at <= now64(3) - {int(after_s)} "
            f"AND roll NOT IN (SELECT roll FROM day_rolls FINAL WHERE {mine}) "
            f"AND {day} NOT IN (SELECT meter, version, day FROM day_rolls WHERE {mine} AND at > now64(3) - {int(after_s)})",
            parameters,
            _SETTINGS,
        )

    def _serve(self) -> None:
        clean_at = time.monotonic() + _CLEAN_S
        while not self._stopping.is_set():
            try:
                self.roll()
                if time.monotonic() > clean_at:
                    clean_at = time.monotonic() + _CLEAN_S
                    self.clean()
            except Unavailable as error:
                log.warning("days are not added up now", extra={"cause": str(error)})
            except Exception:
                # Answers are right without: a fault here must not end the process, and shows in the log every round.
                log.exception("days are not added up")
            self._stopping.wait(_ROUND_S)

    def _changed(self, quiet_s: int) -> list[Day]:
        parameters = Parameters()
        rows = self._asking.rows(
            "SELECT meter, version, toInt32(t.day), sum(t.rows) FROM ("
            "SELECT meter, version, toDate32(minute) AS day, partition, max(position) AS newest, max(updated_at) AS changed_at, "
            f"count() AS rows FROM usage WHERE namespace = {parameters.text(self._asking.namespace)} "
            "GROUP BY meter, version, day, partition) AS t LEFT JOIN ("
            "SELECT meter, version, day, p AS partition, q AS until FROM day_rolls FINAL "
            f"ARRAY JOIN partitions AS p, positions AS q WHERE {self._mine(parameters)}) AS r "
            "USING (meter, version, day, partition) GROUP BY meter, version, day "
            f"HAVING max(newest >= r.until) AND max(t.changed_at) <= now64(3) - {int(quiet_s)} "
            f"ORDER BY day DESC LIMIT {_DAYS_A_ROUND}",
            parameters,
        )
        return [
            Day(meter, int(version), int(day), int(count)) for meter, version, day, count in rows
        ]

    def _roll(self, days: Sequence[Day]) -> int:
        """How many of the days have a new roll: those that were touched by what may not be seen have not."""
        visible = self._asking.visible()
        roll = secrets.randbits(63)
        self._write(days, roll)
        parameters = Parameters()
        inside = self._inside(days, parameters)
        limits = limit_of(visible)
        self._asking.command(
            "INSERT INTO day_rolls (namespace, topic, meter, version, day, roll, partitions, positions, updated_at, at) "
            f"SELECT {parameters.text(self._asking.namespace)}, {parameters.text(self._asking.topic)}, meter, version, day, {roll}, "
            f"{list(visible)}::Array(UInt32), {list(visible.values())}::Array(UInt64), max(changed_at), now64(3) FROM ("
            "SELECT meter, version, toDate32(minute) AS day, partition, max(position) AS newest, max(updated_at) AS changed_at "
            f"FROM usage WHERE {inside} GROUP BY meter, version, day, partition) "
            f"GROUP BY meter, version, day HAVING max(newest < {limits}) = 1 AND min(newest < {limits}) = 1 "
            # An insert whose answer was lost may have been sent again on the way: such a roll has rows twice.
            "AND (SELECT count() = uniqExact(meter, version, day, whole, subject, groups) FROM usage_days "
            f"WHERE {self._mine(parameters)} AND roll = {roll})",
            parameters,
            _SETTINGS,
        )
        return len(days)

    def _write(self, days: Sequence[Day], roll: int) -> None:
        parameters = Parameters()
        topic = parameters.text(self._asking.topic)
        self._asking.command(
            f"INSERT INTO usage_days ({_COLUMNS}) "
            f"SELECT namespace, {topic}, meter, version, 0, toDate32(minute) AS day, {roll}, subject, groups, "
            f"min(toUnixTimestamp64Second(minute)), max(toUnixTimestamp64Second(minute)), {EVERYTHING}, max(updated_at), now64(3) "
            f"FROM usage FINAL WHERE {self._inside(days, parameters)} GROUP BY namespace, meter, version, day, subject, groups",
            parameters,
            _SETTINGS,
        )
        parameters = Parameters()
        self._asking.command(
            f"INSERT INTO usage_days ({_COLUMNS}) "
            "SELECT namespace, topic, meter, version, 1, day, roll, '', groups, "
            f"min(first_second), max(last_second), {EVERYTHING}, max(updated_at), now64(3) "
            f"FROM usage_days WHERE {self._mine(parameters)} AND whole = 0 AND roll = {roll} "
            "GROUP BY namespace, topic, meter, version, day, roll, groups",
            parameters,
            _SETTINGS,
        )

    def _inside(self, days: Sequence[Day], parameters: Parameters) -> str:
        keys = ", ".join(
            f"({parameters.text(one.meter)}, {one.version}, toDate32({one.day}))" for one in days
        )
        return (
            f"namespace = {parameters.text(self._asking.namespace)} "
            f"AND (meter, version, toDate32(minute)) IN ({keys})"
        )

    def _mine(self, parameters: Parameters) -> str:
        return (
            f"namespace = {parameters.text(self._asking.namespace)} "
            f"AND topic = {parameters.text(self._asking.topic)}"
        )


def _batches(days: Sequence[Day]) -> Iterator[list[Day]]:
    """Days that are added up in one statement: memory for it grows with their rows, and 200 names fit into it."""
    batch: list[Day] = []
    rows = 0
    for day in days:
        if batch and (rows + day.rows > _ROWS_AT_ONCE or len(batch) >= 200):
            yield batch
            batch, rows = [], 0
        batch.append(day)
        rows += day.rows
    if batch:
        yield batch
