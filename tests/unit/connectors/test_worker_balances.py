"""Whom the api asks for a balance, and what it makes of silence, strangers and workers that load."""

import asyncio

import pytest

from connectors.workers.client import WorkerBalances
from connectors.workers.whom import Whom
from domain.errors import Unavailable
from schemas.balances import Answer, Question, Told
from schemas.owners import WorkerRecord
from schemas.partitioner import partition_of

PARTITIONS = 4
IDS = {  # an id of a customer in each partition
    partition_of(id.encode(), PARTITIONS): id
    for id in (f"01J0000000000000000000000{c}" for c in "0123456789ABCDEF")
}


class Workers:
    """Workers behind `Calls`: what each says, by name, and what they were asked."""

    def __init__(self):
        self.live = {}
        self.says = {}
        self.asked = []

    def add(self, name, *, owned=(), standby=(), says=None, generation=1):
        self.live[name] = WorkerRecord(
            name=name, url=name, owned=owned, standby=standby, generation=generation, at_ms=1
        )
        self.says[name] = says or self.values_of(name)
        return self

    def values_of(self, name):
        """As a worker does: values of what it has, the rest is elsewhere. Customers' keys are `key-N`."""

        def says(question):
            number = number_of(question.customer)
            record = self.live[name]
            if number not in (*record.owned, *record.standby):
                return Answer(why="elsewhere", customer_id=IDS[number], partition=number)
            return Answer(customer_id=IDS[number], as_of_ms=len(name))

        return says

    async def call(self, url, ask):
        self.asked.append((url, [question.customer for question in ask.questions]))
        says = self.says[url]
        if says == "silence":
            raise Unavailable(f"{url} is silent")
        owned = self.live[url].owned
        numbers = [number_of(question.customer) for question in ask.questions]
        role = "owner" if all(number in owned for number in numbers) else "standby"
        return Told(
            answers=tuple(says(question) for question in ask.questions), role=role, catalog=1
        )

    async def close(self):
        pass


def number_of(customer):
    if customer.startswith("key-"):
        return int(customer[4:])
    return next(number for number, id in IDS.items() if id == customer)


@pytest.fixture
def workers():
    return Workers()


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def balances(workers, clock):
    whom = Whom(
        lambda: list(workers.live.values()), partitions=PARTITIONS, monotonic=lambda: clock[0]
    )
    return WorkerBalances(whom, workers)


def ask(balances, *customers, catalog=0):
    questions = [Question(customer=customer) for customer in customers]
    return asyncio.run(balances.ask(questions, catalog))


def test_each_question_goes_to_the_owner_of_its_customer_many_in_one_call(workers, balances):
    workers.add("a", owned=(0, 1), standby=(2, 3)).add("b", owned=(2, 3), standby=(0, 1))

    answers = ask(balances, IDS[3], IDS[0], IDS[2], IDS[1])

    assert sorted(workers.asked) == [("a", [IDS[0], IDS[1]]), ("b", [IDS[3], IDS[2]])]
    assert [answer.customer_id for answer, _ in answers] == [IDS[3], IDS[0], IDS[2], IDS[1]]
    assert {role for _, role in answers} == {"owner"}


def test_nothing_asked_is_nothing_answered(balances):
    assert ask(balances) == []


def test_an_owner_that_is_silent_is_left_alone_and_its_standby_answers(workers, balances):
    workers.add("a", owned=(0,), says="silence").add("b", standby=(0,))

    ((first, role),) = ask(balances, IDS[0])
    ask(balances, IDS[0])

    assert (first.why, role) == (None, "standby")
    assert [name for name, _ in workers.asked] == ["a", "b", "b"]


def test_a_silent_owner_is_asked_again_after_a_while_by_one_call(workers, balances, clock):
    workers.add("a", owned=(0,), says="silence").add("b", standby=(0,))
    ask(balances, IDS[0])
    clock[0] += 0.3
    ask(balances, IDS[0])
    ask(balances, IDS[0])
    assert [name for name, _ in workers.asked] == ["a", "b", "a", "b", "b"]

    workers.says["a"] = workers.values_of("a")
    clock[0] += 0.3
    roles = [ask(balances, IDS[0])[0][1] for _ in range(2)]

    assert roles == ["owner", "owner"]


def test_without_any_worker_and_with_silent_ones_only_it_is_unavailable(workers, balances):
    with pytest.raises(Unavailable):
        ask(balances, IDS[0])

    workers.add("a", owned=(0,), says="silence")
    with pytest.raises(Unavailable):
        ask(balances, IDS[0])


def test_a_partition_that_nobody_has_comes_back_and_the_others_are_answered(workers, balances):
    workers.add("a", owned=(0,))

    (known, _), (nobodys, _) = ask(balances, IDS[0], IDS[1])

    assert known.why is None
    assert nobodys.why == "elsewhere"


def test_a_key_is_asked_of_anybody_once_and_of_its_owner_from_then_on(workers, balances):
    workers.add("a", owned=(0,)).add("b", owned=(1,)).add("c", owned=(2,))

    for _ in range(3):
        ((answer, _),) = ask(balances, "key-1")
        assert (answer.why, answer.customer_id) == (None, IDS[1])

    strangers = [name for name, _ in workers.asked if name != "b"]
    assert len(strangers) <= 1
    assert [name for name, _ in workers.asked][-2:] == ["b", "b"]


def test_a_subject_is_not_taken_for_the_key_of_the_same_name(workers, balances):
    workers.add("a", owned=(0, 1, 2, 3))
    whom = Whom(lambda: list(workers.live.values()), partitions=PARTITIONS)

    whom.learn(Question(customer="acme"), IDS[1])
    whom.learn(Question(customer="acme", by_subject=True), IDS[2])

    assert whom.partition(Question(customer="acme")) == 1
    assert whom.partition(Question(customer="acme", by_subject=True)) == 2
    assert whom.partition(Question(customer=IDS[0], by_subject=True)) is None


def test_no_more_keys_are_remembered_than_there_is_room_for():
    whom = Whom(list, partitions=PARTITIONS, learnt_max=2)
    first, second, third = (Question(customer=f"key-{n}") for n in range(3))
    whom.learn(first, IDS[0])
    whom.learn(second, IDS[1])
    whom.partition(first)

    whom.learn(third, IDS[2])

    assert [whom.partition(q) for q in (first, second, third)] == [0, None, 2]


def test_an_owner_that_still_loads_is_passed_over_for_a_standby_that_has_it(workers, balances):
    workers.add("a", owned=(0,), says=lambda q: Answer(why="loading", customer_id=IDS[0]))
    workers.add("b", standby=(0,))

    ((answer, role),) = ask(balances, IDS[0])

    assert (answer.why, role) == (None, "standby")


def test_what_everybody_loads_comes_back_as_loading(workers, balances):
    loads = lambda q: Answer(why="loading", customer_id=IDS[0])  # noqa: E731
    workers.add("a", owned=(0,), says=loads).add("b", standby=(0,), says=loads)

    ((answer, _),) = ask(balances, IDS[0])

    assert answer.why == "loading"
    assert len(workers.asked) == 2


@pytest.mark.parametrize("why", ["unknown", "deleted", "behind", "past"])
def test_what_another_worker_could_not_say_better_is_not_asked_twice(workers, balances, why):
    workers.add("a", owned=(0,), says=lambda q: Answer(why=why)).add("b", standby=(0,))

    ((answer, _),) = ask(balances, IDS[0])

    assert answer.why == why
    assert len(workers.asked) == 1


def test_an_owner_that_has_lost_its_partition_sends_on_to_the_standby(workers, balances):
    workers.add("a", owned=(0,), says=lambda q: Answer(why="elsewhere", customer_id=IDS[0]))
    workers.add("b", standby=(0,))

    ((answer, _),) = ask(balances, IDS[0])

    assert answer.why is None
