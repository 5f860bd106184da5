"""The list of refused records over HTTP: what is refused, what is asked for, how records look."""

import base64

import pytest

from domain.metering.rejected import Place, RejectedRecord
from tests.api_app import AnApp, FixedRejected, problem_of
from tests.builders import NOON

PATH = "/api/v1/events/rejected"


def a_refused_record(**more) -> RejectedRecord:
    value = more.get("value", b"{}")
    values = {
        "id": "a" * 32,
        "code": "time_out_of_range",
        "field": "$.time",
        "message": "the time",
        "rejected_ms": 1_772_712_000_250,
        "origin": Place(topic="om_default_events", partition=3, offset=7),
        "index": 2,
        "stored": Place(topic="om_default_rejected", partition=3, offset=1),
        "key": b"acme",
        "value": value,
        "value_bytes": len(value),
    }
    return RejectedRecord(**{**values, **more})


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "from=yesterday",
        "from=2026-03-05T12:00:00Z&to=2026-03-05T11:00:00Z",
        "code=",
        "&".join(f"code=c{n}" for n in range(51)),
        "topic=",
        "topic=a&topic=b",
        "partition=-1",
        "partition=2147483648",
        "partition=x",
        "cursor=",
        "cursor=x",
        "cursor=" + base64.b64encode(b"1-2").decode(),
        "cursor=" + base64.b64encode("१-1-1".encode()).decode(),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(query):
    app = AnApp()

    answer = await app.get(f"{PATH}?{query}")

    assert problem_of(answer)[0] == 400, answer.text
    assert app.rejected.asked == []


async def test_parameters_reach_the_topic():
    app = AnApp()

    answer = await app.get(
        f"{PATH}?code=a&code=b&from=2026-03-05T12:00:00.0019Z&to=2026-03-05T13:00:00Z&topic=t&partition=3&limit=7"
    )

    assert answer.json() == {"items": []}
    (asked,) = app.rejected.asked
    assert (asked.codes, asked.topic, asked.partition, asked.limit) == (("a", "b"), "t", 3, 7)
    assert (asked.since_ms, asked.until_ms) == (1_772_712_000_001, 1_772_715_600_000)


async def test_a_refused_record_is_shown_with_reason_origin_and_contents():
    app = AnApp(rejected=FixedRejected([a_refused_record()], redriven={"a" * 32: NOON}))

    answer = await app.get(PATH)

    assert answer.json() == {
        "items": [
            {
                "id": "a" * 32,
                "code": "time_out_of_range",
                "field": "$.time",
                "message": "the time",
                "rejectedAt": "2026-03-05T12:00:00.250000Z",
                "redrivenAt": "2026-03-05T12:00:00Z",
                "origin": {"topic": "om_default_events", "partition": 3, "offset": 7, "index": 2},
                "stored": {"topic": "om_default_rejected", "partition": 3, "offset": 1},
                "key": "acme",
                "value": "{}",
                "valueBytes": 2,
            }
        ]
    }


async def test_what_is_not_known_is_left_out():
    record = a_refused_record(field=None, origin=None, key=None, value=b"\xff")
    app = AnApp(rejected=FixedRejected([record]))

    (item,) = (await app.get(PATH)).json()["items"]

    assert {"field", "origin", "key", "value", "redrivenAt"} & item.keys() == set()
    assert item["valueBase64"] == "/w=="


@pytest.mark.parametrize(
    ("value", "whole", "member"),
    [
        ("ä".encode()[:1], 2, {"value": ""}),
        ("aä".encode()[:2], 3, {"value": "a"}),
        (b"\xff", 1, None),
    ],
)
async def test_a_part_that_ends_inside_a_character_is_text(value, whole, member):
    record = a_refused_record(value=value, value_bytes=whole)
    app = AnApp(rejected=FixedRejected([record]))

    (item,) = (await app.get(PATH)).json()["items"]

    assert {k: v for k, v in item.items() if k == "value"} == (member or {})


async def test_a_cursor_leads_to_the_next_page():
    app = AnApp(rejected=FixedRejected([a_refused_record()], next=(1_772_712_000_250, 3, 1)))

    page = (await app.get(PATH)).json()
    await app.get(PATH, params={"cursor": page["nextCursor"]})

    assert [asked.before for asked in app.rejected.asked] == [None, (1_772_712_000_250, 3, 1)]
