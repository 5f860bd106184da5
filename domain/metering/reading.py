"""What the meters of each event type read from an event's data, as columns: the fold never looks at the data itself.

Values are found right after the data was decoded, many events at a time, and the data is let go of: objects that wait for
the fold have long left the processor's caches when it comes to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from domain.metering.fold import Grouping
from domain.metering.jsonpath import compile_path
from domain.metering.numbers import json_text

Data = Mapping[str, object]
FindAll = Callable[[Sequence[Data]], list[object]]
Texts = list[str | None]
Values = list[object]


@dataclass(slots=True, eq=False)
class Columns:
    """By JSONPath, in parallel to the events: texts to group by and values to add up; None where the type reads nothing there."""

    texts: dict[str, Texts] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)

    def append(self, more: Columns) -> None:
        """The same columns of further events behind them."""
        for path, column in self.texts.items():
            column += more.texts[path]
        for path, values in self.values.items():
            values += more.values[path]

    def part(self, start: int, stop: int) -> Columns:
        """Those of the events `[start, stop)`."""
        return Columns(
            {path: column[start:stop] for path, column in self.texts.items()},
            {path: column[start:stop] for path, column in self.values.items()},
        )


class Reads:
    """The paths that are read from each event type's data."""

    def __init__(self, by_type: Mapping[str, Sequence[Grouping]]) -> None:
        self._texts: dict[str, dict[str, FindAll]] = {}
        self._values: dict[str, dict[str, FindAll]] = {}
        for event_type, found in by_type.items():
            texts = {path for grouping in found for path in grouping.paths}
            values = {m.value_path for grouping in found for m in grouping.measures} - {""}
            self._texts[event_type] = {path: compile_path(path).find_all for path in texts}
            self._values[event_type] = {path: compile_path(path).find_all for path in values}

    def empty(self) -> Columns:
        """Columns without events."""
        return Columns(
            {path: [] for paths in self._texts.values() for path in paths},
            {path: [] for paths in self._values.values() for path in paths},
        )

    def extend(self, columns: Columns, types: Sequence[str], datas: Sequence[Data]) -> None:
        """Append what is read of events, given by type and data, to columns made by `empty`."""
        kinds = set(types)
        if len(kinds) == 1:
            self._extend_alike(columns, types[0], datas)
            return
        whole = self.empty()
        for texts in whole.texts.values():
            texts += [None] * len(types)
        for values in whole.values.values():
            values += [None] * len(types)
        for kind in kinds:
            mine = [i for i, one in enumerate(types) if one == kind]
            part = self.empty()
            self._extend_alike(part, kind, [datas[i] for i in mine])
            _put(whole.texts, part.texts, mine, self._texts.get(kind, ()))
            _put(whole.values, part.values, mine, self._values.get(kind, ()))
        columns.append(whole)

    def _extend_alike(self, columns: Columns, event_type: str, datas: Sequence[Data]) -> None:
        nothing = [None] * len(datas)
        finders = self._texts.get(event_type, {})
        for path, texts in columns.texts.items():
            find = finders.get(path)
            texts += (
                nothing
                if find is None
                else [v if type(v) is str else json_text(v) for v in find(datas)]
            )
        finders = self._values.get(event_type, {})
        for path, values in columns.values.items():
            find = finders.get(path)
            values.extend(nothing if find is None else find(datas))


_T = TypeVar("_T")


def _put(
    whole: dict[str, list[_T]], part: dict[str, list[_T]], at: Sequence[int], paths: Iterable[str]
) -> None:
    """Put the columns `paths` of `part` into `whole` at the indexes `at`."""
    for path in paths:
        column = whole[path]
        for i, value in zip(at, part[path], strict=True):
            column[i] = value
