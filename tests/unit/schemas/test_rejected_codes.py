"""Every code that a refused record can have is explained in docs/rejected-events.md, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OF_RECORDS = {
    "decode_record",
    "decode_data",
    "_decode_data_of_any_exponent",
    "_not_an_object",
    "envelope_of",
}
"""What of schemas/cloudevents.py reads records; the rest reads requests."""


def codes_in(tree: ast.AST) -> set[str]:
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Refused"
        and isinstance(node.args[0], ast.Constant)
    } | {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "__init__"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def codes_of_records() -> set[str]:
    found: set[str] = set()
    files = [
        *(ROOT / "streams").glob("*.py"),
        *(
            ROOT / "schemas" / name
            for name in ("avro_records.py", "avro_schemas.py", "binary_mode.py", "event_records.py")
        ),
    ]
    for path in files:
        found |= codes_in(ast.parse(path.read_text()))
    for node in ast.parse((ROOT / "schemas/cloudevents.py").read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name in OF_RECORDS:
            found |= codes_in(node)
    return found


def test_the_page_explains_every_code():
    page = (ROOT / "docs/rejected-events.md").read_text()
    table = page[page.index("## Codes") : page.index("## Send them again")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    explained = {code for row in rows for code in re.findall(r"`(\w+)`", row)}

    assert explained == codes_of_records()
