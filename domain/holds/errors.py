"""What can stand against a hold, a confirmation or a release."""

from __future__ import annotations

from domain.errors import Conflict


class HoldConflict(Conflict):
    """The hold cannot be made, confirmed or released as things are; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def exceeds_balance(amount: object, free: object) -> HoldConflict:
    """More than what is left."""
    return HoldConflict("hold_exceeds_balance", f"a hold of {amount}: {free} are free")


def key_reused(key: str) -> HoldConflict:
    """The key names another request."""
    return HoldConflict("hold_key_reused", f"another hold was made with the key {key[:80]!r}")


def expired(key: str) -> HoldConflict:
    """Its time is over; nothing is reserved any more."""
    return HoldConflict("hold_expired", f"the hold {key[:80]!r} has expired")


def confirmed(key: str) -> HoldConflict:
    """It was confirmed with something else."""
    return HoldConflict("hold_confirmed", f"the hold {key[:80]!r} has been confirmed")


def released(key: str) -> HoldConflict:
    """It was given back."""
    return HoldConflict("hold_released", f"the hold {key[:80]!r} has been released")


def too_many(count: int) -> HoldConflict:
    """The bound on active holds of an entitlement."""
    return HoldConflict("holds_too_many", f"{count} holds of this entitlement are active")
