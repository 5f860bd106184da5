"""What records of the catalog change in the catalog's database: one batch over entities and indexes.

The newest version of an entity stays, whatever order its versions come in; the indexes follow what it was and what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from rocksdict import WriteBatch

from schemas.catalog import (
    CatalogRecord,
    CustomerRecord,
    EntitlementRecord,
    Entity,
    FeatureRecord,
    decode_catalog_record,
)
from schemas.partitioner import murmur2
from tables import catalog_keys as keys
from tables.catalog_keys import Claim

Get = Callable[[list[bytes]], list[bytes | None]]


class Readable(NamedTuple):
    """A record, its entity, its value in the topic, and where the entity stands."""

    record: CatalogRecord
    entity: Entity
    value: bytes
    place: bytes


def readable(record: CatalogRecord, value: bytes) -> Readable:
    """ValueError for a record of a kind that this program does not know."""
    entity = record.entity
    return Readable(record, entity, value, keys.entity_key(record.kind, entity.id))


class CatalogBatch:
    """Puts and deletes for a list of records that come after what `get` finds."""

    def __init__(self, get: Get, partitions: int, records: Sequence[Readable]) -> None:
        self.puts = WriteBatch(raw_mode=True)
        self.changed: list[Readable] = []
        """The records that were newer than what was known, in order."""
        self.subjects: list[str] = []
        """Subjects that a changed customer names, or named."""
        self.former_owners: list[str] = []
        """Customers that an entitlement is no longer one of."""
        self._partitions = partitions
        self._claims: dict[str, list[tuple[Claim, bool]]] = {}
        places = list(dict.fromkeys([found.place for found in records]))
        stored = dict(zip(places, get(places), strict=True))
        for found in self._newest(records, stored):
            self._put(found, stored[found.place])
        self._put_claims(get)

    def _newest(
        self, records: Sequence[Readable], stored: Mapping[bytes, bytes | None]
    ) -> Iterable[Readable]:
        """The last of the records of each entity, if it is newer than the stored one."""
        last: dict[bytes, Readable] = {}
        for found in records:
            place = found.place
            if place in last:
                known = last[place].record.version
            else:
                raw = stored[place]
                known = 0 if raw is None else keys.split_versioned(raw)[0]
            if found.record.version > known:
                last[place] = found
                self.changed.append(found)
        return last.values()

    def _put(self, found: Readable, stored: bytes | None) -> None:
        entity, version = found.entity, found.record.version
        if type(entity) is EntitlementRecord:
            self._put_entitlement(entity, found, stored)
            return
        self.puts.put(found.place, keys.versioned(version, found.value))
        if type(entity) is CustomerRecord:
            self._put_customer(entity, version, stored)
        elif type(entity) is FeatureRecord:
            self._put_feature(entity, stored)

    def _put_entitlement(
        self, now: EntitlementRecord, found: Readable, stored: bytes | None
    ) -> None:
        owner, version = keys.text(now.customer_id), found.record.version
        self.puts.put(found.place, keys.versioned(version, owner))
        if stored is not None and (before := keys.split_versioned(stored)[1]) != owner:
            former = before.decode("utf-8", "surrogatepass")
            self.puts.delete(keys.entitlement_key(former, now.id))
            self.former_owners.append(former)
        self.puts.put(
            keys.entitlement_key(now.customer_id, now.id), keys.versioned(version, found.value)
        )

    def _put_customer(self, now: CustomerRecord, version: int, stored: bytes | None) -> None:
        if stored is not None:
            known_version, raw = keys.split_versioned(stored)
            before = decode_catalog_record(raw).customer
            assert before is not None
            self._claim(before, known_version, holds=False)
        home = keys.home_prefix(self._home(now.id)) + keys.text(now.id)
        if now.deleted_at is None:
            self._claim(now, version, holds=True)
            self.puts.put(home, b"")
        elif stored is not None:
            self.puts.delete(home)

    def _home(self, customer: str) -> int:
        """As `schemas.partitioner.partition_of`, which would remember every customer once."""
        return (murmur2(keys.text(customer)) & 0x7FFFFFFF) % self._partitions

    def _claim(self, customer: CustomerRecord, version: int, *, holds: bool) -> None:
        if customer.deleted_at is not None:
            return
        claims = self._claims
        if customer.key is not None:
            claims.setdefault(customer.key, []).append((Claim(0, customer.id, version), holds))
        for subject in customer.subject_keys:
            claims.setdefault(subject, []).append((Claim(1, customer.id, version), holds))

    def _put_claims(self, get: Get) -> None:
        self.subjects = list(self._claims)
        places = [keys.claim_key(subject) for subject in self.subjects]
        for place, changes, stored in zip(places, self._claims.values(), get(places), strict=True):
            claims = keys.decode_claims(stored)
            for claim, holds in changes:
                claims = [c for c in claims if c[:2] != claim[:2]] if claims else []
                if holds:
                    claims.append(claim)
            if claims:
                self.puts.put(place, keys.encode_claims(claims))
            elif stored is not None:
                self.puts.delete(place)

    def _put_feature(self, now: FeatureRecord, stored: bytes | None) -> None:
        before = None
        if stored is not None:
            known = decode_catalog_record(keys.split_versioned(stored)[1]).feature
            before = None if known is None else known.meter_id
        if before is not None and before != now.meter_id:
            self.puts.delete(keys.prefix(keys.OF_METER, before) + keys.text(now.id))
        if now.meter_id is not None and before != now.meter_id:
            self.puts.put(keys.prefix(keys.OF_METER, now.meter_id) + keys.text(now.id), b"")
