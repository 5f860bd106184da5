"""The whole catalog of a namespace in a RocksDB of one worker, by `tables/catalog.py: CatalogView`.

Applied in the topic's order, each record once: a list of records, the indexes that they change and the topic's offset after
them are one WriteBatch. A start reads the tail only and decodes nothing of the rest. What the topic no longer holds (made
anew) or what is damaged is deleted and read whole again: the topic has everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec
from rocksdict import AccessType, Rdict

from domain.errors import Refused
from schemas.catalog import (
    CatalogRecord,
    CustomerRecord,
    EntitlementRecord,
    Entity,
    FeatureRecord,
    MeterRecord,
    decode_catalog_record,
    meter_of,
)
from tables import catalog_keys as keys
from tables.catalog import Moved
from tables.catalog_batch import CatalogBatch, Readable, readable
from tables.damage import errors_translated, refuse_condemned
from tables.errors import StateCorrupt
from tables.options import SharedMemory
from tables.store import destroy

log = logging.getLogger(__name__)

_LEFT_OUT_MAX = 10_000
_PAGE = 1_000


class Fetched(Protocol):
    """A record of the catalog topic; a value of None says nothing."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102


class CatalogStore:
    """The catalog, to be opened once. `remembered_max` bounds what is kept decoded: entities, customers, subjects each."""

    def __init__(
        self,
        path: Path,
        memory: SharedMemory,
        *,
        partitions: int,
        on_left_out: Callable[[], None] = lambda: None,
        remembered_max: int = 20_000,
    ) -> None:
        self._path = path
        self._memory = memory
        self._partitions = partitions
        self._on_left_out = on_left_out
        self._max = remembered_max
        self._db: Any = None
        self._stamp = keys.Stamp(topic_id="", partitions=partitions)
        self._entities: dict[bytes, CatalogRecord | None] = {}
        self._entitlements: dict[str, dict[str, EntitlementRecord]] = {}
        self._subjects: dict[str, str | None] = {}
        self._on_change: list[Callable[[CatalogRecord], None]] = []
        self._on_moved: list[Callable[[Sequence[Moved]], None]] = []
        self.has_customers = False
        """Whether any subject may have a customer."""

    # -- opening and closing

    def open(self, topic_id: str, end: int) -> int:
        """Open the database of the topic with this id, which ends at offset `end`; returns the offset to read on from."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(topic_id, end)
        except StateCorrupt as problem:
            log.warning("catalog deleted, to be read whole again: %s", problem)
            self.close()
            destroy(self._path)
            self._open(topic_id, end)
        self.has_customers = next(self._scan(keys.CLAIM), None) is not None
        self._try_left_out_again()
        return self._stamp.next

    def _open(self, topic_id: str, end: int) -> None:
        refuse_condemned(self._path)
        with self._rocksdb():
            self._db = Rdict(
                str(self._path),
                self._memory.options(long_values=True),
                column_families={},  # without it the settings are those on disk, and the cache is not ours
                access_type=AccessType.read_write(),
            )
            raw = self._db.get(keys.STAMP)
        if raw is None:
            self._stamp = keys.Stamp(topic_id=topic_id, partitions=self._partitions)
            return
        try:
            self._stamp = keys.decode_stamp(raw)
        except msgspec.MsgspecError as error:
            raise StateCorrupt(f"{self._path}: the stamp is no stamp: {error}") from error
        wanted = keys.Stamp(topic_id=topic_id, partitions=self._partitions)
        found = self._stamp
        if (found.format, found.topic_id, found.partitions) != (
            wanted.format,
            wanted.topic_id,
            wanted.partitions,
        ) or found.next > end:
            raise StateCorrupt(
                f"{self._path}: {found} does not belong to the topic as it is: {wanted}, end {end}"
            )

    def close(self) -> None:
        """Let go of the database. Closing twice is harmless."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _rocksdb(self) -> AbstractContextManager[None]:
        return errors_translated(self._path)

    # -- writing

    @property
    def next(self) -> int:
        """The offset of the first record that is not in it."""
        return self._stamp.next

    def take(self, fetched: Sequence[Fetched], next_offset: int) -> None:
        """Apply records of the topic, all that it holds from `next` on and before `next_offset`; on disk or not at all."""
        records: list[Readable] = []
        left_out: list[tuple[bytes, bytes]] = []
        for record in fetched:
            if record.value is None:
                continue
            found = self._read(record.value, record.offset)
            if found is not None:
                records.append(found)
            elif self._stamp.left_out + len(left_out) < _LEFT_OUT_MAX:
                left_out.append((keys.left_out_key(record.offset), record.value))
        self._apply(records, left_out, [], next_offset)

    def _read(self, value: bytes, offset: int) -> Readable | None:
        """The record; None for one that this program cannot use, which must not stop all counting."""
        try:
            found = readable(decode_catalog_record(value), value)
            if type(found.entity) is MeterRecord:
                meter_of(found.entity)
        except (ValueError, RecursionError, Refused) as error:  # msgspec's are ValueErrors
            self._on_left_out()
            log.error("catalog record left out: %s", error, extra={"offset": offset})
            return None
        return found

    def _try_left_out_again(self) -> None:
        """Records that another version of the program left out: an older version of an entity changes nothing."""
        records: list[Readable] = []
        done: list[bytes] = []
        for place, value in self._scan(keys.LEFT_OUT):
            if (found := self._read(value, int.from_bytes(place[1:], "big"))) is not None:
                records.append(found)
                done.append(place)
        if done:
            self._apply(records, [], done, self._stamp.next)

    def _apply(
        self,
        records: Sequence[Readable],
        left_out: Sequence[tuple[bytes, bytes]],
        done: Sequence[bytes],
        next_offset: int,
    ) -> None:
        with self._rocksdb():
            batch = CatalogBatch(self._db.get, self._partitions, records)
        for place, value in left_out:
            batch.puts.put(place, value)
        for place in done:
            batch.puts.delete(place)
        stamp = msgspec.structs.replace(
            self._stamp,
            next=next_offset,
            version=max([self._stamp.version, *[found.record.version for found in records]]),
            left_out=self._stamp.left_out + len(left_out) - len(done),
        )
        batch.puts.put(keys.STAMP, keys.encode_stamp(stamp))
        before = self.customers_of(batch.subjects) if self._on_moved else []
        with self._rocksdb():
            self._db.write(batch.puts)
        self._stamp = stamp
        self._forget(batch)
        self._tell(batch, before)

    def _forget(self, batch: CatalogBatch) -> None:
        for found in batch.changed:
            self._entities.pop(found.place, None)
            if type(found.entity) is EntitlementRecord:
                self._entitlements.pop(found.entity.customer_id, None)
        for customer in batch.former_owners:
            self._entitlements.pop(customer, None)
        for subject in batch.subjects:
            self._subjects.pop(subject, None)
        self.has_customers = self.has_customers or bool(batch.subjects)

    def _tell(self, batch: CatalogBatch, before: Sequence[str | None]) -> None:
        if self._on_moved and batch.subjects:
            after = self.customers_of(batch.subjects)
            moved = [
                Moved(subject, old, new)
                for subject, old, new in zip(batch.subjects, before, after, strict=True)
                if old != new
            ]
            for told in self._on_moved if moved else ():
                told(moved)
        for call in self._on_change:
            for found in batch.changed:
                call(found.record)

    # -- reading

    @property
    def version(self) -> int:
        """The newest version applied."""
        return self._stamp.version

    def on_change(self, call: Callable[[CatalogRecord], None]) -> None:
        """Call for each record that changed something, after it can be read here."""
        self._on_change.append(call)

    def on_moved(self, call: Callable[[Sequence[Moved]], None]) -> None:
        """Call with the subjects whose customer is another one now, before the calls of `on_change`."""
        self._on_moved.append(call)

    def version_of(self, kind: str, id: str) -> int:
        """The version of an entity's newest record, 0 when there is none."""
        raw = self._get(keys.entity_key(kind, id))
        return 0 if raw is None else keys.split_versioned(raw)[0]

    def customer(self, id_or_key: str) -> CustomerRecord | None:
        """The customer of this id, deleted or not, else the live one of this key."""
        found = self._entity("customer", id_or_key)
        if found is None:
            claims = keys.decode_claims(self._get(keys.claim_key(id_or_key)))
            owner = keys.winner(claim for claim in claims if claim.rank == 0)
            found = None if owner is None else self._entity("customer", owner)
        assert found is None or isinstance(found, CustomerRecord)
        return found

    def customer_of(self, subject: str) -> str | None:
        """The id of the live customer whose usage the events of `subject` are."""
        return self.customers_of((subject,))[0]

    def customers_of(self, subjects: Sequence[str]) -> list[str | None]:
        """`customer_of` each, read together."""
        known = self._subjects
        missing = [subject for subject in dict.fromkeys(subjects) if subject not in known]
        if not missing:
            return [known[subject] for subject in subjects]
        with self._rocksdb():
            stored = self._db.get([keys.claim_key(subject) for subject in missing])
        owners = {
            subject: None if raw is None else keys.winner(keys.decode_claims(raw))
            for subject, raw in zip(missing, stored, strict=True)
        }
        answer = [owners[s] if s in owners else known[s] for s in subjects]
        if len(known) + len(owners) > self._max:
            known.clear()
        known.update(islice(owners.items(), self._max))
        return answer

    def entitlements_of(self, customer_id: str) -> Sequence[EntitlementRecord]:
        """All entitlements of a customer, deleted ones too, by id."""
        return list(self._of_customer(customer_id).values())

    def entitlement(self, id: str) -> EntitlementRecord | None:
        """The entitlement of this id."""
        raw = self._get(keys.entity_key("entitlement", id))
        if raw is None:
            return None
        owner = keys.split_versioned(raw)[1].decode("utf-8", "surrogatepass")
        return self._of_customer(owner)[id]

    def feature(self, id: str) -> FeatureRecord | None:
        """The feature of this id, archived or not."""
        found = self._entity("feature", id)
        assert found is None or isinstance(found, FeatureRecord)
        return found

    def features_of(self, meter_id: str) -> Sequence[FeatureRecord]:
        """All features of a meter, archived ones too, by id."""
        start = keys.prefix(keys.OF_METER, meter_id)
        ids = [place[len(start) :].decode() for place, _ in self._scan(start)]
        return [feature for id in ids if (feature := self.feature(id)) is not None]

    def meter(self, id: str) -> MeterRecord | None:
        """The meter of this id."""
        found = self._entity("meter", id)
        assert found is None or isinstance(found, MeterRecord)
        return found

    def meters(self) -> Iterator[CatalogRecord]:
        """The newest record of every meter, deleted ones too."""
        for _, value in self._scan(keys.entity_key("meter", "")):
            yield decode_catalog_record(keys.split_versioned(value)[1])

    def clock(self) -> CatalogRecord | None:
        """The newest record of the clock that tests set."""
        return self._record("clock", "clock")

    def customers_in(self, partition: int) -> Iterator[str]:
        """The live customers whose usage goes to this partition of the usage topic; records may be applied meanwhile."""
        start = keys.home_prefix(partition)
        place = start
        while page := [found for found, _ in self._scan(start, place, _PAGE)]:
            yield from (found[len(start) :].decode() for found in page)
            place = page[-1] + b"\0"

    # -- looking up

    def _get(self, key: bytes) -> bytes | None:
        with self._rocksdb():
            found: bytes | None = self._db.get(key)
        return found

    def _scan(
        self, start: bytes, place: bytes | None = None, limit: int = 1 << 62
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with `start`, from `place` on, with their values, as they are now."""
        with self._rocksdb():
            entries = self._db.iter()
            entries.seek(place or start)
            while limit and entries.valid():
                key: bytes = entries.key()
                if not key.startswith(start):
                    return
                yield key, entries.value()
                entries.next()
                limit -= 1
            entries.status()

    def _record(self, kind: str, id: str) -> CatalogRecord | None:
        place = keys.entity_key(kind, id)
        try:
            return self._entities[place]
        except KeyError:
            pass
        raw = self._get(place)
        found = None if raw is None else decode_catalog_record(keys.split_versioned(raw)[1])
        if len(self._entities) >= self._max:
            self._entities.clear()
        self._entities[place] = found
        return found

    def _entity(self, kind: str, id: str) -> Entity | None:
        record = self._record(kind, id)
        return None if record is None else record.entity

    def _of_customer(self, customer_id: str) -> dict[str, EntitlementRecord]:
        found = self._entitlements.get(customer_id)
        if found is None:
            start = keys.prefix(keys.OF_CUSTOMER, customer_id)
            found = {}
            for _, value in self._scan(start):
                entity = decode_catalog_record(keys.split_versioned(value)[1]).entity
                assert isinstance(entity, EntitlementRecord)
                found[entity.id] = entity
            if len(self._entitlements) >= self._max:
                self._entitlements.clear()
            self._entitlements[customer_id] = found
        return found
