"""In-memory stand-ins for what reading balances needs: records, usage, events behind it, workers."""

from dataclasses import dataclass, field

from connectors.postgres.feature_rows import feature_record
from domain.errors import PreconditionFailed, Unavailable
from domain.metering.answer import Event
from domain.metering.jsonpath import compile_path
from domain.metering.numbers import json_text, read_number
from domain.metering.series import Series
from domain.metering.series_fold import OWN_EPOCH, SeriesFold
from domain.metering.ulid import is_ulid
from domain.metering.usage_events import EventPlace, UsageEvent
from schemas.balances import Answer
from schemas.entitlement_records import entitlement_record
from schemas.partitioner import partition_of
from schemas.position import position
from schemas.state import value_hash

PARTITIONS = 4


class MemoryBalanceRecords:
    """The port `BalanceRecords` over the other fakes; `error` is raised instead of an answer."""

    def __init__(self, customers, subjects, features, entitlements, meters):
        self._customers, self._subjects, self._features = customers, subjects, features
        self._entitlements, self._meters = entitlements, meters
        self.error = None

    async def customers(self, names, *, by_subject=False):
        self._refuse()
        found = {}
        for name in names:
            one = await self._of_subject(name) if by_subject else self._customer(name)
            if one is not None:
                found[name] = one
        return found

    async def subjects_of(self, customers):
        self._refuse()
        found = {}
        for one in customers:
            if one.deleted_at is None:
                found[one.id] = tuple(sorted(await self._customers.subjects_of(one.id)))
        return found

    async def entitlements(self, customer_ids):
        self._refuse()
        return [
            entitlement_record(one)
            for one in self._entitlements._aggregates.values()
            if one.entitlement.customer_id in customer_ids and one.entitlement.deleted_at is None
        ]

    async def entitlements_by_id(self, ids):
        self._refuse()
        found = self._entitlements._aggregates
        return {id_: entitlement_record(found[id_]) for id_ in ids if id_ in found}

    async def features(self, ids):
        self._refuse()
        return {id_: feature_record(self._features._features[id_]) for id_ in ids}

    async def known_features(self, keys):
        self._refuse()
        live = {f.key for f in self._features._features.values() if f.archived_at is None}
        return live & set(keys)

    async def meters_by_id(self, ids):
        self._refuse()
        return {id_: self._meters._meters[id_] for id_ in ids}

    def _refuse(self):
        if self.error is not None:
            raise self.error

    def _customer(self, name):
        found = self._customers._customers
        if is_ulid(name) and name.upper() in found:
            return found[name.upper()]
        live = [one for one in found.values() if one.deleted_at is None]
        return next((one for one in live if one.key == name), None)

    async def _of_subject(self, name):
        subject = self._subjects._subjects.get(name.upper())
        if subject is not None and subject.deleted_at is not None:
            raise PreconditionFailed(f"subject is deleted: {subject.id}")
        key = name if subject is None else subject.key
        owners = await self._customers.of_subjects([key])
        return self._customers._customers[owners[key]] if key in owners else None


@dataclass
class MemoryUsage:
    """The ports `UsageHistory` and `UsageEvents`: events in a list, folded by the rule's own code; `asked` counts questions."""

    sent: list = field(default_factory=list)
    error: Exception | None = None
    asked: int = 0

    def add(self, meter, subject, at, data, *, id=None, counts=True):
        """One more event of the meter's type; `data` as decoded with decimals."""
        place = position(len(self.sent), 0)
        event = Event(subject, int(at.timestamp()), place, data, _partition(subject))
        self.sent.append((meter.event_type, event, id or f"e{len(self.sent) + 1}", counts))

    async def read(self, meter, subjects, start_minute, end_minute=None, group_filters=()):
        self.asked += 1
        if self.error is not None:
            raise self.error
        fold = SeriesFold(meter, group_filters, value_hash, lambda event, groups: OWN_EPOCH)
        fold.add(
            event
            for kind, event, _, counts in self.sent
            if counts
            and kind == meter.event_type
            and event.subject in subjects
            and event.second // 60 >= start_minute
            and (end_minute is None or event.second // 60 < end_minute)
        )
        return Series(tuple(fold.rows.values()), dict.fromkeys(range(PARTITIONS), 1 << 60))

    async def events(self, meter, subjects, start, end, *, limit, after=None, group_filters=()):
        if self.error is not None:
            raise self.error
        find = compile_path(meter.value_property).find if meter.value_property else None
        found = []
        for kind, event, id_, counts in self.sent:
            place = EventPlace(event.second, event.partition, event.position)
            if kind != meter.event_type or event.subject not in subjects:
                continue
            if not start <= event.second < end or (after is not None and place <= after):
                continue
            value = None if find is None else find(event.data)
            found.append(
                UsageEvent(
                    place=place,
                    id=id_,
                    source="test",
                    subject=event.subject,
                    arrived_ms=event.second * 1000 + 5,
                    counts=counts,
                    groups=(),
                    value=None if value is None else json_text(value),
                    is_number=find is None or read_number(value) is not None,
                )
            )
        return sorted(found, key=lambda event: event.place)[:limit]


@dataclass
class FakeWorkers:
    """The port `WorkerBalances`: says what it was given by customer; without `answers` nobody can be asked."""

    answers: dict | None = None
    role: str = "owner"
    asked: list = field(default_factory=list)

    async def ask(self, questions, catalog):
        self.asked.append((tuple(questions), catalog))
        if self.answers is None:
            raise Unavailable("no worker answers for balances")
        return [(self.answers.get(q.customer, Answer(why="unknown")), self.role) for q in questions]


@dataclass
class FixedEnds:
    """The port `LogEnds`: everything is there up to `at_ms`."""

    at_ms: int | None = None

    async def look(self):
        return None

    def as_of_ms(self, visible, partitions):
        return self.at_ms

    def partition_of(self, subject):
        return _partition(subject)


def _partition(subject):
    return partition_of(subject.encode(), PARTITIONS)
