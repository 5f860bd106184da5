"""A subject as something that is managed: a name and metadata for what events call by its key. Source: metering §3.1.

Events need none: a subject counts whether it is managed or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.customers.customer import SUBJECT_KEY_LENGTH_MAX
from domain.errors import Refused
from domain.metering.ulid import is_ulid
from domain.texts import METADATA_BYTES_MAX, check_length, check_storable

DISPLAY_NAME_LENGTH_MAX = 1024
STRIPE_ID_LENGTH_MAX = 256
METADATA_DEPTH_MAX = 32
"""How deep lists and objects may stand in each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A validated subject."""

    id: str
    namespace: str
    key: str
    created_at: datetime
    updated_at: datetime
    display_name: str | None = None
    metadata: Mapping[str, Any] | None = None
    stripe_customer_id: str | None = None
    deleted_at: datetime | None = None

    def __post_init__(self) -> None:
        if not is_ulid(self.id):
            raise Refused("id_invalid", f"not a ULID: {self.id[:40]!r}", "$.id")
        check_length("$.key", self.key, 1, SUBJECT_KEY_LENGTH_MAX)
        if self.display_name is not None:
            check_length("$.displayName", self.display_name, 0, DISPLAY_NAME_LENGTH_MAX)
        if self.stripe_customer_id is not None:
            _check_stripe_id(self.stripe_customer_id)
        if self.metadata is not None:
            _check_values(self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectUpsert:
    """A subject as it was asked for: `given` has the members to set, by their names here; None clears one."""

    key: str
    given: Mapping[str, Any]


def new_subject(upsert: SubjectUpsert, *, id: str, namespace: str, at: datetime) -> Subject:
    """A subject made at `at`. Refused."""
    return Subject(
        id=id, namespace=namespace, key=upsert.key, created_at=at, updated_at=at, **upsert.given
    )


def changed(subject: Subject, upsert: SubjectUpsert, *, at: datetime) -> Subject:
    """The subject with the members that were given. Refused."""
    return replace(subject, updated_at=at, **upsert.given)


def provisioned(key: str, customer_id: str, *, id: str, namespace: str, at: datetime) -> Subject:
    """The subject that comes with a customer which names its key; its metadata says where it is from."""
    return Subject(
        id=id,
        namespace=namespace,
        key=key,
        metadata={"createdBy": "subject.provisioner", "customerId": customer_id},
        created_at=at,
        updated_at=at,
    )


def _check_stripe_id(text: str) -> None:
    check_length("$.stripeCustomerId", text, 0, STRIPE_ID_LENGTH_MAX)
    if not text.startswith("cus_"):
        raise Refused(
            "stripe_customer_id_invalid",
            f"a customer's id of Stripe starts with cus_: {text[:40]!r}",
            "$.stripeCustomerId",
        )


def _check_values(metadata: Mapping[str, Any]) -> None:
    size = _size(metadata, METADATA_DEPTH_MAX)
    if size > METADATA_BYTES_MAX:
        raise Refused(
            "metadata_too_large",
            f"metadata has {size} bytes, {METADATA_BYTES_MAX} are allowed",
            "$.metadata",
        )


def _size(value: Any, depth: int) -> int:
    """Bytes of all texts, and 8 for each value, so that a list of nothing has a size, too."""
    if depth <= 0:
        raise Refused(
            "metadata_too_deep",
            f"metadata nests at most {METADATA_DEPTH_MAX} levels",
            "$.metadata",
        )
    if isinstance(value, str):
        check_storable("$.metadata", value)
        return 8 + len(value.encode())
    if isinstance(value, Mapping):
        return 8 + sum(_size(key, depth) + _size(one, depth - 1) for key, one in value.items())
    if isinstance(value, list):
        return 8 + sum(_size(one, depth - 1) for one in value)
    return 8
