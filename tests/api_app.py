"""The HTTP application on fakes: what it was asked stays in the fakes, what it answers is as over the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import httpx

from api.app import create_app
from api.balances.calls import BalanceCalls, Stored
from api.balances.reading import Balances
from api.balances.recompute import Recompute
from api.body import Bodies, BodyBounds
from api.calls import Calls
from api.metering.meters import MeterRules
from api.ports import Ports
from api.streaming.hub import Hub, StreamBounds
from domain.metering.listing import EventListing, StoredEvent
from domain.metering.meter import Aggregation, new_meter
from domain.metering.query import MeterQuery, ResultRow
from domain.metering.rejected import RejectedListing, RejectedPage, RejectedRecord
from domain.metering.verdicts import StoredVerdict, VerdictListing
from schemas.cloudevents import decode_record
from schemas.holds import HoldCall, HoldTold, HoldView
from tests import openapi_answers
from tests.balance_streams import MemoryBalancesTopic
from tests.builders import NOON, ULIDS
from tests.fake_balances import FakeWorkers, FixedEnds, MemoryBalanceRecords, MemoryUsage
from tests.fake_customers import MemoryCustomers, MemoryFeatures, MemorySubjects
from tests.fake_entitlements import MemoryEntitlements
from tests.fakes import MemoryMeters


@dataclass
class MemoryEventLog:
    """The port EventLog in a list; `error` is raised instead of appending."""

    partitions: int = 4
    records: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    error: Exception | None = None

    async def append(self, records):
        if self.error is not None:
            raise self.error
        start = len(self.records)
        self.records += records
        return [(partition, start + n) for n, (partition, _, _) in enumerate(records)]

    @property
    def events(self):
        return [event for _, _, value in self.records for event in decode_record(value)]


@dataclass
class FixedUsage:
    """The port MeterUsage: answers what it was given and remembers what it was asked."""

    rows: list[ResultRow] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    asked: list = field(default_factory=list)

    async def query(self, query: MeterQuery):
        self.asked.append(query)
        return self.rows

    async def subjects(self, meter, start, end):
        self.asked.append((start, end))
        return self.texts

    async def group_values(self, meter, key, start, end):
        self.asked.append((key, start, end))
        return self.texts


@dataclass
class FixedEvents:
    """The port EventStore: answers what it was given and remembers what it was asked."""

    events: list[StoredEvent] = field(default_factory=list)
    asked: list[EventListing] = field(default_factory=list)

    async def list_events(self, listing):
        self.asked.append(listing)
        return self.events[: listing.limit]


@dataclass
class FixedRejected:
    """The ports RejectedEvents and Redrives: answers what it was given and remembers what it was asked."""

    records: list[RejectedRecord] = field(default_factory=list)
    next: tuple[int, int, int] | None = None
    redriven: dict[str, datetime] = field(default_factory=dict)
    asked: list[RejectedListing] = field(default_factory=list)

    async def list_rejected(self, listing):
        self.asked.append(listing)
        return RejectedPage(records=self.records[: listing.limit], next=self.next)

    async def done_at(self, ids):
        return {id: at for id, at in self.redriven.items() if id in ids}


@dataclass
class FixedVerdicts:
    """The port Verdicts: answers what it was given and remembers what it was asked."""

    verdicts: list[StoredVerdict] = field(default_factory=list)
    counted: list[tuple[str, int]] = field(default_factory=list)
    asked: list[VerdictListing | int] = field(default_factory=list)
    topic: str = "om_default_events"

    async def find(self, listing):
        self.asked.append(listing)
        return self.verdicts[: listing.limit]

    async def counted_since(self, second, limit):
        self.asked.append(second)
        return self.counted[:limit]


@dataclass
class FixedHolds:
    """The port WorkerHolds: answers what it was given and remembers what it was asked."""

    told: HoldTold = field(default_factory=lambda: HoldTold(holds=(a_hold_view(),), created=True))
    asked: list[HoldCall] = field(default_factory=list)

    async def ask(self, call):
        self.asked.append(call)
        return self.told


def a_closed_hub() -> Hub:
    """Its streams end as soon as they have begun: a client without a socket gets an answer only when it is whole."""
    topic = MemoryBalancesTopic()
    hub = Hub(topic, topic, StreamBounds())
    hub.close()
    return hub


def a_hold_view(**more) -> HoldView:
    values = {
        "id": ULIDS[30],
        "key": "job-1",
        "customer_id": ULIDS[31],
        "entitlement_id": ULIDS[32],
        "feature_id": ULIDS[33],
        "feature_key": "tokens",
        "amount": Decimal(100),
        "balance": Decimal("0.5"),
        "status": "active",
        "created_at": NOON,
        "expires_at": NOON,
    }
    return HoldView(**{**values, **more})


@dataclass
class AnApp:
    """An application, its fakes, and a client that speaks to it."""

    log: MemoryEventLog = field(default_factory=MemoryEventLog)
    usage: FixedUsage = field(default_factory=FixedUsage)
    events: FixedEvents = field(default_factory=FixedEvents)
    rejected: FixedRejected = field(default_factory=FixedRejected)
    verdicts: FixedVerdicts = field(default_factory=FixedVerdicts)
    holds: FixedHolds = field(default_factory=lambda: FixedHolds())
    used: MemoryUsage = field(default_factory=MemoryUsage)
    workers: FakeWorkers = field(default_factory=FakeWorkers)
    ends: FixedEnds = field(default_factory=FixedEnds)
    now: datetime = NOON
    bytes_max: int = 16 << 20
    in_flight_bytes_max: int = 64 << 20
    read_s_max: float = 60.0
    reserved: tuple[str, ...] = ()

    def __post_init__(self):
        self.meters = MemoryMeters("default", lambda: self.now)
        self._ids = iter(ULIDS[10:])
        self.subjects = MemorySubjects("default", lambda: self.now, lambda: next(self._ids))
        self.customers = MemoryCustomers("default", lambda: self.now, self.subjects)
        self.features = MemoryFeatures("default", lambda: self.now, self.meters)
        self.entitlements = MemoryEntitlements(
            "default", lambda: self.now, self.customers, self.subjects, self.features
        )
        calls = Calls(
            ports=Ports(
                event_log=self.log,
                events=self.events,
                usage=self.usage,
                meters=self.meters,
                customers=self.customers,
                subjects=self.subjects,
                features=self.features,
                entitlements=self.entitlements,
                rejected=self.rejected,
                redrives=self.rejected,
                verdicts=self.verdicts,
                now=lambda: self.now,
                new_id=lambda: next(self._ids),
            ),
            rules=MeterRules(namespace="default", reserved_event_types=self.reserved),
            bodies=Bodies(
                BodyBounds(
                    bytes_max=self.bytes_max,
                    in_flight_bytes_max=self.in_flight_bytes_max,
                    read_s_max=self.read_s_max,
                )
            ),
        )
        self.records = MemoryBalanceRecords(
            self.customers, self.subjects, self.features, self.entitlements, self.meters
        )
        recompute = Recompute(self.records, self.used, self.ends)
        balances = BalanceCalls(
            balances=Balances(
                self.workers,
                catalog_version=lambda: self.entitlements.catalog_version,
                now=lambda: self.now,
            ),
            now=lambda: self.now,
            wall_ms=lambda: int(self.now.timestamp() * 1000),
        )
        balances.began(Stored(records=self.records, recompute=recompute, events=self.used))
        self.app = create_app(calls, balances, worker_holds=self.holds, hub=a_closed_hub())
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://test",
            event_hooks={"response": [openapi_answers.check_async]},
        )

    async def request(self, method: str, path: str, **more) -> httpx.Response:
        return await self.client.request(method, path, **more)

    async def get(self, path: str, **more) -> httpx.Response:
        return await self.client.get(path, **more)

    async def post(self, path: str, json=None, **more) -> httpx.Response:
        return await self.client.post(path, json=json, **more)

    async def ingest(self, body: bytes, content_type="application/json") -> httpx.Response:
        headers = {} if content_type is None else {"content-type": content_type}
        return await self.client.post("/api/v1/events", content=body, headers=headers)

    async def with_meter(self, slug="tokens", aggregation="SUM", groups=None, **more):
        """A live meter over `$.n` of events of type `request`."""
        value = None if aggregation == "COUNT" else "$.n"
        return await self.meters.create(
            new_meter(
                id=next(self._ids),
                namespace="default",
                slug=slug,
                aggregation=Aggregation(aggregation),
                event_type="request",
                at=self.now,
                value_property=value,
                group_by=groups or {},
                **more,
            )
        )


def problem_of(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """(status, code, field) of a problem document, which must be whole."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["type"] == "about:blank"
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["instance"].startswith("urn:request:")
    issue: Mapping = (body.get("extensions") or {"validationErrors": [{}]})["validationErrors"][0]
    return answer.status_code, issue.get("code"), issue.get("field")


def a_stored_event(id="e1", **more) -> StoredEvent:
    values = {
        "source": "test",
        "type": "request",
        "subject": "s1",
        "time_s": 1_709_632_800,
        "data": '{"n":1}',
        "ingested_ms": 1_709_632_801_234,
        "stored_ms": 1_709_632_802_000,
        "partition": 2,
        "position": 7 << 20,
    }
    return StoredEvent(id=id, **{**values, **more})
