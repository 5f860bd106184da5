"""What a meter may be, and what a change of it does."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.errors import Refused
from domain.metering.meter import Aggregation, changed, new_meter, refuse_reserved

AT = datetime(2026, 3, 5, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 6, 12, tzinfo=UTC)


def a_meter(**more):
    given = {
        "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "namespace": "default",
        "slug": "tokens",
        "aggregation": Aggregation.SUM,
        "event_type": "request",
        "value_property": "$.tokens",
        "at": AT,
    }
    return new_meter(**(given | more))


def refusal(**more) -> tuple[str, str | None]:
    with pytest.raises(Refused) as refused:
        a_meter(**more)
    return refused.value.code, refused.value.field


def test_a_new_meter_takes_its_slug_as_name_and_starts_at_version_one():
    meter = a_meter()

    assert (meter.name, meter.version, meter.created_at, meter.updated_at) == ("tokens", 1, AT, AT)
    assert meter.group_by == {}
    assert meter.deleted_at is None


@pytest.mark.parametrize("slug", ["a", "0", "a_b", "a1_2b", "x" * 64])
def test_a_slug_is_small_letters_and_digits_joined_by_single_underscores(slug):
    assert a_meter(slug=slug).slug == slug


@pytest.mark.parametrize(
    "slug",
    ["", "A", "a__b", "_a", "a_", "a-b", "a b", "é", "a\n", "x" * 65, "a'; DROP TABLE events; --"],
)
def test_another_slug_is_refused(slug):
    assert refusal(slug=slug) == ("slug_invalid", "$.slug")


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"id": "nope"}, "id_invalid", "$.id"),
        ({"name": ""}, "length_invalid", "$.name"),
        ({"name": "x" * 257}, "length_invalid", "$.name"),
        ({"name": "a\0b"}, "text_invalid", "$.name"),
        ({"description": "\ud800"}, "text_invalid", "$.description"),
        ({"event_type": "\0"}, "text_invalid", "$.eventType"),
        ({"value_property": '$["\0"]'}, "text_invalid", "$.valueProperty"),
        ({"group_by": {"k": '$["\udfff"]'}}, "text_invalid", "$.groupBy.k"),
        ({"group_by": {"k" * 257: "$.k"}}, "length_invalid", "$.groupBy." + "k" * 257),
        ({"metadata": {"a": "\0"}}, "text_invalid", "$.metadata"),
        ({"metadata": {"\ud800": "b"}}, "text_invalid", "$.metadata"),
        ({"metadata": {"a": "x" * 65_536}}, "metadata_too_large", "$.metadata"),
        ({"event_from": datetime(2026, 1, 1)}, "time_invalid", "$.eventFrom"),  # noqa: DTZ001
        (
            {"event_from": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
            "time_invalid",
            "$.eventFrom",
        ),
        ({"description": ""}, "length_invalid", "$.description"),
        ({"description": "x" * 1025}, "length_invalid", "$.description"),
        ({"event_type": ""}, "length_invalid", "$.eventType"),
        ({"value_property": None}, "value_property_missing", "$.valueProperty"),
        ({"value_property": ""}, "path_invalid", "$.valueProperty"),
        ({"value_property": "tokens"}, "path_invalid", "$.valueProperty"),
        ({"value_property": "$.["}, "path_invalid", "$.valueProperty"),
        ({"value_property": "$..tokens"}, "path_invalid", "$.valueProperty"),
        ({"value_property": "$." + "a" * 300}, "path_too_long", "$.valueProperty"),
        ({"aggregation": Aggregation.COUNT}, "value_property_not_allowed", "$.valueProperty"),
        ({"group_by": {"two words": "$.x"}}, "group_key_invalid", "$.groupBy.two words"),
        ({"group_by": {"9lives": "$.x"}}, "group_key_invalid", "$.groupBy.9lives"),
        ({"group_by": {"x\n": "$.x"}}, "group_key_invalid", "$.groupBy.x\n"),
        ({"group_by": {"x": "x"}}, "path_invalid", "$.groupBy.x"),
        ({"group_by": {"x": ""}}, "path_invalid", "$.groupBy.x"),
        ({"group_by": {"x": "$.tokens"}}, "group_is_value", "$.groupBy.x"),
        ({"group_by": {f"k{i}": f"$.k{i}" for i in range(65)}}, "too_many_group_keys", "$.groupBy"),
        ({"reserved": ["_*", "request"]}, "event_type_reserved", "$.eventType"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_refused_with_its_code_and_field(more, code, field):
    assert refusal(**more) == (code, field)


def test_a_count_meter_has_no_value_and_a_group_may_be_called_subject():
    meter = a_meter(
        aggregation=Aggregation.COUNT, value_property=None, group_by={"subject": "$.subject"}
    )

    assert meter.value_property is None


@pytest.mark.parametrize(
    ("event_type", "pattern", "reserved"),
    [
        ("a.b", "a.*", True),
        ("axb", "a.*", False),
        ("a", "*", True),
        ("ab", "a", False),
        ("a[b]", "a[b]", True),
        ("", "*", True),
    ],
)
def test_a_star_in_a_reserved_pattern_matches_anything(event_type, pattern, reserved):
    if reserved:
        with pytest.raises(Refused):
            refuse_reserved(event_type, [pattern])
    else:
        refuse_reserved(event_type, [pattern])


def test_a_change_keeps_a_missing_description_and_resets_a_missing_name():
    meter = a_meter(name="Tokens", description="all", metadata={"a": "b"})

    after = changed(meter, name=None, description=None, metadata=None, group_by=None, at=LATER)

    assert (after.name, after.description, after.metadata) == ("tokens", "all", None)
    assert (after.updated_at, after.created_at, after.version) == (LATER, AT, 1)


def test_the_version_grows_only_when_the_groups_change():
    meter = a_meter(group_by={"model": "$.model"})

    def after(group_by):
        return changed(meter, name="n", description="d", metadata={}, group_by=group_by, at=LATER)

    assert after({"model": "$.model"}).version == 1
    assert after({"model": "$.kind"}).version == 2
    assert after({"kind": "$.model"}).version == 2
    assert after(None).version == 2
    assert after(None).group_by == {}


def test_a_change_is_checked_like_a_new_meter():
    with pytest.raises(Refused) as refused:
        changed(a_meter(), name=None, description="", metadata=None, group_by=None, at=LATER)
    assert refused.value.field == "$.description"

    with pytest.raises(Refused) as refused:
        changed(
            a_meter(),
            name=None,
            description=None,
            metadata=None,
            group_by={"x": "$.tokens"},
            at=LATER,
        )
    assert refused.value.code == "group_is_value"
