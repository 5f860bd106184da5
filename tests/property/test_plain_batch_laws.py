"""The short way through a batch of plain events says what the careful way says: the same events, or the same refusal."""

import json

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from domain.errors import Refused
from schemas import cloudevents
from schemas.cloudevents import BATCH, JSON, decode_carefully, decode_request, encode_event
from tests.builders import NOON, an_event

LEFT_OUT = object()
TEXTS = st.sampled_from(
    ["a", "", "é", "a b", "a%20b", "a%zz", "%", "😀", "x\0y", "s" * 65_537, "é" * 20_000]
)
ODD = st.sampled_from([LEFT_OUT, None, 5, 1.5, True, [], {}, "1.0", "0.3"]) | TEXTS
TIMES = st.sampled_from(
    [
        "2026-03-05T12:00:00Z",
        "2026-03-05T12:00:00.123456789+05:30",
        "2026-12-31T23:59:59.9999999Z",
        "2026-03-05t12:00:00z",
        "2026-03-05 12:00:00Z",
        "2026-03-05T12:00:00",
        "2026-03-05T12:00:60Z",
        "2026-02-30T12:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1969-12-31T23:59:59Z",
    ]
)  # fmt: skip
DATAS = st.sampled_from(
    [
        {"n": 1, "k": ["x", None], "o": {"p": None}},
        {"n": None},
        {"": 10**30},
        {"n": 0.1, "t": "é"},
        [],
        "text",
        7,
        None,
        LEFT_OUT,
    ]
)
ATTRIBUTES = {
    **dict.fromkeys(("id", "type", "subject", "specversion"), ODD),
    "source": TEXTS,
    "time": TIMES | ODD,
    "data": DATAS,
    "datacontenttype": st.sampled_from([JSON, "text/plain", "application/JSON", None, "", 5, LEFT_OUT]),
    "dataschema": st.sampled_from(["http://a/b", "", None, 5]),
    "myextension": ODD,
    "Id": ODD,
}  # fmt: skip


@st.composite
def events(draw):
    """An event that is right but for a few attributes at most."""
    found = an_event(n=1)
    for name in draw(st.lists(st.sampled_from(list(ATTRIBUTES)), max_size=2)):
        found[name] = draw(ATTRIBUTES[name])
    return {name: value for name, value in found.items() if value is not LEFT_OUT}


@st.composite
def bodies(draw):
    """Batches as JSON, some with attributes written twice, odd white space, broken bytes."""
    found = draw(st.lists(events(), min_size=0, max_size=4))
    return _changed(json.dumps(found, ensure_ascii=draw(st.booleans())).encode(), draw)


def _changed(text, draw):
    change = draw(
        st.sampled_from(
            ["none", "none", "none", "twice", "indent", "byte", "nan", "alone", "escaped"]
        )
    )
    match change:
        case "twice":
            name = draw(st.sampled_from(["id", "time", "data", "specversion"]))
            value = draw(
                st.sampled_from(["5", "null", '"1.0"', '{"a": null}', '"2026-03-05T12:00:00Z"'])
            )
            return text.replace(b"{", f'{{"{name}": {value}, '.encode(), 1)
        case "indent":
            return b" \n" + text.replace(b", ", b" ,\r\n\t") + b" "
        case "byte":
            at = draw(st.integers(0, len(text) - 1))
            return text[:at] + draw(st.binary(max_size=2)) + text[at + 1 :]
        case "nan":
            return text.replace(
                b'"n": 1',
                draw(st.sampled_from([b'"n": NaN', b'"n": 1e400', b'"n": 01', b'"n": "\\ud800"'])),
            )
        case "alone":
            return text[1:-1]
        case "escaped":
            return text.replace(b'"id"', b'"i\\u0064"')
    return text


def outcome(call, body, content_type):
    try:
        found = call(content_type, body, NOON)
    except Refused as refused:
        event(refused.code)
        return refused.code, refused.field, str(refused)
    return found, [encode_event(one) for one in found]


def a_batch(**changes):
    return json.dumps([an_event(n=1), {**an_event(n=1), **changes}]).encode()


@example(a_batch(id=""), BATCH)
@example(a_batch(type=""), BATCH)
@example(a_batch(subject=""), BATCH)
@example(a_batch(source="é" * 20_000), BATCH)
@settings(max_examples=600, deadline=None)
@given(bodies(), st.sampled_from([BATCH, BATCH, JSON]))
def test_a_batch_is_taken_or_refused_as_the_careful_way_says(body, content_type):
    found = outcome(decode_request, body, content_type)

    assert found == outcome(decode_carefully, body, content_type)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(
            an_event, st.text(min_size=1), time=st.just("2026-03-05T12:00:00.5Z"), n=st.integers()
        )
    )
)
def test_what_producers_send_most_goes_the_short_way(sent):
    body = json.dumps(sent).encode()

    assert cloudevents._plain_batch(body, NOON) == decode_carefully(BATCH, body, NOON)
