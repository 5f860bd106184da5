"""What a customer may use of a feature: by a balance, by a configuration, or as a flag.

Source: metering §5.1, §5.2, §5.4, §5.7.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.credits.grant import GrantId
from domain.credits.state import Standing
from domain.entitlements.usage_period import Timeline
from domain.errors import Conflict, Refused
from domain.time.interval import Interval, ceil_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """By a balance. A soft limit gives access whatever the balance is."""

    timeline: Timeline
    is_soft_limit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """By a configuration: JSON as text. Refused with `config_not_json` when it does not parse."""

    config: str

    def __post_init__(self) -> None:
        try:
            json.loads(self.config, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise Refused("config_not_json", "config has to be JSON", "$.config") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean:
    """As a flag."""


Terms = Metered | Static | Boolean


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """Terms for one (customer, feature key) while it is active: from its start until its end or deletion."""

    id: str
    customer_id: str
    feature_key: str
    active: Interval
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredAccess:
    """The value of a metered entitlement."""

    has_access: bool
    balance: Decimal
    usage: Decimal
    """In the current usage period."""
    overage: Decimal
    total_available: Decimal
    """What grants gave in the period and still hold."""
    grant_balances: Mapping[GrantId, Decimal]
    """Of the grants active at the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAccess:
    """The configuration; access is given while the entitlement is active."""

    config: str


@dataclass(frozen=True, slots=True)
class Granted:
    """A flag that is set."""


@dataclass(frozen=True, slots=True)
class NoAccess:
    """The entitlement is not active: that is all there is to say."""


Access = MeteredAccess | StaticAccess | Granted | NoAccess


def value_instant(at: datetime) -> datetime:
    """The instant up to which usage counts for a value asked for at `at`: the end of the minute, itself on a full one."""
    return ceil_minute(at)


def access(entitlement: Entitlement, at: datetime, standing: Standing | None = None) -> Access:
    """What the entitlement gives at `at`; a metered one needs its standing at `value_instant(at)`."""
    if not entitlement.active.contains(at):
        return NoAccess()
    match entitlement.terms:
        case Static(config=config):
            return StaticAccess(config=config)
        case Boolean():
            return Granted()
        case Metered(is_soft_limit=is_soft_limit):
            assert standing is not None
            return MeteredAccess(
                has_access=is_soft_limit or standing.balance > 0,
                balance=standing.balance,
                usage=standing.usage,
                overage=standing.overage,
                total_available=standing.total_available,
                grant_balances=standing.balances,
            )


class Overlap(Conflict):
    """Another entitlement of the customer for the feature key is active at the same time; `conflicting` names it."""

    code = "entitlement_overlaps"

    def __init__(self, conflicting: str) -> None:
        super().__init__(f"entitlement {conflicting} is active at the same time")
        self.conflicting = conflicting


def check_alone(new: Entitlement, others: Iterable[Entitlement]) -> None:
    """At most one entitlement of a customer and feature key at any instant: raises Overlap. The key counts, not the feature."""
    for other in others:
        same = (other.customer_id, other.feature_key) == (new.customer_id, new.feature_key)
        if same and other.id != new.id and new.active.intersection(other.active) is not None:
            raise Overlap(other.id)


def _refuse_constant(text: str) -> None:
    """NaN and Infinity, which Python reads, are no JSON."""
    raise ValueError(text)
