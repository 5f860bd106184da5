"""Columns hold for every event what its own type's meters find in its data, whatever types come together."""

from hypothesis import given
from hypothesis import strategies as st

from domain.metering.fold import groupings
from domain.metering.jsonpath import compile_path
from domain.metering.numbers import json_text
from domain.metering.reading import Reads
from schemas.catalog import meter_of
from tests.builders import ULIDS, a_meter_record

METERS = [
    a_meter_record("a", id=ULIDS[0], event_type="t", value="$.n", groups={"x": "$.g"}),
    a_meter_record("b", id=ULIDS[1], event_type="t", aggregation="COUNT", groups={"x": "$.h"}),
    a_meter_record("c", id=ULIDS[2], event_type="u", aggregation="MAX", value="$.g"),
    a_meter_record("d", id=ULIDS[3], event_type="u", aggregation="COUNT", groups={"x": "$.n"}),
]
TEXTS = {"t": {"$.g", "$.h"}, "u": {"$.n"}, "v": set()}
VALUES = {"t": {"$.n"}, "u": {"$.g"}, "v": set()}
members = st.dictionaries(st.sampled_from("ghn"), st.integers() | st.text(max_size=2) | st.none())
slices = st.lists(st.lists(st.tuples(st.sampled_from("tuv"), members), min_size=1), min_size=1)


@given(slices)
def test_columns_have_what_each_events_type_reads_and_nothing_else(slices):
    reads = Reads(groupings(map(meter_of, METERS)))
    columns = reads.empty()

    for events in slices:
        reads.extend(columns, [kind for kind, _ in events], [data for _, data in events])

    events = [event for found in slices for event in found]
    for path, column in columns.texts.items():
        found = [(kind, compile_path(path).find(data)) for kind, data in events]
        assert column == [json_text(v) if path in TEXTS[kind] else None for kind, v in found]
    for path, values in columns.values.items():
        found = [(kind, compile_path(path).find(data)) for kind, data in events]
        assert values == [v if path in VALUES[kind] else None for kind, v in found]
    assert columns.texts.keys() == {"$.g", "$.h", "$.n"}
    assert columns.values.keys() == {"$.n", "$.g"}
