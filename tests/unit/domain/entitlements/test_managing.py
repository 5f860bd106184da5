"""What may be done to an entitlement, what it is afterwards, and what is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest

from domain.entitlements import managing
from domain.entitlements.configuration import CONFIG_BYTES_MAX, normalised
from domain.entitlements.entitlement import Overlap
from domain.entitlements.grants import ExpiryUnit
from domain.entitlements.managed import (
    SUBSCRIPTION_MARK,
    Expiry,
    Issue,
    Kind,
    ManualReset,
    current_period,
    last_reset_at,
    timeline_of,
    with_resets,
)
from domain.entitlements.managing import Bounds, PeriodWanted, ResetWanted
from domain.entitlements.usage_period import MeasureFrom
from domain.errors import Forbidden, Refused
from domain.time.duration import Duration
from schemas.catalog import catalog_record, encode_catalog_record
from schemas.entitlement_plans import timeline_of as timeline_of_record
from schemas.entitlement_records import RECORD_BYTES_MAX, entitlement_record, refuse_too_large
from tests.builders import NOON
from tests.entitlement_builders import (
    BOUNDS,
    DAY,
    HOUR,
    a_grant_wish,
    a_wish,
    an_aggregate,
    an_id,
    an_opening,
)

MINUTE = timedelta(minutes=1)


def nested(depth):
    found = []
    for _ in range(depth - 1):
        found = [found, 1, {"a": found}] if depth < 10 else [found]
    return found


def granted(aggregate, wish=None, *, now=NOON, id=an_id(500), bounds=BOUNDS):  # noqa: B008 - a text
    return managing.granted(aggregate, wish or a_grant_wish(), now, id=id, bounds=bounds)


def was_reset(aggregate, *, now=NOON, bounds=BOUNDS, **more):
    return managing.was_reset(aggregate, ResetWanted(**more), now, bounds=bounds)


def code_of(call, *args, **more):
    with pytest.raises(Refused) as refused:
        call(*args, **more)
    return refused.value.code


# -- made


def test_a_metered_entitlement_begins_now_and_measures_from_the_minute_of_now():
    wish = a_wish(measure_from=None, usage_period=PeriodWanted(interval=DAY))

    made = an_aggregate(wish, now=NOON + timedelta(seconds=40)).entitlement

    assert made.active_from == NOON + timedelta(seconds=40)
    assert made.active_to is None
    assert made.measured_from == made.usage_period.anchor == last_reset_at(made) == NOON


@pytest.mark.parametrize(
    ("measure_from", "since"),
    [
        (MeasureFrom.NOW, NOON),
        (MeasureFrom.CURRENT_PERIOD_START, NOON - 6 * HOUR),
        (NOON - 8 * HOUR + timedelta(seconds=59), NOON - 8 * HOUR),
        (NOON + HOUR, NOON + HOUR),
    ],
)
def test_measuring_begins_where_it_is_asked_to(measure_from, since):
    assert an_aggregate(a_wish(measure_from=measure_from)).entitlement.measured_from == since


def test_the_running_period_begins_with_measuring_and_moves_with_resets_and_the_anchor_stays():
    made = an_aggregate(a_wish(measure_from=NOON - 2 * HOUR))
    later = was_reset(made, at=NOON - HOUR + timedelta(seconds=30))

    assert current_period(made.entitlement, NOON).start == NOON - 2 * HOUR
    assert current_period(made.entitlement, NOON).end == NOON + 18 * HOUR
    assert current_period(later.entitlement, NOON).start == NOON - HOUR
    assert current_period(later.entitlement, NOON).end == NOON + 23 * HOUR
    assert later.entitlement.usage_period.anchor == NOON - 6 * HOUR
    assert last_reset_at(later.entitlement) == NOON - HOUR


def test_the_running_period_by_the_last_reset_is_the_one_by_all_resets():
    aggregate = an_aggregate()
    for hour in range(1, 40):
        aggregate = was_reset(aggregate, now=NOON + 5 * hour * HOUR, retain_anchor=hour % 2 == 0)

        for after in (timedelta(0), HOUR, timedelta(days=3)):
            now = NOON + 5 * hour * HOUR + after
            expected = timeline_of(aggregate).period_at(now)
            assert current_period(aggregate.entitlement, now) == expected


def test_a_flag_with_a_period_has_one_that_is_not_cut_and_no_resets():
    wish = a_wish(Kind.BOOLEAN, usage_period=PeriodWanted(interval=DAY, anchor=NOON - 6 * HOUR))

    made = an_aggregate(wish, has_meter=False).entitlement

    assert current_period(made, NOON).start == NOON - 6 * HOUR
    assert last_reset_at(made) is None


@pytest.mark.parametrize(("issue", "priority"), [(None, None), (3, 3), (None, 1)])
def test_the_grant_that_comes_along_is_full_after_each_reset(issue, priority):
    wish = a_wish(issue=Issue(amount=Decimal(20), priority=issue))

    [grant] = an_aggregate(wish).grants

    assert grant.grant.amount == grant.grant.min_rollover == grant.grant.max_rollover == 20
    assert grant.grant.priority == (issue or 1)
    assert grant.grant.effective_at == NOON - 6 * HOUR
    assert grant.grant.expires_at is None
    assert grant.annotations == {"issueAfterReset": True}


def test_the_grant_that_comes_along_begins_with_the_running_period_not_with_measuring():
    wish = a_wish(issue=Issue(amount=Decimal(20)), measure_from=NOON - 30 * HOUR)

    assert an_aggregate(wish).grants[0].grant.effective_at == NOON - 6 * HOUR


def test_an_amount_of_nothing_makes_no_grant():
    assert an_aggregate(a_wish(issue=Issue(amount=Decimal(0)))).grants == ()


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (a_wish(usage_period=None), "usage_period_missing"),
        (a_wish(interval=Duration(minutes=59)), "usage_period_too_short"),
        (a_wish(interval=Duration(years=9000)), "time_out_of_range"),
        (a_wish(measure_from=datetime(1, 1, 1, tzinfo=UTC)), "measure_from_too_early"),
        (a_wish(Kind.STATIC, config="{"), "config_not_json"),
        (a_wish(Kind.BOOLEAN, usage_period=PeriodWanted(interval=Duration(minutes=1))),
         "usage_period_too_short"),
        (a_wish(metadata={"a": "\0"}), "text_invalid"),
        (a_wish(annotations={"a": ["\ud800"]}), "text_invalid"),
        (a_wish(annotations={"a": "x" * 70_000}), "annotations_too_large"),
        (a_wish(annotations={"a": nested(100)}), "annotations_too_deep"),
        (a_wish(annotations={"a": nested(100_000)}), "annotations_too_deep"),
        (a_wish(issue=Issue(amount=Decimal(1)), grants=[a_grant_wish()]), "issue_and_grants"),
        (a_wish(grants=[a_grant_wish(0)]), "grant_amount_must_be_positive"),
        (a_wish(grants=[a_grant_wish(effective_at=NOON - 7 * HOUR)]), "grant_before_the_period"),
        (a_wish(issue=Issue(amount=Decimal("1e28"))), "number_out_of_range"),
    ],
)  # fmt: skip
def test_what_an_entitlement_cannot_be(wish, code):
    assert code_of(an_aggregate, wish) == code


def test_without_a_meter_nothing_is_metered():
    assert code_of(an_aggregate, has_meter=False) == "feature_has_no_meter"


def test_more_grants_than_fit_are_refused_at_once():
    wish = a_wish(grants=[a_grant_wish() for _ in range(3)])

    assert len(an_aggregate(wish, bounds=Bounds(grants_max=3, resets_max=1)).grants) == 3
    refused = code_of(an_aggregate, wish, bounds=Bounds(grants_max=2, resets_max=1))
    assert refused == "too_many_grants"


def test_two_entitlements_do_not_overlap_and_one_may_begin_where_the_other_ends():
    other = replace(an_aggregate().entitlement, id=an_id(7))
    ended = replace(other, active_to=NOON)
    soon = replace(other, active_from=NOON + HOUR)

    for one in (other, soon):
        with pytest.raises(Overlap) as overlap:
            an_aggregate(others=[ended, one])
        assert overlap.value.conflicting == an_id(7)
    an_aggregate(others=[ended, replace(other, feature_key="seats")])


def test_annotations_may_have_a_hundred_levels():
    annotations = {"a": nested(99), "b": {"c": nested(5)}}

    assert an_aggregate(a_wish(annotations=annotations)).entitlement.annotations == annotations


# -- overridden, deleted


def overridden(old, wish=None, **more):
    ids = count(600)
    opening = an_opening(others=[old.entitlement], **more)
    return managing.overridden(
        old, opening, wish or a_wish(), new_id=lambda: an_id(next(ids)), bounds=BOUNDS
    )


def test_the_old_one_ends_when_the_new_one_begins_and_keeps_its_grants():
    old = granted(an_aggregate())

    ended, new = overridden(old, now=NOON + HOUR)

    assert ended.entitlement.active_to == new.entitlement.active_from == NOON + HOUR
    assert ended.grants == old.grants
    assert new.grants == ()


def test_what_has_ended_or_is_for_another_feature_is_not_overridden():
    old = an_aggregate()
    ended, _ = overridden(old, now=NOON + HOUR)

    assert code_of(overridden, ended, now=NOON + HOUR) == "entitlement_inactive"
    assert code_of(overridden, old, feature_key="seats") == "feature_differs"


def test_what_a_subscription_manages_is_not_changed_by_hand():
    wish = a_wish(annotations={SUBSCRIPTION_MARK: "x"}, issue=Issue(amount=Decimal(1)))
    aggregate = an_aggregate(wish)
    grant_id = aggregate.grants[0].grant.id

    for change in (
        lambda: overridden(aggregate),
        lambda: managing.deleted(aggregate, NOON),
        lambda: granted(aggregate),
        lambda: was_reset(aggregate, now=NOON + HOUR),
        lambda: managing.grant_voided(aggregate, grant_id, NOON, at=None),
    ):
        with pytest.raises(Forbidden):
            change()


# -- grants


def test_a_grant_keeps_what_was_asked_for():
    wish = a_grant_wish(
        "2.5",
        effective_at=NOON - HOUR + timedelta(seconds=40),
        priority=7,
        expiry=Expiry(unit=ExpiryUnit.MONTH, count=1),
        min_rollover=Decimal(1),
        recurrence=PeriodWanted(interval=Duration(minutes=30)),
        metadata={"order": "o-1"},
    )

    grant = granted(an_aggregate(), wish).grant(an_id(500))

    assert grant.grant.effective_at == grant.grant.recurrence.anchor == NOON - HOUR
    assert grant.grant.expires_at == datetime(2026, 4, 5, 11, tzinfo=UTC)
    assert (grant.grant.min_rollover, grant.grant.max_rollover) == (1, Decimal("2.5"))
    assert (grant.grant.priority, grant.metadata) == (7, {"order": "o-1"})


def test_the_anchor_of_a_recurrence_is_cut_to_the_minute():
    anchor = NOON + timedelta(seconds=59)
    wish = a_grant_wish(recurrence=PeriodWanted(interval=DAY, anchor=anchor))

    assert granted(an_aggregate(), wish).grant(an_id(500)).grant.recurrence.anchor == NOON


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (a_grant_wish(0), "grant_amount_must_be_positive"),
        (a_grant_wish("1e28"), "number_out_of_range"),
        (a_grant_wish("1e-39"), "number_out_of_range"),
        (a_grant_wish(max_rollover=Decimal(-1)), "rollover_negative"),
        (a_grant_wish(min_rollover=Decimal(-1)), "rollover_negative"),
        (a_grant_wish(effective_at=NOON - 6 * HOUR - MINUTE), "grant_before_the_period"),
        (a_grant_wish(recurrence=PeriodWanted(interval=Duration(seconds=59))), "recurrence_too_short"),
        (a_grant_wish(effective_at=datetime(9999, 12, 31, tzinfo=UTC), expiry=Expiry(unit=ExpiryUnit.DAY, count=1)),
         "time_out_of_range"),
        (a_grant_wish(metadata={"a": "x" * 70_000}), "metadata_too_large"),
    ],
)  # fmt: skip
def test_what_a_grant_cannot_be(wish, code):
    assert code_of(granted, an_aggregate(), wish) == code


def test_a_grant_does_not_recur_too_often_in_one_usage_period():
    long = an_aggregate(a_wish(interval=Duration(years=20)))
    wish = a_grant_wish(recurrence=PeriodWanted(interval=Duration(minutes=1)))

    assert code_of(granted, long, wish) == "recurrence_too_short"


def test_only_active_metered_entitlements_take_grants_and_resets():
    flag = an_aggregate(a_wish(Kind.BOOLEAN))
    ended, _ = overridden(an_aggregate(), now=NOON + HOUR)

    assert code_of(granted, flag) == code_of(was_reset, flag) == "not_metered"
    assert code_of(granted, ended, now=NOON + HOUR) == "entitlement_inactive"
    assert code_of(was_reset, ended, now=NOON + 2 * HOUR) == "entitlement_inactive"


def test_a_void_grant_ends_in_the_minute_and_cannot_be_voided_again():
    aggregate = granted(granted(an_aggregate()), id=an_id(501))

    after = managing.grant_voided(
        aggregate, an_id(500), NOON + HOUR, at=NOON + timedelta(seconds=30)
    )

    assert after.grant(an_id(500)).grant.voided_at == NOON
    assert after.grant(an_id(500)).updated_at == NOON + HOUR
    assert after.grant(an_id(501)) == aggregate.grant(an_id(501))
    for at, code in (
        (None, "grant_already_voided"),
        (NOON + 2 * HOUR, "void_in_the_future"),
        (NOON - 7 * HOUR, "void_before_the_period"),
    ):
        one = an_id(500) if at is None else an_id(501)
        refused = code_of(managing.grant_voided, after, one, NOON + HOUR, at=at)
        assert refused == code


# -- resets


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOON + MINUTE, "reset_in_the_future"),
        (NOON - 6 * HOUR + timedelta(seconds=20), "reset_too_early"),
        (NOON - 7 * HOUR, "reset_too_early"),
    ],
)
def test_when_a_reset_cannot_be(at, code):
    assert code_of(was_reset, an_aggregate(), at=at) == code


def test_a_reset_before_the_running_period_is_refused_where_measuring_began_earlier():
    aggregate = an_aggregate(a_wish(measure_from=NOON - 30 * HOUR))

    assert code_of(was_reset, aggregate, at=NOON - 7 * HOUR) == "reset_before_the_period"


@pytest.mark.parametrize("preserve", [None, True, False])
def test_a_reset_says_itself_what_becomes_of_overage_or_does_as_the_entitlement(preserve):
    aggregate = an_aggregate(a_wish(preserve_overage=True))

    [reset] = was_reset(aggregate, preserve_overage=preserve, retain_anchor=True).resets

    expected = preserve is not False
    assert reset == ManualReset(at=NOON, anchor=NOON - 6 * HOUR, preserve_overage=expected)


def test_resets_have_a_bound():
    once = was_reset(an_aggregate())

    bounds = Bounds(grants_max=1, resets_max=1)
    assert code_of(was_reset, once, now=NOON + HOUR, bounds=bounds) == "too_many_resets"


# -- the record


LONGEST = Duration(
    years=1000, months=1000, weeks=1000, days=10_000, hours=100_000, minutes=1_000_000, seconds=Decimal("1000000.123456")
)  # fmt: skip


def full(grants, resets, amount="9007199254740991.123456789"):
    """An entitlement with the longest grants that there are, voided and deleted."""
    at = NOON + timedelta(seconds=1, microseconds=123456)
    anchor = NOON + timedelta(seconds=59)
    wish = a_grant_wish(
        amount,
        priority=255,
        expiry=Expiry(unit=ExpiryUnit.YEAR, count=1),
        min_rollover=Decimal(amount),
        recurrence=PeriodWanted(interval=LONGEST, anchor=anchor),
    )
    aggregate = an_aggregate(a_wish(annotations={}), now=at)
    one = granted(aggregate, wish, now=at).grants[0]
    void = replace(one, grant=replace(one.grant, voided_at=NOON, deleted_at=at))
    many = [
        ManualReset(at=NOON + n * MINUTE, anchor=NOON + n * MINUTE, preserve_overage=False)
        for n in range(resets)
    ]
    return with_resets(replace(aggregate, grants=(void,) * grants), tuple(many))


def test_an_entitlement_with_all_that_the_bounds_allow_fits_into_a_record():
    record = entitlement_record(full(BOUNDS.grants_max, BOUNDS.resets_max))

    size = len(encode_catalog_record(catalog_record(record, 2**63 - 1)))

    assert size < RECORD_BYTES_MAX
    refuse_too_large(record)


def test_one_that_does_not_fit_is_refused():
    record = entitlement_record(full(3 * BOUNDS.grants_max, 0))

    assert code_of(refuse_too_large, record) == "entitlement_too_large"


def test_room_is_kept_for_voiding_and_deleting_every_grant():
    aggregate = full(1, 0)
    fresh = replace(aggregate.grants[0].grant, voided_at=None, deleted_at=None)
    live = replace(aggregate.grants[0], grant=fresh)

    def fits(grants, one):
        record = entitlement_record(replace(aggregate, grants=(one,) * grants))
        try:
            refuse_too_large(record)
        except Refused:
            return False
        return True

    most = max(n for n in range(1500, 3000, 10) if fits(n, aggregate.grants[0]))
    assert not fits(most + 10, live)
    assert fits(most, live)


def test_the_record_says_what_the_rules_see():
    aggregate = was_reset(an_aggregate(a_wish(preserve_overage=True)), at=NOON - HOUR)

    record = entitlement_record(aggregate)

    assert timeline_of_record(record) == timeline_of(aggregate)
    assert entitlement_record(an_aggregate(a_wish(Kind.STATIC))).interval is None


# -- configurations


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('{"seats": 5}', '{"seats": 5}'),
        ('{"bb":1,"a":2,"b":{"z":[],"y":{}}}', '{"a": 2, "b": {"y": {}, "z": []}, "bb": 1}'),
        ('{"a":1,"a":2}', '{"a": 2}'),
        ('{"é":1,"zz":2,"a":3}', '{"a": 3, "zz": 2, "é": 1}'),
        ("[1.50, 1e2, -0, -0.0, 1E-3]", "[1.50, 100, 0, 0.0, 0.001]"),
        (' "\\u00e9\\n\\u2028\\u001f/" ', '"é\\n\u2028\\u001f/"'),
        ("7", "7"),
        ("[" * 101 + "]" * 101, "[" * 101 + "]" * 101),
        ("null", "null"),
        ("[true,false]", "[true, false]"),
    ],
)
def test_a_configuration_has_one_spelling(given, kept):
    assert normalised(given) == kept
    assert type(normalised(given)) is str
    assert normalised(kept) == kept


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("", "config_not_json"),
        ("{", "config_not_json"),
        ("NaN", "config_not_json"),
        ("[-Infinity]", "config_not_json"),
        ("[" * 60_000, "config_too_deep"),
        ("[" * 102 + "]" * 102, "config_too_deep"),
        ("1e999999999999999999999", "config_not_json"),
        ("1e1001", "config_number_out_of_range"),
        ('"\\u0000"', "text_invalid"),
        ('{"\\ud800": 1}', "text_invalid"),
        ('"\ud800"', "text_invalid"),
        (f'"{"x" * CONFIG_BYTES_MAX}"', "config_too_large"),
        (f'"{"é" * (CONFIG_BYTES_MAX // 2)}"', "config_too_large"),
        ("[" + ",".join(["1e999"] * 1000) + "]", "config_too_large"),
    ],
)
def test_what_a_configuration_cannot_be(given, code):
    assert code_of(normalised, given) == code
