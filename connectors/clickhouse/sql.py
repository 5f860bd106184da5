"""SQL conditions out of filters: names, operators and whole numbers are ours, every text is a parameter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.metering.filters import (
    AllOf,
    AnyOf,
    TextFilter,
    TextOp,
    TextTest,
    TimeFilter,
    TimeTest,
    closed_pattern,
)

_TEXT = {
    TextOp.EQ: "{column} = {value}",
    TextOp.NE: "{column} != {value}",
    TextOp.LIKE: "{column} LIKE {value}",
    TextOp.NLIKE: "{column} NOT LIKE {value}",
    TextOp.ILIKE: "{column} ILIKE {value}",
    TextOp.NILIKE: "{column} NOT ILIKE {value}",
    TextOp.GT: "{column} > {value}",
    TextOp.GTE: "{column} >= {value}",
    TextOp.LT: "{column} < {value}",
    TextOp.LTE: "{column} <= {value}",
}
_PATTERNS = frozenset((TextOp.LIKE, TextOp.NLIKE, TextOp.ILIKE, TextOp.NILIKE))
_SIGN = {TextOp.GT: ">", TextOp.GTE: ">=", TextOp.LT: "<", TextOp.LTE: "<="}
_PARAMETER_BYTES_MAX = 32_000
_NUMBERS_MAX = 4_000
_SECOND_MIN = 0
_SECOND_MAX = 10_413_791_999


class Parameters:
    """Texts of a statement, by the names they get.

    A server refuses a form field over 128 KiB (http_max_field_value_size), so long values are sent in pieces; escaping
    can make four bytes of one.
    """

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def text(self, value: str) -> str:
        """An expression for a text."""
        pieces = [self._add(piece, "String") for piece in _pieces(value)]
        return pieces[0] if len(pieces) == 1 else f"concat({', '.join(pieces)})"

    def texts(self, values: Iterable[str]) -> str:
        """An expression for a list of texts."""
        lists: list[str] = []
        batch: list[str] = []
        size = 0
        for value in values:
            length = len(value.encode())
            if length > _PARAMETER_BYTES_MAX:
                lists.append(f"[{self.text(value)}]")
                continue
            if size + length > _PARAMETER_BYTES_MAX:
                lists.append(self._add(batch, "Array(String)"))
                batch, size = [], 0
            batch.append(value)
            size += length + 3
        if batch or not lists:
            lists.append(self._add(batch, "Array(String)"))
        return lists[0] if len(lists) == 1 else f"arrayConcat({', '.join(lists)})"

    def number(self, value: int) -> str:
        """A placeholder for a whole number."""
        return self._add(value, "Int64")

    def numbers(self, values: Sequence[int]) -> str:
        """An expression for a list of whole numbers, at least one."""
        lists = [
            self._add(list(values[i : i + _NUMBERS_MAX]), "Array(Int64)")
            for i in range(0, len(values), _NUMBERS_MAX)
        ]
        return lists[0] if len(lists) == 1 else f"arrayConcat({', '.join(lists)})"

    def _add(self, value: object, kind: str) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


def _pieces(text: str) -> Sequence[str]:
    step = _PARAMETER_BYTES_MAX // 4
    return [text[i : i + step] for i in range(0, len(text), step)] or [""]


def is_one_of(column: str, values: Sequence[str], parameters: Parameters) -> str:
    """`column` is one of `values`; of none, never."""
    return f"{column} IN {parameters.texts(values)}" if values else "0"


def text_condition(column: str, test: TextFilter, parameters: Parameters) -> str:
    """`test` on `column`."""
    match test:
        case AllOf(filters):
            return _joined(
                " AND ", "1", [text_condition(column, inner, parameters) for inner in filters]
            )
        case AnyOf(filters):
            return _joined(
                " OR ", "0", [text_condition(column, inner, parameters) for inner in filters]
            )
        case TextTest(op, operand):
            if isinstance(operand, tuple):
                found = is_one_of(column, operand, parameters)
                return found if op is TextOp.IN else f"NOT ({found})"
            value = closed_pattern(operand) if op in _PATTERNS else operand
            return _TEXT[op].format(column=column, value=parameters.text(value))


def time_condition(column: str, test: TimeFilter, *, in_ms: bool) -> str:
    """`test` on a column that holds milliseconds, or else whole seconds."""
    match test:
        case AllOf(filters):
            return _joined(" AND ", "1", [time_condition(column, f, in_ms=in_ms) for f in filters])
        case AnyOf(filters):
            return _joined(" OR ", "0", [time_condition(column, f, in_ms=in_ms) for f in filters])
        case TimeTest(op, at_ms):
            if in_ms:
                return _compared(column, _SIGN[op], at_ms, in_ms=True)
            rounded_up = op in (TextOp.GTE, TextOp.LT)
            at_s = -(-at_ms // 1000) if rounded_up else at_ms // 1000
            return _compared(column, _SIGN[op], at_s, in_ms=False)


def between(column: str, start: int | None, end: int | None) -> str:
    """The condition that `column` is in `[start, end)`, Unix seconds; None = unbounded."""
    conditions = []
    if start is not None:
        conditions.append(_compared(column, ">=", start, in_ms=False))
    if end is not None:
        conditions.append(_compared(column, "<", end, in_ms=False))
    return " AND ".join(conditions) or "1"


def between_days(column: str, start: int | None, end: int | None) -> str:
    """What `between` says, of whole days: for an index that is kept by day."""
    conditions = []
    if start is not None and start <= _SECOND_MAX:
        conditions.append(f"{column} >= toDate32({max(start, _SECOND_MIN) // 86_400})")
    if end is not None and end <= _SECOND_MAX:
        conditions.append(f"{column} <= toDate32({max(end, _SECOND_MIN) // 86_400})")
    return " AND ".join(conditions) or "1"


def second(at: int) -> str:
    """A Unix second between 1970 and 2299 as a moment."""
    return f"fromUnixTimestamp64Second(toInt64({int(at)}), 'UTC')"


def millisecond(at: int) -> str:
    """A Unix millisecond between 1970 and 2299 as a moment."""
    return f"fromUnixTimestamp64Milli(toInt64({int(at)}), 'UTC')"


def _compared(column: str, sign: str, at: int, *, in_ms: bool) -> str:
    """`column` against a moment; one that the type cannot hold is before or after all that are stored."""
    scale = 1000 if in_ms else 1
    if at < _SECOND_MIN * scale:
        return "0" if sign.startswith("<") else "1"
    if at > _SECOND_MAX * scale:
        return "1" if sign.startswith("<") else "0"
    return f"{column} {sign} {millisecond(at) if in_ms else second(at)}"


def _joined(word: str, empty: str, parts: list[str]) -> str:
    return "(" + word.join(parts) + ")" if parts else empty
