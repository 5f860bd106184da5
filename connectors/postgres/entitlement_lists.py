"""Lists of entitlements and grants: conditions, order, part and count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asyncpg import Record

from connectors.postgres.entitlement_rows import SELECT, SELECT_GRANTS
from connectors.postgres.pool import PooledConnection
from connectors.postgres.texts import storable
from domain.entitlements.finding import EntitlementFilter, Order, Slice

_ORDERS = {Order.ID: "id", Order.CREATED: "created_at", Order.UPDATED: "updated_at"}
_GRANT_ORDERS = {**_ORDERS, Order.EFFECTIVE: "effective_at"}
_ABOUT_ENTITLEMENTS = re.compile(r"\be\.")
_OF_SUBJECTS = (
    "e.customer_id IN (SELECT s.customer_id FROM customer_subjects s WHERE s.namespace = $1 AND s.deleted_at IS NULL"
    " AND s.subject_key = ANY({}::text[]))"
)


class Conditions:
    """SQL conditions on the live rows of one namespace ($1) of a table, with their arguments.

    Conditions about entitlements are on `e`: the table itself, or what its rows belong to.
    """

    def __init__(self, namespace: str, table: str = "e") -> None:
        self.arguments: list[Any] = [namespace]
        self.about_entitlements = False
        self._all = [f"{table}.namespace = $1", f"{table}.deleted_at IS NULL"]

    def add(self, condition: str, *arguments: Any) -> None:
        """`{}` stands for each argument in turn."""
        self.about_entitlements |= _ABOUT_ENTITLEMENTS.search(condition) is not None
        names = []
        for argument in arguments:
            self.arguments.append(argument)
            names.append(f"${len(self.arguments)}")
        self._all.append(condition.format(*names))

    def of_features(self, features: Sequence[str] | None) -> None:
        """Keys or ids."""
        if features is not None:
            keys = storables(features)
            ids = [key.upper() for key in keys]
            self.add(
                "(e.feature_key = ANY({}::text[]) OR e.feature_id = ANY({}::text[]))", keys, ids
            )

    def of_subjects(self, subjects: Sequence[str] | None) -> None:
        """Subject keys of the customer."""
        if subjects is not None:
            self.add(_OF_SUBJECTS, storables(subjects))

    def of_customers(self, ids: Sequence[str] | None) -> None:
        """Ids; keys are looked up before, because Postgres finds rows by "one or the other" only by reading all."""
        if ids is not None:
            self.add("e.customer_id = ANY({}::text[])", ids)

    def __str__(self) -> str:
        """For WHERE."""
        return " AND ".join(self._all)


def entitlement_conditions(
    namespace: str,
    wanted: EntitlementFilter,
    owner_id: str | None,
    customer_ids: Sequence[str] | None,
    now: datetime,
) -> Conditions:
    """What a list asks for; its owner and customers were looked up."""
    found = Conditions(namespace)
    if owner_id is not None:
        found.add("e.customer_id = {}", owner_id)
    found.of_features(wanted.features)
    found.of_subjects(wanted.subjects)
    found.of_customers(customer_ids)
    if wanted.kinds is not None:
        found.add("e.kind = ANY({}::text[])", [kind.value for kind in wanted.kinds])
    if wanted.only_active:
        found.add("e.active_from <= {} AND (e.active_to IS NULL OR e.active_to > {})", now, now)
    return found


async def entitlement_part(
    reading: PooledConnection, where: Conditions, part: Slice
) -> tuple[list[Record], int]:
    """Rows of `SELECT`, and how many there are in all."""
    total: int = await reading.fetchval(
        f"SELECT count(*) FROM entitlements e WHERE {where}", *where.arguments
    )
    if part.offset >= total:
        return [], total
    # First the part, then what belongs to its rows.
    order = _order("e", _ORDERS[part.order], part)
    chosen = f"SELECT e.id FROM entitlements e WHERE {where} {order} {_window(part)}"
    return await reading.fetch(
        f"{SELECT} WHERE e.namespace = $1 AND e.id IN ({chosen}) {order}", *where.arguments
    ), total


async def grant_part(
    reading: PooledConnection, where: Conditions, part: Slice
) -> tuple[list[Record], int]:
    """Rows of `SELECT_GRANTS`, and how many there are in all. A deleted entitlement's grants are deleted, too."""
    joined = ""
    if where.about_entitlements:
        # Said of the entitlements, too: their indexes are for live ones.
        joined = "JOIN entitlements e ON e.namespace = $1 AND e.id = g.entitlement_id AND e.deleted_at IS NULL"
    total: int = await reading.fetchval(
        f"SELECT count(*) FROM grants g {joined} WHERE {where}", *where.arguments
    )
    if part.offset >= total:
        return [], total
    order = _order("g", _GRANT_ORDERS[part.order], part)
    return await reading.fetch(
        f"{SELECT_GRANTS} {joined} WHERE {where} {order} {_window(part)}", *where.arguments
    ), total


def storables(texts: Sequence[str]) -> list[str]:
    """Those that something stored can have."""
    return [text for text in texts if storable(text)]


def _order(table: str, column: str, part: Slice) -> str:
    direction = "DESC" if part.descending else "ASC"
    return f"ORDER BY {table}.{column} {direction}, {table}.id {direction}"


def _window(part: Slice) -> str:
    return f"LIMIT {part.limit:d} OFFSET {part.offset:d}"
