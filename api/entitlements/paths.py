"""What paths name: subjects, customers, entitlements. Source: metering §5.6."""

from __future__ import annotations

from starlette.requests import Request

from api.routing import path_text
from domain.entitlements.finding import ByCustomer, ById, BySubject, OfOwner
from domain.errors import Refused
from domain.metering.meter import SLUG
from domain.metering.ulid import is_ulid

_KEY_LENGTH_MAX = 256
_FEATURE_KEY_LENGTH_MAX = 64


def subject_in(request: Request) -> BySubject:
    """Any text: one that no subject has is not found."""
    return BySubject(path_text(request, "subject"))


def customer_in(request: Request) -> ByCustomer:
    """Refused when it can be no id or key."""
    text = path_text(request, "customer")
    if not 1 <= len(text) <= _KEY_LENGTH_MAX:
        raise _invalid("customerIdOrKey", text)
    return ByCustomer(text)


def entitlement_by_id(request: Request) -> ById:
    """Refused when it is no id."""
    text = path_text(request, "entitlement_id")
    if not is_ulid(text):
        raise _invalid("entitlementId", text)
    return ById(text)


def entitlement_of_any_subject(request: Request) -> ById:
    """By id; the subject is not looked at, as in the reference. A text that is no id is not found."""
    return ById(path_text(request, "entitlement_id"))


def entitlement_of_subject(request: Request) -> OfOwner:
    """By id or feature key."""
    return OfOwner(subject_in(request), path_text(request, "entitlement"))


def entitlement_of_customer(request: Request) -> OfOwner:
    """By id or feature key; Refused when it can be neither."""
    text = path_text(request, "entitlement")
    is_key = len(text) <= _FEATURE_KEY_LENGTH_MAX and SLUG.match(text)
    if not is_key and not is_ulid(text):
        raise _invalid("entitlementIdOrFeatureKey", text)
    return OfOwner(customer_in(request), text)


def _invalid(name: str, text: str) -> Refused:
    return Refused("invalid_parameter", f"{name} cannot be {text[:80]!r}", name)
