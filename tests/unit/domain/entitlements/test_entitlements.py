"""Access, activity, timelines, issued grants and voids (examples of values and histories: tests/golden/entitlement)."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from domain.credits.cuts import Plan, Reset
from domain.credits.engine import open_state
from domain.credits.readings import Readings
from domain.credits.roster import Roster
from domain.credits.state import Standing
from domain.entitlements.entitlement import (
    Boolean,
    Entitlement,
    Granted,
    Metered,
    MeteredAccess,
    NoAccess,
    Overlap,
    Static,
    StaticAccess,
    Terms,
    access,
    check_alone,
    value_instant,
)
from domain.entitlements.grants import (
    ExpiryUnit,
    check_begins,
    expires_at,
    issued_grant,
    voided,
)
from domain.entitlements.history import history
from domain.entitlements.usage_period import (
    MeasureFrom,
    Timeline,
    after_reset,
    measured_from,
    new_timeline,
)
from domain.errors import Refused
from domain.metering.meter import Aggregation
from domain.metering.windows import WindowSize
from domain.time.duration import parse_duration
from domain.time.interval import Interval
from tests.credit_builders import T0, a_grant, a_reading, at

D = Decimal
UTC_ZONE = ZoneInfo("UTC")


def a_timeline(interval: str = "P1D", measured_from: datetime = T0, **more: bool) -> Timeline:
    return new_timeline(
        interval=parse_duration(interval), anchor=T0, measured_from=measured_from, **more
    )


def an_entitlement(
    terms: Terms, start: float = 0, end: float | None = None, **fields: str
) -> Entitlement:
    names = {"id": "e", "customer_id": "c", "feature_key": "f"} | fields
    active = Interval(start=at(start), end=None if end is None else at(end))
    return Entitlement(active=active, terms=terms, **names)


def a_standing(balance: int) -> Standing:
    return Standing(
        balances={"g": D(balance)}, overage=D(2), period_start=T0, usage=D(7), taken=D(5)
    )


@pytest.mark.parametrize(
    ("balance", "soft", "given"),
    [(1, False, True), (0, False, False), (0, True, True), (1, True, True)],
)
def test_a_balance_or_a_soft_limit_gives_access(balance: int, soft: bool, given: bool):
    entitlement = an_entitlement(Metered(timeline=a_timeline(), is_soft_limit=soft))

    value = access(entitlement, at(1), a_standing(balance))

    assert value == MeteredAccess(
        has_access=given,
        balance=D(balance),
        usage=D(7),
        overage=D(2),
        total_available=D(5 + balance),
        grant_balances={"g": D(balance)},
    )


def test_static_and_boolean_give_access_while_they_are_active():
    static = an_entitlement(Static(config='{"seats": 3}'), end=5)
    boolean = an_entitlement(Boolean(), end=5)

    given = [[access(one, at(h)) for h in (-1, 0, 4, 5)] for one in (static, boolean)]

    inside = [StaticAccess(config='{"seats": 3}'), Granted()]
    assert given == [[NoAccess(), one, one, NoAccess()] for one in inside]


def test_a_metered_entitlement_that_is_not_active_has_no_value():
    entitlement = an_entitlement(Metered(timeline=a_timeline()), end=5)

    assert access(entitlement, at(5)) == NoAccess()


@pytest.mark.parametrize("config", ["{}", "null", "3", '"x"', "[1]"])
def test_a_configuration_is_json(config: str):
    assert Static(config=config).config == config


@pytest.mark.parametrize("config", ["", "{", "{'a': 1}", "NaN", '{"a": Infinity}', "[" * 100_000])
def test_a_configuration_that_is_not_json_is_refused(config: str):
    with pytest.raises(Refused) as refused:
        Static(config=config)

    assert (refused.value.code, refused.value.field) == ("config_not_json", "$.config")


@pytest.mark.parametrize(
    ("start", "end", "fields", "allowed"),
    [
        (0, None, {}, False),
        (9, None, {}, False),
        (10, None, {}, True),
        (0, 5, {}, True),
        (0, 6, {}, False),
        (0, None, {"customer_id": "other"}, True),
        (0, None, {"feature_key": "other"}, True),
        (0, None, {"id": "old"}, True),
    ],
)
def test_one_entitlement_of_a_customer_and_feature_key_at_a_time(
    start: float, end: float | None, fields: dict[str, str], allowed: bool
):
    old = an_entitlement(Boolean(), 5, 10, id="old")
    new = an_entitlement(Boolean(), start, end, **fields)

    if allowed:
        check_alone(new, [old])
        return
    with pytest.raises(Overlap) as overlap:
        check_alone(new, [old])
    assert (overlap.value.code, overlap.value.conflicting) == ("entitlement_overlaps", "old")


def test_a_value_counts_to_the_end_of_its_minute():
    full = at(1)

    assert value_instant(full) == full
    assert value_instant(full.replace(microsecond=1)) == full.replace(minute=1)


def test_periods_are_at_least_an_hour():
    allowed = a_timeline("PT1H")

    with pytest.raises(Refused) as refused:
        a_timeline("PT59M59S")

    assert allowed.measured_from == T0
    assert (refused.value.code, refused.value.field) == (
        "usage_period_too_short",
        "$.usagePeriod.interval",
    )


def test_times_of_a_timeline_are_cut_to_the_minute():
    timeline = new_timeline(
        interval=parse_duration("P1D"),
        anchor=at(3).replace(second=9),
        measured_from=at(1).replace(second=59),
    )

    assert timeline.measured_from == at(1)
    assert timeline.between(at(0), at(30)) == [Reset(at(3)), Reset(at(27))]


@pytest.mark.parametrize(
    ("wanted", "begins"),
    [
        (None, 30),
        (MeasureFrom.NOW, 30),
        (MeasureFrom.CURRENT_PERIOD_START, 26),
        (at(-99).replace(second=7), -99),
    ],
)
def test_measuring_begins_now_with_the_period_or_at_a_time(
    wanted: datetime | MeasureFrom | None, begins: float
):
    begun = measured_from(
        wanted,
        interval=parse_duration("P1D"),
        anchor=at(50).replace(second=9),
        now=at(30).replace(second=5),
    )

    assert begun == at(begins)


def test_the_start_of_measuring_is_no_reset():
    timeline = a_timeline(measured_from=at(24))

    assert timeline.between(at(0), at(24)) == []
    assert timeline.next_after(at(0)) == at(48)
    assert timeline.between(at(0), at(48)) == [Reset(at(48))]


def test_before_measuring_the_first_period_holds():
    timeline = a_timeline(measured_from=at(30))

    assert timeline.period_at(at(0)) == Interval(start=at(30), end=at(48))


def test_a_reset_by_hand_decides_about_overage_for_itself():
    timeline = a_timeline(preserve_overage=True)
    timeline = after_reset(timeline, at(3), now=at(5), preserve_overage=False)
    timeline = after_reset(timeline, at(6), now=at(6), retain_anchor=True)

    assert timeline.between(at(0), at(30)) == [
        Reset(at(3), False),
        Reset(at(6), True),
        Reset(at(27), True),
    ]
    assert (timeline.last_reset, timeline.measured_from) == (at(6), at(0))
    assert timeline.next_after(at(3)) == at(6)


def test_a_reset_at_the_start_of_the_running_period_is_allowed():
    timeline = after_reset(a_timeline(), at(24), now=at(30))

    assert timeline.last_reset == at(24)


def test_too_many_periods_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("domain.entitlements.usage_period.CUTS_MAX", 3)

    allowed = a_timeline().between(at(0), at(72))
    with pytest.raises(Refused) as refused:
        a_timeline().between(at(0), at(96))

    assert len(allowed) == 3
    assert refused.value.code == "too_many_phases"


@pytest.mark.parametrize(
    ("start", "unit", "count", "end"),
    [
        ("2024-01-31T10:20:40+00:00", "MONTH", 1, "2024-03-02T10:20:00+00:00"),
        ("2024-01-31T10:20:40+02:00", "MONTH", 13, "2025-03-03T10:20:00+02:00"),
        ("2024-02-29T00:00:00+00:00", "YEAR", 1, "2025-03-01T00:00:00+00:00"),
        ("2024-03-30T00:00:00+00:00", "HOUR", 36, "2024-03-31T12:00:00+00:00"),
        ("2024-03-30T00:00:00+00:00", "WEEK", 2, "2024-04-13T00:00:00+00:00"),
        ("2024-12-31T00:00:00+00:00", "DAY", 1, "2025-01-01T00:00:00+00:00"),
        ("2024-05-31T00:00:00+00:00", "DAY", 100, "2024-09-08T00:00:00+00:00"),
    ],
)
def test_an_expiry_runs_over_the_months_end(start: str, unit: str, count: int, end: str):
    expiry = expires_at(datetime.fromisoformat(start), ExpiryUnit(unit), count)

    assert expiry == datetime.fromisoformat(end)


@pytest.mark.parametrize("count", [0, -1, 1_001])
def test_an_expiry_counts_from_1_to_1000(count: int):
    with pytest.raises(Refused) as refused:
        expires_at(T0, ExpiryUnit.DAY, count)

    assert (refused.value.code, refused.value.field) == ("expiry_invalid", "$.expiration.count")
    assert expires_at(T0, ExpiryUnit.HOUR, 1_000) == at(1_000)


def test_an_issued_grant_begins_with_the_current_period_and_every_reset_refills_it():
    grant = issued_grant(a_timeline(), id="g", amount=D(10), now=at(30))

    assert grant == a_grant(
        "g", 10, effective_at=at(24), created_at=at(30), min_rollover=10, max_rollover=10
    )


def test_a_new_grant_lies_in_the_running_period_or_later():
    allowed = [check_begins(a_timeline(), at(h).replace(second=9), at(30)) for h in (24, 99)]

    with pytest.raises(Refused) as refused:
        check_begins(a_timeline(), at(23), at(30))

    assert allowed == [at(24), at(99)]
    assert (refused.value.code, refused.value.field) == (
        "grant_before_the_period",
        "$.effectiveAt",
    )


@pytest.mark.parametrize(
    ("hours", "code"), [(31, "void_in_the_future"), (23, "void_before_the_period")]
)
def test_a_void_lies_in_the_running_period_and_not_in_the_future(hours: float, code: str):
    with pytest.raises(Refused) as refused:
        voided(a_grant(), a_timeline(), at(hours), at(30))

    assert (refused.value.code, refused.value.field) == (code, "$.at")


def test_a_grant_is_voided_once_from_its_minute_on():
    grant = voided(a_grant(), a_timeline(), at(29).replace(second=9), at(30))

    with pytest.raises(Refused) as refused:
        voided(grant, a_timeline(), at(29), at(30))

    assert grant.voided_at == at(29)
    assert refused.value.code == "grant_already_voided"


def a_history(
    start: float, end: float, size: WindowSize = WindowSize.HOUR, used: float = 3
) -> tuple[list[tuple[datetime, Decimal, Decimal]], int]:
    plan = Plan(Roster([a_grant("g", 10)]), a_timeline(measured_from=at(0.5)), Aggregation.SUM)
    readings = Readings(Aggregation.SUM, [a_reading(1, used), a_reading(2.5, used)])
    found = history(
        plan,
        open_state(plan, at(0.5)),
        readings,
        start=at(start),
        end=at(end),
        size=size,
        zone=UTC_ZONE,
    )
    return [(w.period.start, w.usage, w.balance_at_start) for w in found.windows], len(
        found.segments
    )


def test_a_history_leaves_out_windows_from_before_measuring():
    windows, _ = a_history(0.6, 3)

    assert windows == [(at(1), D(3), D(10)), (at(2), D(3), D(7))]


def test_a_windows_balance_is_never_below_zero():
    windows, _ = a_history(1, 4, used=8)

    assert [balance for _, _, balance in windows] == [D(10), D(2), D(0)]


def test_an_empty_history_has_the_window_it_lies_in():
    windows, segments = a_history(2, 2)

    assert (windows, segments) == ([(at(2), D(3), D(7))], 1)


@pytest.mark.parametrize(
    ("start", "end", "code", "field"),
    [
        (0.4, 3, "history_before_measuring", "$.from"),
        (3, 2, "history_ends_before_it_starts", "$.to"),
    ],
)
def test_a_history_that_cannot_be_is_refused(start: float, end: float, code: str, field: str):
    with pytest.raises(Refused) as refused:
        a_history(start, end)

    assert (refused.value.code, refused.value.field) == (code, field)


def test_too_many_windows_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("domain.entitlements.history.WINDOWS_MAX", 3)

    allowed, _ = a_history(1, 4)
    with pytest.raises(Refused) as refused:
        a_history(1, 5)

    assert len(allowed) == 3
    assert (refused.value.code, refused.value.field) == ("too_many_windows", "$.windowSize")
