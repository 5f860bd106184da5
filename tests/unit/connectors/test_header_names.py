import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from connectors.kafka.header_names import take_any_header_names

NAME = "na\u00efve"
NONE, GZIP = 0, 1


@pytest.fixture
def patched():
    before = fetcher.MemoryRecords, fetcher.PartitionRecords, fetcher.FetchResult
    take_any_header_names()
    yield
    fetcher.MemoryRecords, fetcher.PartitionRecords, fetcher.FetchResult = before


def a_batch(offset: int, *records, codec=NONE, key=b"key") -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
    for at, (value, headers) in enumerate(records):
        builder.append(at, 1_790_000_000_000 + at, key, value, headers)
    built = bytearray(builder.build())
    built[:8] = offset.to_bytes(8, "big")
    return bytes(built)


def broken(batch: bytes) -> bytes:
    """As a producer writes it that does not care for UTF-8."""
    return batch.replace(NAME.encode(), b"na\xff\xfeve")


def one_by_one(data: bytes, start: int = 0, isolation=fetcher.READ_UNCOMMITTED, check_crcs=False):
    records = fetched(data, start, isolation, check_crcs)
    return list(records), records.next_fetch_offset


def all_at_once(data: bytes, start: int = 0, isolation=fetcher.READ_UNCOMMITTED, check_crcs=False):
    records = fetched(data, start, isolation, check_crcs)
    records._consumer_record = lambda tp, record: record
    return records.take_all(), records.next_fetch_offset


def fetched(data, start, isolation, check_crcs):
    records, place = fetcher.MemoryRecords(data), TopicPartition("t", 0)
    return fetcher.PartitionRecords(place, records, [], start, None, None, check_crcs, isolation)


either = pytest.mark.parametrize("read", [one_by_one, all_at_once])


def marker_batch(offset: int) -> bytes:
    """The end of a transaction: nothing for a reader."""
    built = bytearray(a_batch(offset, (b"", []), key=b"\0\0\0\1"))
    built[21:23] = (0x30).to_bytes(2, "big")
    return bytes(built)


def fields(records):
    return [(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records]


FIRST = a_batch(0, (b"a", []), (b"b", [("plain", b"1"), ("none", None)]))
LOG = (
    FIRST
    + broken(a_batch(2, (b"c", []), (b"d", [(NAME, b"2"), ("ce_id", b"x")]), (b"e", [])))
    + a_batch(5, (b"f", [(NAME, b"3")]), codec=GZIP)
)


@either
def test_a_name_that_is_no_text_is_read_with_its_bytes_replaced(patched, read):
    found, end = read(LOG)

    assert [(r.offset, r.value) for r in found] == list(
        enumerate([b"a", b"b", b"c", b"d", b"e", b"f"])
    )
    assert tuple(found[3].headers) == (("na\ufffd\ufffdve", b"2"), ("ce_id", b"x"))
    assert tuple(found[5].headers) == ((NAME, b"3"),)
    assert [r.timestamp - 1_790_000_000_000 for r in found] == [0, 1, 0, 1, 2, 0]
    assert end == 6


@either
def test_reading_begins_where_it_is_asked_to(patched, read):
    found, _ = read(LOG[len(FIRST) :], start=3)

    assert [r.offset for r in found] == [3, 4, 5]


def test_without_it_the_partition_would_stand_still():
    with pytest.raises(UnicodeDecodeError):
        one_by_one(LOG)


MARKER = marker_batch(2)
LAST = a_batch(3, (b"c", []), (b"d", [("n", b"1")]), codec=GZIP)


@pytest.mark.parametrize("isolation", [fetcher.READ_UNCOMMITTED, fetcher.READ_COMMITTED])
@pytest.mark.parametrize("start", range(5))
def test_all_at_once_gives_what_one_by_one_gives(patched, start, isolation):
    data = FIRST * (start < 2) + MARKER * (start < 3) + LAST
    alone, alone_end = one_by_one(data, start, isolation)
    together, end = all_at_once(data, start, isolation)

    assert fields(together) == fields(alone)
    assert [r.offset for r in together] == [at for at in (0, 1, 3, 4) if at >= start]
    assert end == alone_end == 5


@either
def test_a_damaged_batch_is_an_error(patched, read):
    data = FIRST[:-1] + b"x"

    with pytest.raises(CorruptRecordException):
        read(data, check_crcs=True)
