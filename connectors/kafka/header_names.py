"""Header names that are not UTF-8 do not stop a partition.

Kafka stores any bytes as the name of a header, and librdkafka sends any. aiokafka raises at such a record, at every fetch
anew, so that nothing behind it is ever read. With `take_any_header_names` a fetch that has one is read again by aiokafka's
parser in Python, with the wrong bytes replaced; all others are read as before, at the same cost.
What is private here is pinned by tests/unit/connectors/test_header_names.py.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


def take_any_header_names() -> None:
    """For every consumer that this process makes from here on. Doing it again changes nothing."""
    fetcher.MemoryRecords = _Records
    fetcher.PartitionRecords = _PartitionRecords


class _Records(MemoryRecords):  # type: ignore[misc]  # aiokafka has no types
    """Fetched batches that can be had again."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a fetch, one after the other."""

    _records: Any
    _records_iterator: Any

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
