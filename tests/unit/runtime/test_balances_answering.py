"""What a worker answers to the api, and that nothing sent to its door does harm."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from runtime.balances.answering import Answering
from runtime.balances.endpoint import balances_endpoint
from runtime.balances.followed import Followed
from runtime.balances.working import WorkingOptions, rest
from schemas.balances import Ask, Question, Told
from schemas.catalog import CustomerRecord
from tests.unit.runtime.balance_fakes import FakeCatalog, FakePartition

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_customer(id="c0", key=None, subjects=()):
    return CustomerRecord(
        id=id,
        namespace="t",
        name=id,
        key=key,
        subject_keys=subjects,
        created_at=NOON,
        updated_at=NOON,
    )


def answering(catalog, followed=(0, 1), owned=(0,), wait_s=0.2):
    """Customers `cN` have partition N."""
    return Answering(
        catalog,
        followed={
            n: Followed(n, FakePartition(n), bytes_max=1, wake=lambda: None, now_ms=lambda: 0)
            for n in followed
        },
        owns=lambda number: number in owned,
        partition_of=lambda id: int(id[1:]),
        now=lambda: NOON,
        catalog_wait_s=wait_s,
    )


def questions(*customers):
    return tuple(Question(customer=customer) for customer in customers)


async def test_everything_that_is_followed_is_answered_in_one_go_and_in_order():
    catalog = FakeCatalog(a_customer("c0"), a_customer("c1", key="acme"), a_customer("c2"))

    told = await answering(catalog).tell(Ask(questions=questions("acme", "c2", "nobody", "c0")))

    assert [answer.why for answer in told.answers] == [None, "elsewhere", "unknown", None]
    assert (told.answers[1].customer_id, told.answers[1].partition) == ("c2", 2)
    assert told.role == "standby"


async def test_the_role_is_owner_when_all_that_is_answered_is_owned():
    catalog = FakeCatalog(a_customer("c0"), a_customer("c1"))

    assert (await answering(catalog).tell(Ask(questions=questions("c0")))).role == "owner"
    assert (await answering(catalog).tell(Ask(questions=questions("c0", "c1")))).role == "standby"


async def test_a_question_by_subject_is_about_the_customer_whose_usage_it_is():
    catalog = FakeCatalog(
        a_customer("c0", key="acme", subjects=("s1",)), a_customer("c1", key="s1")
    )
    asked = tuple(
        Question(customer=name, by_subject=True) for name in ("acme", "s1", "c0", "nobody")
    )

    told = await answering(catalog).tell(Ask(questions=asked))

    assert [answer.customer_id for answer in told.answers] == ["c0", "c1", None, None]
    assert [answer.why for answer in told.answers] == [None, None, "unknown", "unknown"]


async def test_who_asks_for_access_only_gets_yes_or_no_by_feature_key():
    catalog = FakeCatalog(a_customer("c0"))
    asked = (Question(customer="c0", access_only=True), Question(customer="c2", access_only=True))

    told = await answering(catalog).tell(Ask(questions=asked))

    assert [(answer.values, answer.access) for answer in told.answers] == [((), {"k": True}), ((), None)]  # fmt: skip


async def test_a_question_waits_for_the_catalog_that_it_must_have_seen():
    catalog = FakeCatalog(version=4)
    asked = asyncio.create_task(
        answering(catalog, wait_s=30).tell(Ask(questions=questions("c0"), catalog=6))
    )
    await asyncio.sleep(0)
    catalog.moves_to(5)
    catalog.customers["c0"] = a_customer("c0")
    catalog.moves_to(6)

    told = await asked

    assert (told.answers[0].why, told.catalog) == (None, 6)


async def test_a_catalog_that_does_not_come_is_said_and_not_waited_for_longer():
    catalog = FakeCatalog(a_customer("c0"), version=4)

    told = await answering(catalog, wait_s=0.01).tell(
        Ask(questions=questions("c0", "c0"), catalog=5)
    )

    assert [answer.why for answer in told.answers] == ["behind", "behind"]


# -- the door


class Door:
    """The endpoint behind a real HTTP server."""

    def __init__(self, secret=None, bytes_max=10_000):
        endpoint = balances_endpoint(
            answering(FakeCatalog(a_customer("c0"))).tell,
            namespace="t",
            secret=secret,
            bytes_max=bytes_max,
        )
        served = web.Application()
        served.add_routes([endpoint.route()])
        self.client = TestClient(TestServer(served))

    async def __aenter__(self):
        await self.client.start_server()
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    async def post(self, body, **headers):
        sent = {"content-type": "application/msgpack", "meterstream-namespace": "t"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/internal/balances", data=body, headers=sent)


ASK = msgspec.msgpack.encode(Ask(questions=questions("c0")))


async def test_an_ask_in_msgpack_gets_a_told_in_msgpack():
    async with Door() as door:
        answer = await door.post(ASK)
        told = msgspec.msgpack.decode(await answer.read(), type=Told)

    assert answer.status == 200
    assert told.answers[0].values[0].has_access


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"{}",
        b"\xff" * 9_000,
        b"\x91" * 9_000,
        msgspec.msgpack.encode({"questions": [{"customer": None}]}),
        msgspec.msgpack.encode({"questions": [{"customer": "c0", "at": "now"}]}),
        msgspec.msgpack.encode({"questions": [], "catalog": "1"}),
        b"\x81\xa9questions\x91\x81\xa8customer\xa2\xff\xfe",
    ],
)
async def test_what_is_no_ask_is_400(body):
    async with Door() as door:
        answer = await door.post(body)
        problem = await answer.json(content_type="application/problem+json")

        assert (answer.status, problem["code"]) == (400, "ask_unreadable")
        assert (await door.post(ASK)).status == 200


async def test_another_namespace_and_another_kind_of_body_are_400():
    async with Door() as door:
        assert (await door.post(ASK, meterstream_namespace="u")).status == 400
        assert (await door.post(ASK, content_type="text/plain")).status == 400


async def test_too_long_a_body_is_413_whether_its_length_is_told_or_not():
    async def pieces():
        for _ in range(20):
            yield b"x" * 1_000

    async with Door() as door:
        assert (await door.post(b"x" * 10_001)).status == 413
        assert (await door.post(pieces())).status == 413


async def test_only_who_knows_the_secret_is_answered():
    async with Door(secret="s" * 16) as door:
        assert (await door.post(ASK)).status == 401
        assert (await door.post(ASK, meterstream_secret="t" * 16)).status == 401
        assert (await door.post(ASK, meterstream_secret="s" * 16)).status == 200


# -- turns


def test_work_rests_for_its_share_only_while_events_wait():
    options = WorkingOptions(share=0.25, batch_s=0.005, rest_s_max=0.5)

    assert rest(0.001, False, options) == pytest.approx(0.004)
    assert rest(0.020, False, options) == 0
    assert rest(0.020, True, options) == pytest.approx(0.060)
    assert rest(2.0, True, options) == 0.5
