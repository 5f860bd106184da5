"""How requests name an entitlement and its owner, and what a list asks for. Source: metering §0.4, §5.6, §6.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.entitlements.managed import Kind


@dataclass(frozen=True, slots=True)
class ByCustomer:
    """A customer's id (deleted ones are refused) or the key of a live one; an id goes first."""

    id_or_key: str


@dataclass(frozen=True, slots=True)
class BySubject:
    """A subject's id (deleted ones are refused) or the key of a live one: the customer whose usage its events are."""

    id_or_key: str


Owner = ByCustomer | BySubject


@dataclass(frozen=True, slots=True)
class ById:
    """An entitlement that is not deleted, whoever has it."""

    id: str


@dataclass(frozen=True, slots=True)
class OfOwner:
    """By id, whoever has it, else the owner's one for the feature key that is active now. The owner must be there."""

    owner: Owner
    id_or_feature_key: str


Place = ById | OfOwner


@dataclass(frozen=True, slots=True)
class FeatureName:
    """The feature that an entitlement is for, not archived; the id counts when both are there."""

    id: str | None = None
    key: str | None = None


class Order(StrEnum):
    """By what a list is sorted; the id decides between equals."""

    ID = "id"
    CREATED = "createdAt"
    UPDATED = "updatedAt"
    EFFECTIVE = "effectiveAt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The part of a list that is wanted."""

    order: Order
    descending: bool = False
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementFilter:
    """Which entitlements; None: any. Deleted ones never. `features` are keys or ids, `subjects` subject keys.

    Of `customer_ids` and `customer_keys` one must fit. `owner` must be there.
    """

    owner: Owner | None = None
    features: Sequence[str] | None = None
    subjects: Sequence[str] | None = None
    customer_ids: Sequence[str] | None = None
    customer_keys: Sequence[str] | None = None
    kinds: Sequence[Kind] | None = None
    only_active: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFilter:
    """Which grants of entitlements that are not deleted; None: any. `features` are keys or ids, `subjects` subject keys.

    `customers` are ids or keys: an unknown one is NotFound, a deleted one has no grants to show.
    """

    place: Place | None = None
    features: Sequence[str] | None = None
    subjects: Sequence[str] | None = None
    customers: Sequence[str] | None = None
