"""Subjects in Postgres: the port `Subjects` of api/ports.py. Workers need none of it, so no change goes to the outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime

from asyncpg import Record

from connectors.postgres.changes import catalog_change
from connectors.postgres.pool import Pool, PooledConnection, connection
from connectors.postgres.texts import from_json, json_text, storable
from domain.customers.customer import Customer
from domain.customers.subject import Subject, SubjectUpsert, changed, new_subject, provisioned
from domain.errors import Conflict, NotFound, Refused
from domain.metering.ulid import is_ulid

_COLUMNS = tuple(field.name for field in fields(Subject))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM subjects"
_INSERT = (
    f"INSERT INTO subjects ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join(f'${n}' for n in range(1, len(_COLUMNS) + 1))})"
)
_UPDATE = (
    f"UPDATE subjects SET {', '.join(f'{name} = ${n}' for n, name in enumerate(_COLUMNS, 1))}"
    f" WHERE namespace = ${_COLUMNS.index('namespace') + 1} AND id = ${_COLUMNS.index('id') + 1}"
)


class PostgresSubjects:
    """The subjects of one namespace. Every call raises Unavailable when Postgres is down."""

    def __init__(
        self, pool: Pool, namespace: str, now: Callable[[], datetime], new_id: Callable[[], str]
    ) -> None:
        self._pool = pool
        self._namespace = namespace
        self._now = now
        self._new_id = new_id

    async def upsert(self, upserts: Sequence[SubjectUpsert]) -> Sequence[Subject]:
        """Make or change each, all or none. Refused; Conflict when a new key is given twice."""
        async with catalog_change(self._pool, self._namespace) as change:
            at = self._now()
            found = await _live(change, self._namespace, [each.key for each in upserts])
            made: set[str] = set()
            answers = []
            for each in upserts:
                if each.key in made:
                    raise Conflict(f"subject {each.key[:80]!r} is new and given twice")
                known = found.get(each.key)
                if known is None:
                    after = new_subject(each, id=self._new_id(), namespace=self._namespace, at=at)
                    made.add(each.key)
                else:
                    after = changed(known, each, at=at)
                await change.execute(_INSERT if known is None else _UPDATE, *_values(after))
                found[each.key] = after
                answers.append(after)
        return answers

    async def find(self, id_or_key: str) -> Subject:
        """By id (deleted ones too) or by the key of a live one; NotFound."""
        async with connection(self._pool) as reading:
            return await find_subject(reading, self._namespace, id_or_key)

    async def delete(self, id_or_key: str) -> None:
        """Soft; its customer keeps the key. Deleting a deleted one by id changes nothing. NotFound."""
        async with catalog_change(self._pool, self._namespace) as change:
            found = await find_subject(change, self._namespace, id_or_key)
            if found.deleted_at is None:
                at = self._now()
                await change.execute(
                    _UPDATE, *_values(replace(found, updated_at=at, deleted_at=at))
                )

    async def pages(self, page_size: int) -> AsyncIterator[Sequence[Subject]]:
        """All live subjects by id, a page at a time."""
        after = ""
        while True:
            async with connection(self._pool) as reading:
                rows = await reading.fetch(
                    f"{_SELECT} WHERE namespace = $1 AND id > $2 AND deleted_at IS NULL ORDER BY id LIMIT $3",
                    self._namespace,
                    after,
                    page_size,
                )
            yield [_subject(row) for row in rows]
            if len(rows) < page_size:
                return
            after = rows[-1]["id"]

    async def display_names(self, keys: Sequence[str]) -> Mapping[str, str | None]:
        """The display names by key of those live subjects that there are."""
        async with connection(self._pool) as reading:
            found = await _live(reading, self._namespace, keys)
        return {key: subject.display_name for key, subject in found.items()}


async def find_subject(reading: PooledConnection, namespace: str, id_or_key: str) -> Subject:
    """By id (deleted ones too) or by the key of a live one; a text that is both is taken as an id first. NotFound."""
    row = None
    if is_ulid(id_or_key):
        row = await reading.fetchrow(
            f"{_SELECT} WHERE namespace = $1 AND id = $2", namespace, id_or_key.upper()
        )
    if row is None and storable(id_or_key):
        row = await reading.fetchrow(
            f"{_SELECT} WHERE namespace = $1 AND key = $2 AND deleted_at IS NULL",
            namespace,
            id_or_key,
        )
    if row is None:
        raise NotFound(f"no subject has the id or key {id_or_key[:80]!r}")
    return _subject(row)


async def refuse_subject_ids(
    reading: PooledConnection, namespace: str, keys: Sequence[str]
) -> None:
    """Refuse keys that are the ids of subjects: the key was meant."""
    ids = {key.upper(): key for key in keys if is_ulid(key)}
    found = await reading.fetchval(
        "SELECT id FROM subjects s WHERE namespace = $1 AND id = ANY($2::text[]) AND deleted_at IS NULL LIMIT 1",
        namespace,
        list(ids),
    )
    if found is not None:
        raise Refused(
            "subject_key_is_id",
            f"{ids[found]} is the id of a subject: give its key",
            "$.usageAttribution.subjectKeys",
        )


async def provision(
    change: PooledConnection, customer: Customer, new_id: Callable[[], str]
) -> None:
    """Make every subject that the customer names and that is not managed yet."""
    known = await _live(change, customer.namespace, customer.subject_keys)
    missing = [
        provisioned(
            key, customer.id, id=new_id(), namespace=customer.namespace, at=customer.updated_at
        )
        for key in customer.subject_keys
        if key not in known
    ]
    await change.executemany(_INSERT, [_values(subject) for subject in missing])


async def _live(
    reading: PooledConnection, namespace: str, keys: Sequence[str]
) -> dict[str, Subject]:
    rows = await reading.fetch(
        f"{_SELECT} WHERE namespace = $1 AND key = ANY($2::text[]) AND deleted_at IS NULL",
        namespace,
        [key for key in keys if storable(key)],
    )
    return {row["key"]: _subject(row) for row in rows}


def _values(subject: Subject) -> list[object]:
    return [
        json_text(subject.metadata) if name == "metadata" else getattr(subject, name)
        for name in _COLUMNS
    ]


def _subject(row: Record) -> Subject:
    values = {name: row[name] for name in _COLUMNS}
    values["metadata"] = from_json(row["metadata"])
    return Subject(**values)
