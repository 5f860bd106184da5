"""Customers with an entitlement, as a user of the official Python SDK makes and reads them, under a clock that tests set."""

import itertools
from datetime import UTC, datetime, timedelta

from openmeter import Client

from tests.stack import Stack, set_clock, wait_until

EARLIEST = datetime(2024, 6, 1, tzinfo=UTC)
_SOURCE = "meterstream-source"


class World:
    """A stack with `testing.clock`, a meter of each aggregation over `$.n`, and days that nobody has used yet.

    The clock stands where it is set and only goes forward, so that no balance is asked for what it was.
    """

    def __init__(self, stack: Stack, sdk: Client, aggregations=("SUM", "LATEST")):
        self.stack, self.sdk = stack, sdk
        self.now = EARLIEST
        self.ids = itertools.count(1)
        self.seen: list[tuple[str, datetime, dict]] = []
        """(customer, when, value) of what workers have said."""
        self.entitlements = 0
        set_clock(stack, EARLIEST, frozen=True)
        self.types = {}
        for aggregation in aggregations:
            self.types[aggregation] = f"t_{aggregation.lower()}"
            stack.make_meter(f"m_{aggregation.lower()}", self.types[aggregation], aggregation)

    def set(self, at: datetime) -> None:
        if at != self.now:
            assert at > self.now, f"the clock would go back from {self.now} to {at}"
            set_clock(self.stack, at, frozen=True)
            self.now = at

    def next_day(self) -> datetime:
        """The beginning of a day after everything so far."""
        return self.now.replace(hour=0, minute=0, second=0) + timedelta(days=2)

    def value(self, customer: str, time: datetime | None = None) -> tuple[str, dict]:
        """Who answered, and what."""
        return self.sdk.customer_entitlement_v2.get_customer_entitlement_value(
            customer,
            customer,
            time=time,
            cls=lambda call, value, _: (call.http_response.headers[_SOURCE], value.as_dict()),
        )


class Entitled:
    """A customer, a feature and a metered entitlement, all of one name. Times are given as what has passed since `begin`."""

    def __init__(
        self,
        world: World,
        aggregation="SUM",
        *,
        begin: datetime | None = None,
        every="YEAR",
        **terms,
    ):
        self.world = world
        self.name = f"c{next(world.ids)}"
        self.type = world.types[aggregation]
        self.begin = begin or world.next_day()
        world.set(self.begin)
        meter = f"m_{aggregation.lower()}"
        world.sdk.features.create({"key": self.name, "name": self.name, "meterSlug": meter})
        world.sdk.customers.create(
            {
                "name": self.name,
                "key": self.name,
                "usageAttribution": {"subjectKeys": [f"{self.name}-device"]},
            }
        )
        period = {"interval": every, "anchor": terms.pop("anchor", self.begin).isoformat()}
        body = {"type": "metered", "featureKey": self.name, "usagePeriod": period, **terms}
        self.id = world.sdk.customer_entitlements_v2.post(self.name, body)["id"]
        world.entitlements += 1

    def at(self, passed: timedelta) -> datetime:
        return self.begin + passed

    def go(self, passed: timedelta) -> None:
        self.world.set(self.at(passed))

    def grant(self, amount, after=timedelta(), **more) -> str:
        """The id. `expires` and `recurs` are (unit, count) and an interval."""
        body = {"amount": amount, "effectiveAt": self.at(after).isoformat()}
        if expires := more.pop("expires", None):
            body["expiration"] = {"duration": expires[0], "count": expires[1]}
        if recurs := more.pop("recurs", None):
            anchor = more.pop("anchor", after)
            body["recurrence"] = {"interval": recurs, "anchor": self.at(anchor).isoformat()}
        grants = self.world.sdk.customer_entitlement_v2
        return grants.create_customer_entitlement_grant(self.name, self.name, body | more).id

    def use(self, *usage: tuple[timedelta, float]) -> None:
        """Events at these times: every other one under the subject key, the rest under the customer's key."""
        self._changes_from(min(passed for passed, _ in usage))
        ids = [next(self.world.ids) for _ in usage]
        self.world.sdk.events.ingest_events(
            [
                {
                    "id": f"e{id}",
                    "source": "entitled",
                    "specversion": "1.0",
                    "type": self.type,
                    "subject": self.name if id % 2 else f"{self.name}-device",
                    "time": self.at(passed).isoformat(),
                    "data": {"n": amount},
                }
                for id, (passed, amount) in zip(ids, usage, strict=True)
            ]
        )

    def void(self, grant: str, after: timedelta) -> None:
        self._changes_from(after)
        self.world.sdk.grants.delete(grant, at=self.at(after))

    def reset(self, after: timedelta, **more) -> None:
        """By hand, at that time."""
        self.go(after)
        body = {"effectiveAt": self.at(after).isoformat(), **more}
        self.world.sdk.customer_entitlement_v2.reset_customer_entitlement(
            self.name, self.name, body
        )

    def has(self, *, grants: dict[str, float] | None = None, **numbers: float) -> None:
        """Wait until the owning worker says so. `total` is totalAvailableGrantAmount, `grants` what is left of each."""
        expected = {name: float(number) for name, number in numbers.items()}
        if "total" in expected:
            expected["totalAvailableGrantAmount"] = expected.pop("total")
        if grants is not None:
            expected["grantBalances"] = {id: float(left) for id, left in grants.items()}
        answers = []

        def said():
            answers.append(self.world.value(self.name))
            source, value = answers[-1]
            return source == "owner" and expected.items() <= value.items()

        wait_until(said, 10, f"{expected} of {self.name}", lambda: self._tell(answers[-1]))
        self.world.seen.append((self.name, self.world.now, answers[-1][1]))

    def _changes_from(self, passed: timedelta) -> None:
        """What was said of times after that does not hold any more."""
        at = self.at(passed) - timedelta(minutes=1)
        self.world.seen = [one for one in self.world.seen if one[0] != self.name or one[1] < at]

    def _tell(self, answer: object) -> str:
        return f"{answer} {self.world.stack.worker.log()[-3000:]}"

    def history(self, until: timedelta, since=timedelta()):
        self.go(until)
        return self.world.sdk.customer_entitlement_v2.get_customer_entitlement_history(
            self.name,
            self.name,
            window_size="HOUR",
            from_parameter=self.at(since),
            to=self.at(until),
        )
