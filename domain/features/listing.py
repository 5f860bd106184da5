"""Which features to list, and a part of them. Source: metering §4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.features.feature import Feature

ORDERS = ("key", "name", "createdAt", "updatedAt")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureListing:
    """`limit` features after the first `offset`. `order_by` is one of `ORDERS`, then the id.

    `meters`: of these meters only (slugs or ids), None = of all and of none.
    """

    offset: int = 0
    limit: int = 100
    order_by: str = "key"
    descending: bool = False
    include_archived: bool = False
    meters: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturePage:
    """The features, and how many fit in all."""

    total: int
    features: Sequence[Feature]
