"""Names and faults of thresholds (which are reached and told: tests/golden/threshold)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import xxhash

from domain.entitlements.thresholds import (
    InconsistentLevel,
    Kind,
    Level,
    Threshold,
    ThresholdType,
    Watch,
    dedupe_hash,
    dedupe_hash_v1,
    reached,
)
from domain.errors import Refused
from domain.time.interval import Interval

SINCE = datetime(2025, 8, 25, 15, 32, tzinfo=UTC)
WATCH = Watch(
    rule_id="01K3K3JFZ9M36YD287YGAMZX5X",
    namespace="test-namespace",
    period=Interval(start=SINCE, end=datetime(2025, 9, 25, 15, 32, tzinfo=UTC)),
    subject_key="test",
    entitlement_id="01K3GXRSGHFABJ10SDK83PMSBS",
    feature_id="01K3GXRC9AEDQP27NYXTB42FFJ",
    measured_from=SINCE,
)


def test_the_name_of_what_was_told_is_that_of_the_reference():
    named = dedupe_hash(WATCH, Kind.USAGE, lambda data: xxhash.xxh3_128(data).hexdigest())

    assert named == "bsnap_v2_521777eff8de3eb39301c492ff75620e"


def test_the_older_name_is_that_of_the_reference():
    named = dedupe_hash_v1(WATCH)

    assert named == "bsnap_v1_b8a36575f7f70393b3b23a032b7acf17202f767f11f061bb17815fd04e7ca24a"


def test_each_kind_has_a_name_of_its_own():
    names = {dedupe_hash(WATCH, kind, lambda data: data.decode()) for kind in Kind}

    assert len(names) == 2


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("usage_value", "0"),
        ("usage_percentage", "-1"),
        ("NUMBER", "NaN"),
        ("PERCENT", "Infinity"),
        ("balance_value", "-0.1"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused(type: str, value: str):
    with pytest.raises(Refused) as refused:
        Threshold(ThresholdType(type), Decimal(value))

    assert (refused.value.code, refused.value.field) == ("threshold_invalid", "$.value")


def test_a_balance_threshold_may_be_zero():
    assert Threshold(ThresholdType.BALANCE_VALUE, Decimal(0)).kind is Kind.BALANCE


def test_a_balance_beside_overage_is_a_fault():
    level = Level(
        usage=Decimal(1), balance=Decimal(1), overage=Decimal(1), total_available=Decimal(2)
    )

    with pytest.raises(InconsistentLevel) as fault:
        reached([], level)

    assert fault.value.code == "balance_and_overage"


def test_percentages_of_the_finest_amounts_are_exact():
    fine = Decimal("1" * 28 + "." + "1" * 38)
    level = Level(usage=fine, balance=Decimal(0), overage=Decimal(0), total_available=fine)
    just_below = Threshold(ThresholdType.PERCENT, Decimal("99." + "9" * 60))
    all_of_it = Threshold(ThresholdType.PERCENT, Decimal(100))

    assert reached([just_below, all_of_it], level) == {Kind.USAGE: just_below}
