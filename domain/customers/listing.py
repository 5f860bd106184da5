"""Which customers to list, and a page of them. Source: metering §3.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.customers.customer import Customer

ORDERS = ("id", "name", "createdAt")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerListing:
    """A page of `page_size` from the first on (`page` 1). `order_by` is one of `ORDERS`, then the id.

    `key`, `name`, `primary_email` and `subject` are contained in what is listed, whatever the case; `subject` in one of its subject keys.
    """

    page: int = 1
    page_size: int = 100
    order_by: str = "name"
    descending: bool = False
    include_deleted: bool = False
    key: str | None = None
    name: str | None = None
    primary_email: str | None = None
    subject: str | None = None

    @property
    def offset(self) -> int:
        """How many come before the page."""
        return (self.page - 1) * self.page_size


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPage:
    """The page, and how many there are on all pages."""

    total: int
    customers: Sequence[Customer]
