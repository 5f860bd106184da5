"""Refused records on real Kafka: the api lists them with their reason, and a redrive counts each of them once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from connectors.kafka.original_records import OriginalRecords
from connectors.kafka.redriven_events import RedrivenEvents
from connectors.kafka.rejected_topic import Options, RejectedTopic
from connectors.postgres.pool import Options as PostgresOptions
from connectors.postgres.redrives import hold_book
from domain.errors import Unavailable
from domain.metering.rejected import RejectedListing
from runtime.cli import app
from runtime.redrive.run import Order, Redriver
from schemas import topics
from schemas.partitioner import partition_of
from tests.builders import an_event
from tests.stack import start_stack, stop_stack, wait_until
from tests.topics import read_all
from tests.workers import ROOT, EventProducer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

NAMESPACE = "refusals"
NAMES = topics.names(NAMESPACE)


@pytest.fixture(scope="module")
def running(services_dir, kafka_address, postgres_dsn, clickhouse_url):
    stack = start_stack(
        NAMESPACE, services_dir / NAMESPACE, kafka_address, postgres_dsn, clickhouse_url
    )
    yield stack
    stop_stack(stack)


@pytest.fixture
def producer(kafka_address):
    return EventProducer(kafka_address, NAMESPACE)


def listed(running, **parameters) -> list[dict]:
    """Every page of a list."""
    items, cursor = [], None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        answer = running.client.get("/api/v1/events/rejected", params={**parameters, **more})
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json().get("nextCursor")
        if cursor is None:
            return items


def of_key(items, start) -> list[dict]:
    return [item for item in items if item.get("key", "").startswith(start)]


def refused_of(running, start, count, **parameters) -> list[dict]:
    """The refusals of the records whose key begins with `start`, as soon as all are there."""
    return wait_until(
        lambda: (
            found if len(found := of_key(listed(running, **parameters), start)) >= count else None
        ),
        what=f"{count} refusals",
        tell=running.worker.log,
    )


def without_specversion(id, subject, **more) -> dict:
    event = {**an_event(id, subject=subject, tokens=1), **more}
    return {name: value for name, value in event.items() if name != "specversion"}


def command(running, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", "events", *arguments],
        env={**os.environ, **running.api.environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def redriven(running, *arguments) -> dict:
    """What the command reports, run in this process: its imports take longer than its work."""
    done = CliRunner().invoke(
        app, ["events", "redrive", "--json", *arguments], env=running.api.environment
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def counting(running, unique) -> str:
    """A meter that counts the events of a type of its own."""
    running.make_meter(f"m{unique}", f"t{unique}", "COUNT")
    return f"m{unique}"


def test_refused_records_are_listed_with_reason_origin_and_contents(running, producer, unique):
    producer.send(b'{"hello": 1}', f"{unique}-a", 0)
    producer.send(an_event("x", subject="s", time="1960-01-01T00:00:00Z"), f"{unique}-b", 1)
    producer.send(b"\xff\xfe", f"{unique}-c", 1)
    ends = producer.flush()

    found = {item["key"][-1]: item for item in refused_of(running, unique, 3)}

    assert {key: item["code"] for key, item in found.items()} == {
        "a": "not_a_cloudevent",
        "b": "time_out_of_range",
        "c": "invalid_json",
    }
    assert found["b"]["field"] == "$.time"
    assert found["a"]["origin"] == {
        "topic": NAMES.events,
        "partition": 0,
        "offset": ends[0] - 1,
        "index": 0,
    }
    assert found["a"]["value"] == '{"hello": 1}'
    assert found["c"]["valueBase64"] == "//4="
    assert found["c"]["valueBytes"] == 2
    assert "redrivenAt" not in found["a"]


def test_pages_show_every_refusal_once_and_the_newest_first(running, producer, unique):
    for i in range(30):
        producer.send(b"[", f"{unique}-{i}", i % 4)
        if i < 15:
            producer.flush()
    refused_of(running, unique, 30)

    found = of_key(listed(running, limit=7), unique)

    assert len(found) == 30
    assert {item["key"] for item in found} == {f"{unique}-{i}" for i in range(30)}
    times = [item["rejectedAt"] for item in found]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) < 30  # some stand in one batch: pages end among equals


def test_a_list_is_narrowed_by_code_origin_and_time(running, producer, unique):
    producer.send(b"{}", f"{unique}-a", 2)
    producer.send(b"{", f"{unique}-b", 3)
    producer.flush()
    (one, two) = sorted(refused_of(running, unique, 2), key=lambda item: item["key"])
    since = datetime.fromisoformat(one["rejectedAt"])
    until = (since + timedelta(milliseconds=1)).isoformat()

    def keys(**parameters):
        return {item["key"][-1] for item in of_key(listed(running, **parameters), unique)}

    assert keys(code="invalid_json") == {"b"}
    assert keys(code=["invalid_json", "not_a_cloudevent"]) == {"a", "b"}
    assert keys(code="no_such_code") == set()
    assert keys(partition=2) == {"a"}
    assert keys(topic=NAMES.events, partition=3) == {"b"}
    assert keys(topic=NAMES.events_raw) == set()
    assert "a" in keys(**{"from": one["rejectedAt"], "to": until})
    assert "a" not in keys(to=one["rejectedAt"])
    assert keys(**{"from": "2999-01-01T00:00:00Z"}) == set()
    assert {one["rejectedAt"], two["rejectedAt"]} >= {
        item["rejectedAt"]
        for item in of_key(listed(running, **{"from": "1960-01-01T00:00:00Z"}), unique)
    }


def test_a_page_looks_at_no_more_than_its_bound(running, producer, kafka_address, unique):
    for i in range(12):
        producer.send(b"[", f"{unique}-{i}", i % 4)
    producer.flush()
    refused_of(running, unique, 12)
    topic = RejectedTopic(
        Options(
            bootstrap_servers=kafka_address, topic=NAMES.rejected, scan_max=5, value_bytes_max=1
        )
    )

    page = topic.page(RejectedListing(codes=["no_such_code"]))
    shown = topic.page(RejectedListing(limit=3))
    topic.close()

    assert (page.records, page.next is None) == ((), False)
    assert len(shown.records) == 3
    assert all(len(record.value) == 1 for record in shown.records)


def test_a_redrive_after_a_fix_counts_each_event_once_however_often_it_runs(
    running, producer, kafka_address, unique
):
    meter = counting(running, unique)
    for i in range(20):
        event = without_specversion(f"{unique}-e{i}", f"subject-{i}", type=f"t{unique}")
        producer.send(event, f"{unique}-wrong-key", i % 4)
    batch = [
        without_specversion(f"{unique}-b{i}", f"subject-{i}", type=f"t{unique}") for i in range(10)
    ]
    producer.send(batch, f"{unique}-batch", 0)
    producer.flush()
    began = refused_of(running, unique, 21)[-1]["rejectedAt"]
    chosen = ("--code", "not_a_cloudevent", "--from", began, "--topic", NAMES.events)

    unfixed = redriven(running, *chosen)
    dry = redriven(running, *chosen, "--set", "specversion=1.0", "--dry-run")
    some = redriven(running, *chosen, "--set", "specversion=1.0", "--limit", "5")
    rest = redriven(running, *chosen, "--set", "specversion=1.0")
    again = redriven(running, *chosen, "--set", "specversion=1.0")

    assert (unfixed["sent"], unfixed["refusedAgain"]) == (0, {"not_a_cloudevent": 21})
    assert (dry["sent"], dry["events"]) == (21, 30)
    assert (some["sent"], some["notLookedAt"]) == (5, 16)
    assert (rest["sent"], rest["sentBefore"]) == (16, 5)
    assert (again["sent"], again["sentBefore"]) == (0, 21)
    running.wait_value(meter, 30)
    moved = [m for m in read_all(kafka_address, NAMES.events) if m.headers() and is_of(m, unique)]
    assert len(moved) == 30
    for message in moved:
        subject = json.loads(message.value())["subject"].encode()
        assert (message.key(), message.partition()) == (subject, partition_of(subject, 4))
    assert all("redrivenAt" in item for item in refused_of(running, unique, 21))


def is_of(message, unique) -> bool:
    return dict(message.headers()).get("redriven_from") and unique.encode() in message.value()


def test_an_event_without_a_time_is_counted_when_it_first_arrived(
    running, producer, kafka_address, unique
):
    meter = counting(running, unique)
    event = without_specversion("e", f"s{unique}", type=f"t{unique}")
    del event["time"]
    producer.send(event, f"{unique}-1", 0)
    producer.flush()
    (item,) = refused_of(running, unique, 1)
    (original,) = [
        m for m in read_all(kafka_address, NAMES.events) if m.key() == item["key"].encode()
    ]

    report = redriven(running, "--from", item["rejectedAt"], "--set", "specversion=1.0")

    assert report["sent"] >= 1
    running.wait_value(meter, 1)
    (shown,) = running.client.get("/api/v1/events", params={"subject": f"s{unique}"}).json()
    first = datetime.fromtimestamp(original.timestamp()[1] // 1000, UTC)
    assert shown["event"]["time"] == first.isoformat().replace("+00:00", "Z")


class Interrupted(Exception):
    pass


class BreaksOff:
    """A book whose owner dies when it should write down that all was sent."""

    def __init__(self, book):
        self.find, self.begin = book.find, book.begin

    async def finish(self, ids, at):
        raise Interrupted


async def test_a_redrive_that_broke_off_after_sending_is_run_again_and_counts_once(
    running, producer, kafka_address, postgres_dsn, unique
):
    meter = counting(running, unique)
    for i in range(10):
        event = without_specversion(f"{unique}-e{i}", f"subject-{i}", type=f"t{unique}")
        producer.send(event, f"{unique}-{i}", 0)
    producer.flush()
    began = refused_of(running, unique, 10)[-1]["rejectedAt"]
    rejections = RejectedTopic(Options(bootstrap_servers=kafka_address, topic=NAMES.rejected))
    originals = OriginalRecords(kafka_address)
    since = int(datetime.fromisoformat(began).timestamp() * 1000)
    order = Order(
        namespace=NAMESPACE,
        listing=RejectedListing(since_ms=since),
        topics=(NAMES.events,),
        window=timedelta(days=32),
        changes={"specversion": "1.0"},
    )
    async with hold_book(PostgresOptions(dsn=postgres_dsn), NAMESPACE) as book:
        redriver = Redriver(
            order,
            rejections=rejections,
            originals=originals,
            events=RedrivenEvents(kafka_address, NAMES.events),
            book=BreaksOff(book),
            now=lambda: datetime.now(UTC),  # noqa: TID251  real servers, real clock
            partition_of=partition_of,
        )
        with pytest.raises(Interrupted):
            await redriver.run()
        second = command(running, "redrive")
    rejections.close()
    originals.close()
    running.wait_value(meter, 10)

    chosen = ("--from", began, "--set", "specversion=1.0")

    report = await asyncio.to_thread(redriven, running, *chosen)

    assert (second.returncode, second.stderr) == (
        1,
        "meterstream: another redrive of this namespace is running\n",
    )
    assert report["sent"] == 10
    producer.send(an_event(f"{unique}-last", subject="subject-0", type=f"t{unique}"))
    producer.send(an_event(f"{unique}-last", subject="subject-1", type=f"t{unique}"))
    producer.flush()
    running.wait_value(meter, 12)
    again = await asyncio.to_thread(redriven, running, *chosen)
    assert (again["sent"], again["sentBefore"]) == (0, 10)


def test_what_an_older_version_refused_is_sent_to_its_subject(running, kafka_address, unique):
    meter = counting(running, unique)
    event = json.dumps(an_event("old", subject=f"s{unique}", type=f"t{unique}")).encode()
    headers = [("code", b"an_old_rule"), ("topic", NAMES.events.encode()), ("partition", b"3")]
    refused = EventProducer(kafka_address, NAMESPACE)._producer
    for _ in range(2):  # a worker that was interrupted writes it twice
        refused.produce(
            NAMES.rejected,
            event,
            b"other",
            3,
            headers=[*headers, ("offset", b"900"), ("index", b"0")],
        )
    refused.produce(
        NAMES.rejected, b"cut", b"other", 3, headers=[("code", b"an_old_rule"), ("cut_from", b"9")]
    )
    refused.produce(NAMES.rejected, event, None, 2)  # written by somebody else
    refused.flush(30)

    report = redriven(running, "--code", "an_old_rule")

    assert (report["found"], report["sent"]) == (2, 1)
    assert report["refusedAgain"] == {"value_cut": 1}
    running.wait_value(meter, 1)
    assert {item["code"] for item in listed(running, code="unknown")} == {"unknown"}


def test_the_command_lists_what_the_api_lists(running, producer, unique):
    producer.send(b"{", f"{unique}-1", 1)
    producer.flush()
    (item,) = refused_of(running, unique, 1)

    told = command(running, "rejected", "--code", "invalid_json", "--limit", "1000")
    objects = command(running, "rejected", "--code", "invalid_json", "--limit", "1000", "--json")
    wrong = command(running, "rejected", "--from", "yesterday")

    at = f"{NAMES.events}/1/{item['origin']['offset']}/0"
    assert any(at in line and "invalid_json" in line for line in told.stdout.splitlines())
    assert item in [json.loads(line) for line in objects.stdout.splitlines()]
    assert wrong.returncode == 2
    assert "RFC 3339" in wrong.stderr


def test_kafka_that_is_down_is_unavailable():
    topic = RejectedTopic(Options(bootstrap_servers="127.0.0.1:1", topic="nothing", timeout_s=0.5))

    with pytest.raises(Unavailable):
        topic.page(RejectedListing())

    topic.close()


def test_a_redrive_that_is_killed_and_run_again_counts_each_event_once(running, producer, unique):
    meter = counting(running, unique)
    refused = running.worker.metric("meterstream_rejected_total")
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")  # noqa: TID251  real servers, real clock
    for i in range(10_000):
        event = without_specversion(f"{unique}-e{i}", f"{unique}-{i % 100}", type=f"t{unique}")
        producer.send(event)
    producer.flush()
    running.worker.wait_until(
        lambda: running.worker.metric("meterstream_rejected_total") == refused + 10_000
    )
    arguments = ("--from", since, "--set", "specversion=1.0")

    killed = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", "events", "redrive", *arguments],
        env={**os.environ, **running.api.environment},
        cwd=ROOT,
    )
    wait_until(lambda: running.query(meter)[0]["value"] > 0, what="some of the events")
    killed.kill()
    assert killed.wait(30) == -signal.SIGKILL
    second = redriven(running, *arguments)

    assert 0 < second["sentBefore"] < 10_000
    assert second["sentBefore"] + second["sent"] == 10_000
    running.wait_value(meter, 10_000)
    assert redriven(running, *arguments)["sent"] == 0
