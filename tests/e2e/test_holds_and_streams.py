"""Holds and streams of balances through whole processes: what is held, used and told agrees, through restarts of both."""

import itertools
import time
from datetime import timedelta

import pytest

from runtime import clock
from schemas import topics
from schemas.balance_changes import decode_change
from schemas.partitioner import partition_of
from tests.held import Follower, Held
from tests.stack import start_stack, stop_stack, wait_until
from tests.topics import read_all

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NAMESPACE = "holding"
PARTITIONS = 4


@pytest.fixture(scope="module")
def stack(services_dir, kafka_address, postgres_dsn, clickhouse_url):
    running = start_stack(
        NAMESPACE,
        services_dir / NAMESPACE,
        kafka_address,
        postgres_dsn,
        clickhouse_url,
        METERSTREAM_WORKER__AGENTS="[meter, sink, route, balance]",
        METERSTREAM_STREAMS__HEARTBEAT="300ms",
        METERSTREAM_BALANCES__READ_TIMEOUT="5s",  # on a busy machine, too, the owner is asked: who recomputes knows no holds
    )
    yield running
    stop_stack(running)


def code_of(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["extensions"]["validationErrors"][0]["code"]


def test_a_hold_lowers_the_balance_at_once_and_a_confirmation_counts_once_instead(stack):
    held = Held(stack, "one", 100)

    made = held.create_in_the_end("job-1", 30, metadata={"run": "7"})
    assert (made.status_code, made.json()["balance"]) == (201, 70)
    assert held.value() == ("owner", 70)
    again = held.create_in_the_end("job-1", 30, metadata={"run": "7"})
    assert (again.status_code, again.json()) == (200, made.json())
    assert code_of(held.create_in_the_end("job-1", 31)) == (409, "hold_key_reused")
    assert code_of(held.create_in_the_end("job-2", 71)) == (409, "hold_exceeds_balance")

    confirmed = held.confirm("job-1", used=25)
    assert (confirmed.status_code, confirmed.json()["status"]) == (200, "confirmed")
    values = [held.value()[1]]
    wait_until(lambda: values.append(held.value()[1]) or stack.query(held.meter), 30, "usage")
    held.wait_balance(75)
    assert max(values) == 75
    assert held.confirm("job-1", used=25).json() == confirmed.json()
    assert code_of(held.confirm("job-1", used=26)) == (409, "hold_confirmed")
    stack.wait_value(held.meter, 25)


def test_releasing_expiring_and_events_of_ones_own(stack):
    held = Held(stack, "two", 100)
    held.create_in_the_end("a", 30)
    held.create_in_the_end("b", 30, expiresIn=5)
    held.create_in_the_end("c", 30)
    assert held.value() == ("owner", 10)

    assert held.release("a").json()["status"] == "released"
    held.wait_balance(70)
    assert code_of(held.confirm("b", used=1)) == (409, "hold_expired")
    event = {
        "id": "mine",
        "source": "test",
        "specversion": "1.0",
        "type": "t_two",
        "subject": "two-1",
        "time": (clock.now() - timedelta(seconds=1)).isoformat(),
        "data": {"n": 0.25},
    }
    assert code_of(held.confirm("c", event={**event, "subject": "one"})) == (
        400,
        "hold_event_of_other_subject",
    )
    assert held.confirm("c", event=event).json()["status"] == "confirmed"
    held.wait_balance(99.75)

    assert [(one["key"], one["status"]) for one in held.all()] == [
        ("a", "released"),
        ("b", "expired"),
        ("c", "confirmed"),
    ]
    foreign = stack.client.post(
        f"/api/v1/customers/one/entitlements/{held.id}/holds", json={"key": "k", "amount": 1}
    )
    assert foreign.status_code == 404


def test_no_change_is_lost_through_a_restart_of_api_and_worker(stack):
    held = Held(stack, "three", 1000)
    partition = partition_of(held.customer_id.encode(), PARTITIONS)
    follower = Follower(stack.api.url, {"customer": "three", "feature": "three"})
    for _ in range(20):
        held.use(1)
    held.wait_balance(980)
    wait_until(lambda: 980 in follower.balances(), 20, "change", lambda: f"{follower.events[-3:]}")

    grants = f"/api/v2/customers/three/entitlements/{held.id}/grants"
    grant = {"amount": 20, "effectiveAt": clock.now().isoformat()}
    grant["expiration"] = {"duration": "YEAR", "count": 1}
    assert stack.client.post(grants, json=grant).status_code == 201
    held.wait_balance(1000)
    held.create_in_the_end("job", 120)
    stack.api.stop()
    stack.worker.kill()
    stack.worker.start().wait_ready()
    stack.api.start().wait_ready()
    held.wait_balance(880)
    for _ in range(20):
        held.use(1)
    held.confirm("job", used=60)
    held.wait_balance(920)
    wait_until(
        lambda: follower.balances()[-1] == 920, 20, "last change", lambda: f"{follower.events[-3:]}"
    )
    follower.stop()

    offsets = follower.offsets()
    assert all(
        after[partition] > before[partition] for before, after in itertools.pairwise(offsets)
    )
    assert follower.connects > 1
    assert "reset" not in follower.names
    told = [at[partition] - 1 for at in offsets]
    assert told == [at for at in written_of(stack, held, partition) if told[0] <= at <= told[-1]]
    assert {"usage", "hold", "grant"} <= {data["cause"] for _, data in follower.events}


def written_of(stack, held: Held, partition: int) -> list[int]:
    """Offsets of the entitlement's records in the balances topic."""
    topic = topics.names(NAMESPACE).balances
    return [
        message.offset()
        for message in read_all(stack.worker.kafka, topic)
        if message.partition() == partition
        and message.key() == held.id.encode()
        and message.value() is not None
        and decode_change(message.value()).value.entitlement_id == held.id
    ]


def test_a_snapshot_begins_with_what_there_is(stack):
    held = Held(stack, "four", 10)
    held.use(4)
    held.wait_balance(6)

    follower = Follower(stack.api.url, {"customer": held.customer_id, "snapshot": "true"})
    wait_until(lambda: follower.events, 10, "snapshot")
    follower.stop()

    _, first = follower.events[0]
    assert (first["cause"], first["value"]["balance"]) == ("snapshot", 6)


def test_an_api_with_open_streams_stops_soon(stack):
    follower = Follower(stack.api.url, {})
    follower._stopping.set()

    began = time.monotonic()
    assert stack.api.stop() == 0
    assert time.monotonic() - began < 8
