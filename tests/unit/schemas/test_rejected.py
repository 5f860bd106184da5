"""Records of the rejected topic, as anybody may write them."""

from hypothesis import given
from hypothesis import strategies as st

from domain.metering.rejected import Place
from schemas.rejected import decode_rejected, producers_headers

AT = Place(topic="om_default_rejected", partition=1, offset=5)
NAMES = st.sampled_from(
    ["code", "field", "message", "topic", "partition", "offset", "index", "cut_from", "x"]
)


def test_the_producers_headers_are_told_from_ours():
    headers = [("code", b"c"), ("ce_id", b"1"), ("topic", b"t"), ("ce_type", None)]

    assert producers_headers(headers) == [("ce_id", b"1"), ("ce_type", None)]


def test_a_header_of_the_producer_does_not_hide_ours():
    record = decode_rejected(AT, 1, None, b"", [("code", b"ours"), ("code", b"theirs")])

    assert record.code == "ours"


def test_a_cut_value_knows_its_length():
    record = decode_rejected(AT, 1, None, b"abc", [("cut_from", b"9")])

    assert (record.cut, record.value_bytes) == (True, 9)


def test_a_shown_part_has_the_id_of_the_whole():
    whole = decode_rejected(AT, 1, None, b"abc", ())
    part = decode_rejected(AT, 1, None, b"abc", (), value_bytes_max=1)

    assert (part.id, part.value, part.cut) == (whole.id, b"a", True)


@given(
    st.lists(
        st.tuples(
            NAMES, st.none() | st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode())
        )
    ),
    st.none() | st.binary(max_size=20),
)
def test_whatever_stands_in_the_topic_can_be_listed(headers, value):
    record = decode_rejected(AT, 1, None, value, headers)

    assert record.code
    assert record.value_bytes >= len(value or b"")
    assert record.index >= 0
