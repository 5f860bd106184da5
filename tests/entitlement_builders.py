"""Builders of managed entitlements, with defaults."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from domain.entitlements import managing
from domain.entitlements.finding import ByCustomer, ById, FeatureName, OfOwner
from domain.entitlements.managed import Kind
from domain.entitlements.managing import (
    Bounds,
    EntitlementWanted,
    GrantWanted,
    Opening,
    PeriodWanted,
    ResetWanted,
)
from domain.time.duration import Duration
from tests.builders import NOON, a_meter
from tests.customer_builders import a_customer, a_feature, an_upsert

DAY = Duration(days=1)
BOUNDS = Bounds()
HOUR = timedelta(hours=1)
ACME = ByCustomer("acme")
TOKENS = FeatureName(key="tokens")


def an_id(number: int) -> str:
    return f"01ARZ3NDEKTSV4RRFFQ69G{number:04d}"


def a_wish(kind=Kind.METERED, *, interval=DAY, anchor=NOON - 6 * HOUR, **more):
    """A metered one is measured from the start of the running day, six hours ago."""
    if kind is Kind.METERED:
        more.setdefault("usage_period", PeriodWanted(interval=interval, anchor=anchor))
        more.setdefault("measure_from", NOON - 6 * HOUR)
    if kind is Kind.STATIC:
        more.setdefault("config", "{}")
    return EntitlementWanted(kind=kind, **more)


def a_grant_wish(amount=10, *, effective_at=NOON - HOUR, **more):
    return GrantWanted(amount=Decimal(amount), effective_at=effective_at, **more)


def an_opening(*, others=(), has_meter=True, now=NOON, feature_key="tokens"):
    return Opening(
        namespace="default",
        customer_id=an_id(1),
        feature_id=an_id(2),
        feature_key=feature_key,
        has_meter=has_meter,
        others=others,
        now=now,
    )


def an_aggregate(wish=None, *, bounds=BOUNDS, **more):
    """A new one, made at noon; ids count from 100."""
    ids = count(100)
    return managing.opened(
        an_opening(**more), wish or a_wish(), new_id=lambda: an_id(next(ids)), bounds=bounds
    )


@dataclass
class Managed:
    """Entitlements of one namespace with what they belong to; `now` is the clock."""

    namespace: str
    entitlements: Any
    customers: Any
    subjects: Any
    features: Any
    meters: Any
    now: datetime = NOON
    bounds: Bounds = BOUNDS
    ids: Any = field(default_factory=lambda: map(an_id, count(1000)))

    def new_id(self):
        return next(self.ids)

    async def a_customer(self, key="acme", **more):
        customer = a_customer(key, namespace=self.namespace, **more)
        return await self.customers.create(replace(customer, id=self.new_id()))

    async def a_subject(self, key):
        return (await self.subjects.upsert([an_upsert(key)]))[0]

    async def a_feature(self, key="tokens", *, metered=True):
        meter = None
        if metered:
            meter = await self.meters.create(
                a_meter(f"m_{key}", id=self.new_id(), namespace=self.namespace)
            )
        feature = a_feature(key, namespace=self.namespace, meter=meter)
        return await self.features.create(replace(feature, id=self.new_id()))

    async def create(self, wish=None, *, owner=ACME, feature=TOKENS):
        def make(opening):
            return managing.opened(
                opening, wish or a_wish(), new_id=self.new_id, bounds=self.bounds
            )

        found, _ = await self.entitlements.create(owner, feature, make)
        return found

    async def override(self, wish=None, *, place=None, feature=TOKENS):
        def make(old, opening):
            return managing.overridden(
                old, opening, wish or a_wish(), new_id=self.new_id, bounds=self.bounds
            )

        place = place or OfOwner(ACME, "tokens")
        found, _ = await self.entitlements.override(place, feature, make)
        return found

    async def grant(self, place, wish=None):
        id = self.new_id()

        def change(aggregate, now):
            return managing.granted(
                aggregate, wish or a_grant_wish(), now, id=id, bounds=self.bounds
            )

        return (await self.entitlements.change(place, change)).grant(id)

    async def void(self, grant_id, at=None):
        await self.entitlements.change_grant(
            grant_id, lambda one, now: managing.grant_voided(one, grant_id, now, at=at)
        )

    async def reset(self, place, **more):
        def change(aggregate, now):
            return managing.was_reset(aggregate, ResetWanted(**more), now, bounds=self.bounds)

        return await self.entitlements.change(place, change)

    async def delete(self, id):
        return await self.entitlements.change(ById(id), managing.deleted)
