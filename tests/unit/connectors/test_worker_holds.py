"""Whom the api asks for holds: the owner of the customer's partition, and nobody else."""

from dataclasses import dataclass, field

import pytest

from connectors.workers.holds import WorkerHolds
from connectors.workers.whom import Whom
from domain.errors import Unavailable
from schemas.holds import HoldCall, HoldTold, Read, decode_call, encode_told
from schemas.owners import WorkerRecord
from schemas.partitioner import partition_of

CUSTOMER = "01ARZ3NDEKTSV4RRFFQ69G5F00"
PARTITION = partition_of(CUSTOMER.encode(), 4)


def a_call(customer=CUSTOMER):
    return HoldCall(customer=customer, entitlement="tokens", request=Read(key="k"))


@dataclass
class FixedCalls:
    """Answers by address, and what they were asked."""

    told: dict[str, HoldTold | Exception | bytes]
    asked: list = field(default_factory=list)

    async def post(self, url, path, body):
        self.asked.append((url, path, decode_call(body)))
        answer = self.told[url]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else encode_told(answer)


def asking(told, *, owned):
    workers = [
        WorkerRecord(name=url, url=url, owned=numbers, generation=1)
        for url, numbers in owned.items()
    ]
    calls = FixedCalls(told)
    return WorkerHolds(Whom(lambda: workers, partitions=4), calls, lambda: 7), calls


async def test_the_owner_is_asked_with_the_catalog_that_it_must_have_seen():
    holds, calls = asking(
        {"a": HoldTold(), "b": HoldTold()}, owned={"a": (PARTITION,), "b": (PARTITION ^ 1,)}
    )

    assert await holds.ask(a_call()) == HoldTold()

    ((url, path, call),) = calls.asked
    assert (url, path, call.catalog) == ("a", "/internal/holds", 7)


async def test_a_key_is_asked_of_anybody_and_then_where_it_was_said_to_be():
    elsewhere = HoldTold(why="elsewhere", partition=PARTITION, customer_id=CUSTOMER)
    holds, calls = asking(
        {"a": HoldTold(), "b": elsewhere}, owned={"a": (PARTITION,), "b": (PARTITION ^ 1,)}
    )

    for _ in range(4):
        assert await holds.ask(a_call("acme")) == HoldTold()

    assert [url for url, _, _ in calls.asked].count("b") <= 1


async def test_without_an_owner_nobody_is_asked():
    holds, calls = asking({"b": HoldTold()}, owned={"b": (PARTITION ^ 1,)})

    with pytest.raises(Unavailable):
        await holds.ask(a_call())

    assert not calls.asked


@pytest.mark.parametrize("answer", [Unavailable("down"), b"\xc1"])
async def test_a_call_without_an_answer_is_not_repeated(answer):
    holds, calls = asking({"a": answer}, owned={"a": (PARTITION,)})

    with pytest.raises(Unavailable):
        await holds.ask(a_call())

    assert len(calls.asked) == 1


async def test_workers_that_send_one_another_away_end_the_search():
    elsewhere = HoldTold(why="elsewhere", partition=PARTITION, customer_id=CUSTOMER)
    holds, calls = asking({"a": elsewhere}, owned={"a": (PARTITION,)})

    with pytest.raises(Unavailable):
        await holds.ask(a_call())

    assert len(calls.asked) <= 4
