import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from connectors.kafka.header_names import take_any_header_names

NAME = "na\u00efve"
NONE, GZIP = 0, 1


@pytest.fixture
def patched():
    before = fetcher.MemoryRecords, fetcher.PartitionRecords
    take_any_header_names()
    yield
    fetcher.MemoryRecords, fetcher.PartitionRecords = before


def a_batch(offset: int, *records, codec=NONE) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
    for at, (value, headers) in enumerate(records):
        builder.append(at, 1_790_000_000_000 + at, b"key", value, headers)
    built = bytearray(builder.build())
    built[:8] = offset.to_bytes(8, "big")
    return bytes(built)


def broken(batch: bytes) -> bytes:
    """As a producer writes it that does not care for UTF-8."""
    return batch.replace(NAME.encode(), b"na\xff\xfeve")


def read(data: bytes, start: int = 0):
    records = fetcher.PartitionRecords(
        TopicPartition("t", 0), fetcher.MemoryRecords(data), [], start, None, None, False, 0
    )
    return list(records), records.next_fetch_offset


FIRST = a_batch(0, (b"a", []), (b"b", [("plain", b"1"), ("none", None)]))
LOG = (
    FIRST
    + broken(a_batch(2, (b"c", []), (b"d", [(NAME, b"2"), ("ce_id", b"x")]), (b"e", [])))
    + a_batch(5, (b"f", [(NAME, b"3")]), codec=GZIP)
)


def test_a_name_that_is_no_text_is_read_with_its_bytes_replaced(patched):
    found, end = read(LOG)

    assert [(r.offset, r.value) for r in found] == list(
        enumerate([b"a", b"b", b"c", b"d", b"e", b"f"])
    )
    assert found[3].headers == (("na\ufffd\ufffdve", b"2"), ("ce_id", b"x"))
    assert found[5].headers == ((NAME, b"3"),)
    assert [r.timestamp - 1_790_000_000_000 for r in found] == [0, 1, 0, 1, 2, 0]
    assert end == 6


def test_reading_begins_where_it_is_asked_to(patched):
    found, _ = read(LOG[len(FIRST) :], start=3)

    assert [r.offset for r in found] == [3, 4, 5]


def test_without_it_the_partition_would_stand_still():
    with pytest.raises(UnicodeDecodeError):
        read(LOG)
