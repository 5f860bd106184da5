"""The records of a batch, byte for byte."""

import pytest

from schemas import changelog
from schemas.changelog import Author, encode_chunk, encode_expiry
from schemas.state import decode_marker, pack_u64

AUTHOR = Author(topic_id="t", partition=1, generation=2, begins_at=30)
BODY = {"week": 3, "source_next": 9, "newest_ms": 8}


def test_the_records_of_a_chunk():
    records = encode_chunk(
        AUTHOR,
        base=5,
        stored=[(3, b"rkey", b"row"), (2, b"ukey", b"")],
        ids=[(b"h" * 16, pack_u64(5)), (b"g" * 16, pack_u64(6))],
        applied=[(b"meter", b"{}")],
        **BODY,
    )

    keys = [key.hex() for key, _ in records]
    assert keys == [
        b"w\0\3rkey".hex(),
        b"w\0\2ukey".hex(),
        "69" "0003" "0000000000000005" "00000002",
        b"cmeter".hex(),
        "6d",
    ]  # fmt: skip
    assert records[2][1] == b"h" * 16 + bytes(7) + b"\5" + b"g" * 16 + bytes(7) + b"\6"
    marker = decode_marker(records[-1][1])
    assert (marker.records, marker.begins_at, marker.source_next) == (5, 30, 9)
    assert (marker.topic_id, marker.partition, marker.generation) == ("t", 1, 2)


def test_a_chunk_without_ids_has_no_record_for_them():
    records = encode_chunk(AUTHOR, base=5, stored=[], ids=[], applied=[], **BODY)

    assert [key for key, _ in records] == [changelog.MARKER]


def test_an_expired_week_is_deleted_key_by_key():
    chunk = changelog.chunk_key(5, 2)

    records = encode_expiry(AUTHOR, 3, [b"rkey", b"ukey", b"i" + chunk], source_next=9, newest_ms=8)

    assert [key for key, _ in records[:-1]] == [b"w\0\3rkey", b"w\0\3ukey", b"i\0\3" + chunk]
    assert all(value is None for _, value in records[:-1])
    assert changelog.split_weekly(records[0][0]) == (b"\0\3", b"rkey")
    assert changelog.split_weekly(records[2][0]) == (b"\0\3", chunk)


def test_a_batch_has_a_bound():
    rows = [(0, b"", b"")] * changelog.RECORDS_MAX

    with pytest.raises(ValueError, match="records"):
        encode_chunk(AUTHOR, base=0, stored=rows, ids=[], applied=[], **BODY)
