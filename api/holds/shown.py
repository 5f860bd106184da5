"""Holds as answers show them, and what stands against one as an error."""

from __future__ import annotations

from typing import Any

from api.entitlements.shown import number
from domain.errors import DomainError, NotFound, PreconditionFailed, Refused, Unavailable
from domain.holds.errors import HoldConflict
from schemas.holds import HoldTold, HoldView


def hold_json(hold: HoldView) -> dict[str, Any]:
    """Members without a value are left out; `balance` is what was free when it was granted, without it."""
    shown = {
        "id": hold.id,
        "key": hold.key,
        "customerId": hold.customer_id,
        "entitlementId": hold.entitlement_id,
        "featureId": hold.feature_id,
        "featureKey": hold.feature_key,
        "amount": number(hold.amount),
        "balance": number(hold.balance),
        "status": hold.status,
        "createdAt": hold.created_at,
        "expiresAt": hold.expires_at,
        "endedAt": hold.ended_at,
        "used": None if hold.used is None else number(hold.used),
        "metadata": hold.metadata,
    }
    return {name: value for name, value in shown.items() if value is not None}


def refuse(told: HoldTold) -> None:
    """Raises what stands against a call; nothing when nothing does."""
    if told.why is not None:
        raise _error_of(told)


def _error_of(told: HoldTold) -> Exception:
    error: DomainError
    match told.why:
        case "refused":
            return Refused(told.code or "refused", told.message, told.field)
        case "conflict":
            return HoldConflict(told.code or "conflict", told.message)
        case "not_found":
            error = NotFound(told.message)
        case "precondition_failed":
            error = PreconditionFailed(told.message)
        case _:
            return Unavailable(told.message or "the worker that keeps the holds is not ready")
    return error
