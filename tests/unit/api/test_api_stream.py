"""Changed balances as server-sent events, through a real server and a real client."""

import asyncio
import itertools
import json
import time

import httpx
import pytest

from api.streaming.position import position_text, read_position
from schemas.balance_changes import Cause
from tests.balance_streams import MemoryBalancesTopic, Stream, a_change, served


async def test_a_change_is_told_with_its_value_in_the_form_of_v2():
    topic = MemoryBalancesTopic()
    async with served(topic) as server, server.stream() as stream:
        await stream.begun()

        topic.tell(a_change("acme", 7, cause=Cause.HOLD))
        event = await stream.next()

    assert event.event == "balance"
    assert json.loads(event.data) == {
        "entitlementId": "e-acme-tokens",
        "customerId": "id-acme",
        "customerKey": "acme",
        "featureId": "id-tokens",
        "featureKey": "tokens",
        "cause": "hold",
        "asOf": "1970-01-01T00:00:01Z",
        "value": {
            "hasAccess": True,
            "balance": 7,
            "usage": 0,
            "overage": 0,
            "totalAvailableGrantAmount": 7,
        },
    }


async def test_filters_take_ids_and_keys_of_customers_and_features():
    topic = MemoryBalancesTopic()
    wanted = {"customer": ["acme", "id-beta"], "feature": ["tokens", "id-calls"]}
    async with served(topic) as server, server.stream(**wanted) as stream:
        await stream.begun()

        topic.tell(a_change("other", 1))
        topic.tell(a_change("acme", 2, feature="seats"))
        topic.tell(a_change("acme", 3))
        topic.tell(None)
        topic.tell(a_change("beta", 4, feature="calls"), partition=1)

        assert await stream.balances(2) == [("acme", 3), ("beta", 4)]


async def test_a_client_that_comes_back_goes_on_after_the_last_id_through_another_process():
    topic = MemoryBalancesTopic()
    async with served(topic) as server, server.stream() as stream:
        await stream.begun()
        topic.tell(a_change("acme", 1))
        topic.tell(a_change("acme", 2), partition=1)
        await stream.balances(2)
    topic.tell(a_change("acme", 3))
    topic.tell(a_change("acme", 4), partition=1)

    async with served(topic) as server, server.stream(stream.ids[-1]) as again:
        await again.begun()
        topic.tell(a_change("acme", 5))

        assert await again.balances(3) == [("acme", 3), ("acme", 4), ("acme", 5)]

    offsets = [read_position(id).offsets for id in stream.ids + again.ids]
    for before, after in itertools.pairwise(offsets):
        assert all(a <= b for a, b in zip(before, after, strict=True))


async def test_every_position_can_be_gone_on_from_without_a_gap_or_a_repetition():
    topic = MemoryBalancesTopic()
    async with served(topic) as server:
        async with server.stream() as stream:
            await stream.begun()
            for n in range(6):
                topic.tell(a_change("acme", n), partition=n % 2)
            await stream.balances(6)

        for seen, id in enumerate(stream.ids):
            async with server.stream(id) as again:
                await again.begun()
                rest = await again.balances(6 - seen)
            assert sorted(balance for _, balance in rest) == list(range(seen, 6))


@pytest.mark.parametrize("backlog_max", [1_000, 5])
async def test_changes_while_a_client_reads_what_it_missed_come_after_it(backlog_max):
    topic = MemoryBalancesTopic()
    async with served(topic, backlog_max=backlog_max) as server:
        async with server.stream() as stream:
            await stream.begun()
        for n in range(200):
            topic.tell(a_change("acme", n))

        async with server.stream(stream.ids[-1]) as again:
            await again.begun()
            for n in range(200, 230):
                topic.tell(a_change("acme", n))

            assert [balance for _, balance in await again.balances(230)] == list(range(230))


async def test_a_client_that_is_ahead_of_this_process_is_told_nothing_twice():
    topic = MemoryBalancesTopic()
    async with served(topic) as server, server.stream() as stream:
        await stream.begun()
        mark = read_position(stream.ids[0]).topic
        late = [topic.append(a_change("acme", n)) for n in (1, 2)]

        async with server.stream(position_text(mark, (2, 0))) as ahead:
            await ahead.begun()
            topic.deliver(late)
            topic.tell(a_change("acme", 3))

            assert await ahead.balances(1) == [("acme", 3)]
            assert read_position(ahead.ids[-1]).offsets == (3, 0)


@pytest.mark.parametrize("what", ["gone", "other", "ahead", "far"])
async def test_a_position_that_cannot_be_gone_on_from_says_so_and_then_goes_on(what):
    topic = MemoryBalancesTopic()
    async with served(topic, resume_records_max=3) as server, server.stream() as stream:
        await stream.begun()
        topic.tell(a_change("acme", 1))
        await stream.balances(1)
    then = topic
    match what:
        case "gone":
            topic.tell(a_change("acme", 2))
            topic.tell(a_change("acme", 3))
            topic.first = [2, 0]
        case "other":
            then = MemoryBalancesTopic(id="made again")
            then.tell(a_change("acme", 9))
        case "ahead":
            then = MemoryBalancesTopic()
        case "far":
            for n in range(4):
                topic.tell(a_change("acme", n))

    async with served(then, resume_records_max=3) as server, server.stream(stream.ids[-1]) as again:
        event = await again.next()
        then.tell(a_change("acme", 100))

        assert event.event == "reset"
        assert await again.balances(1) == [("acme", 100)]


async def test_a_quiet_stream_has_heartbeats_that_move_its_position_on():
    topic = MemoryBalancesTopic()
    async with served(topic, heartbeat_s=0.05) as server, server.stream(customer="acme") as stream:
        await stream.begun()
        topic.tell(a_change("other", 1))

        async with asyncio.timeout(5):
            while read_position((await anext(stream.events)).id).offsets != (1, 0):
                pass


async def test_a_client_that_takes_too_little_is_cut_and_told_so_and_misses_nothing():
    topic = MemoryBalancesTopic()
    async with served(topic, backlog_max=10) as server:
        async with server.stream() as stream:
            await stream.begun()
            for n in range(11):
                topic.tell(a_change("acme", n))
            events = [await stream.next()]
        assert events[0].event == "slow"

        async with server.stream(stream.ids[-1]) as again:
            await again.begun()
            assert [balance for _, balance in await again.balances(11)] == list(range(11))


async def test_a_client_that_takes_nothing_at_all_is_let_go_of():
    topic = MemoryBalancesTopic()
    async with served(topic, send_s_max=0.2, backlog_max=100_000) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(server.url).port)
        writer.write(b"GET /api/v1/stream/balances HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"connected")

        async with asyncio.timeout(20):
            while server.hub.clients:
                for n in range(1000):
                    topic.tell(a_change("acme", n))
                await asyncio.sleep(0.01)
        writer.close()


async def test_more_streams_than_allowed_are_refused_until_one_ends():
    async with served(MemoryBalancesTopic(), clients_max=1) as server:
        async with server.stream() as stream:
            await stream.begun()
            refused = await server.client.get(f"{server.url}/api/v1/stream/balances")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        await server.until(lambda: not server.hub.clients)

        async with server.stream() as stream:
            await stream.begun()


async def test_a_process_that_stops_ends_its_streams_in_good_order_and_soon():
    topic = MemoryBalancesTopic()
    async with served(topic) as server, server.stream() as stream:
        await stream.begun()
        began = time.monotonic()

        server.server.should_exit = True
        event = await stream.next()
        with pytest.raises(StopAsyncIteration):
            await anext(stream.events)

        assert event.event == "closing"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"lastEventId": "garbage!"}, "last_event_id_invalid"),
        ({"lastEventId": "AAAA"}, "last_event_id_invalid"),
        ({"snapshot": "true"}, "snapshot_needs_customer"),
        ({"snapshot": "maybe"}, "invalid_parameter"),
        ({"customer": ""}, "parameter_empty"),
        ({"customer": ["c"] * 101}, "invalid_parameter"),
    ],
)
async def test_a_wrong_request_is_refused_with_a_problem(parameters, code):
    async with served(MemoryBalancesTopic()) as server:
        answer = await server.client.get(f"{server.url}/api/v1/stream/balances", params=parameters)

    assert answer.status_code == 400
    assert answer.json()["extensions"]["validationErrors"][0]["code"] == code


async def test_while_kafka_is_down_a_stream_is_refused_and_later_begins():
    topic = MemoryBalancesTopic(down=True)
    async with served(topic) as server:
        assert (await server.client.get(f"{server.url}/api/v1/stream/balances")).status_code == 503

        topic.down = False
        async with server.stream() as stream:
            assert isinstance(await stream.begun(), Stream)
