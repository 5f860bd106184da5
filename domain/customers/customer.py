"""A customer: who pays, and whose events are its usage. Source: metering §3.2, §3.3."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from domain.errors import Conflict, PreconditionFailed, Refused
from domain.metering.ulid import is_ulid
from domain.money.currency import fiat
from domain.texts import camel, check_length, check_metadata

KEY_LENGTH_MAX = 256
NAME_LENGTH_MAX = 256
DESCRIPTION_LENGTH_MAX = 1024
EMAIL_LENGTH_MAX = 1024
ADDRESS_LINE_LENGTH_MAX = 1024
SUBJECT_KEY_LENGTH_MAX = 512
"""Characters, at most 4 bytes each: a key of an index holds 2704 bytes."""

SUBJECT_KEYS_BYTES_MAX = 512 << 10
"""All subject keys of a customer together, as JSON: a customer is one record of the catalog topic."""

_COUNTRY = re.compile(r"[A-Z]{2}\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where invoices go; nothing is required. `country` is an ISO 3166 code of two letters."""

    country: str | None = None
    postal_code: str | None = None
    state: str | None = None
    city: str | None = None
    line1: str | None = None
    line2: str | None = None
    phone_number: str | None = None

    def __post_init__(self) -> None:
        if self.country is not None and not _COUNTRY.match(self.country):
            raise Refused(
                "country_invalid",
                f"a country is two capital letters (ISO 3166): {self.country[:40]!r}",
                "$.billingAddress.country",
            )
        for name in ("postal_code", "state", "city", "line1", "line2", "phone_number"):
            text = getattr(self, name)
            if text is not None:
                check_length(f"$.billingAddress.{camel(name)}", text, 0, ADDRESS_LINE_LENGTH_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A validated customer. `subject_keys` are sorted; a deleted customer has none, and no event is its usage."""

    id: str
    namespace: str
    name: str
    created_at: datetime
    updated_at: datetime
    key: str | None = None
    subject_keys: tuple[str, ...] = ()
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    primary_email: str | None = None
    currency: str | None = None
    billing_address: Address | None = None
    deleted_at: datetime | None = None

    def __post_init__(self) -> None:
        if not is_ulid(self.id):
            raise Refused("id_invalid", f"not a ULID: {self.id[:40]!r}", "$.id")
        check_length("$.name", self.name, 1, NAME_LENGTH_MAX)
        if self.key is not None:
            check_length("$.key", self.key, 1, KEY_LENGTH_MAX)
        if self.description is not None:
            check_length("$.description", self.description, 0, DESCRIPTION_LENGTH_MAX)
        if self.primary_email is not None:
            check_length("$.primaryEmail", self.primary_email, 0, EMAIL_LENGTH_MAX)
        if self.currency is not None:
            fiat(self.currency)
        check_metadata(self.metadata)
        _check_subject_keys(self.subject_keys)
        if self.deleted_at is None and self.key is None and not self.subject_keys:
            raise Refused(
                "usage_attribution_missing",
                "a customer needs a key or at least one subject key",
                "$.usageAttribution",
            )

    def refuse_deleted(self) -> None:
        """PreconditionFailed when it is deleted."""
        if self.deleted_at is not None:
            raise PreconditionFailed(f"customer is deleted: {self.id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFace:
    """What a request says of a customer: all of it. A member that was left out is None."""

    name: str
    key: str | None = None
    subject_keys: Sequence[str] = ()
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    primary_email: str | None = None
    currency: str | None = None
    billing_address: Address | None = None


def new_customer(
    face: CustomerFace, *, id: str, namespace: str, at: datetime, subject_keys_max: int
) -> Customer:
    """A customer made at `at`. Refused; Conflict when a subject key is given twice."""
    return Customer(
        id=id,
        namespace=namespace,
        name=face.name,
        key=face.key,
        subject_keys=_sorted_keys(face.subject_keys, subject_keys_max),
        description=face.description,
        metadata=face.metadata,
        primary_email=face.primary_email,
        currency=face.currency,
        billing_address=face.billing_address,
        created_at=at,
        updated_at=at,
    )


def replaced(
    customer: Customer, face: CustomerFace, *, at: datetime, subject_keys_max: int
) -> Customer:
    """The customer with a new face: what was left out is cleared, but e-mail and currency stay.

    Refused; PreconditionFailed when it is deleted; Conflict when a subject key is given twice.
    """
    customer.refuse_deleted()
    return replace(
        customer,
        name=face.name,
        key=face.key,
        subject_keys=_sorted_keys(face.subject_keys, subject_keys_max),
        description=face.description,
        metadata=face.metadata,
        primary_email=customer.primary_email if face.primary_email is None else face.primary_email,
        currency=customer.currency if face.currency is None else face.currency,
        billing_address=face.billing_address,
        updated_at=at,
    )


def deleted(customer: Customer, *, at: datetime) -> Customer:
    """The customer as it is once deleted: its key and its subjects are free. PreconditionFailed when it is deleted."""
    customer.refuse_deleted()
    return replace(customer, subject_keys=(), deleted_at=at, updated_at=at)


def _sorted_keys(keys: Sequence[str], most: int) -> tuple[str, ...]:
    if len(keys) > most:
        raise Refused(
            "too_many_subject_keys",
            f"a customer has at most {most} subject keys, not {len(keys)}",
            "$.usageAttribution.subjectKeys",
        )
    found = sorted(keys)
    for one, after in pairwise(found):
        if one == after:
            raise Conflict(f"subject key {one[:80]!r} is given twice")
    return tuple(found)


def _check_subject_keys(keys: Sequence[str]) -> None:
    size = 0
    for key in keys:
        check_length("$.usageAttribution.subjectKeys", key, 1, SUBJECT_KEY_LENGTH_MAX)
        size += len(json.dumps(key, ensure_ascii=False).encode())
    if size > SUBJECT_KEYS_BYTES_MAX:
        raise Refused(
            "subject_keys_too_large",
            f"the subject keys have {size} bytes as JSON, {SUBJECT_KEYS_BYTES_MAX} are allowed",
            "$.usageAttribution.subjectKeys",
        )
