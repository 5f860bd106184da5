"""SQL conditions out of filters: names and operators are ours, every value is a parameter."""

from __future__ import annotations

from domain.metering.filters import AllOf, AnyOf, TextFilter, TextOp, TextTest, TimeFilter, TimeTest

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
_SIGN = {TextOp.GT: ">", TextOp.GTE: ">=", TextOp.LT: "<", TextOp.LTE: "<="}


class Parameters:
    """Values of a statement, by the names they get."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def text(self, value: str) -> str:
        """A placeholder for a text."""
        return self._add(value, "String")

    def texts(self, values: tuple[str, ...]) -> str:
        """A placeholder for a list of texts."""
        return self._add(list(values), "Array(String)")

    def number(self, value: int) -> str:
        """A placeholder for a whole number."""
        return self._add(value, "Int64")

    def position(self, value: int) -> str:
        """A placeholder for a position."""
        return self._add(value, "UInt64")

    def _add(self, value: object, kind: str) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


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
                found = f"has({parameters.texts(operand)}, {column})"
                return found if op is TextOp.IN else f"NOT {found}"
            return _TEXT[op].format(column=column, value=parameters.text(operand))


def time_condition(column_ms: str, test: TimeFilter, parameters: Parameters) -> str:
    """`test` on a column of Unix milliseconds."""
    match test:
        case AllOf(filters):
            return _joined(
                " AND ", "1", [time_condition(column_ms, inner, parameters) for inner in filters]
            )
        case AnyOf(filters):
            return _joined(
                " OR ", "0", [time_condition(column_ms, inner, parameters) for inner in filters]
            )
        case TimeTest(op, at_ms):
            return f"{column_ms} {_SIGN[op]} {parameters.number(at_ms)}"


def _joined(word: str, empty: str, parts: list[str]) -> str:
    return "(" + word.join(parts) + ")" if parts else empty
