"""Questions to a meter, checked against it. Source: metering §2.3, §2.4, §2.7, §11.6, §11.7, §11.10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from api.ports import Ports
from api.times import unix_s
from domain.errors import Refused
from domain.metering.filters import TextFilter
from domain.metering.judge import SECOND_MAX
from domain.metering.meter import Meter
from domain.metering.query import MeterQuery, ResultRow
from domain.metering.windows import WindowSize, zone

SUBJECT = "subject"
CUSTOMER = "customer_id"
GROUP_VALUES_DEFAULT = timedelta(hours=24)
GROUP_VALUES_AGE_MAX = timedelta(days=90)
GROUP_VALUES_SPAN_MAX = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, before it is known whether the meter can answer it.

    `subjects` None asks for all and keeps them together; a list, even an empty one, keeps subjects apart.
    """

    start: datetime | None = None
    end: datetime | None = None
    window_size: WindowSize | None = None
    zone: str = ""
    subjects: Sequence[str] | None = None
    customer_ids: Sequence[str] = ()
    group_filters: Mapping[str, TextFilter] = field(default_factory=dict)
    group_by: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rows, and the question as it was put to the meter."""

    query: MeterQuery
    rows: Sequence[ResultRow]
    columns: Sequence[str] = ()
    """The groups in the order that they were asked for, `customer_id` among them."""


async def ask(ports: Ports, id_or_slug: str, question: Question) -> Answer:
    """Put `question` to a meter. NotFound, Refused, Unavailable."""
    meter = await ports.meters.find(id_or_slug)
    query = meter_query(meter, question)
    if question.customer_ids:
        query = of_customers(query, await _owners(ports, question.customer_ids))
    return Answer(
        query=query, rows=await ports.usage.query(query), columns=_columns(query, question)
    )


def of_customers(query: MeterQuery, owners: Mapping[str, str]) -> MeterQuery:
    """The question about the subjects of customers only, kept apart by customer; `owners` has the customer by subject."""
    subjects = tuple(owners) if query.subjects is None else query.subjects
    asked = tuple(subject for subject in subjects if subject in owners)
    return replace(query, subjects=asked, customers={each: owners[each] for each in asked})


async def _owners(ports: Ports, customer_ids: Sequence[str]) -> Mapping[str, str]:
    """The customer of each subject of these; NotFound."""
    owners: dict[str, str] = {}
    for customer_id in dict.fromkeys(customer_id.upper() for customer_id in customer_ids):
        for subject in await ports.customers.subjects_of(customer_id):
            owners[subject] = customer_id
    return owners


def meter_query(meter: Meter, question: Question) -> MeterQuery:
    """The question in the meter's terms. Refused."""
    check_bounds(question.start, question.end)
    zone(question.zone)
    groups = _group_keys(meter, question)
    filters, subject_filters = _filters(meter, question.group_filters)
    asked_from, asked_to = _second(question.start), _second(question.end)
    return MeterQuery(
        meter=meter,
        start=_first_second(meter, asked_from),
        end=None if asked_to is None or asked_to > SECOND_MAX else max(asked_to, 0),
        asked_from=asked_from,
        asked_to=asked_to,
        window_size=question.window_size,
        zone=question.zone or "UTC",
        by_subject=question.subjects is not None or SUBJECT in question.group_by,
        group_by=groups,
        subjects=tuple(dict.fromkeys(question.subjects)) if question.subjects else None,
        group_filters=filters,
        subject_filters=subject_filters,
    )


def check_bounds(start: datetime | None, end: datetime | None) -> None:
    """Refuse a range without a moment in it."""
    if start is None or end is None:
        return
    if start == end:
        raise Refused("bounds_equal", "from and to cannot be equal", "from")
    if start > end:
        raise Refused("bounds_reversed", "from is after to", "from")


def _group_keys(meter: Meter, question: Question) -> tuple[str, ...]:
    for key in question.group_by:
        if key == CUSTOMER and not question.customer_ids:
            raise Refused(
                "invalid_group_by", f"group by {CUSTOMER} needs filterCustomerId", "groupBy"
            )
        if key not in (SUBJECT, CUSTOMER) and key not in meter.group_by:
            raise Refused("invalid_group_by", f"invalid group by: {key[:100]}", "groupBy")
    wanted = dict.fromkeys(question.group_by)
    return tuple(key for key in wanted if key not in (SUBJECT, CUSTOMER))


def _filters(
    meter: Meter, filters: Mapping[str, TextFilter]
) -> tuple[tuple[tuple[str, TextFilter], ...], tuple[TextFilter, ...]]:
    """Filters on groups and on the subject: a group key called `subject` is filtered by the event's subject."""
    for key in filters:
        if key not in meter.group_by:
            raise Refused(
                "invalid_group_by_filter", f"the meter has no group {key[:100]!r}", "filterGroupBy"
            )
    on_groups = tuple((key, test) for key, test in filters.items() if key != SUBJECT)
    return on_groups, tuple(test for key, test in filters.items() if key == SUBJECT)


def _columns(query: MeterQuery, question: Question) -> Sequence[str]:
    asked = [key for key in dict.fromkeys(question.group_by) if key != SUBJECT]
    if query.customers is not None and CUSTOMER not in asked:
        asked.append(CUSTOMER)
    return asked


def _second(at: datetime | None) -> int | None:
    return None if at is None else unix_s(at)


def _first_second(meter: Meter, asked: int | None) -> int | None:
    """The later of the question's and the meter's; None for what is before every event."""
    event_from = _second(meter.event_from)
    start = max((s for s in (asked, event_from) if s is not None), default=0)
    return start if start > 0 else None


async def subjects(
    ports: Ports, id_or_slug: str, start: datetime | None, end: datetime | None
) -> list[str]:
    """The subjects of the events of a meter's type, whatever its eventFrom. NotFound, Refused."""
    check_bounds(start, end)
    meter = await ports.meters.find(id_or_slug)
    return await ports.usage.subjects(meter, _second(start), _second(end))


async def group_values(
    ports: Ports, id_or_slug: str, key: str, start: datetime | None, end: datetime | None
) -> list[str]:
    """The distinct values of a group; without bounds those of the last 24 hours. NotFound, Refused."""
    check_bounds(start, end)
    now = ports.now()
    if start is not None and start < now - GROUP_VALUES_AGE_MAX:
        raise Refused("from_too_old", "from is more than 90 days ago", "from")
    if start is not None and end is not None and end - start > GROUP_VALUES_SPAN_MAX:
        raise Refused("bounds_too_wide", "from and to are more than 30 days apart", "to")
    meter = await ports.meters.find(id_or_slug)
    if key not in meter.group_by:
        raise Refused("invalid_group_by", f"the meter has no group {key[:100]!r}", "groupByKey")
    if start is None and end is None:
        start = now - GROUP_VALUES_DEFAULT
    return await ports.usage.group_values(
        meter, key, _first_second(meter, _second(start)), _second(end)
    )
