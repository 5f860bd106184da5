"""What an answer does not depend on."""

from decimal import Decimal
from itertools import permutations

import pytest

from domain.metering.answer import Event, combine, fold_events, results
from domain.metering.query import MeterQuery
from schemas.state import value_hash
from tests.builders import a_meter


@pytest.mark.parametrize("numbers", list(permutations((1, Decimal("3.5e300"), 2))))
def test_latest_of_equal_second_and_position_in_two_partitions_is_the_same_however_it_is_read(
    numbers,
):
    query = MeterQuery(meter=a_meter(aggregation="LATEST", value="$.n"))
    events = [Event(f"s{i}", 60, 5, {"n": n}, i) for i, n in enumerate(numbers)]

    at_once = fold_events(query, events, value_hash)
    one_by_one = combine(fold_events(query, [event], value_hash) for event in events)

    assert [row.value for row in results(query, at_once)] == [3.5e300]
    assert results(query, one_by_one) == results(query, at_once)
