"""What the API answers about customers, subjects and features, as types: the document's schemas."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from api.openapi.answers import Ulid
from api.v1.customers import CustomerAddress, UsageAttribution
from api.v1.features import LlmUnitCost, ManualUnitCost
from api.v1.filters import StringFilter


class CustomerAnswer(Struct, kw_only=True, rename="camel"):
    """A customer."""

    id: Ulid
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    created_at: datetime
    updated_at: datetime
    key: Annotated[str, Meta(min_length=1, max_length=256)] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    usage_attribution: UsageAttribution | UnsetType = UNSET
    primary_email: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    billing_address: CustomerAddress | UnsetType = UNSET
    deleted_at: datetime | UnsetType = UNSET


class CustomerPageAnswer(Struct, kw_only=True, rename="camel"):
    """A page of customers."""

    total_count: Annotated[int, Meta(ge=0, description="On all pages.")]
    page: Annotated[int, Meta(ge=1)]
    page_size: Annotated[int, Meta(ge=1, le=1000)]
    items: list[CustomerAnswer]


class SubjectAnswer(Struct, kw_only=True, rename="camel"):
    """A subject."""

    id: Ulid
    key: Annotated[str, Meta(min_length=1)]
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    display_name: str | UnsetType = UNSET
    stripe_customer_id: str | UnsetType = UNSET
    deleted_at: datetime | UnsetType = UNSET


class FeatureAnswer(Struct, kw_only=True, rename="camel"):
    """A feature."""

    id: Ulid
    key: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, str] | UnsetType = UNSET
    meter_slug: str | UnsetType = UNSET
    meter_group_by_filters: Annotated[
        dict[str, str] | UnsetType, Meta(description="When every filter asks for one value.")
    ] = UNSET
    advanced_meter_group_by_filters: dict[str, StringFilter] | UnsetType = UNSET
    unit_cost: ManualUnitCost | LlmUnitCost | UnsetType = UNSET
    archived_at: datetime | UnsetType = UNSET


class FeaturePageAnswer(Struct, kw_only=True, rename="camel"):
    """A page of features."""

    total_count: Annotated[int, Meta(ge=0, description="On all pages.")]
    page: Annotated[int, Meta(ge=1)]
    page_size: Annotated[int, Meta(ge=1, le=1000)]
    items: list[FeatureAnswer]
