"""An in-memory stand-in for the port `Entitlements`; tests/contract holds it to what Postgres does."""

from dataclasses import replace

from connectors.postgres.customer_rows import customer_record
from domain.entitlements.finding import ByCustomer, ById, Order
from domain.entitlements.managed import Holder
from domain.entitlements.managing import Opening
from domain.errors import NotFound, PreconditionFailed
from domain.metering.ulid import is_ulid
from schemas.catalog import catalog_record
from schemas.entitlement_records import entitlement_record, refuse_too_large

_ORDERS = {
    Order.ID: lambda one: one.id,
    Order.CREATED: lambda one: (one.created_at, one.id),
    Order.UPDATED: lambda one: (one.updated_at, one.id),
}
_GRANT_ORDERS = {
    Order.ID: lambda one: one.grant.id,
    Order.CREATED: lambda one: (one.grant.created_at, one.grant.id),
    Order.UPDATED: lambda one: (one.updated_at, one.grant.id),
    Order.EFFECTIVE: lambda one: (one.grant.effective_at, one.grant.id),
}


class MemoryEntitlements:
    """Aggregates in a dict, beside the fakes of their owners; `outbox` is what the workers would be told."""

    def __init__(self, namespace, now, customers, subjects, features):
        self._namespace, self._now = namespace, now
        self._customers, self._subjects, self._features = customers, subjects, features
        self._aggregates = {}
        self.outbox = []

    @property
    def catalog_version(self):
        return len(self.outbox)

    async def of_customer(self, customer_id_or_key):
        return await self._of_owner(ByCustomer(customer_id_or_key))

    async def of_subject(self, subject_id_or_key):
        customer = await self._owner_of_subject(subject_id_or_key)
        return await self._of_owner(ByCustomer(customer.id))

    async def record(self, entitlement_id):
        return entitlement_record(self._by_id(entitlement_id))

    async def create(self, owner, feature, make):
        customer = await self._owner(owner)
        made = make(await self._opening(customer, feature))
        refuse_too_large(entitlement_record(made))
        self._store(made)
        return made.entitlement, _holder(customer)

    async def override(self, place, feature, make):
        customer = await self._owner(place.owner)
        before = await self._find(place)
        if before.entitlement.customer_id != customer.id:
            raise NotFound("another customer's")
        ended, made = make(before, await self._opening(customer, feature))
        refuse_too_large(entitlement_record(made))
        self._store(ended)
        self._store(made)
        return made.entitlement, _holder(customer)

    async def change(self, place, change):
        return self._changed(await self._find(place), change)

    async def change_grant(self, grant_id, change):
        for one in self._live():
            if any(grant.grant.id == grant_id.upper() for grant in one.grants):
                self._changed(one, change)
                return
        raise NotFound(f"no grant has the id {grant_id[:80]!r}")

    async def find(self, place):
        return await self._shown(await self._find(place))

    async def list_entitlements(self, wanted, part):
        owner = None if wanted.owner is None else await self._owner(wanted.owner)
        now = self._now()
        found = []
        for one in (each.entitlement for each in self._live()):
            if (
                (owner is None or one.customer_id == owner.id)
                and _of_features(one, wanted.features)
                and await self._of_subjects(one, wanted.subjects)
                and await self._of_customers(one, wanted.customer_ids, wanted.customer_keys)
                and (wanted.kinds is None or one.kind in wanted.kinds)
                and (not wanted.only_active or one.active.contains(now))
            ):
                found.append(one)
        found.sort(key=_ORDERS[part.order], reverse=part.descending)
        shown = found[part.offset : part.offset + part.limit]
        return [await self._shown(self._aggregates[one.id]) for one in shown], len(found)

    async def list_grants(self, wanted, part):
        place = None if wanted.place is None else await self._find(wanted.place)
        ids = await self._live_customers(wanted.customers)
        found = []
        for one in self._live():
            entitlement = one.entitlement
            if (
                (place is None or entitlement.id == place.entitlement.id)
                and _of_features(entitlement, wanted.features)
                and await self._of_subjects(entitlement, wanted.subjects)
                and (ids is None or entitlement.customer_id in ids)
            ):
                found += one.grants
        found.sort(key=_GRANT_ORDERS[part.order], reverse=part.descending)
        return found[part.offset : part.offset + part.limit], len(found)

    # -- looking

    def _live(self):
        return [one for one in self._aggregates.values() if one.entitlement.deleted_at is None]

    def _by_id(self, id):
        found = self._aggregates.get(id.upper())
        if found is None or found.entitlement.deleted_at is not None:
            raise NotFound(f"no entitlement has the id {id[:80]!r}")
        return found

    async def _find(self, place):
        if isinstance(place, ById):
            return self._by_id(place.id)
        customer = await self._owner(place.owner)
        if is_ulid(place.id_or_feature_key):
            return self._by_id(place.id_or_feature_key)
        now = self._now()
        for one in self._live():
            its = one.entitlement
            if (its.customer_id, its.feature_key) == (customer.id, place.id_or_feature_key) and (
                its.active.contains(now)
            ):
                return one
        raise NotFound("no active entitlement for the key")

    async def _owner(self, owner):
        if not isinstance(owner, ByCustomer):
            return await self._owner_of_subject(owner.id_or_key)
        customer = await self._customers.find(owner.id_or_key)
        customer.refuse_deleted()
        return customer

    async def _owner_of_subject(self, id_or_key):
        subject = await self._subjects.find(id_or_key)
        if subject.deleted_at is not None:
            raise PreconditionFailed(f"subject is deleted: {subject.id}")
        owners = await self._customers.of_subjects([subject.key])
        if subject.key not in owners:
            raise NotFound(f"subject {subject.key[:80]!r} belongs to no customer")
        return await self._customers.find(owners[subject.key])

    async def _of_owner(self, owner):
        customer = await self._owner(owner)
        found = [one for one in self._live() if one.entitlement.customer_id == customer.id]
        found.sort(key=lambda one: _ORDERS[Order.CREATED](one.entitlement), reverse=True)
        found.sort(key=lambda one: one.entitlement.active_to is not None)
        return customer_record(customer), [entitlement_record(one) for one in found]

    async def _opening(self, customer, feature):
        found = await self._features.find(feature.id or feature.key)
        others = [one.entitlement for one in self._live()]
        now = self._now()
        return Opening(
            namespace=self._namespace,
            customer_id=customer.id,
            feature_id=found.id,
            feature_key=found.key,
            has_meter=found.meter_id is not None,
            others=[
                one
                for one in others
                if (one.customer_id, one.feature_key) == (customer.id, found.key)
                and (one.active_to is None or one.active_to > now)
            ],
            now=now,
        )

    async def _of_subjects(self, one, subjects):
        if subjects is None:
            return True
        customer = await self._customers.find(one.customer_id)
        return any(key in subjects for key in customer.subject_keys)

    async def _of_customers(self, one, ids, keys):
        if ids is None and keys is None:
            return True
        customer = await self._customers.find(one.customer_id)
        named = customer.key in (keys or ()) and customer.deleted_at is None
        return named or customer.id in [id.upper() for id in ids or ()]

    async def _live_customers(self, names):
        if names is None:
            return None
        found = [await self._customers.find(name) for name in names]
        return {one.id for one in found if one.deleted_at is None}

    async def _shown(self, aggregate):
        customer = await self._customers.find(aggregate.entitlement.customer_id)
        return aggregate.entitlement, _holder(customer)

    # -- changing

    def _changed(self, before, change):
        after = change(before, self._now())
        if len(after.grants) > len(before.grants) or len(after.resets) > len(before.resets):
            refuse_too_large(entitlement_record(after))
        self._store(after)
        return after

    def _store(self, aggregate):
        self._aggregates[aggregate.entitlement.id] = replace(aggregate)
        self.outbox.append(catalog_record(entitlement_record(aggregate), len(self.outbox) + 1))
        self._mark()

    def _mark(self):
        """Who has entitlements that are active now, for the fakes of customers and features."""
        now = self._now()
        active = [
            one.entitlement
            for one in self._live()
            if one.entitlement.active_to is None or one.entitlement.active_to > now
        ]
        self._customers.entitled = {one.customer_id for one in active}
        self._features.entitled = {one.feature_id for one in active}


def _holder(customer):
    return Holder(
        customer_id=customer.id,
        customer_key=customer.key,
        subject_key=customer.subject_keys[0] if customer.subject_keys else "",
    )


def _of_features(one, features):
    if features is None:
        return True
    return one.feature_key in features or one.feature_id in [name.upper() for name in features]
