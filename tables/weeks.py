"""The week families of one database: made when something arrives, looked through newest first, dropped whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rocksdict import Options, Rdict

from schemas import state


class Family:
    """What arrived in one week. `ids` counts the ids seen that it holds."""

    __slots__ = ("handle", "ids", "table")

    def __init__(self, db: Rdict, name: str, ids: int) -> None:
        self.table: Any = db.get_column_family(name)
        self.handle: Any = db.get_column_family_handle(name)
        self.ids = ids

    def close(self) -> None:
        """Let go of the database: its lock is held as long as anything refers to it."""
        self.table.close()
        self.table = self.handle = None


class Weeks:
    """Families by week."""

    def __init__(self, db: Rdict, names: Sequence[str], options: Callable[[], Options]) -> None:
        self._db = db
        self._options = options
        self._families: dict[int, Family] = {}
        self._newest_first: list[tuple[int, Any]] = []
        self.ids = 0
        """Ids seen in all families."""
        for name in names:
            week = int(name[1:])
            count = db.get(count_key(week))
            self._take(week, Family(db, name, 0 if count is None else state.unpack_u64(count)))

    def _take(self, week: int, family: Family) -> None:
        self._families[week] = family
        self.ids += family.ids
        self._sort()

    def _sort(self) -> None:
        self._newest_first = sorted(
            ((week, family.table) for week, family in self._families.items()),
            key=lambda known: -known[0],
        )

    def live(self) -> list[int]:
        """The weeks there are, oldest first."""
        return sorted(self._families)

    def find(self, week: int) -> Family | None:
        """The family of `week` if there is one."""
        return self._families.get(week)

    def need(self, week: int) -> Family:
        """The family of `week`, made if there is none."""
        family = self._families.get(week)
        if family is None:
            name = family_name(week)
            self._db.create_column_family(name, self._options())
            family = Family(self._db, name, 0)
            self._take(week, family)
        return family

    def counted(self, week: int, ids: int) -> None:
        """`ids` more ids are in the family of `week`."""
        self._families[week].ids += ids
        self.ids += ids

    def estimated_keys(self) -> int:
        """About how many keys all families hold; RocksDB keeps the number, so asking is cheap."""
        tables = [family.table for family in self._families.values()]
        return sum(table.property_int_value("rocksdb.estimate-num-keys") or 0 for table in tables)

    def newest(self, keys: list[bytes]) -> list[bytes | None]:
        """The value of each key in the newest family that has it."""
        if not self._newest_first:
            return [None] * len(keys)
        (_, table), *older = self._newest_first
        found: list[bytes | None] = table.get(keys)
        for _, table in older:
            left = [i for i, value in enumerate(found) if value is None]
            if len(left) == len(keys):
                found = table.get(keys)
            elif left:
                for i, value in zip(left, table.get([keys[i] for i in left]), strict=True):
                    found[i] = value
            else:
                break
        return found

    def newest_with_week(self, keys: list[bytes]) -> list[tuple[int, bytes] | None]:
        """Like `newest`, with the week it was found in."""
        if not self._newest_first:
            return [None] * len(keys)
        (newest, table), *older = self._newest_first
        found = [None if value is None else (newest, value) for value in table.get(keys)]
        if not older:
            return found
        left = [i for i, value in enumerate(found) if value is None]
        for week, table in older:
            if not left:
                break
            missing = []
            for i, value in zip(left, table.get([keys[i] for i in left]), strict=True):
                if value is None:
                    missing.append(i)
                else:
                    found[i] = (week, value)
            left = missing
        return found

    def every(self, keys: list[bytes]) -> list[list[bytes]]:
        """The values of each key in all families."""
        found: list[list[bytes]] = [[] for _ in keys]
        for _, table in self._newest_first:
            for values, value in zip(found, table.get(keys), strict=True):
                if value is not None:
                    values.append(value)
        return found

    def drop(self, week: int) -> int:
        """Forget a week; returns how many ids it held."""
        family = self._families.pop(week)
        self.ids -= family.ids
        self._sort()
        family.close()
        self._db.drop_column_family(family_name(week))
        return family.ids

    def close(self) -> None:
        """Let go of every family."""
        self._newest_first = []
        for family in self._families.values():
            family.close()
        self._families.clear()


def family_name(week: int) -> str:
    """The name of a week's family."""
    return f"w{week}"


def count_key(week: int) -> bytes:
    """The meta key of the number of ids of a week."""
    return b"n" + family_name(week).encode()
