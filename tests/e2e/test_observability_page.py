"""docs/observability.md does what it says: an event's way is found from its id and from its request, and metrics tell of it."""

import json
import re
import subprocess

import httpx
import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from tests.builders import an_event
from tests.metrics_page import PLACES, declared, name_of
from tests.stack import ApiProcess, wait_until
from tests.workers import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PAGE = (ROOT / "docs" / "observability.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WORKERS_ALONE = "Events and stages, of a worker"


@pytest.fixture
def run(stack):
    """A block of commands of the page, on the running stack."""

    def run_block(text: str) -> str:
        for theirs, ours in (
            ("localhost:8888", stack.api.url.removeprefix("http://")),
            (".meterstream/logs/api*.log", str(stack.api.log_path)),
        ):
            text = text.replace(theirs, ours)
        done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run_block


@pytest.fixture
def debugging(stack, tmp_path):
    """A second api process that logs at debug."""
    environment = {**stack.api.environment, "METERSTREAM_LOG_LEVEL": "debug"}
    api = ApiProcess(environment, tmp_path / "api.log").start().wait_ready()
    yield api
    api.stop()


def fate(stack, id):
    return stack.client.get("/api/v1/events/fate", params={"id": id}).json()


def place(found):
    return found["partition"], found["offset"], found["index"]


def test_the_fate_of_an_event_is_found_from_its_id(stack, kafka_address, run):
    (command,) = [text for text in COMMANDS if "events/fate" in text]
    event = an_event("order-17", source="shop", subject="acme", type="prompt")
    other = an_event("order-16", source="shop", subject="acme", type="prompt")
    assert stack.post_events(event).status_code == 204
    assert stack.post_events(other, event).status_code == 204
    producer = Producer({"bootstrap.servers": kafka_address})
    bad = json.dumps({**event, "time": "1492-10-12T00:00:00Z"})
    producer.produce("om_stack_events", bad, "acme")
    producer.flush(30)

    found = wait_until(
        lambda: (
            len((answer := json.loads(run(command)))["stored"]) == 2
            and answer["rejected"]
            and answer
        ),
        what="fate",
        tell=stack.worker.log,
    )

    first, second = found["stored"]
    assert [first["verdict"], second["verdict"]] == ["accepted", "duplicate"]
    assert place(second["duplicateOf"]) == place(first["at"]) != place(second["at"])
    assert [one["code"] for one in found["rejected"]] == ["time_out_of_range"]
    assert found["complete"]
    assert '"message": "events refused"' in stack.worker.log()


def test_a_refused_request_is_found_in_the_log_by_its_id(stack, run):
    (command,) = [text for text in COMMANDS if "X-Request-Id" in text]

    answer, line = _both(run(command))

    assert answer["instance"] == "urn:request:billing-run-5"
    assert (line["request_id"], line["status"]) == ("billing-run-5", 400)
    assert line["code"] == answer["extensions"]["validationErrors"][0]["code"]


def _both(text):
    """The problem document, and the newest line of the log after it."""
    decoder = json.JSONDecoder()
    answer, end = decoder.raw_decode(text)
    return answer, json.loads(text[end:].strip().splitlines()[-1])


def test_the_debug_log_leads_from_a_request_to_the_positions_of_its_events(
    stack, debugging, unique
):
    answer = httpx.post(
        f"{debugging.url}/api/v1/events",
        json=an_event(unique),
        headers={"content-type": "application/cloudevents+json", "x-request-id": f"r-{unique}"},
    )

    lines = [json.loads(line) for line in debugging.log_path.read_text().splitlines()]
    (line,) = [one for one in lines if one.get("request_id") == f"r-{unique}"]
    found = wait_until(lambda: fate(stack, unique)["stored"], tell=stack.worker.log)

    assert answer.headers["x-request-id"] == f"r-{unique}"
    assert (line["message"], line["events"]) == ("events acknowledged", [unique])
    assert line["places"] == [f"{found[0]['at']['partition']}/{found[0]['at']['offset']}"]


def samples(url):
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return [s for f in text_string_to_metric_families(text) for s in f.samples]


def test_both_processes_show_what_the_pages_name_and_no_label_comes_from_an_event(stack, unique):
    subject = f"subject-{unique}"
    stack.post_events(an_event(f"id-{unique}", subject=subject, source=unique, type=unique))
    stack.client.get(f"/api/v1/meters/{unique}")
    wait_until(lambda: fate(stack, f"id-{unique}")["stored"], tell=stack.worker.log)

    api, worker = samples(stack.api.url), samples(f"http://127.0.0.1:{stack.worker.port}")

    for title, module in PLACES.items():
        shown = {s.name for s in (worker if title == WORKERS_ALONE else api + worker)}
        for metric in declared(module):
            if not metric._labelnames:  # one with labels is shown once something has happened
                assert shown & {name_of(metric), f"{name_of(metric)}_count"}, name_of(metric)
    values = {value for s in api + worker for value in s.labels.values()}
    assert not [value for value in values if unique in value]
    named = {
        "meterstream_state_bytes",
        "meterstream_state_keys",
        "meterstream_sink_behind_records",
        "meterstream_sink_newest_event_timestamp_seconds",
        "meterstream_state_newest_event_timestamp_seconds",
        "meterstream_partition_lag_records",
    }
    assert named <= {s.name for s in worker}
    (waiting,) = [s.value for s in api if s.name == "meterstream_outbox_waiting_changes"]
    assert waiting >= 0


def test_the_days_events_are_counted_by_subject(stack, unique):
    events = [
        {k: v for k, v in an_event(f"{n}", subject=unique).items() if k != "time"} for n in range(3)
    ]
    stack.post_events(*events, events[0])

    line = f'openmeter_events_total{{subject="{unique}"}} 3.0'
    wait_until(lambda: line in stack.client.get("/api/v1/debug/metrics").text.splitlines())


def test_metrics_and_messages_on_the_page_are_those_of_the_code():
    known = {name_of(metric) for module in PLACES.values() for metric in declared(module)}
    named = {name.removesuffix("_bucket") for name in re.findall(r"meterstream_[a-z_]+", PAGE)}
    source = "".join(
        path.read_text()
        for room in ("api", "runtime", "streams")
        for path in (ROOT / room).rglob("*.py")
    )

    assert named <= known
    for message in re.findall(
        r"^\| (?:debug|info|warning|error|critical) \| `(.*?)`", PAGE, re.MULTILINE
    ):
        assert f'"{message}"' in source, message
