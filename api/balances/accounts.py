"""Entitlements with everything that their values depend on besides usage, as they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.balances.ports import BalanceRecords
from domain.customers.customer import Customer
from domain.entitlements.features import group_filters
from domain.errors import Unavailable
from domain.metering.filters import TextFilter
from domain.metering.meter import Meter
from domain.metering.ulid import is_ulid
from schemas.balances import Question
from schemas.catalog import EntitlementRecord, FeatureRecord
from schemas.entitlement_plans import active_of

METERED = "metered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One entitlement. `meter` and `subjects` are there for a metered one."""

    record: EntitlementRecord
    feature: FeatureRecord
    meter: Meter | None = None
    subjects: tuple[str, ...] = ()

    @property
    def filters(self) -> tuple[tuple[str, TextFilter], ...]:
        """Which usage of the meter is the feature's."""
        return group_filters(self.feature.filters)


@dataclass(frozen=True, slots=True)
class Found:
    """What a question is about. `customer` None: there is none of that name."""

    customer: Customer | None
    accounts: tuple[Account, ...] = ()


class Accounts:
    """Finds what questions are about."""

    def __init__(self, records: BalanceRecords) -> None:
        self._records = records

    async def find(self, questions: Sequence[Question], at: datetime) -> list[Found]:
        """Of each question its customer and accounts. A feature key finds the entitlement that is active at `at`, an id any
        that is not deleted, whoever has it. Unavailable.
        """
        customers = await self._customers(questions)
        wanted = {c.id for c in customers.values() if c.deleted_at is None}
        theirs: dict[str, list[EntitlementRecord]] = {id_: [] for id_ in wanted}
        for record in await self._records.entitlements(sorted(wanted)) if wanted else ():
            theirs[record.customer_id].append(record)
        by_id = await self._by_id(questions, theirs)
        chosen = [
            _chosen(question, theirs.get(customer.id, ()), by_id, at)
            if (customer := customers.get(_name(question))) is not None
            else ()
            for question in questions
        ]
        known = {customer.id: customer for customer in customers.values()}
        accounts = await self._accounts([r for records in chosen for r in records], known)
        return [
            Found(customers.get(_name(question)), tuple(accounts[record.id] for record in records))
            for question, records in zip(questions, chosen, strict=True)
        ]

    async def by_id(self, id_: str) -> Account | None:
        """An entitlement that is not deleted, whoever has it. Unavailable."""
        if not is_ulid(id_):
            return None
        record = (await self._records.entitlements_by_id([id_.upper()])).get(id_.upper())
        if record is None or record.deleted_at is not None:
            return None
        return (await self._accounts([record], {}))[record.id]

    async def _customers(self, questions: Sequence[Question]) -> dict[tuple[str, bool], Customer]:
        found: dict[tuple[str, bool], Customer] = {}
        for by_subject in (False, True):
            names = sorted({q.customer for q in questions if q.by_subject is by_subject})
            if names:
                these = await self._records.customers(names, by_subject=by_subject)
                found |= {(name, by_subject): customer for name, customer in these.items()}
        return found

    async def _by_id(
        self, questions: Sequence[Question], theirs: Mapping[str, Sequence[EntitlementRecord]]
    ) -> dict[str, EntitlementRecord]:
        """Entitlements asked for by id; those of other customers are looked for, too."""
        found = {record.id: record for records in theirs.values() for record in records}
        asked = {
            feature.upper() for q in questions for feature in q.features or () if is_ulid(feature)
        }
        if missing := sorted(asked - found.keys()):
            found |= await self._records.entitlements_by_id(missing)
        return found

    async def _accounts(
        self, records: Sequence[EntitlementRecord], known: Mapping[str, Customer]
    ) -> dict[str, Account]:
        if not records:
            return {}
        features = await self._records.features(sorted({r.feature_id for r in records}))
        meter_ids = {f.meter_id for f in features.values() if f.meter_id is not None}
        meters = await self._records.meters_by_id(sorted(meter_ids)) if meter_ids else {}
        subjects = await self._subjects(records, known)
        return {r.id: _account(r, features, meters, subjects) for r in records}

    async def _subjects(
        self, records: Iterable[EntitlementRecord], known: Mapping[str, Customer]
    ) -> Mapping[str, Sequence[str]]:
        owners = {r.customer_id for r in records if r.type == METERED}
        if not owners:
            return {}
        customers = [known[id_] for id_ in sorted(owners & known.keys())]
        if missing := sorted(owners - known.keys()):
            customers += (await self._records.customers(missing)).values()
        return await self._records.subjects_of(customers)


def _name(question: Question) -> tuple[str, bool]:
    return question.customer, question.by_subject


def _chosen(
    question: Question,
    theirs: Sequence[EntitlementRecord],
    by_id: Mapping[str, EntitlementRecord],
    at: datetime,
) -> tuple[EntitlementRecord, ...]:
    active = {r.feature_key: r for r in theirs if active_of(r).contains(at)}
    if question.features is None:
        return tuple(active[key] for key in sorted(active))
    found = {}
    for feature in question.features:
        record = by_id.get(feature.upper()) if is_ulid(feature) else None
        if record is None or record.deleted_at is not None:
            record = active.get(feature)
        if record is not None:
            found[record.id] = record
    return tuple(found.values())


def _account(
    record: EntitlementRecord,
    features: Mapping[str, FeatureRecord],
    meters: Mapping[str, Meter],
    subjects: Mapping[str, Sequence[str]],
) -> Account:
    feature = features.get(record.feature_id)
    if feature is None:
        raise Unavailable(f"the feature of entitlement {record.id} cannot be read")
    if record.type != METERED:
        return Account(record=record, feature=feature)
    meter = meters.get(feature.meter_id or "")
    if meter is None:
        raise Unavailable(f"the meter of feature {feature.id} cannot be read")
    theirs = tuple(subjects.get(record.customer_id, ()))
    return Account(record=record, feature=feature, meter=meter, subjects=theirs)
