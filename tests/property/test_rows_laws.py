"""Laws of rows: they merge in any order, and any split of the events over rows and chunks gives the oracle's answer."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.metering.answer import Event as Stored
from domain.metering.answer import combine, fold_events, results
from domain.metering.filters import AllOf, AnyOf, TextOp, TextTest
from domain.metering.meter import Aggregation, new_meter
from domain.metering.query import MeterQuery
from domain.metering.rows import EXACT, Latest, Row, add, mean_of, merge, total_of
from domain.metering.windows import WindowSize
from schemas.state import value_hash
from tests.builders import ULIDS
from tests.oracle import Event, accepted, answer, same

exact = st.one_of(
    st.integers(-(10**28) + 1, 10**28 - 1),
    st.decimals(
        min_value=-(10**27), max_value=10**27, places=38, allow_nan=False, allow_infinity=False
    ),
    st.decimals(min_value=-1000, max_value=1000, places=2),
)
doubles = st.floats(1e29, 1e300) | st.floats(1e-300, 1e-40)
positions = st.integers(0, 2**63)


@st.composite
def rows(draw):
    numbers = draw(st.lists(exact | doubles, max_size=4))
    total = 0
    for number in numbers:
        if not isinstance(number, float):
            total = add(total, number)
    outside = [number for number in numbers if isinstance(number, float)]
    first, last = sorted((draw(positions), draw(positions)))
    return Row(
        first,
        last,
        len(numbers) + draw(st.integers(0, 3)),
        len(numbers),
        total,
        sum(outside) if outside else None,
        min(numbers, default=None),
        max(numbers, default=None),
        Latest(draw(st.integers(0, 10**9)), last, numbers[-1]) if numbers else None,
    )


def nearly(a: Row, b: Row) -> bool:
    """Equal but for the rounding of the doubles' sum."""
    if (a.outside is None) != (b.outside is None):
        return False
    if a.outside is not None and abs(a.outside - b.outside) > 1e-12 * abs(a.outside):
        return False
    return a._replace(outside=None) == b._replace(outside=None)


@given(rows(), rows(), rows())
def test_rows_merge_in_any_order(a, b, c):
    assert nearly(merge(merge(a, b), c), merge(a, merge(b, c)))
    assert nearly(merge(a, b), merge(b, a))


@given(st.lists(exact, min_size=1, max_size=30), st.randoms())
def test_exact_sums_do_not_depend_on_the_order_and_lose_nothing(numbers, random):
    total = 0
    for number in numbers:
        total = add(total, number)
    random.shuffle(numbers)
    again = 0
    for number in numbers:
        again = add(again, number)

    assert total == again
    assert Fraction(total) == sum(map(Fraction, numbers))


@given(st.lists(exact, min_size=1, max_size=20))
def test_the_mean_is_the_double_nearest_to_the_true_one(numbers):
    total = 0
    for number in numbers:
        total = add(total, number)
    row = Row(0, 1, len(numbers), len(numbers), total)

    assert mean_of(row) == float(sum(map(Fraction, numbers)) / len(numbers))


def test_a_sum_that_would_need_more_digits_is_not_rounded_silently():
    wide = EXACT.create_decimal("9" * 38 + "." + "9" * 38)

    try:
        add(wide, Decimal("1e-39"))
    except ArithmeticError as error:
        raised = error
    else:
        raised = None

    assert raised is not None


def test_a_sum_with_a_number_outside_the_exact_lane_is_a_double():
    row = Row(0, 1, 2, 2, Decimal("0.1"), 1e300)

    assert total_of(row) == 1e300
    assert isinstance(total_of(row), float)
    assert total_of(row._replace(outside=None)) == Decimal("0.1")


# -- any split of the events

values = st.one_of(
    st.integers(-5, 5),
    st.decimals(min_value=-100, max_value=100, places=3),
    st.sampled_from(["4.5e2", "0x10", " 4", "", "NaN", "1e400", "-1e300", "7", ".5"]),
    st.sampled_from(
        [None, True, [], {"a": 1}, Decimal("1e300"), Decimal("1E+400"), 10**30, 10**400]
    ),
)
datas = st.fixed_dictionaries(
    {"n": values},
    optional={
        "g": st.sampled_from(["a", "b", "", 1, Decimal("1.0"), None, [1]]),
        "h": values,
    },
)
near = st.integers(1_710_028_800 - 100, 1_710_028_800 + 100)
seconds = near | near | near | st.integers(-5, 5 * 10**9)
event = st.builds(
    Event,
    id=st.integers(0, 99).map("e{}".format),
    subject=st.sampled_from(["s", "t", "é%", ""]),
    type=st.sampled_from(["request"] * 5 + ["other"]),
    second=seconds,
    data=datas,
)
events = st.lists(event, max_size=4) | st.lists(event, min_size=8, max_size=20)
text_tests = st.one_of(
    st.builds(
        TextTest,
        st.sampled_from([TextOp.EQ, TextOp.NE, TextOp.LIKE, TextOp.GT]),
        st.sampled_from(["a", "s", "%", ""]),
    ),
    st.builds(
        TextTest,
        st.sampled_from([TextOp.IN, TextOp.NIN]),
        st.sampled_from([(), ("a", "1"), ("s",)]),
    ),
)
filters = text_tests | st.builds(
    lambda kind, tests: kind(tuple(tests)),
    st.sampled_from([AllOf, AnyOf]),
    st.lists(text_tests, max_size=2),
)


def aggregating(meter, aggregation):
    """The meter with another aggregation."""
    value = None if aggregation is Aggregation.COUNT else "$.n"
    return replace(meter, aggregation=aggregation, value_property=value)


@st.composite
def queries(draw):
    aggregation = draw(st.sampled_from(Aggregation))
    meter = new_meter(
        id=ULIDS[0],
        namespace="default",
        slug="m",
        aggregation=aggregation,
        event_type="request",
        value_property=None if aggregation is Aggregation.COUNT else "$.n",
        group_by={"zone": "$.g", "also": "$.h"},
        at=datetime(2026, 3, 5, tzinfo=UTC),
    )
    start, end = sorted((draw(seconds), draw(seconds)))
    start = draw(st.sampled_from([None, None, start]))
    end = draw(st.sampled_from([None, None, end]))
    filtered = draw(st.sampled_from([0, 0, 1]))
    return MeterQuery(
        meter=meter,
        start=start,
        end=end,
        asked_from=start,
        asked_to=end,
        window_size=draw(st.none() | st.sampled_from(WindowSize)),
        zone=draw(st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe"])),
        by_subject=draw(st.booleans()),
        group_by=draw(st.sampled_from([(), ("zone",), ("also", "zone")])),
        group_filters=tuple(draw(st.lists(st.tuples(st.just("zone"), filters), max_size=filtered))),
        subject_filters=tuple(draw(st.lists(filters, max_size=filtered))),
    )


@settings(max_examples=300, deadline=None)
@given(events, queries(), st.randoms(use_true_random=False))
def test_any_split_of_the_events_gives_the_oracles_answer(sent, query, random):
    stored = [
        Stored(event.subject, event.second, position, event.data)
        for position, event in enumerate(accepted(sent))
        if event.type == "request"
        and (query.start is None or query.start <= event.second)
        and (query.end is None or event.second < query.end)
    ]
    chunks = [[] for _ in range(random.randint(1, 4))]
    for event in stored:
        random.choice(chunks).append(event)

    for aggregation in Aggregation:
        asked = replace(query, meter=aggregating(query.meter, aggregation))
        ours = results(asked, combine(fold_events(asked, chunk, value_hash) for chunk in chunks))
        expected = answer(sent, asked)
        assert same(ours, expected), (ours, expected)


@given(events, queries())
def test_repeating_every_event_changes_nothing(sent, query):
    assert answer(sent + sent, query) == answer(sent, query)


@given(events, queries())
def test_windows_of_counts_add_up_to_the_whole(sent, query):
    counting = replace(query, meter=aggregating(query.meter, Aggregation.COUNT))
    windowed = answer(sent, replace(counting, window_size=WindowSize.HOUR))
    whole = answer(sent, replace(counting, window_size=None, by_subject=False, group_by=()))

    assert sum(row.value for row in windowed) == sum(row.value for row in whole)
