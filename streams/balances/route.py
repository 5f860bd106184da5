"""Which rows of usage are an entitlement's: those of its customer's subjects, in its feature's meter, that pass the filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import msgspec

from domain.entitlements.features import group_filters
from domain.errors import Refused
from domain.metering.filters import TextFilter, text_matches
from domain.metering.meter import Aggregation
from schemas.catalog import CustomerRecord, EntitlementRecord, MeterRecord
from streams.balances.ports import CatalogView

SUBJECT = "subject"
"""As the key of a filter it is the event's subject, whatever groups the meter has (metering §11.10)."""

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Route:
    """`meter` None: there is none yet, so there is no usage. `signature` is another one when other rows are meant."""

    meter: MeterRecord | None
    subjects: tuple[str, ...]
    tests: tuple[tuple[str, TextFilter], ...]
    signature: bytes

    @property
    def aggregation(self) -> Aggregation:
        """How usage adds up; without a meter it does not matter."""
        return Aggregation.SUM if self.meter is None else self.meter.aggregation

    @property
    def group_tests(self) -> tuple[tuple[str, TextFilter], ...]:
        """The tests on values of groups."""
        return tuple((key, test) for key, test in self.tests if key != SUBJECT)

    def takes(self, subject: str) -> bool:
        """Whether the subject's usage may count at all."""
        return all(text_matches(test, subject) for key, test in self.tests if key == SUBJECT)

    def passes(self, groups: Mapping[str, str]) -> bool:
        """Whether rows with these group values count; a missing value is the text ""."""
        return all(
            text_matches(test, groups.get(key, "")) for key, test in self.tests if key != SUBJECT
        )


def route_of(record: EntitlementRecord, catalog: CatalogView) -> Route:
    """By the catalog as it is now. Refused when the feature's filters cannot be understood."""
    customer = catalog.customer(record.customer_id)
    feature = catalog.feature(record.feature_id)
    meter = None
    if feature is not None and feature.meter_id is not None:
        meter = catalog.meter(feature.meter_id)
    subjects = () if customer is None else subjects_of(customer, catalog)
    filters = {} if feature is None else feature.filters
    of_meter: tuple[str, int, str, datetime | None] | None = None
    if meter is not None:
        of_meter = (meter.id, meter.version, meter.aggregation.value, meter.event_from)
    told = _encode((record.customer_id, subjects, of_meter, filters, record.measured_from))
    signature = blake2b(told, digest_size=16).digest()
    return Route(meter, subjects, group_filters(filters), signature)


def subjects_of(customer: CustomerRecord, catalog: CatalogView) -> tuple[str, ...]:
    """Those of its keys whose events are its usage: a key of another customer goes before a subject key."""
    keys = {*customer.subject_keys, *([] if customer.key is None else [customer.key])}
    return tuple(sorted(key for key in keys if catalog.customer_of(key) == customer.id))


def usable_route(record: EntitlementRecord, catalog: CatalogView) -> Route | None:
    """As `route_of`; None when nothing can be counted for the entitlement, which the API will say when it computes."""
    try:
        return route_of(record, catalog)
    except Refused:
        return None
