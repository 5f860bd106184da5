"""ClickHouse's engine in this process, asked with parameters; in memory."""

import json

import chdb


def literal(text: str) -> str:
    """A string literal of ClickHouse."""
    for character, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\0", "\\0")):
        text = text.replace(character, escaped)
    return f"'{text}'"


def literals(texts) -> str:
    """An array of string literals."""
    return "[" + ", ".join(map(literal, texts)) + "]"


def ask(sql: str) -> list[list]:
    """The rows of an answer."""
    return [json.loads(line) for line in chdb.query(sql, "JSONCompactEachRow").bytes().splitlines()]
