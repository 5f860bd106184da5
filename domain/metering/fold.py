"""The fold: usage events of one chunk into rows of usage. Pure, and the hot path of the worker.

Events arrive as parallel lists (positions, seconds, the columns of reading.py), in the order of the log; a bucket holds the
indexes of the events that share a row key, so that each row is read, changed and written once a chunk however many events fall into it.
Meters of one event type that group alike share their buckets. Source: docs/internals.md, "Row of usage".
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.metering.jsonpath import compile_path
from domain.metering.meter import Aggregation, Meter
from domain.metering.numbers import EXACT_LIMIT, json_text, read_number
from domain.metering.rows import Exact, Latest, Number, Row, add

BucketKey = tuple[str, int, tuple[str, ...]]
"""(subject, minute = Unix seconds // 60, group values in the order of the meter's sorted keys)."""

_row = tuple.__new__
"""Makes a Row in a third of the time that its own constructor takes, which is Python."""


@dataclass(slots=True, eq=False)
class Measure:
    """One meter version as the fold needs it: what to read from an event, and how to add it up."""

    meter: Meter
    find_value: Callable[[object], object] | None
    fold: Callable[..., Row]
    counts_uniques: bool

    @property
    def value_path(self) -> str:
        """The path that values are read from, "" for COUNT."""
        return self.meter.value_property or ""


@dataclass(slots=True, eq=False)
class Grouping:
    """Meters of one event type with the same group-by paths: they share buckets."""

    event_type: str
    paths: tuple[str, ...]
    find_groups: tuple[Callable[[object], object], ...]
    measures: tuple[Measure, ...]
    buckets: defaultdict[BucketKey, list[int]] = field(default_factory=lambda: defaultdict(list))


def groupings(meters: Iterable[Meter]) -> dict[str, tuple[Grouping, ...]]:
    """The groupings of each event type; meters in the order of (id, version), so that replay sees the same."""
    shared: dict[tuple[str, tuple[str, ...]], list[Meter]] = {}
    for meter in sorted(meters, key=lambda m: (m.id, m.version)):
        paths = tuple(meter.group_by[key] for key in sorted(meter.group_by))
        shared.setdefault((meter.event_type, paths), []).append(meter)
    by_type: dict[str, list[Grouping]] = {}
    for (event_type, paths), members in shared.items():
        grouping = Grouping(
            event_type=event_type,
            paths=paths,
            find_groups=tuple(compile_path(path).find for path in paths),
            measures=tuple(_measure(meter) for meter in members),
        )
        by_type.setdefault(event_type, []).append(grouping)
    return {event_type: tuple(found) for event_type, found in by_type.items()}


def _measure(meter: Meter) -> Measure:
    find = compile_path(meter.value_property).find if meter.value_property else None
    folds: dict[Aggregation, Callable[..., Row]] = {
        Aggregation.COUNT: fold_count,
        Aggregation.UNIQUE_COUNT: fold_count,
        Aggregation.LATEST: fold_latest,
    }
    return Measure(
        meter=meter,
        find_value=find,
        fold=folds.get(meter.aggregation, fold_numeric),
        counts_uniques=meter.aggregation is Aggregation.UNIQUE_COUNT,
    )


def fill_buckets(
    indexes: Sequence[int],
    types: Sequence[str],
    subjects: Sequence[str],
    minutes: Sequence[int],
    texts: Mapping[str, Sequence[str | None]],
    by_type: dict[str, tuple[Grouping, ...]],
) -> None:
    """Put every event index into the bucket of each grouping of its type; `texts` are the group values by path."""
    for event_type, found in by_type.items():
        mine = [i for i in indexes if types[i] == event_type]
        for grouping in found:
            buckets = grouping.buckets
            for i, values in zip(mine, _group_values(grouping.paths, texts, mine), strict=True):
                buckets[subjects[i], minutes[i], values].append(i)


def _group_values(
    paths: Sequence[str], texts: Mapping[str, Sequence[str | None]], mine: Sequence[int]
) -> Iterable[tuple[str, ...]]:
    """The group values of each of the events."""
    if not paths:
        return [()] * len(mine)
    columns = [texts[path] for path in paths]
    return zip(*[[column[i] for i in mine] for column in columns], strict=True)


def fold_count(
    row: Row | None,
    bucket: Sequence[int],
    positions: Sequence[int],
    seconds: Sequence[int],
    values: Sequence[object],
) -> Row:
    """The row with the bucket's events counted; their values are not looked at."""
    last = positions[bucket[-1]]
    epoch, before = (positions[bucket[0]], 0) if row is None else (row[0], row[2])
    return _row(Row, (epoch, last, before + len(bucket), 0, 0, None, None, None, None))


def fold_numeric(
    row: Row | None,
    bucket: Sequence[int],
    positions: Sequence[int],
    seconds: Sequence[int],
    values: Sequence[object],
) -> Row:
    """The row with the bucket's values added: what is not a number counts as an event only."""
    epoch, count, numeric = positions[bucket[0]], 0, 0
    total: Exact = 0
    outside: float | None = None
    least: Number | None = None
    most: Number | None = None
    if row is not None:
        epoch, _, count, numeric, total, outside, least, most, _ = row
    for i in bucket:
        value = values[i]
        if type(value) is not int or not -EXACT_LIMIT < value < EXACT_LIMIT:
            number = read_number(value)
            if number is None:
                continue
            value = number
        numeric += 1
        if type(value) is float:
            outside = value if outside is None else outside + value
        elif type(total) is int and type(value) is int:
            total += value
        else:
            total = add(total, value)  # type: ignore[arg-type]
        if least is None or value < least:
            least = value
        if most is None or value > most:
            most = value
    last, count = positions[bucket[-1]], count + len(bucket)
    return _row(Row, (epoch, last, count, numeric, total, outside, least, most, None))


def fold_latest(
    row: Row | None,
    bucket: Sequence[int],
    positions: Sequence[int],
    seconds: Sequence[int],
    values: Sequence[object],
) -> Row:
    """The row with the number of the greatest (event second, position) kept.

    Events of two partitions may agree in both: then the greater number, in whatever order they are read.
    """
    epoch, _, count, numeric, _, _, _, _, latest = row or _empty(positions[bucket[0]])
    for i in bucket:
        number = read_number(values[i])
        if number is None:
            continue
        numeric += 1
        seen = Latest(seconds[i], positions[i], number)
        if latest is None or seen > latest:
            latest = seen
    return Row(epoch, positions[bucket[-1]], count + len(bucket), numeric, latest=latest)


def unique_texts(bucket: Iterable[int], values: Sequence[object]) -> set[str]:
    """The distinct value texts of a bucket: null is no value, a missing property is the empty text."""
    found: set[str] = set()
    for i in bucket:
        value = values[i]
        if value is not None:
            found.add(value if type(value) is str else json_text(value))
    return found


def _empty(epoch: int) -> Row:
    return Row(epoch, epoch, 0)
