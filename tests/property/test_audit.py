"""An audit of a random log finds nothing when nothing is wrong, and names exactly what was made wrong."""

from hashlib import md5

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.audit.comparing import Sent, Slice, Stored, compare
from runtime.audit.judging import Judge
from runtime.audit.report import Counts, Kind
from schemas.position import index_of, offset_of, position
from schemas.state import WEEK_MS, identity

WINDOW_MS = WEEK_MS
FIELDS = ("id", "source", "type", "subject")


class Known(dict):
    """`Identities` in memory."""

    def find(self, hashes):
        return [self.get(key) for key in hashes]

    def remember(self, found):
        self.update(found)


@st.composite
def logs(draw):
    """What a producer sent: (position, id, subject, arrived ms, refused)."""
    at_ms, sent = 3 * WEEK_MS, []
    for offset in range(draw(st.integers(1, 25))):
        at_ms += draw(st.sampled_from([0, 1, 1000, WEEK_MS // 2, WEEK_MS]))
        refused = draw(st.integers(0, 9)) == 0
        for index in range(1 if refused else draw(st.integers(1, 3))):
            event = (draw(st.sampled_from("abcdef")), draw(st.sampled_from("xy")))
            sent.append((position(offset, index), *event, at_ms, refused))
    return sent


def worked(sent, forgets):
    """What a worker makes of it: verdicts by position, and refusals; `forgets` says when an old week goes."""
    seen, verdicts, told, newest = {}, {}, {}, 0
    for at, id, subject, arrived, refused in sent:
        if refused:
            told[at] = "not_a_cloudevent"
        else:
            first = seen.get((id, subject))
            may_go = first is not None and (first // WEEK_MS + 1) * WEEK_MS + WINDOW_MS < newest
            verdicts[at] = first is None or (may_go and next(forgets))
            if verdicts[at]:
                seen[id, subject] = arrived
        newest = max(newest, arrived)
    return verdicts, told


def stored_of(sent, verdicts):
    return [
        Stored(at, id, "s", "t", subject, 7, arrived, md5(id.encode()).digest(), verdicts[at])
        for at, id, subject, arrived, refused in sent
        if not refused
    ]


def audited(sent, stored, told, size, visible=1 << 60):
    """As a run does it: slice by slice."""
    judge, counts, found = Judge(Known(), WINDOW_MS), Counts(), []
    for start in range(0, len(sent), size):
        part = sent[start : start + size]
        first = part[0][0] if start else 0
        end = sent[start + size][0] if start + size < len(sent) else 1 << 60
        own = [event for event in part if not event[4]]
        here = [row for row in stored if first <= row.position < end]
        judged = judge.judge(
            [event[0] for event in own],
            [identity("ns", "s", event[1], event[2]) for event in own],
            [event[3] for event in own],
            {row.position: row.accepted for row in here},
            newest_ms=max(event[3] for event in part),
        )
        events = [
            Sent(at, id, "s", "t", subject, 7, arrived, md5(id.encode()).digest(), *verdict)
            for (at, id, subject, arrived, _), verdict in zip(own, judged, strict=True)
        ]
        found += compare(
            Slice(
                partition=3,
                visible=visible,
                sent=events,
                refused={event[0]: "not_a_cloudevent" for event in part if event[4]},
                handed_over=set(),
                stored=here,
                told={at: code for at, code in told.items() if first <= at < end},
            ),
            counts,
        )
    return counts, found


def forgetting(draw):
    while True:
        yield draw(st.booleans())


@settings(max_examples=60)
@given(logs(), st.integers(1, 9), st.data())
def test_a_right_log_has_no_differences_and_its_sums_agree(sent, size, data):
    verdicts, told = worked(sent, forgetting(data.draw))

    counts, found = audited(sent, stored_of(sent, verdicts), told, size)

    assert found == []
    assert counts.events == len(sent)
    assert counts.events == counts.accepted + counts.duplicate + counts.rejected
    assert (counts.accepted, counts.duplicate) == (
        sum(verdicts.values()),
        sum(not accepted for accepted in verdicts.values()),
    )
    assert (counts.stored_accepted, counts.stored_duplicate, counts.stored_rejected) == (
        counts.accepted,
        counts.duplicate,
        counts.rejected,
    )


def plant(data, sent, stored, told):
    """Make one thing wrong; the kind and the place that must be named. None where the log has no such event."""
    kind = data.draw(
        st.sampled_from(
            [
                Kind.LOST,
                Kind.REPEAT_MISSING,
                Kind.STORED_TWICE,
                Kind.ALTERED,
                Kind.DOUBLE,
                Kind.NOT_COUNTED,
                Kind.INVENTED,
                Kind.REFUSAL_MISSING,
                Kind.REFUSED_WRONGLY,
            ]
        )
    )
    wanted = {
        Kind.LOST: [row for row in stored if row.accepted],
        Kind.NOT_COUNTED: [row for row in stored if row.accepted],
        Kind.DOUBLE: [row for row in stored if not row.accepted],
        Kind.REPEAT_MISSING: [row for row in stored if not row.accepted],
    }.get(kind, stored)
    if kind is Kind.REFUSAL_MISSING:
        wanted = sorted(told)
    if not wanted:
        return None
    chosen = data.draw(st.sampled_from(wanted))
    if kind is Kind.REFUSAL_MISSING:
        del told[chosen]
        return kind, chosen
    i = stored.index(chosen)
    match kind:
        case Kind.LOST | Kind.REPEAT_MISSING:
            del stored[i]
        case Kind.STORED_TWICE:
            stored.insert(i, chosen)
        case Kind.ALTERED:
            field = data.draw(st.sampled_from(FIELDS))
            stored[i] = chosen._replace(**{field: "other"})
        case Kind.DOUBLE | Kind.NOT_COUNTED:
            stored[i] = chosen._replace(accepted=not chosen.accepted)
        case Kind.REFUSED_WRONGLY:
            told[chosen.position] = "not_a_cloudevent"
        case Kind.INVENTED:
            beyond = max(event[0] for event in sent) + 5
            stored.append(chosen._replace(position=beyond))
            return kind, beyond
    return kind, chosen.position


@settings(max_examples=150)
@given(logs(), st.integers(1, 9), st.data())
def test_what_was_made_wrong_is_named_and_nothing_else(sent, size, data):
    sent = [(*event[:3], 3 * WEEK_MS + i, *event[4:]) for i, event in enumerate(sent)]
    verdicts, told = worked(sent, iter(()))
    stored = stored_of(sent, verdicts)
    planted = plant(data, sent, stored, told)
    if planted is None:
        return

    _, found = audited(sent, stored, told, size)

    kind, at = planted
    assert [(one.kind, one.offset, one.index) for one in found] == [
        (kind, offset_of(at), index_of(at))
    ]


@settings(max_examples=40)
@given(logs(), st.data())
def test_what_is_not_visible_yet_waits_and_is_no_difference(sent, data):
    verdicts, told = worked(sent, iter(lambda: True, None))
    visible = data.draw(st.sampled_from(sent))[0]
    stored = [row for row in stored_of(sent, verdicts) if row.position < visible]

    counts, found = audited(
        sent, stored, {at: code for at, code in told.items() if at < visible}, 4, visible
    )

    assert found == []
    assert counts.waiting == sum(event[0] >= visible for event in sent)


def test_refused_records_take_the_window_forward_as_they_do_for_a_worker():
    weeks = [(3, False), (3, False), (5, True), (5, False)]
    sent = [
        (position(offset, 0), "a", "x", week * WEEK_MS + offset, refused)
        for offset, (week, refused) in enumerate(weeks)
    ]
    verdicts, told = worked(sent, iter([True]))

    counts, found = audited(sent, stored_of(sent, verdicts), told, 1)

    assert found == []
    assert (counts.accepted, counts.duplicate) == (2, 1)
