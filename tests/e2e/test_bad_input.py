"""Bad input over HTTP: a clear error, or counted for what it is; and the next event is counted."""

import json

import pytest

from tests.api_app import problem_of
from tests.stack import wait_until

pytestmark = pytest.mark.e2e

BATCH = "application/cloudevents-batch+json"
TIME = "2024-03-05T10:00:00Z"


class Metered:
    """An event type with a COUNT and a SUM meter, and how many events of it should count by now."""

    def __init__(self, stack, unique):
        self.stack = stack
        self.type = f"t_{unique}"
        self.count, self.sum = f"c_{unique}", f"s_{unique}"
        stack.make_meter(self.count, self.type, "COUNT", groupBy={"g": "$.g"})
        stack.make_meter(self.sum, self.type)
        self.expected = 0

    def event(self, id="bad", **more):
        plain = {
            "specversion": "1.0",
            "id": id,
            "source": self.type,
            "type": self.type,
            "subject": "s",
            "time": TIME,
        }
        return {key: value for key, value in {**plain, **more}.items() if value is not ...}

    def send(self, body, content_type=BATCH):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.stack.client.post(
            "/api/v1/events", content=content, headers={"content-type": content_type}
        )

    def taken(self, *events):
        """Send them and expect each to count."""
        assert self.send(list(events)).status_code == 204
        self.expected += len(events)
        self.stack.wait_value(self.count, self.expected)

    def next_event_counts(self):
        self.taken(self.event(f"next-{self.expected}", data={"n": 1}))

    def listed(self):
        answer = self.stack.client.get(
            "/api/v2/events", params={"filter": json.dumps({"type": {"$eq": self.type}})}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]


@pytest.fixture
def metered(stack, unique):
    return Metered(stack, unique)


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("text/plain", b"[]", "invalid_content_type"),
        ("application/json", b'{"id": "1", ', "invalid_json"),
        ("application/json", b'{"specversion": "1.0", "id": "\xff"}', "wrong_type"),
        ("application/json", b'{"id": "\\ud800"}', "invalid_json"),
    ],
    ids=["content-type", "broken", "utf-8", "surrogate"],
)
def test_a_body_that_cannot_be_read(metered, content_type, body, code):
    answer = metered.send(body, content_type)

    assert problem_of(answer)[:2] == (400, code)
    metered.next_event_counts()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"subject": ...}, "missing_field"),
        ({"id": 5}, "wrong_type"),
        ({"data": [1]}, "data_not_object"),
        ({"time": "yesterday"}, "time_invalid"),
    ],
    ids=["subject", "id", "data", "time"],
)
def test_one_bad_event_and_nothing_of_its_batch_is_counted(metered, wrong, code):
    answer = metered.send([metered.event("good"), metered.event(**wrong), metered.event("good2")])

    assert problem_of(answer)[:2] == (400, code)
    metered.next_event_counts()


def test_ten_megabytes_of_events_are_counted(metered):
    events = [metered.event(f"e{i}", data={"n": 1, "text": "x" * 10_000}) for i in range(1000)]

    metered.taken(*events)

    metered.next_event_counts()


def test_a_body_over_the_bound(metered):
    answer = metered.send(b"[" + b" " * (16 << 20) + b"]")

    assert problem_of(answer)[:2] == (413, "body_too_large")
    metered.next_event_counts()


def test_an_event_that_fits_no_record(metered):
    answer = metered.send([metered.event(data={"text": "x" * (1 << 20)})])

    assert problem_of(answer)[:2] == (413, "event_too_large")
    metered.next_event_counts()


@pytest.mark.parametrize(
    ("value", "total"),
    [
        ('"12.5"', 13.5),
        ('"NaN"', 1),
        ('"Infinity"', 1),
        ('"-inf"', 1),
        ('"four"', 1),
        ("true", 1),
        ("[1]", 1),
        ('{"x": 1}', 1),
        ("1e300", 1e300),
        ('"1e400"', 1),
    ],
)
def test_a_value_that_may_be_no_number(metered, value, total):
    metered.taken(metered.event(data={"n": json.loads(value)}))

    metered.next_event_counts()

    metered.stack.wait_value(metered.sum, total)
    (bad,) = [one for one in metered.listed() if one["event"]["id"] == "bad"]
    is_number = total != 1
    assert ("invalid event" in bad["validationError"]) is not is_number


@pytest.mark.parametrize("number", [b"1e400", b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_json_or_doubles_do_not_have(metered, number):
    event = json.dumps(metered.event(data={"n": "NUMBER"})).encode()

    answer = metered.send(b"[" + event.replace(b'"NUMBER"', number) + b"]")

    assert problem_of(answer)[0] == 400
    metered.next_event_counts()


def test_odd_and_missing_group_values(metered):
    odd = ["", "a'b\\c", "\t\n\r", "🛰", "\0", {"x": 1}, [1], True, 7, 1.5, "x" * 3000]
    metered.taken(*[metered.event(f"e{i}", data={"g": value}) for i, value in enumerate(odd)])
    metered.taken(metered.event("none"), metered.event("no-g", data={}))

    metered.next_event_counts()

    rows = metered.stack.query(metered.count, groupBy="g")
    found = {row["groupBy"]["g"]: row["value"] for row in rows}
    assert found.pop("") == 6  # "", object, list, and three without
    assert found == dict.fromkeys(
        ["a'b\\c", "\t\n\r", "🛰", "\0", "true", "7", "1.5", "x" * 3000], 1
    )
    (one,) = metered.stack.query(metered.count, **{"filterGroupBy[g]": "a'b\\c"})
    assert one["value"] == 1


@pytest.mark.parametrize("time", ["1926-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_time_before_the_first_that_counts_goes_to_the_rejected_topic(metered, time):
    assert metered.send([metered.event(time=time)]).status_code == 204

    metered.next_event_counts()

    assert [one["event"]["id"] for one in metered.listed()] == ["next-0"]


def test_a_time_a_hundred_years_ahead_counts_there(metered):
    metered.taken(metered.event(time="2126-01-01T00:00:00Z"))

    metered.next_event_counts()

    rows = metered.stack.query(
        metered.count, windowSize="MONTH", **{"from": "2100-01-01T00:00:00Z"}
    )
    assert [(row["windowStart"], row["value"]) for row in rows] == [("2126-01-01T00:00:00Z", 1)]


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "a'b\\c", "\\N", "\t\n", "🛰", "{p0:String}", "x" * 2000]
)
def test_odd_ids_and_subjects_survive_the_whole_way(metered, text):
    metered.taken(metered.event(text, subject=text))

    metered.next_event_counts()

    client = metered.stack.client
    wanted = {"type": {"$eq": metered.type}, "id": {"$eq": text}, "subject": {"$eq": text}}
    (listed,) = client.get("/api/v2/events", params={"filter": json.dumps(wanted)}).json()["items"]
    assert (listed["event"]["id"], listed["event"]["subject"]) == (text, text)
    (row,) = metered.stack.query(metered.count, subject=text)
    assert (row["subject"], row["value"]) == (text, 1)
    assert client.get(f"/api/v1/meters/{metered.count}/subjects").json() == sorted([text, "s"])


def test_the_same_id_again_counts_once(metered):
    metered.taken(metered.event("once"))
    assert metered.send([metered.event("once"), metered.event("once")]).status_code == 204

    metered.next_event_counts()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"valueProperty": "$." + "n" * 5000}, "$.valueProperty"),
        ({"valueProperty": "$..n"}, "$.valueProperty"),
        ({"valueProperty": "$.n[?(@.x)]"}, "$.valueProperty"),
        ({"slug": "x'; DROP TABLE meters; --"}, "$.slug"),
        ({"groupBy": {"g'); --": "$.g"}}, None),
    ],
    ids=["long", "descent", "filter", "sql-slug", "sql-group"],
)
def test_a_meter_that_cannot_be(metered, unique, change, field):
    body = {"slug": f"x_{unique}", "aggregation": "SUM", "eventType": metered.type}

    answer = metered.stack.client.post(
        "/api/v1/meters", json={**body, "valueProperty": "$.n", **change}
    )

    assert answer.status_code == 400
    assert field is None or problem_of(answer)[2] == field
    metered.next_event_counts()


def test_a_path_that_matches_many_takes_the_first(metered, unique):
    metered.stack.make_meter(f"many_{unique}", metered.type, valueProperty="$.n[*].x")

    metered.taken(metered.event(data={"n": [{"x": 2}, {"x": 40}]}))

    metered.stack.wait_value(f"many_{unique}", 2)
    metered.next_event_counts()


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"from": "2024-03-06T00:00:00Z", "to": TIME}, "bounds_reversed"),
        ({"windowTimeZone": "Mars/Base"}, "time_zone_unknown"),
        ({"windowTimeZone": "../../etc/passwd"}, "time_zone_unknown"),
        ({"groupBy": "g'); DROP TABLE events; --"}, "invalid_group_by"),
        ({"windowSize": "WEEK"}, "invalid_parameter"),
    ],
    ids=["reversed", "zone", "zone-path", "sql-group", "window"],
)
def test_a_question_that_makes_no_sense(metered, parameters, code):
    answer = metered.stack.client.get(f"/api/v1/meters/{metered.count}/query", params=parameters)

    assert problem_of(answer)[:2] == (400, code)
    metered.next_event_counts()


def test_days_at_the_change_of_the_clock_have_23_and_25_hours(metered):
    times = [
        "2024-03-30T23:00:00Z",
        "2024-03-31T21:59:59Z",
        "2024-10-26T22:00:00Z",
        "2024-10-27T22:59:59Z",
    ]
    metered.taken(*[metered.event(f"e{i}", time=time) for i, time in enumerate(times)])

    rows = metered.stack.query(metered.count, windowSize="DAY", windowTimeZone="Europe/Berlin")

    assert [(row["windowStart"], row["windowEnd"], row["value"]) for row in rows] == [
        ("2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z", 2),
        ("2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z", 2),
    ]
    metered.next_event_counts()


def test_nothing_of_all_this_was_an_error_of_ours(stack):
    wait_until(stack.api.ready, 10, "ready api")

    metrics = stack.client.get("/metrics").text

    assert 'status="500"' not in metrics
