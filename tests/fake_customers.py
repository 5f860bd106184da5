"""In-memory stand-ins for customers, subjects and features; tests/contract holds them to what Postgres does."""

from dataclasses import replace

from connectors.postgres.customer_rows import customer_record
from connectors.postgres.feature_rows import feature_record
from domain.customers.customer import deleted
from domain.customers.listing import CustomerPage
from domain.customers.subject import changed, new_subject, provisioned
from domain.errors import Conflict, NotFound, Refused
from domain.features.listing import FeaturePage
from domain.metering.ulid import is_ulid
from schemas.catalog import catalog_record


class MemorySubjects:
    """The port `Subjects` in a dict."""

    def __init__(self, namespace, now, new_id):
        self._namespace, self._now, self.new_id = namespace, now, new_id
        self._subjects = {}

    async def upsert(self, upserts):
        at = self._now()
        before, made, answers = dict(self._subjects), set(), []
        try:
            for each in upserts:
                if each.key in made:
                    raise Conflict(f"subject {each.key[:80]!r} is new and given twice")
                known = self.live(each.key)
                if known is None:
                    made.add(each.key)
                    after = new_subject(each, id=self.new_id(), namespace=self._namespace, at=at)
                else:
                    after = changed(known, each, at=at)
                self._subjects[after.id] = after
                answers.append(after)
        except Exception:
            self._subjects = before
            raise
        return answers

    async def find(self, id_or_key):
        found = self._subjects.get(id_or_key.upper()) if is_ulid(id_or_key) else None
        found = found or self.live(id_or_key)
        if found is None:
            raise NotFound(f"no subject has the id or key {id_or_key[:80]!r}")
        return found

    async def delete(self, id_or_key):
        found = await self.find(id_or_key)
        if found.deleted_at is None:
            at = self._now()
            self._subjects[found.id] = replace(found, updated_at=at, deleted_at=at)

    async def pages(self, page_size):
        found = [one for _, one in sorted(self._subjects.items()) if one.deleted_at is None]
        for first in range(0, len(found) + 1, page_size):
            yield found[first : first + page_size]

    async def display_names(self, keys):
        found = {key: self.live(key) for key in keys}
        return {key: one.display_name for key, one in found.items() if one is not None}

    def live(self, key):
        found = (one for one in self._subjects.values() if one.key == key)
        return next((one for one in found if one.deleted_at is None), None)

    def refuse_ids(self, keys):
        for key in keys:
            one = self._subjects.get(key.upper())
            if one is not None and one.deleted_at is None:
                raise Refused("subject_key_is_id", f"{key} is the id of a subject: give its key")

    def provision(self, customer):
        for key in customer.subject_keys:
            if self.live(key) is None:
                made = provisioned(
                    key, customer.id, id=self.new_id(), namespace=self._namespace, at=customer.updated_at
                )  # fmt: skip
                self._subjects[made.id] = made


class MemoryCustomers:
    """The port `Customers` in a dict; `outbox` is what the workers would be told, `entitled` has who has entitlements."""

    def __init__(self, namespace, now, subjects):
        self._namespace, self._now, self._subjects = namespace, now, subjects
        self._customers = {}
        self.outbox = []
        self.entitled = set()

    async def create(self, customer):
        self._refuse_key(customer)
        self._attach(customer, ())
        self._store(customer)
        return customer

    async def find(self, id_or_key):
        found = self._customers.get(id_or_key.upper()) if is_ulid(id_or_key) else None
        found = found or next((one for one in self._live() if one.key == id_or_key), None)
        if found is None:
            raise NotFound(f"no customer has the id or key {id_or_key[:80]!r}")
        return found

    async def update(self, id_or_key, change):
        before = await self.find(id_or_key)
        after = change(before)
        if after.key != before.key:
            self._refuse_key(after)
        self._attach(after, before.subject_keys)
        self._store(after)
        return after

    async def delete(self, id_or_key):
        before = await self.find(id_or_key)
        after = deleted(before, at=self._now())
        if before.id in self.entitled:
            raise Conflict(f"customer {before.id} still has active entitlements")
        self._store(after)

    async def list_customers(self, listing):
        found = [
            one
            for one in self._customers.values()
            if (listing.include_deleted or one.deleted_at is None)
            and _contains(one.key, listing.key)
            and _contains(one.name, listing.name)
            and _contains(one.primary_email, listing.primary_email)
            and (
                listing.subject is None
                or any(_contains(key, listing.subject) for key in one.subject_keys)
            )
        ]
        name = {"id": "id", "name": "name", "createdAt": "created_at"}[listing.order_by]
        found.sort(key=lambda one: (getattr(one, name), one.id), reverse=listing.descending)
        page = found[listing.offset : listing.offset + listing.page_size]
        return CustomerPage(total=len(found), customers=page)

    async def of_subjects(self, subjects):
        owners = {key: one.id for one in self._live() for key in one.subject_keys}
        owners |= {one.key: one.id for one in self._live() if one.key is not None}
        return {subject: owners[subject] for subject in subjects if subject in owners}

    async def subjects_of(self, customer_id):
        one = self._customers.get(customer_id.upper())
        if one is None or one.deleted_at is not None:
            raise NotFound(f"customer not found: {customer_id[:80]}")
        named = list(dict.fromkeys((*([one.key] if one.key else ()), *one.subject_keys)))
        owners = await self.of_subjects(named)
        return [subject for subject in named if owners.get(subject) == one.id]

    def _live(self):
        return [one for one in self._customers.values() if one.deleted_at is None]

    def _refuse_key(self, customer):
        others = [one for one in self._customers.values() if one.id != customer.id]
        live = [one for one in others if one.deleted_at is None]
        key = customer.key
        if key is not None and (
            any(key == one.key or key in one.subject_keys for one in live)
            or any(key.upper() == one.id for one in others)
        ):
            raise Conflict(f"{key[:80]!r} is another customer's")

    def _attach(self, customer, before):
        added = set(customer.subject_keys) - set(before)
        if any(added & set(one.subject_keys) for one in self._live() if one.id != customer.id):
            raise Conflict("a subject key belongs to another customer")
        self._subjects.refuse_ids(added)
        self._subjects.provision(customer)

    def _store(self, customer):
        self._customers[customer.id] = customer
        self.outbox.append(catalog_record(customer_record(customer), len(self.outbox) + 1))


class MemoryFeatures:
    """The port `Features` in a dict; forbids `meters` what live features forbid. `entitled` has ids with entitlements."""

    def __init__(self, namespace, now, meters):
        self._namespace, self._now = namespace, now
        self._features = {}
        self.outbox = []
        self.entitled = set()
        self._meters = meters
        meters.refuse = self._refuse

    async def create(self, feature):
        if any(one.key == feature.key for one in self._live()):
            raise Conflict(f"a live feature has the key {feature.key!r}")
        if feature.meter_id is not None:
            meter = await self._meters.find(feature.meter_id)
            if meter.deleted_at is not None or not feature.filters.keys() <= meter.group_by.keys():
                raise NotFound("the meter is no longer as it was")
        self._store(feature)
        return feature

    async def find(self, id_or_key):
        found = await self._find(id_or_key)
        if found.archived_at is not None:
            raise NotFound(f"feature is archived: {found.id}")
        return found

    async def record(self, id_or_key):
        return feature_record(await self._find(id_or_key))

    async def archive(self, id_or_key):
        found = await self.find(id_or_key)
        at = self._now()
        self._store(replace(found, updated_at=at, archived_at=at))

    async def list_features(self, listing):
        found = [
            one
            for one in self._features.values()
            if (listing.include_archived or one.archived_at is None)
            and (listing.meters is None or {one.meter_slug, one.meter_id} & set(listing.meters))
        ]
        names = {"key": "key", "name": "name", "createdAt": "created_at", "updatedAt": "updated_at"}
        name = names[listing.order_by]
        found.sort(key=lambda one: (getattr(one, name), one.id), reverse=listing.descending)
        part = found[listing.offset : listing.offset + listing.limit]
        return FeaturePage(total=len(found), features=part)

    async def _find(self, id_or_key):
        found = self._features.get(id_or_key.upper()) if is_ulid(id_or_key) else None
        found = found or next((one for one in self._live() if one.key == id_or_key), None)
        if found is None:
            raise NotFound(f"no feature has the id or key {id_or_key[:80]!r}")
        return found

    def _live(self):
        return [one for one in self._features.values() if one.archived_at is None]

    def _refuse(self, before, after):
        deleted = after.deleted_at is not None and before.deleted_at is None
        lost = before.group_by.keys() - after.group_by.keys()
        for one in self._live():
            if one.meter_id == before.id and (deleted or one.filters.keys() & lost):
                raise Conflict(f"feature {one.key} uses the meter")
        if deleted and any(self._features[id].meter_id == before.id for id in self.entitled):
            raise Conflict("meter has active entitlements and cannot be deleted")

    def _store(self, feature):
        self._features[feature.id] = feature
        self.outbox.append(catalog_record(feature_record(feature), len(self.outbox) + 1))


def _contains(text, part):
    return part is None or (text is not None and part.casefold() in text.casefold())
