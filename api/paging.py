"""Pages as v1 shows them. Source: metering §0.4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

Page = Annotated[int, msgspec.Meta(ge=1)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Order = Annotated[str, msgspec.Meta(pattern=r"^(ASC|DESC)\Z")]

PAGE_SIZE = 100
"""When the request says none."""


def page_json(items: Sequence[Any], *, total: int, page: int, page_size: int) -> dict[str, Any]:
    """The page object."""
    return {"totalCount": total, "page": page, "pageSize": page_size, "items": items}
