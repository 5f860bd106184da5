"""Stored schemas may grow, never break: every version is read by every later one, and none is changed or taken away."""

import json
from itertools import combinations

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from schemas.avro_schemas import DIRECTORY, StoredSchemas

NEVER_TAKEN_AWAY = {
    1836253185: "0027443c06662221",
    1836253186: "4a6e506e68da05a8",
}
"""Every number that was ever stored, with its fingerprint. Only grows."""

ENTRIES = json.loads((DIRECTORY / "ids.json").read_bytes())


def family(entry) -> str:
    return entry["schema"].rpartition("-")[0]


def reads(reader: str, writer: str) -> bool:
    found = ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(reader), avro.schema.parse(writer)
    )
    return found.compatibility is SchemaCompatibilityType.compatible


@pytest.mark.parametrize(
    ("older", "newer"),
    [(a["schema"], b["schema"]) for a, b in combinations(ENTRIES, 2) if family(a) == family(b)],
)
def test_a_version_is_read_by_every_later_one(older, newer):
    assert reads((DIRECTORY / newer).read_text(), (DIRECTORY / older).read_text())


def test_a_version_with_a_new_field_without_a_default_would_fail():
    older = (DIRECTORY / ENTRIES[-1]["schema"]).read_text()
    newer = json.loads(older)
    newer["fields"].append({"name": "region", "type": "string"})

    assert not reads(json.dumps(newer), older)


def test_what_was_stored_once_is_still_there_under_its_number():
    assert {entry["id"]: entry["fingerprint"] for entry in ENTRIES} == NEVER_TAKEN_AWAY


def test_every_schema_in_the_directory_has_a_number():
    assert {entry["schema"] for entry in ENTRIES} == {f.name for f in DIRECTORY.glob("*.avsc")}


def test_a_stored_schema_that_was_changed_is_an_error_at_the_start(tmp_path):
    for file in DIRECTORY.iterdir():
        if file.is_file():
            text = file.read_text().replace('"name": "UsageEvent"', '"name": "Changed"')
            (tmp_path / file.name).write_text(text)

    with pytest.raises(ValueError, match="a stored schema never changes"):
        StoredSchemas(tmp_path)
