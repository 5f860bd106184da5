"""Whatever a client sends: a clear refusal or an answer, never an error of ours; and what is taken can be read back."""

import asyncio
import json
from datetime import UTC
from types import SimpleNamespace
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cloudevents import decode_record
from schemas.partitioner import partition_of
from streams.decoding import decode
from tests.api_app import AnApp
from tests.builders import NOON, an_event

SOME = settings(max_examples=150, deadline=None)

texts = st.text(max_size=20) | st.sampled_from(
    [
        "",
        "\0",
        "a,b",
        "%",
        "\\",
        "2024-03-05T10:00:00Z",
        "2024-03-05",
        "1e400",
        "SUM",
        "$.n",
        "x'--",
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
PARAMETERS = [
    *("from", "to", "windowSize", "windowTimeZone", "subject", "groupBy", "clientId", "limit"),
    *(
        "filterCustomerId",
        "filterGroupBy[g]",
        "filterGroupBy",
        "filterGroupBy[",
        "id",
        "customerId",
    ),
    *("advancedMeterGroupByFilters", "filter", "cursor", "order", "orderBy", "page", "pageSize"),
    *("ingestedAtFrom", "ingestedAtTo", "includeDeleted"),
]
FILTERS = [
    "id",
    "type",
    "time",
    "ingestedAt",
    "customerId",
    "g",
    "$eq",
    "$in",
    "$and",
    "$or",
    "$gt",
]
PATHS = [
    *("/api/v1/meters", "/api/v1/meters/tokens", "/api/v1/meters/tokens/query", "/api/v1/events"),
    *(
        "/api/v1/meters/tokens/subjects",
        "/api/v1/meters/tokens/group-by/g/values",
        "/api/v2/events",
    ),
]
times = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat()) | st.sampled_from(
    ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", None]
)
filters = st.recursive(
    st.none() | texts | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FILTERS), inner, max_size=3)
    ),
    max_leaves=8,
)


async def an_app():
    app = AnApp()
    await app.with_meter(groups={"g": "$.g"})
    return app


def status_of(method, path, **more):
    async def ask():
        return (await (await an_app()).request(method, path, **more)).status_code

    return asyncio.run(ask())


@SOME
@given(
    path=st.sampled_from(PATHS)
    | st.binary(max_size=12).map(lambda raw: f"/api/v1/meters/{quote(raw)}"),
    query=st.lists(
        st.tuples(st.sampled_from(PARAMETERS), texts | filters.map(json.dumps)), max_size=3
    ),
)
def test_no_query_string_is_an_error_of_ours(path, query):
    joined = "&".join(
        f"{quote(name)}={quote(value, errors='surrogatepass')}" for name, value in query
    )

    assert status_of("GET", f"{path}?{joined}") < 500


@SOME
@given(
    request=st.sampled_from(
        [
            ("POST", "/api/v1/meters"),
            ("PUT", "/api/v1/meters/tokens"),
            ("POST", "/api/v1/meters/tokens/query"),
        ]
    ),
    member=st.sampled_from(
        [
            *("slug", "name", "description", "metadata", "aggregation", "eventType", "eventFrom"),
            *(
                "valueProperty",
                "groupBy",
                "from",
                "to",
                "subject",
                "windowTimeZone",
                "filterGroupBy",
            ),
            "advancedMeterGroupByFilters",
        ]
    ),
    value=values | filters,
)
def test_no_body_is_an_error_of_ours(request, member, value):
    method, path = request
    body = {"slug": "x", "aggregation": "SUM", "eventType": "t", "valueProperty": "$.n"}
    content = json.dumps({**body, member: value})

    status = status_of(method, path, content=content, headers={"content-type": "application/json"})

    assert status < 500


@SOME
@given(member=st.sampled_from([*an_event(), "extension"]), value=values)
def test_an_event_is_refused_or_reaches_the_log_as_it_was_sent(member, value):
    event = {**an_event(n=1), member: value}

    async def send():
        app = await an_app()
        answer = await app.ingest(json.dumps([event, an_event("other")]).encode())
        return answer.status_code, [one.id for one in app.log.events]

    status, ids = asyncio.run(send())

    assert (status, ids) == (400, []) or (status, sorted(ids)) == (
        204,
        sorted([event["id"], "other"]),
    )


@SOME
@given(
    members=st.dictionaries(
        st.sampled_from(["id", "source", "type", "subject", "data", "time", "extension"]),
        values | times | st.dictionaries(texts, values, max_size=3),
        max_size=3,
    )
)
def test_what_is_taken_a_worker_judges_and_takes_but_for_its_time(members):
    async def send():
        app = await an_app()
        answer = await app.ingest(
            json.dumps([an_event("good"), {**an_event(), **members}]).encode()
        )
        return answer.status_code, app.log.records

    status, records = asyncio.run(send())
    decoded = [judged(partition, value) for partition, _, value in records]

    taken = sum(one.count for one in decoded)
    rejected = [event for one in decoded for event in one.rejected]
    assert taken + len(rejected) == (2 if status == 204 else 0)
    assert all(event.code == "time_out_of_range" for event in rejected)
    assert not any(one.forwarded for one in decoded)


def judged(partition, value):
    record = SimpleNamespace(
        offset=0, key=b"", value=value, headers=(), timestamp=int(NOON.timestamp() * 1000)
    )
    return decode(
        [record],
        namespace="default",
        partition=partition,
        owner_of=lambda subject: partition_of(subject.encode(), 4),
        not_before=0,
    )


@SOME
@given(body=st.binary(max_size=60), start=st.integers(0, 200))
def test_no_bytes_are_an_error_of_ours(body, start):
    whole = json.dumps([an_event(n=1)]).encode()
    broken = whole[:start] + body + whole[start + len(body) :]

    async def send():
        app = await an_app()
        answer = await app.ingest(broken)
        for _, _, value in app.log.records:
            decode_record(value)
        return answer.status_code

    assert asyncio.run(send()) in (204, 400)
