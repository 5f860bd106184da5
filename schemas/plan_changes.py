"""From when on two records of one entitlement give different balances, whatever the usage is."""

from __future__ import annotations

from datetime import datetime

import msgspec

from domain.credits.grant import active_minutes
from schemas.catalog import EntitlementRecord, GrantRecord
from schemas.entitlement_plans import grant_of


def differ_since(old: EntitlementRecord, new: EntitlementRecord) -> datetime | None:
    """The first instant at which their plans may differ; None = they are the same. `measured_from` is the same in both."""
    found = [*_grants(old, new), *_resets(old, new)]
    if (old.interval, old.anchor, old.preserve_overage) != (
        new.interval,
        new.anchor,
        new.preserve_overage,
    ):
        assert new.measured_from is not None
        found.append(new.measured_from)
    return min(found, default=None)


def resets_differ(old: EntitlementRecord, new: EntitlementRecord) -> bool:
    """Whether usage periods begin elsewhere."""
    return (old.interval, old.anchor, old.resets) != (new.interval, new.anchor, new.resets)


def _resets(old: EntitlementRecord, new: EntitlementRecord) -> list[datetime]:
    before, after = set(old.resets), set(new.resets)
    return [reset.at for reset in before ^ after]


def _grants(old: EntitlementRecord, new: EntitlementRecord) -> list[datetime]:
    before = {grant.id: grant for grant in old.grants}
    after = {grant.id: grant for grant in new.grants}
    found = []
    for id_ in before.keys() | after.keys():
        one, other = before.get(id_), after.get(id_)
        if one != other:
            found.append(_grant(one, other))
    return found


def _grant(one: GrantRecord | None, other: GrantRecord | None) -> datetime:
    """Where only the end has changed, that is where the earlier of both ends lies; else where the grant begins."""
    minutes = [active_minutes(grant_of(grant)) for grant in (one, other) if grant is not None]
    ends = [minute.end for minute in minutes if minute.end is not None]
    if one is not None and other is not None and ends and _but_the_end(one) == _but_the_end(other):
        return min(ends)
    return min(minute.start for minute in minutes)


def _but_the_end(grant: GrantRecord) -> GrantRecord:
    return msgspec.structs.replace(grant, voided_at=None, deleted_at=None)
