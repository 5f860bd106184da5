"""Customers and subjects: making and changing them. Ids and times come from the ports. Source: metering §3.1, §3.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.ports import Ports
from domain.customers.customer import Customer, CustomerFace, new_customer, replaced
from domain.customers.subject import Subject, SubjectUpsert
from domain.errors import Refused

UPSERTS_MAX = 1000
"""Subjects that one request may make or change: they are one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRules:
    """What the configuration says about customers."""

    subject_keys_max: int = 1000


async def create(
    ports: Ports, rules: CustomerRules, namespace: str, face: CustomerFace
) -> Customer:
    """Make a customer. Refused, Conflict."""
    customer = new_customer(
        face,
        id=ports.new_id(),
        namespace=namespace,
        at=ports.now(),
        subject_keys_max=rules.subject_keys_max,
    )
    return await ports.customers.create(customer)


async def replace(
    ports: Ports, rules: CustomerRules, id_or_key: str, face: CustomerFace
) -> Customer:
    """Give a customer a new face. Refused, NotFound, Conflict; PreconditionFailed for a deleted one."""

    def change(customer: Customer) -> Customer:
        return replaced(customer, face, at=ports.now(), subject_keys_max=rules.subject_keys_max)

    return await ports.customers.update(id_or_key, change)


async def upsert(ports: Ports, upserts: Sequence[SubjectUpsert]) -> Sequence[Subject]:
    """Make or change subjects, all or none. Refused, Conflict."""
    if len(upserts) > UPSERTS_MAX:
        raise Refused(
            "too_many_subjects",
            f"one request takes at most {UPSERTS_MAX} subjects, not {len(upserts)}",
        )
    return await ports.subjects.upsert(upserts)
