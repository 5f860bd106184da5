"""Until there are customers: nobody owns a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.errors import NotFound


class NoCustomers:
    """Implements the port Customers."""

    async def of_subjects(self, subjects: Sequence[str]) -> Mapping[str, str]:
        """Nobody's."""
        return {}

    async def subjects_of(self, customer_id: str) -> Sequence[str]:
        """NotFound."""
        raise NotFound(f"customer not found: {customer_id[:100]}")
