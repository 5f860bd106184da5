"""Who owns what and who stands by, by what the workers say."""

import msgspec
import pytest

from schemas.owners import (
    WorkerRecord,
    decode_worker,
    encode_worker,
    owner_by_partition,
    standby_of,
    standbys_after,
)


def a_worker(name="a", owned=(), standby=(), generation=1) -> WorkerRecord:
    return WorkerRecord(
        name=name, url=f"http://{name}", owned=owned, standby=standby, generation=generation
    )


def test_a_record_reads_back_as_it_was():
    record = a_worker(owned=(0, 3), standby=(1,))

    assert decode_worker(encode_worker(record)) == record


def test_what_is_no_record_is_refused():
    with pytest.raises(msgspec.DecodeError):
        decode_worker(b'{"name": 3}')


def test_of_two_that_claim_a_partition_the_later_decision_of_the_group_wins():
    woken = a_worker("z", owned=(0, 1), generation=4)
    present = a_worker("a", owned=(1, 2), generation=5)

    owners = owner_by_partition([woken, present])

    assert {number: owner.name for number, owner in owners.items()} == {0: "z", 1: "a", 2: "a"}


def test_the_standby_is_the_next_name_and_after_the_last_the_first():
    assert standbys_after("a", ["c", "a", "b"], 1) == ["b"]
    assert standbys_after("c", ["c", "a", "b"], 1) == ["a"]
    assert standbys_after("b", ["c", "a", "b"], 2) == ["c", "a"]
    assert standbys_after("a", ["a"], 1) == []


def test_every_partition_has_as_many_standbys_as_there_are_to_be_and_none_is_its_owner():
    live = [a_worker("a", owned=(0, 1)), a_worker("b", owned=(2,)), a_worker("c", owned=(3,))]

    found = {worker.name: standby_of(worker.name, live, 1) for worker in live}

    assert found == {"a": {3}, "b": {0, 1}, "c": {2}}


def test_a_worker_that_nobody_has_heard_of_yet_is_a_standby_for_the_others():
    live = [a_worker("a", owned=(0, 1))]

    assert standby_of("b", live, 1) == {0, 1}
    assert standby_of("b", live, 0) == set()
