"""A customer with a metered entitlement whose amounts are held, over HTTP."""

import itertools
import json
import threading
import time
from dataclasses import dataclass, field

import httpx
import httpx_sse

from api.streaming.position import read_position
from runtime import clock
from tests.stack import Stack, wait_until

_SOURCE = "meterstream-source"


class Held:
    """One customer, feature and entitlement, all called `name`, with a grant of `amount`."""

    def __init__(self, stack: Stack, name: str, amount: float, aggregation="SUM"):
        self.stack, self.name, self.amount = stack, name, amount
        self.ids = itertools.count()
        self.meter = f"m_{name}"
        stack.make_meter(self.meter, f"t_{name}", aggregation)
        self._made("/api/v1/features", {"key": name, "name": name, "meterSlug": self.meter})
        customer = {"name": name, "key": name, "usageAttribution": {"subjectKeys": [f"{name}-1"]}}
        self.customer_id = self._made("/api/v1/customers", customer)["id"]
        entitlements = f"/api/v2/customers/{name}/entitlements"
        self.id = self._made(
            entitlements,
            {
                "type": "metered",
                "featureKey": name,
                "usagePeriod": {"interval": "YEAR"},
                "issue": {"amount": amount},
            },
        )["id"]
        self.holds = f"/api/v1/customers/{name}/entitlements/{name}/holds"
        self.wait_balance(amount)

    def _made(self, path: str, body: dict) -> dict:
        answer = self.stack.client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def value(self) -> tuple[str, float]:
        """Who answered, and the balance."""
        answer = self.stack.client.get(
            f"/api/v2/customers/{self.name}/entitlements/{self.name}/value"
        )
        assert answer.status_code == 200, answer.text
        return answer.headers[_SOURCE], answer.json()["balance"]

    def wait_balance(self, balance: float, seconds=30) -> None:
        """Wait until the owner says that it is this."""
        wait_until(
            lambda: self.value() == ("owner", balance),
            seconds,
            f"{self.name} = {balance}",
            lambda: f"{self.value()} {self.stack.worker.log()}",
        )

    def use(self, n: float) -> None:
        """One event."""
        event = {
            "id": f"{self.name}-{next(self.ids)}",
            "source": "held",
            "specversion": "1.0",
            "type": f"t_{self.name}",
            "subject": self.name,
            "time": clock.now().isoformat(),
            "data": {"n": n},
        }
        assert self.stack.post_events(event).status_code == 204

    def create(self, key: str, amount: float, **more) -> httpx.Response:
        return self.stack.client.post(self.holds, json={"key": key, "amount": amount, **more})

    def create_in_the_end(self, key: str, amount: float, **more) -> httpx.Response:
        """Asked again while it is 503, as a client does: the same key makes no second hold."""
        answers: list[httpx.Response] = []

        def answered() -> bool:
            answers.append(self.create(key, amount, **more))
            return answers[-1].status_code != 503

        wait_until(answered, 30, "an owner that decides", lambda: answers[-1].text)
        return answers[-1]

    def confirm(self, key: str, **body) -> httpx.Response:
        return self.stack.client.post(f"{self.holds}/{key}/confirm", json=body)

    def release(self, key: str) -> httpx.Response:
        return self.stack.client.post(f"{self.holds}/{key}/release")

    def all(self) -> list[dict]:
        answer = self.stack.client.get(self.holds, params={"limit": 1000})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]


@dataclass
class Follower:
    """A client of the stream in a thread of its own, which comes back with the last id whenever the stream ends."""

    url: str
    parameters: dict
    events: list[tuple[str, dict]] = field(default_factory=list)
    """(id, data) of every change."""
    names: list[str] = field(default_factory=list)
    connects: int = 0
    last: str | None = None
    error: BaseException | None = None

    def __post_init__(self):
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: self.connects, 30, "connected stream")

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(20)
        if self.error is not None:
            raise self.error

    def balances(self) -> list[float]:
        return [data["value"]["balance"] for _, data in self.events]

    def offsets(self) -> list[tuple[int, ...]]:
        return [read_position(id).offsets for id, _ in self.events]

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except httpx.HTTPError:
                time.sleep(0.05)  # as a browser does
            except BaseException as error:
                self.error = error
                raise

    def _follow(self) -> None:
        headers = {} if self.last is None else {"last-event-id": self.last}
        with (
            httpx.Client(timeout=httpx.Timeout(5, read=1)) as client,
            httpx_sse.connect_sse(
                client,
                "GET",
                f"{self.url}/api/v1/stream/balances",
                params=self.parameters,
                headers=headers,
            ) as source,
        ):
            if source.response.status_code != 200:
                time.sleep(0.1)
                return
            for event in source.iter_sse():
                if self._stopping.is_set():
                    return
                if event.data:
                    self._take(event)
                self.last = event.id or self.last

    def _take(self, event: httpx_sse.ServerSentEvent) -> None:
        self.names.append(event.event)
        if event.event == "connected":
            self.connects += 1
        if event.event == "balance":
            self.events.append((event.id, json.loads(event.data)))
