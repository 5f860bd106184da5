"""One suite for every `Customers` and `Subjects`: the fakes that other tests use behave as Postgres does."""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from connectors.postgres.customers import PostgresCustomers
from connectors.postgres.subjects import PostgresSubjects
from domain.customers.customer import Address, replaced
from domain.customers.listing import CustomerListing
from domain.errors import Conflict, NotFound, PreconditionFailed, Refused
from tests.builders import NOON, ULIDS
from tests.customer_builders import SUBJECT_KEYS_MAX, a_customer, a_face, an_upsert
from tests.fake_customers import MemoryCustomers, MemorySubjects

LATER = NOON + timedelta(hours=1)
HOSTILE = ["nobody", ULIDS[9], "", "a\0b", "\ud800", "'; DROP TABLE customers; --", "x" * 100_000]


@dataclass
class Managed:
    """Customers and subjects of one namespace."""

    namespace: str
    customers: Any
    subjects: Any

    async def made(self, key="acme", number=0, **more):
        return await self.customers.create(
            a_customer(key, number, namespace=self.namespace, **more)
        )

    async def replace(self, id_or_key, key="acme", **more):
        return await self.customers.update(
            id_or_key,
            lambda found: replaced(
                found, a_face(key, **more), at=LATER, subject_keys_max=SUBJECT_KEYS_MAX
            ),
        )

    async def listed(self, **more):
        page = await self.customers.list_customers(CustomerListing(**more))
        return page.total, [one.key for one in page.customers]


@pytest.fixture
def managed(pool, unique):
    ids = (ULIDS[n] for n in count(50))
    if pool is None:
        subjects = MemorySubjects(unique, lambda: LATER, lambda: next(ids))
        return Managed(unique, MemoryCustomers(unique, lambda: LATER, subjects), subjects)
    return Managed(
        unique,
        PostgresCustomers(pool, unique, lambda: LATER, lambda: next(ids)),
        PostgresSubjects(pool, unique, lambda: LATER, lambda: next(ids)),
    )


# -- one customer


async def test_what_was_created_is_found_by_id_and_by_key(managed):
    made = await managed.made(
        "Key / π \x01 '; --",
        subject_keys=["b", "a", "\u2028"],
        description="",
        metadata={"ключ": "\u2028", "": ""},
        primary_email="a@b.example",
        currency="EUR",
        billing_address=Address(country="NL", line2="", phone_number="+31"),
    )

    assert made.subject_keys == ("a", "b", "\u2028")
    assert await managed.customers.find(ULIDS[0]) == made
    assert await managed.customers.find(ULIDS[0].lower()) == made
    assert await managed.customers.find("Key / π \x01 '; --") == made


@pytest.mark.parametrize("unknown", [*HOSTILE, "a"])
async def test_what_nothing_has_is_not_found(managed, unknown):
    await managed.made(subject_keys=["a"])

    for call in (
        managed.customers.find(unknown),
        managed.customers.delete(unknown),
        managed.replace(unknown),
        managed.customers.subjects_of(unknown),
    ):
        with pytest.raises(NotFound):
            await call


async def test_an_id_wins_over_a_key_that_looks_like_another_customers_id(managed):
    by_key = await managed.made(ULIDS[1].lower(), 0)
    by_id = await managed.made("other", 1)

    assert await managed.customers.find(ULIDS[1]) == by_id
    assert await managed.customers.find(by_key.id) == by_key


async def test_a_replacement_is_stored_whole(managed):
    await managed.made(
        subject_keys=["a", "b"], description="d", primary_email="a@b", currency="EUR"
    )

    after = await managed.replace("acme", "acme_nl", name="New", subject_keys=["b", "c"])

    assert await managed.customers.find(ULIDS[0]) == after
    assert (after.key, after.subject_keys, after.description) == ("acme_nl", ("b", "c"), None)
    assert (after.primary_email, after.currency, after.updated_at) == ("a@b", "EUR", LATER)
    with pytest.raises(NotFound):
        await managed.customers.find("acme")


async def test_a_deleted_customer_stays_by_id_and_can_no_longer_be_changed(managed):
    await managed.made(subject_keys=["a"])

    await managed.customers.delete("acme")

    found = await managed.customers.find(ULIDS[0])
    assert (found.deleted_at, found.subject_keys) == (LATER, ())
    for refused in (managed.customers.delete(ULIDS[0]), managed.replace(ULIDS[0])):
        with pytest.raises(PreconditionFailed):
            await refused
    for missing in (managed.customers.find("acme"), managed.customers.delete("acme")):
        with pytest.raises(NotFound):
            await missing


async def test_what_a_deleted_customer_had_is_free(managed):
    await managed.made(subject_keys=["a"])
    await managed.customers.delete("acme")

    again = await managed.made(number=1, subject_keys=["a"])

    assert await managed.customers.find("acme") == again
    assert await managed.customers.of_subjects(["a"]) == {"a": ULIDS[1]}


# -- conflicts


async def test_a_key_is_refused_that_is_anothers_key_id_or_subject_key(managed):
    await managed.made("one", 0, subject_keys=["s"])
    await managed.made("two", 1)

    for key in ("one", ULIDS[0], ULIDS[0].lower(), "s"):
        with pytest.raises(Conflict):
            await managed.made(key, 2)
        with pytest.raises(Conflict):
            await managed.replace("two", key)
    with pytest.raises(NotFound):
        await managed.customers.find(ULIDS[2])


async def test_a_key_may_be_ones_own_subject_key(managed):
    made = await managed.made("one", subject_keys=["one"])

    assert await managed.customers.subjects_of(made.id) == ["one"]
    assert (await managed.replace("one", "one", subject_keys=["one"])).subject_keys == ("one",)


async def test_a_subject_key_of_another_is_refused(managed):
    await managed.made("one", 0, subject_keys=["a", "b"])
    await managed.made("two", 1, subject_keys=["c"])

    with pytest.raises(Conflict):
        await managed.made("three", 2, subject_keys=["d", "b"])
    with pytest.raises(Conflict):
        await managed.replace("two", "two", subject_keys=["c", "a"])
    with pytest.raises(NotFound):
        await managed.subjects.find("d")


async def test_another_customers_key_may_be_a_subject_key_and_stays_the_others(managed):
    one = await managed.made("one", 0)
    two = await managed.made("two", 1, subject_keys=["one", "s"])

    assert await managed.customers.of_subjects(["one", "two", "s", "x"]) == {
        "one": one.id,
        "two": two.id,
        "s": two.id,
    }
    assert await managed.customers.subjects_of(two.id) == ["two", "s"]
    assert (await managed.replace("one", "one", name="Still")).name == "Still"


async def test_the_id_of_a_subject_is_no_subject_key(managed):
    (subject,) = await managed.subjects.upsert([an_upsert("s")])

    with pytest.raises(Refused) as told:
        await managed.made(subject_keys=[subject.id])
    assert told.value.code == "subject_key_is_id"

    await managed.subjects.delete("s")
    assert (await managed.made(subject_keys=[subject.id])).subject_keys == (subject.id,)


async def test_a_change_that_raises_changes_nothing(managed):
    before = await managed.made(subject_keys=["a"])

    def refuse(found):
        raise KeyError("no")

    with pytest.raises(KeyError):
        await managed.customers.update("acme", refuse)
    assert await managed.customers.find("acme") == before


# -- whose events are whose


async def test_a_moved_subject_is_the_other_customers(managed):
    await managed.made("one", 0, subject_keys=["a", "b"])
    await managed.made("two", 1)

    await managed.replace("one", "one", subject_keys=["b"])
    await managed.replace("two", "two", subject_keys=["a"])

    assert await managed.customers.of_subjects(["a", "b"]) == {"a": ULIDS[1], "b": ULIDS[0]}
    assert await managed.customers.subjects_of(ULIDS[0]) == ["one", "b"]


async def test_a_deleted_customer_has_no_subjects(managed):
    await managed.made("one", subject_keys=["a"])
    await managed.customers.delete("one")

    assert await managed.customers.of_subjects(["one", "a", *HOSTILE]) == {}
    with pytest.raises(NotFound):
        await managed.customers.subjects_of(ULIDS[0])


# -- lists


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("order_by", "expected"),
    [("id", ["c", "a", "b"]), ("name", ["a", "c", "b"]), ("createdAt", ["b", "a", "c"])],
)
async def test_customers_are_listed_in_a_total_order(managed, order_by, expected, descending):
    rows = [("c", "same", 3), ("a", "Same", 2), ("b", "same", 1)]
    for number, (key, name, seconds) in enumerate(rows):
        await managed.made(key, number, name=name, at=NOON + timedelta(seconds=seconds))

    listed = await managed.listed(order_by=order_by, descending=descending)

    assert listed == (3, expected[::-1] if descending else expected)


async def test_a_list_comes_in_pages_and_has_deleted_ones_only_when_asked(managed):
    for number, key in enumerate("abcde"):
        await managed.made(key, number, name=key)
    await managed.customers.delete("b")

    assert await managed.listed(page_size=2) == (4, ["a", "c"])
    assert await managed.listed(page_size=2, page=2) == (4, ["d", "e"])
    assert await managed.listed(page_size=2, page=3) == (4, [])
    assert await managed.listed(page=10**30, page_size=1000) == (4, [])
    assert await managed.listed(include_deleted=True) == (5, list("abcde"))


async def test_a_list_is_narrowed_by_parts_whatever_the_case(managed):
    await managed.made(
        "k_ONE", 0, name="Ärger GmbH", primary_email="Ann@Example.org", subject_keys=["S%1"]
    )
    await managed.made("k_two", 1, name="Straße", subject_keys=["s-2", "x"])
    await managed.made("k-three\\", 2, name="Three")

    for more, keys in (
        ({"key": "K_"}, ["k_two", "k_ONE"]),
        ({"key": "\\"}, ["k-three\\"]),
        ({"name": "äRG"}, ["k_ONE"]),
        ({"name": "STRASSE"}, ["k_two"]),
        ({"primary_email": "EXAMPLE"}, ["k_ONE"]),
        ({"subject": "s%"}, ["k_ONE"]),
        ({"subject": "S"}, ["k_two", "k_ONE"]),
        ({"subject": "S", "name": "stra"}, ["k_two"]),
        ({"name": "a\0b"}, []),
        ({"subject": "\ud800"}, []),
        ({"key": "x" * 100_000}, []),
    ):
        assert await managed.listed(**more) == (len(keys), keys), more


# -- subjects


async def test_a_customer_brings_the_subjects_that_are_not_managed_yet(managed):
    (known,) = await managed.subjects.upsert([an_upsert("a", display_name="A")])

    await managed.made(subject_keys=["a", "b"])
    await managed.replace("acme", subject_keys=["c"])

    assert await managed.subjects.find("a") == known
    for key in ("b", "c"):
        assert (await managed.subjects.find(key)).metadata == {
            "createdBy": "subject.provisioner",
            "customerId": ULIDS[0],
        }


async def test_an_upsert_makes_what_is_new_and_changes_what_was_given(managed):
    first = await managed.subjects.upsert(
        [
            an_upsert("a", display_name="A", metadata={"n": [1, {"x": None}], "": 0.5}),
            an_upsert("b", stripe_customer_id="cus_1"),
        ]
    )
    second = await managed.subjects.upsert(
        [an_upsert("a", display_name=None), an_upsert("b"), an_upsert("a", metadata=None)]
    )

    assert [one.display_name for one in first] == ["A", None]
    assert second[0] == replace(first[0], display_name=None)
    assert second[1] == first[1]
    assert second[2] == replace(second[0], metadata=None)
    assert await managed.subjects.find("a") == second[2]
    assert await managed.subjects.find(first[0].id.lower()) == second[2]


@pytest.mark.parametrize(
    ("upserts", "error"),
    [
        ([an_upsert("new"), an_upsert("new")], Conflict),
        ([an_upsert("new"), an_upsert("")], Refused),
        ([an_upsert("new"), an_upsert("x", stripe_customer_id="1")], Refused),
        ([an_upsert("new"), an_upsert("x", metadata={"a": ["\0"]})], Refused),
    ],
)
async def test_subjects_are_upserted_all_or_none(managed, upserts, error):
    with pytest.raises(error):
        await managed.subjects.upsert(upserts)

    with pytest.raises(NotFound):
        await managed.subjects.find("new")


@pytest.mark.parametrize("unknown", HOSTILE)
async def test_a_subject_that_is_not_managed_is_not_found(managed, unknown):
    with pytest.raises(NotFound):
        await managed.subjects.find(unknown)
    with pytest.raises(NotFound):
        await managed.subjects.delete(unknown)


async def test_a_deleted_subject_stays_by_id_and_its_customer_keeps_the_key(managed):
    made = await managed.made(subject_keys=["a"])
    subject = await managed.subjects.find("a")

    await managed.subjects.delete("a")
    await managed.subjects.delete(subject.id)

    assert (await managed.subjects.find(subject.id)).deleted_at == LATER
    with pytest.raises(NotFound):
        await managed.subjects.find("a")
    assert (await managed.customers.find("acme")) == made
    (again,) = await managed.subjects.upsert([an_upsert("a")])
    assert again.id != subject.id


async def test_subjects_are_listed_by_id_a_page_at_a_time(managed):
    await managed.subjects.upsert([an_upsert(key) for key in "edcba"])
    await managed.subjects.delete("c")

    pages = [[one.key for one in page] async for page in managed.subjects.pages(2)]

    assert pages[:2] == [["e", "d"], ["b", "a"]]
    assert pages[2:] in ([], [[]])


async def test_display_names_are_those_of_managed_subjects(managed):
    await managed.subjects.upsert([an_upsert("a", display_name="A"), an_upsert("b")])

    found = await managed.subjects.display_names(["a", "b", "c", *HOSTILE])

    assert found == {"a": "A", "b": None}
