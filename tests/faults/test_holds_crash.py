"""`kill -9` of the worker at every step of a hold: none that was answered is lost, none is there twice, and usage counts once."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from streams.steps import Step
from tests.held import Held
from tests.stack import start_stack, stop_stack, wait_until
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(230)]

STEPS = [step for step in Step if step.value.startswith("hold")]
AMOUNT = 1000


@pytest.fixture
def stack(tmp_path, zygote, kafka_address, postgres_dsn, clickhouse_url):
    running = start_stack(
        "holdcrash",
        tmp_path,
        kafka_address,
        postgres_dsn,
        clickhouse_url,
        METERSTREAM_WORKER__AGENTS="[meter, sink, route, balance]",
    )
    running.worker.zygote = zygote
    yield running
    stop_stack(running)


def test_holds_and_what_they_used_survive_a_kill_at_every_step(stack):
    held = Held(stack, "crash", AMOUNT)
    made, used = {}, {}

    for number, step in enumerate(STEPS):
        stack.worker.stop()
        stack.worker.start(METERSTREAM_CRASH_AT=f"{step.value}:2").wait_ready()
        key = 0
        while stack.worker.process.poll() is None:
            assert key < 200, f"{step.value} was not reached"
            key += 1
            name = f"{number}-{key}"
            answer = held.create(name, 1)
            if answer.is_success:
                made[name] = answer.json()["id"]
                confirmed = held.confirm(name, used=2)
                used[name] = confirmed.is_success
        stack.worker.start().wait_ready()
        again = f"{number}-{key}"
        told = wait_until(lambda: _created(held, again), 30, f"{again} after {step.value}")  # noqa: B023
        assert made.setdefault(again, told["id"]) == told["id"], step

    for name in made:
        wait_until(lambda: held.confirm(name, used=2).status_code == 200, 30, name)  # noqa: B023
    every = {one["key"]: one for one in held.all()}
    assert {name: every[name]["id"] for name in made} == made
    assert len(every) == len(held.all())
    assert {one["status"] for one in every.values()} == {"confirmed"}
    held.wait_balance(AMOUNT - 2 * len(every))
    stack.wait_value(held.meter, 2 * len(every))


def test_two_workers_that_take_over_from_each_other_never_grant_more_than_there_is(stack, zygote):
    second = WorkerProcess(
        stack.worker.namespace,
        stack.worker.data_dir,
        stack.worker.kafka,
        stack.worker.clickhouse,
        name="worker-2",
        environment=stack.worker.environment,
        zygote=zygote,
    )
    held = Held(stack, "takeover", AMOUNT)
    second.start().wait_ready()
    granted: dict[str, str] = {}
    try:
        for number, worker in enumerate((stack.worker, second)):
            worker.kill()
            with ThreadPoolExecutor(4) as pool:
                told = pool.map(
                    lambda n: _created_in_time(stack, held, f"{number}-{n}"),  # noqa: B023
                    range(12),
                )
                granted |= {one["key"]: one["id"] for one in told if one is not None}
            worker.start().wait_ready()
    finally:
        second.kill()

    wait_until(lambda: stack.client.get(held.holds).is_success, 60, "an owner")
    every = {one["key"]: one for one in held.all()}
    assert {key: every[key]["id"] for key in granted} == granted
    assert [one["amount"] for one in every.values()] == [100] * 10
    assert len(granted) == 10
    held.wait_balance(0, seconds=60)


def _created_in_time(stack, held: Held, key: str) -> dict | None:
    """The hold of 100, or None when there is not enough; asked again while nobody can say."""
    with httpx.Client(base_url=stack.api.url, timeout=30) as client:

        def answered():
            answer = client.post(held.holds, json={"key": key, "amount": 100, "expiresIn": 3000})
            return answer if answer.status_code != 503 else None

        answer = wait_until(answered, 60, f"an answer for {key}")
    return answer.json() if answer.is_success else None


def _created(held: Held, key: str) -> dict | None:
    answer = held.create(key, 1)
    return answer.json() if answer.is_success else None
