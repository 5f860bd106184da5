"""Header names that are not UTF-8 do not stop a partition.

Kafka stores any bytes as the name of a header, and librdkafka sends any. aiokafka raises at such a record, at every fetch
anew, so that nothing behind it is ever read. With `take_any_header_names` a fetch that has one is read again by aiokafka's
parser in Python, with the wrong bytes replaced; all others are read as before, at the same cost.
What is private here is pinned by tests/unit/connectors/test_header_names.py.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


def take_any_header_names() -> None:
    """For every consumer that this process makes from here on. Doing it again changes nothing."""
    fetcher.MemoryRecords = _Records
    fetcher.PartitionRecords = _PartitionRecords
    fetcher.FetchResult = _FetchResult


class _Records(MemoryRecords):  # type: ignore[misc]  # aiokafka has no types
    """Fetched batches that can be had again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """What a fetch brought for one partition."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Any]:
        """The records that were not taken yet, at most `max_records`."""
        records = self._partition_records
        if max_records is not None or records is None or not records.as_parsed:
            return list(super().getall(max_records))
        if not self.check_assignment(self._topic_partition):
            return []
        found: list[Any] = records.take_all()
        self._update_position()
        self._partition_records = None
        return found


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a fetch, one after the other."""

    _records: Any
    _records_iterator: Any
    next_fetch_offset: int
    as_parsed = False
    """Whether the reader takes records as they were parsed (streams/parsed_records.py)."""

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None
            raise
        except UnicodeDecodeError:
            self._records = _ReplacingRecords(self._records.data, self.next_fetch_offset)
            self._records_iterator = self._unpack_records()
            return next(self)

    def take_all(self) -> list[Any]:
        """The records that are left, as they were parsed: batch by batch, in a tenth of the time."""
        found: list[Any] = []
        if self._isolation_level == fetcher.READ_COMMITTED:
            found += self
            return found
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not batch.is_control_batch:
                try:
                    records = list(batch)
                except UnicodeDecodeError:
                    self._records = _ReplacingRecords(self._records.data, self.next_fetch_offset)
                    continue
                start = self.next_fetch_offset
                if records and records[0].offset < start:
                    records = [record for record in records if record.offset >= start]
                found += records
            self.next_fetch_offset = batch.next_offset
        return found


class _ReplacingRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """Batches whose records have readable header names, from the one on that holds offset `start`."""

    def __init__(self, data: bytes, start: int) -> None:
        super().__init__(data)
        while (found := self._of_today()) is not None and found.next_offset <= start:
            self._cache_next()

    def _of_today(self) -> Any:
        """The next batch when it is of today's format; others have no headers."""
        found = self._next_slice
        if found is None or len(found) <= self.MAGIC_OFFSET or found[self.MAGIC_OFFSET] < 2:
            return None
        return _ReplacingBatch(found)

    def next_batch(self, *args: Any) -> Any:
        """The next one."""
        found = self._of_today()
        if found is None:
            return super().next_batch(*args)
        self._cache_next()
        return found


class _ReplacingBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: Any

    def __iter__(self) -> Any:
        super().__iter__()
        self._buffer = _Replacing(self._buffer)
        return self


class _Replacing(bytearray):
    """Bytes whose parts decode to text whatever they are."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Replacing(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
