import pytest

from schemas.partitioner import partition_of
from streams.attribution import Attribution, NoCustomers
from tests.unit.streams.fakes import FakeCustomers

P = 8
OWN = 3


def home(customer):
    return partition_of(customer.encode(), P)


@pytest.fixture
def customers():
    return FakeCustomers(s1="acme", s2="bmce")


def test_rows_of_a_customers_subject_go_to_its_partition_and_those_of_nobodys_stay(customers):
    attribution = Attribution(customers, P)

    found = attribution.partitions_of(["s1", "s2", "s3", "s1"], OWN)

    assert found == [home("acme"), home("bmce"), OWN, home("acme")]


def test_while_there_are_no_customers_nothing_is_asked():
    assert Attribution(NoCustomers(), P).partitions_of(["s1"], OWN) is None
    assert list(Attribution(NoCustomers(), P).everywhere(OWN)) == [OWN]


def test_a_subject_that_moves_is_found_at_its_new_customers_and_others_are_not_asked_again(
    customers,
):
    attribution = Attribution(customers, P)
    attribution.partitions_of(["s1", "s2", "s3"], OWN)
    customers.asked.clear()

    customers.move("s1", "zeta")
    customers.move("s2", None)
    customers.move("s3", "acme")

    assert attribution.partitions_of(["s1", "s2", "s3"], OWN) == [home("zeta"), OWN, home("acme")]
    assert attribution.partitions_of(["s2"], OWN) == [OWN]
    assert customers.asked == ["s1", "s2", "s3"]


def test_what_is_remembered_is_bounded_and_long_names_are_not_remembered(customers):
    attribution = Attribution(customers, P, remembered_max=3)
    long = "x" * 201

    found = [attribution.partitions_of([f"s{i}", long, "s1"], OWN) for i in range(10)]
    many = attribution.partitions_of([f"t{i}" for i in range(10)], OWN)

    assert {row[1] for row in found} == {OWN}
    assert {row[2] for row in found} == {home("acme")}
    assert many == [OWN] * 10
    assert len(attribution._known) <= 3
    assert long not in attribution._known
