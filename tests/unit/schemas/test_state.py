"""Stored bytes: what is written reads back, and a format that changes by accident fails here."""

from decimal import Decimal
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.metering.rows import Latest, Row
from schemas import state
from schemas.state import Applied, Marker, SinkPlan, Stamp
from tests.builders import ULIDS, a_meter_record

exact = st.integers(-(10**40), 10**40) | st.decimals(allow_nan=False, allow_infinity=False)
number = exact | st.floats(allow_nan=False)
position = st.integers(0, 2**64 - 1)
rows = st.builds(
    Row,
    position,
    position,
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    exact,
    st.none() | st.floats(allow_nan=False),
    st.none() | number,
    st.none() | number,
    st.none() | st.builds(Latest, st.integers(-(2**40), 2**40), position, number),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def same_kind(a, b):
    """Equal, and of the same type: 1 is not 1.0, and Decimal("1.0") keeps its digits."""
    return repr(a) == repr(b)


@given(rows)
def test_a_row_reads_back_as_it_was(row):
    assert same_kind(state.decode_row(state.encode_row(row)), row)


def test_the_bytes_of_a_row():
    row = Row(1, 2, 3, 3, Decimal("0.30"), 1e300, -5, 2**64, Latest(60, 2, Decimal("1.5")))

    encoded = state.encode_row(row)

    assert encoded.hex() == (
        "990102 0303a4302e3330cb7e37e43c8800759cfbb53138343436373434303733373039353531363136"
        "69933c02a3312e35"
    ).replace(" ", "")


@given(st.integers(0, 99), st.integers(1, 2**32 - 1), st.integers(-(2**40), 2**40), texts, st.lists(texts, max_size=4))  # fmt: skip
def test_a_row_key_reads_back_as_it_was(meter, version, minute, subject, groups):
    key = state.row_key_prefix(ULIDS[meter], version) + state.row_key_body(subject, minute, groups)

    assert state.decode_row_key(key) == (ULIDS[meter], version, minute, subject, tuple(groups))


def test_the_bytes_of_a_row_key():
    key = state.row_key_prefix(ULIDS[1], 2) + state.row_key_body("é", 3, ["", "a\0"])

    assert key.hex() == (
        "01563e3ab5d3d6764c61efb99302bc01" "00000002" "0000000000000003" "00000002c3a9"
        "00000000" "000000026100"
    )  # fmt: skip


def test_the_bytes_of_identities_and_values():
    packed = b"\x94\xa7default\xa1s\xa11\xa1x"

    assert state.identity("default", "s", "1", "x") == _hash(packed)
    assert state.value_hash("é") == _hash(b"\xc3\xa9")
    assert state.unique_key(b"row", b"v" * 16) == _hash(b"row") + b"v" * 16


def _hash(data):
    return blake2b(data, digest_size=16).digest()


@given(st.lists(texts, min_size=4, max_size=4), st.lists(texts, min_size=4, max_size=4))
def test_different_events_have_different_identities(a, b):
    assert (state.identity(*a) == state.identity(*b)) == (a == b)


def test_fields_that_run_together_are_different_identities():
    assert state.identity("n", "ab", "c", "s") != state.identity("n", "a", "bc", "s")
    assert state.identity("n", "a\0b", "c", "s") != state.identity("n", "a", "b\0c", "s")


@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), position), max_size=5))
def test_packed_ids_read_back_as_they_are_stored(ids):
    packed = state.pack_ids([(key, state.pack_u64(at)) for key, at in ids])

    assert len(packed) == 24 * len(ids)
    assert [(key, state.unpack_u64(at)) for key, at in state.iter_packed_ids(packed)] == ids


def test_the_bytes_of_a_stamp_a_marker_and_a_plan():
    stamp = Stamp(topic_id="t", partition=1, source_next=2, changelog_next=3, generation=4, newest_ms=5)  # fmt: skip
    marker = Marker(topic_id="t", partition=1, source_next=2, generation=3, newest_ms=4, records=5, begins_at=6)  # fmt: skip

    assert state.encode_struct(stamp).hex() == "9801a1740102030405c3"
    assert state.encode_struct(marker).hex() == "9801a174010203040506"
    assert state.encode_struct(SinkPlan(1, 2)).hex() == "920102"
    assert state.decode_stamp(state.encode_struct(stamp)) == stamp
    assert state.decode_marker(state.encode_struct(marker)) == marker
    assert state.decode_plan(state.encode_struct(SinkPlan(1, 2))) == SinkPlan(1, 2)


def test_the_version_stands_first_so_that_it_can_be_read_whatever_follows():
    assert state.format_version(bytes.fromhex("9209a3616263")) == 9


@pytest.mark.parametrize("until", [None, 77])
def test_an_applied_meter_reads_back_as_it_was(until):
    meter = a_meter_record(groups={"b": "$.b", "a": "$.a"}, version=3)
    applied = Applied(meter, 5, until)

    key, value = applied.encoded()

    assert key == state.row_key_prefix(meter.id, 3)
    assert state.decode_applied(value) == applied
    assert applied.stopped(9) == Applied(meter, 5, 9)


def test_weeks_are_counted_from_the_epoch():
    assert state.week_of(0) == 0
    assert state.week_of(state.WEEK_MS - 1) == 0
    assert state.week_of(state.WEEK_MS) == 1
