"""What workers say of themselves on a real broker, and how others learn that one has died."""

import asyncio

import pytest

from connectors.kafka.owners_topic import Options, OwnersTopic
from runtime.config import Config, KafkaConfig
from runtime.topics import ensure_topics
from schemas import topics
from schemas.owners import WorkerRecord

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
async def boards(kafka_address, unique):
    ensure_topics(Config(namespace=unique, kafka=KafkaConfig(bootstrap_servers=kafka_address)))
    made = []
    clock = [0.0]

    def make():
        options = Options(bootstrap_servers=kafka_address, topic=topics.names(unique).owners)
        made.append(OwnersTopic(options, monotonic=lambda: clock[0]))
        made[-1].start()
        return made[-1]

    make.clock = clock
    yield make
    for board in made:
        await board.stop()


def a_record(name="a", owned=(0,), at_ms=0):
    return WorkerRecord(name=name, url="http://w", owned=owned, generation=1, at_ms=at_ms)


async def told(board, *records):
    async with asyncio.timeout(20):
        while tuple(board.live()) != records:  # noqa: ASYNC110 - another process says it
            await asyncio.sleep(0.01)


async def test_what_a_worker_says_is_known_to_all_and_to_who_comes_later(boards):
    worker, other = boards(), boards()

    await worker.publish(a_record(owned=(0, 1)))

    await told(worker, a_record(owned=(0, 1)))
    await told(other, a_record(owned=(0, 1)))
    await told(boards(), a_record(owned=(0, 1)))


async def test_a_worker_that_leaves_is_gone_at_once(boards):
    worker, other = boards(), boards()
    await worker.publish(a_record("a"))
    await worker.publish(a_record("b"))
    await told(other, a_record("a"), a_record("b"))

    await worker.leave("a")

    await told(other, a_record("b"))


async def test_a_worker_that_says_nothing_for_too_long_is_dead(boards):
    worker = boards()
    await worker.publish(a_record())
    await told(worker, a_record())

    boards.clock[0] += 4.9
    assert worker.live() == [a_record()]
    boards.clock[0] += 0.2

    assert worker.live() == []


async def test_only_what_is_new_is_a_change(boards):
    worker = boards()
    changes = []
    worker.on_change = lambda: changes.append(1)
    for at_ms, owned in ((1, (0,)), (2, (0,)), (3, (0, 1)), (4, (0, 1))):
        await worker.publish(a_record(owned=owned, at_ms=at_ms))
    await told(worker, a_record(owned=(0, 1), at_ms=4))

    assert len(changes) == 2


async def test_a_record_that_cannot_be_read_is_left_out(boards):
    worker = boards()
    await worker.publish(a_record())
    await told(worker, a_record())

    worker.take("a", b"\xff")
    worker.take("b", b"{}")

    assert worker.live() == [a_record()]
