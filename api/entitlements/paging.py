"""Parts of lists: pages, and the older limit and offset. Source: metering §0.4."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from api.paging import PAGE_SIZE, Order, Page, PageSize, page_json
from domain.entitlements.finding import Order as OrderBy
from domain.entitlements.finding import Slice

Offset = Annotated[int, msgspec.Meta(ge=0)]


class PartQuery(msgspec.Struct, kw_only=True, rename="camel"):
    """Either a page or a limit with an offset; a page goes first."""

    page: Page | None = None
    page_size: PageSize | None = None
    limit: PageSize = PAGE_SIZE
    offset: Offset = 0
    order: Order = "ASC"

    @property
    def is_paged(self) -> bool:
        """Whether a page was asked for."""
        return self.page is not None or self.page_size is not None


def page_of(query: PartQuery, order: OrderBy) -> Slice:
    """The page; the first one of 100 where none is asked for."""
    size = query.page_size or PAGE_SIZE
    return Slice(
        order=order,
        descending=query.order == "DESC",
        offset=((query.page or 1) - 1) * size,
        limit=size,
    )


def part_of(query: PartQuery, order: OrderBy) -> Slice:
    """The page, or what limit and offset say where none is asked for."""
    if query.is_paged:
        return page_of(query, order)
    return Slice(
        order=order,
        descending=query.order == "DESC",
        offset=query.offset,
        limit=query.limit,
    )


def page_answer(query: PartQuery, items: list[Any], total: int) -> dict[str, Any]:
    """A page with its number and size."""
    return page_json(
        items, total=total, page=query.page or 1, page_size=query.page_size or PAGE_SIZE
    )
