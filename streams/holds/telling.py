"""What stands against a call, as it is told to the API."""

from __future__ import annotations

from domain.errors import Conflict, DomainError, NotFound, PreconditionFailed, Refused
from schemas.holds import HoldTold


def told_error(error: DomainError) -> HoldTold:
    """The answer that carries a broken rule."""
    match error:
        case Refused():
            why, field = "refused", error.field
        case NotFound():
            why, field = "not_found", None
        case PreconditionFailed():
            why, field = "precondition_failed", None
        case Conflict():
            why, field = "conflict", None
        case _:
            raise error
    return HoldTold(why=why, code=error.code, message=str(error), field=field)
