"""What the endpoints of both versions do with entitlements; the rules are in domain/entitlements/managing.py."""

from __future__ import annotations

from datetime import datetime

from api.calls import Calls
from domain.entitlements import managing
from domain.entitlements.finding import FeatureName, OfOwner, Owner, Place
from domain.entitlements.managed import Aggregate, Holder, ManagedEntitlement, ManagedGrant
from domain.entitlements.managing import EntitlementWanted, GrantWanted, Opening, ResetWanted

Found = tuple[ManagedEntitlement, Holder]


async def create(
    calls: Calls, owner: Owner, feature: FeatureName, wanted: EntitlementWanted
) -> Found:
    """NotFound, PreconditionFailed, Refused, Overlap."""

    def make(opening: Opening) -> Aggregate:
        return managing.opened(
            opening, wanted, new_id=calls.ports.new_id, bounds=calls.entitlements
        )

    return await calls.ports.entitlements.create(owner, feature, make)


async def override(
    calls: Calls, place: OfOwner, feature: FeatureName, wanted: EntitlementWanted
) -> Found:
    """The new one. NotFound, PreconditionFailed, Forbidden, Refused, Overlap."""

    def make(old: Aggregate, opening: Opening) -> tuple[Aggregate, Aggregate]:
        return managing.overridden(
            old, opening, wanted, new_id=calls.ports.new_id, bounds=calls.entitlements
        )

    return await calls.ports.entitlements.override(place, feature, make)


async def delete(calls: Calls, place: Place) -> None:
    """NotFound, PreconditionFailed, Forbidden."""
    await calls.ports.entitlements.change(place, managing.deleted)


async def reset(calls: Calls, place: Place, wanted: ResetWanted) -> None:
    """NotFound, PreconditionFailed, Forbidden, Refused."""

    def change(aggregate: Aggregate, now: datetime) -> Aggregate:
        return managing.was_reset(aggregate, wanted, now, bounds=calls.entitlements)

    await calls.ports.entitlements.change(place, change)


async def grant(calls: Calls, place: Place, wanted: GrantWanted) -> ManagedGrant:
    """The new grant. NotFound, PreconditionFailed, Forbidden, Refused."""
    id = calls.ports.new_id()

    def change(aggregate: Aggregate, now: datetime) -> Aggregate:
        return managing.granted(aggregate, wanted, now, id=id, bounds=calls.entitlements)

    return (await calls.ports.entitlements.change(place, change)).grant(id)


async def void(calls: Calls, grant_id: str, at: datetime | None) -> None:
    """NotFound, Forbidden, Refused."""

    def change(aggregate: Aggregate, now: datetime) -> Aggregate:
        return managing.grant_voided(aggregate, grant_id.upper(), now, at=at)

    await calls.ports.entitlements.change_grant(grant_id, change)
