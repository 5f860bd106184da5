"""What a customer and a subject may be."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.customers.customer import (
    SUBJECT_KEYS_BYTES_MAX,
    Address,
    deleted,
    new_customer,
    replaced,
)
from domain.customers.subject import changed, new_subject
from domain.errors import Conflict, PreconditionFailed, Refused
from tests.builders import NOON, ULIDS
from tests.customer_builders import a_customer, a_face, an_upsert

LATER = NOON + timedelta(hours=1)


def refusal(call) -> tuple[str, str | None]:
    with pytest.raises(Refused) as told:
        call()
    return told.value.code, told.value.field


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"name": ""}, "length_invalid", "$.name"),
        ({"name": "n" * 257}, "length_invalid", "$.name"),
        ({"name": "a\0b"}, "text_invalid", "$.name"),
        ({"key": "k" * 257}, "length_invalid", "$.key"),
        ({"key": "\ud800"}, "text_invalid", "$.key"),
        ({"description": "d" * 1025}, "length_invalid", "$.description"),
        ({"primary_email": "e" * 1025}, "length_invalid", "$.primaryEmail"),
        ({"currency": "eur"}, "currency_invalid", "$.currency"),
        ({"currency": "XQZ"}, "currency_not_found", "$.currency"),
        ({"metadata": {"a": "m" * 65_536}}, "metadata_too_large", "$.metadata"),
        ({"metadata": {"\0": ""}}, "text_invalid", "$.metadata"),
        ({"subject_keys": [""]}, "length_invalid", "$.usageAttribution.subjectKeys"),
        ({"subject_keys": ["s" * 513]}, "length_invalid", "$.usageAttribution.subjectKeys"),
        ({"subject_keys": ["a\0"]}, "text_invalid", "$.usageAttribution.subjectKeys"),
        ({"key": None}, "usage_attribution_missing", "$.usageAttribution"),
    ],
)  # fmt: skip
def test_what_a_customer_cannot_have_is_refused(more, code, field):
    assert refusal(lambda: a_customer(**more)) == (code, field)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"country": "Netherlands"}, "country"),
        ({"country": "nl"}, "country"),
        ({"city": "a\0b"}, "city"),
        ({"line1": "l" * 1025}, "line1"),
        ({"postal_code": "\ud800"}, "postalCode"),
    ],
)
def test_an_address_that_cannot_be_is_refused(more, field):
    assert refusal(lambda: Address(**more))[1] == f"$.billingAddress.{field}"


def test_the_longest_of_everything_is_taken():
    made = a_customer(
        "k" * 256,
        name="😀" * 256,
        description="d" * 1024,
        subject_keys=["😀" * 512, "s"],
        metadata={"m": "m" * 65_535},
    )

    assert made.subject_keys == ("s", "😀" * 512)


def test_subject_keys_have_a_number_and_a_size():
    def made(keys, most=3):
        face = a_face(subject_keys=keys)
        return new_customer(
            face, id=ULIDS[0], namespace="n", at=NOON, subject_keys_max=most
        ).subject_keys

    long = ["\x01" * 500 + str(n) for n in range(SUBJECT_KEYS_BYTES_MAX // 3000 + 1)]
    assert made(["c", "a", "b"]) == ("a", "b", "c")
    assert refusal(lambda: made(["a", "b", "c", "d"]))[0] == "too_many_subject_keys"
    assert refusal(lambda: made(long, most=1000))[0] == "subject_keys_too_large"
    with pytest.raises(Conflict):
        made(["a", "b", "a"])


def test_what_a_replacement_leaves_out_is_cleared_but_for_email_and_currency():
    before = a_customer(
        description="d",
        metadata={"a": "b"},
        primary_email="a@b",
        currency="EUR",
        billing_address=Address(country="NL"),
        subject_keys=["s"],
    )

    after = replaced(before, a_face(), at=LATER, subject_keys_max=1)

    assert after == replace(a_customer(), primary_email="a@b", currency="EUR", updated_at=LATER)


def test_a_replacement_without_key_and_subjects_is_refused():
    code, _ = refusal(
        lambda: replaced(a_customer(), a_face(key=None), at=LATER, subject_keys_max=1)
    )

    assert code == "usage_attribution_missing"


def test_a_deleted_customer_keeps_its_face_and_is_not_changed_again():
    gone = deleted(a_customer(key=None, subject_keys=["s"]), at=LATER)

    assert (gone.subject_keys, gone.deleted_at, gone.name) == ((), LATER, "Acme")
    with pytest.raises(PreconditionFailed):
        deleted(gone, at=LATER)
    with pytest.raises(PreconditionFailed):
        replaced(gone, a_face(), at=LATER, subject_keys_max=1)


# -- subjects


def nested(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return {"a": value}


@pytest.mark.parametrize(
    ("upsert", "code"),
    [
        (an_upsert(""), "length_invalid"),
        (an_upsert("s" * 513), "length_invalid"),
        (an_upsert("a\0b"), "text_invalid"),
        (an_upsert(display_name="d" * 1025), "length_invalid"),
        (an_upsert(stripe_customer_id=""), "stripe_customer_id_invalid"),
        (an_upsert(stripe_customer_id="abc"), "stripe_customer_id_invalid"),
        (an_upsert(metadata={"a": {"b": ["\0"]}}), "text_invalid"),
        (an_upsert(metadata={"a": "x" * 65_536}), "metadata_too_large"),
        (an_upsert(metadata={"a": [0] * 10_000}), "metadata_too_large"),
        (an_upsert(metadata=nested(31)), "metadata_too_deep"),
    ],
)
def test_what_a_subject_cannot_have_is_refused(upsert, code):
    assert refusal(lambda: new_subject(upsert, id=ULIDS[0], namespace="n", at=NOON))[0] == code


def test_only_what_is_given_of_a_subject_changes():
    full = an_upsert(display_name="D", metadata=nested(30), stripe_customer_id="cus_1")
    subject = new_subject(full, id=ULIDS[0], namespace="n", at=NOON)

    after = changed(subject, an_upsert(display_name=None), at=LATER)

    assert after == replace(subject, display_name=None, updated_at=LATER)
