"""When an exit of a state is open. Source: catalog §3.8."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What guards look at.

    `collection_at` None: nothing to collect. `draft_until` None: no time to wait. `draft_sync_done` and
    `issuing_sync_done`: the invoicing app lets the invoice go on (an app that works on its own time says so later).
    """

    now: datetime
    auto_advance: bool = True
    collection_at: datetime | None = None
    draft_until: datetime | None = None
    has_critical_issue: bool = False
    has_live_lines: bool = True
    draft_sync_done: bool = True
    issuing_sync_done: bool = True


def always(_: Facts) -> bool:
    """Whatever the facts."""
    return True


def collectable(facts: Facts) -> bool:
    """Whether usage is in."""
    return facts.collection_at is None or facts.now >= facts.collection_at


def sound(facts: Facts) -> bool:
    """Whether no critical issue stands."""
    return not facts.has_critical_issue


def synced_for_approval_by_hand(facts: Facts) -> bool:
    """Whether the app has the draft, and a person has to approve it."""
    return sound(facts) and facts.draft_sync_done and not facts.auto_advance


def synced_for_approval_by_time(facts: Facts) -> bool:
    """Whether the app has the draft, and it is approved by itself."""
    return sound(facts) and facts.draft_sync_done and facts.auto_advance


def draft_over(facts: Facts) -> bool:
    """Whether the time to look at the draft is over."""
    return sound(facts) and (facts.draft_until is None or facts.now >= facts.draft_until)


def has_lines(facts: Facts) -> bool:
    """Whether there is something to issue."""
    return facts.has_live_lines


def has_no_lines(facts: Facts) -> bool:
    """Whether all lines were removed."""
    return not facts.has_live_lines


def issued_by_app(facts: Facts) -> bool:
    """Whether the app has issued the invoice."""
    return facts.issuing_sync_done
