"""Customers, subjects and features with defaults."""

from domain.customers.customer import CustomerFace, new_customer
from domain.customers.subject import SubjectUpsert
from domain.features.feature import FeatureFace, new_feature
from tests.builders import NOON, ULIDS

SUBJECT_KEYS_MAX = 1000


def a_face(key="acme", name="Acme", **more):
    return CustomerFace(key=key, name=name, **more)


def a_customer(key="acme", number=0, *, namespace="default", at=NOON, **more):
    return new_customer(
        a_face(key, **more),
        id=ULIDS[number],
        namespace=namespace,
        at=at,
        subject_keys_max=SUBJECT_KEYS_MAX,
    )


def an_upsert(key="s", **given):
    return SubjectUpsert(key=key, given=given)


def a_feature(key="calls", number=0, *, namespace="default", at=NOON, meter=None, **more):
    return new_feature(
        FeatureFace(key=key, name=more.pop("name", key), **more),
        id=ULIDS[number],
        namespace=namespace,
        meter=meter,
        at=at,
    )
