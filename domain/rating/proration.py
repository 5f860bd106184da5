"""The share of a flat price that a shorter service period pays. Source: catalog §2.10."""

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from domain.errors import Refused
from domain.money.amounts import non_negative, round_amount
from domain.money.currency import Currency
from domain.time.interval import Interval, truncate_second


class EndProration(StrEnum):
    """Whether the period in which a subscription ends is billed up to the end, or in full."""

    BILL_ACTUAL_PERIOD = "bill_actual_period"
    BILL_FULL_PERIOD = "bill_full_period"


def flat_amount(
    amount: Decimal,
    currency: Currency,
    *,
    service: Interval,
    full_service: Interval,
    prorate: bool = True,
    at_end: EndProration = EndProration.BILL_ACTUAL_PERIOD,
    reaches_subscription_end: bool = False,
) -> Decimal:
    """The flat amount of a service period: amount x service seconds / full service seconds, rounded.

    Unshortened where the plan does not prorate, where the service period is empty, and with `BILL_FULL_PERIOD` where the
    subscription ends. Zero means that there is no line. The periods have ends and are cut to whole seconds; a service
    period outside its full one is Refused with `service_period_outside_full_period`.
    """
    non_negative(amount, "$.amount")
    full_price = reaches_subscription_end and at_end is EndProration.BILL_FULL_PERIOD
    seconds, full_seconds = _seconds(service), _seconds(full_service)
    if not prorate or full_price or not seconds:
        return round_amount(amount, currency)
    if not full_seconds or service.intersection(full_service) != service:
        raise Refused(
            "service_period_outside_full_period",
            "the service period must lie inside the full service period",
            field="$.service",
        )
    return round_amount(Fraction(amount) * Fraction(seconds, full_seconds), currency)


def _seconds(period: Interval) -> int:
    if period.end is None:
        raise Refused(
            "service_period_without_end", "a flat amount needs a period with an end", "$.service"
        )
    length = truncate_second(period.end) - truncate_second(period.start)
    return length.days * 86_400 + length.seconds
