"""One write to the state: gathered over all families, counted, then put on disk as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

from rocksdict import WriteBatch

from schemas import state
from schemas.state import SEEN
from tables.weeks import Weeks, count_key

APPLIED = b"c"
CHUNK_IDS = b"i"
LEFT_OUT = b"z"
STAMP = b"stamp"

_key_of = itemgetter(0)
_stored_key = itemgetter(1)


def _first_byte(entry: tuple[bytes, bytes]) -> int:
    """Nearly all that order gains: a whole sort of 20,000 hashes takes more than it saves."""
    return entry[0][0]


class StateBatch:
    """Puts and deletes of one atomic write. Keys in order make the write almost twice as fast."""

    def __init__(self, weeks: Weeks) -> None:
        self._weeks = weeks
        self._puts = WriteBatch(raw_mode=True)
        self._ids: dict[int, int] = {}
        self.ids = 0
        """Ids that the batch adds."""

    def put_stored(self, stored: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Store (week, key, value) of rows and values of UNIQUE_COUNT; of two with one key the later one counts."""
        put, handles = self._puts.put, {}
        for week in {week for week, _, _ in stored}:
            handles[week] = self._weeks.need(week).handle
        for week, key, value in sorted(stored, key=_stored_key):
            put(key, value, handles[week])

    def put_entries(self, week: int, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Store keys and values of rows and values of UNIQUE_COUNT."""
        put, handle = self._puts.put, self._weeks.need(week).handle
        for key, value in sorted(entries, key=_key_of):
            put(key, value, handle)

    def delete(self, week: int, key: bytes) -> None:
        """Delete a store key of a week; nothing to do when the week is gone."""
        family = self._weeks.find(week)
        if family is not None:
            self._puts.delete(key, family.handle)

    def put_ids(self, week: int, chunk: bytes, ids: Iterable[tuple[bytes, bytes]]) -> None:
        """Ids of a chunk, named by its chunk key: (hash, position as stored)."""
        put, handle = self._puts.put, self._weeks.need(week).handle
        count = 0
        for count, (key, at) in enumerate(sorted(ids, key=_first_byte), 1):  # noqa: B007
            put(SEEN + key, at, handle)
        put(CHUNK_IDS + chunk, b"", handle)
        self._ids[week] = self._ids.get(week, 0) + count
        self.ids += count

    def forget_chunk(self, week: int, chunk: bytes) -> None:
        """The chunk's packed ids are out of the changelog; the ids themselves go with their week."""
        self.delete(week, CHUNK_IDS + chunk)

    def put_applied(self, key: bytes, value: bytes) -> None:
        """A meter version that counts, or counted, from somewhere to somewhere."""
        self._puts.put(APPLIED + key, value)

    def delete_applied(self, key: bytes) -> None:
        """A meter version that a batch named which did not count."""
        self._puts.delete(APPLIED + key)

    def put_left_out(self, key: bytes) -> None:
        """A changelog key whose newest record does not count: to be mended."""
        self._puts.put(LEFT_OUT + key, b"")

    def mended(self, key: bytes) -> None:
        """The changelog's newest record of this key counts again."""
        self._puts.delete(LEFT_OUT + key)

    def finish(self, stamp: state.Stamp) -> WriteBatch:
        """The whole, with where the state stands after it."""
        put = self._puts.put
        for week, count in self._ids.items():
            put(count_key(week), state.pack_u64(self._weeks.need(week).ids + count))
        put(STAMP, state.encode_struct(stamp))
        return self._puts

    def written(self) -> None:
        """It is on disk: count what it added."""
        for week, count in self._ids.items():
            self._weeks.counted(week, count)
