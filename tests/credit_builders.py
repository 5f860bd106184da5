"""Credits for tests: builders with defaults, times on a coarse grid so that coincidences are common, and an evaluation in one call."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from domain.credits.cuts import ListedResets, Plan, Reset
from domain.credits.engine import Evaluation, Opening, evaluate, open_state
from domain.credits.grant import Grant, GrantId
from domain.credits.readings import Readings
from domain.credits.roster import Roster
from domain.credits.usage import Reading
from domain.metering.meter import Aggregation
from domain.time.duration import parse_duration
from domain.time.recurrence import Recurrence

T0 = datetime(2024, 1, 30, tzinfo=UTC)
STEP = timedelta(hours=6)
STEPS = 16
"""The grid ends after four days, past the end of January."""


def at(hours: float) -> datetime:
    """Hours after T0."""
    return T0 + timedelta(hours=hours)


def every(interval: str, anchor: datetime = T0) -> Recurrence:
    return Recurrence(interval=parse_duration(interval), anchor=anchor)


def a_grant(id: str = "g", amount: object = 100, **fields: object) -> Grant:
    values: dict[str, object] = {
        "effective_at": T0,
        "created_at": T0,
        "priority": 1,
    } | fields
    for name in ("min_rollover", "max_rollover"):
        values[name] = Decimal(str(values.get(name, 0)))
    return Grant(id=GrantId(id), amount=Decimal(str(amount)), **values)  # type: ignore[arg-type]


def a_plan(
    grants: Iterable[Grant] = (),
    resets: Sequence[Reset] = (),
    aggregation: Aggregation = Aggregation.SUM,
) -> Plan:
    return Plan(Roster(grants), ListedResets(resets), aggregation)


def a_reading(hours: float, value: object) -> Reading:
    return Reading(at(hours), value if isinstance(value, str) else Decimal(str(value)))


def run(
    plan: Plan,
    readings: Iterable[Reading] = (),
    until: datetime | None = None,
    opening: Opening | None = None,
    start: datetime = T0,
) -> Evaluation:
    """From `start` to `until` (default: a day later)."""
    state = open_state(plan, start, opening)
    return evaluate(plan, state, Readings(plan.aggregation, readings), until or at(24))


times = st.integers(0, STEPS).map(lambda n: T0 + n * STEP)
amounts = st.one_of(
    st.integers(1, 30).map(Decimal),
    st.sampled_from([Decimal("0.1"), Decimal("0.2"), Decimal("7.3"), Decimal("1e-20")]),
)
_maybe_amounts = st.one_of(st.just(Decimal(0)), amounts)
_recurrences = st.builds(every, st.sampled_from(["PT6H", "PT9H", "P1D", "P1M", "P1DT30M"]), times)


@st.composite
def grants(draw: st.DrawFn, max_size: int = 5) -> list[Grant]:
    found = []
    for index in range(draw(st.integers(0, max_size))):
        starts = draw(times) - draw(st.sampled_from([0, 0, 0, 1, 4])) * STEP
        lasts = draw(st.none() | st.integers(0, STEPS))
        found.append(
            a_grant(
                f"g{index}",
                draw(amounts),
                effective_at=starts,
                created_at=draw(times),
                priority=draw(st.integers(0, 2)),
                expires_at=None if lasts is None else starts + lasts * STEP,
                voided_at=draw(st.none() | times),
                deleted_at=draw(st.none() | st.none() | times),
                recurrence=draw(st.none() | _recurrences),
                min_rollover=draw(_maybe_amounts),
                max_rollover=draw(_maybe_amounts),
            )
        )
    return found


resets = st.lists(
    st.builds(Reset, times.filter(lambda t: t > T0), st.booleans()),
    max_size=4,
    unique_by=lambda reset: reset.at,
)
aggregations = st.sampled_from(
    [Aggregation.SUM, Aggregation.COUNT, Aggregation.LATEST, Aggregation.UNIQUE_COUNT]
)
_reading_times = st.builds(
    lambda t, shift: t + timedelta(seconds=shift), times, st.sampled_from([0, 0, -1, 1, 3_600])
).filter(lambda t: t >= T0)


def readings(
    aggregation: Aggregation, *, negative: bool = True
) -> st.SearchStrategy[list[Reading]]:
    values: st.SearchStrategy[object] = amounts
    if aggregation is Aggregation.UNIQUE_COUNT:
        values = st.sampled_from("abcdef")
    elif negative:
        values = st.one_of(amounts, amounts, amounts.map(lambda a: -a))
    return st.lists(st.builds(Reading, _reading_times, values), max_size=12)  # type: ignore[arg-type]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return a_plan(draw(grants()), draw(resets), draw(aggregations))
