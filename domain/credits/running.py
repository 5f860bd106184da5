"""A running balance: kept up to date reading by reading, able to take what arrives late.

It remembers the phases of the recent past, each with what it used. Usage of an earlier phase is counted there and the
cut points since are gone through again: the result is that of an evaluation with all readings in order. What changes
the cut points themselves (grants, voids, resets) needs the readings since an earlier phase (`rolled_back`).

A balance of SUM, COUNT or LATEST costs the same whatever was used before; one of UNIQUE_COUNT holds the period's values,
and a reading copies those of its phase.

Source: metering §6.11.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from datetime import datetime

from domain.credits.cuts import Plan, cuts_between, next_cut_after
from domain.credits.engine import Opening, cross, open_state
from domain.credits.quantity import exactly
from domain.credits.state import Standing, State, standing
from domain.credits.usage import Reading, counted, without
from domain.errors import DomainError


class TooOld(DomainError):
    """The running balance does not reach back that far: evaluate anew from where it began."""

    code = "older_than_running_balance"


@dataclass(frozen=True, slots=True)
class Running:
    """The phases kept, oldest first; the last is the one the balance is in. All but the last stand at their end."""

    phases: tuple[State, ...]
    next_cut_at: datetime | None
    """Until then what grants hold changes by usage only: a stored standing stays true. None = for ever."""

    @property
    def state(self) -> State:
        """Where the balance stands."""
        return self.phases[-1]


def begin(plan: Plan, at: datetime, opening: Opening | None = None) -> Running:
    """A balance that runs from `at`. Refusals as `open_state`."""
    return resume(plan, open_state(plan, at, opening))


def resume(plan: Plan, state: State) -> Running:
    """A balance that runs on from a state; nothing before its phase is known."""
    return Running((state,), next_cut_after(plan, state.phase_start))


def advance(plan: Plan, running: Running, to: datetime) -> Running:
    """Time has come to `to`: go through the cut points up to and with it. Nothing for a time that has been reached.

    A grant that begins at `to` holds its amount from then on, also for a reading at `to`.
    """
    state = running.state
    if running.next_cut_at is None or to < running.next_cut_at:
        if to <= state.at:
            return running
        return replace(running, phases=(*running.phases[:-1], replace(state, at=to)))
    return _through(plan, running, to)


def count(plan: Plan, running: Running, reading: Reading) -> Running:
    """One more reading, in whatever order. A negative one takes back what an earlier reading of its phase counted.

    Raises TooOld when its phase is not kept any more.
    """
    running = advance(plan, running, reading.at)
    with exactly():
        state = running.state
        if reading.at >= state.phase_start:
            now = replace(state, usage=counted(state.usage, reading, state.seen))
            return replace(running, phases=(*running.phases[:-1], now))
        return _count_late(plan, running, reading)


def value(plan: Plan, running: Running) -> Standing:
    """What the balance is at the time that was reached."""
    return standing(plan, running.state)


def forget(running: Running, before: datetime) -> Running:
    """Without the phases that ended at or before `before`: usage of that time cannot be counted any more."""
    kept = tuple(phase for phase in running.phases[:-1] if phase.at > before)
    return replace(running, phases=(*kept, running.state))


def rolled_back(running: Running, to: datetime) -> State:
    """The state to evaluate again from when the plan changes at `to`: that of the last phase begun before `to`.

    It stands at the phase's start: the readings since `phase_start` have to be counted again. Raises TooOld.
    """
    index = bisect_left([phase.phase_start for phase in running.phases], to) - 1
    if index < 0:
        raise TooOld(f"nothing is known before {running.phases[0].phase_start.isoformat()}")
    return at_its_start(running.phases[index])


def at_its_start(state: State) -> State:
    """A state as its phase began, before any usage of it."""
    empty = type(state.usage)()
    return replace(state, at=state.phase_start, usage=empty)


def _through(plan: Plan, running: Running, to: datetime) -> Running:
    """Past the cut points up to `to`, each ending a phase."""
    phases = list(running.phases)
    with exactly():
        for cut in cuts_between(plan, phases[-1].phase_start, to, changes_at_end=True):
            phases[-1] = replace(phases[-1], at=cut.at)
            phases.append(cross(plan, phases[-1], cut))
    phases[-1] = replace(phases[-1], at=to)
    return Running(tuple(phases), next_cut_after(plan, phases[-1].phase_start))


def _count_late(plan: Plan, running: Running, reading: Reading) -> Running:
    """Count a reading in the phase it belongs to, and go through the phases since again."""
    starts = [phase.phase_start for phase in running.phases]
    index = bisect_right(starts, reading.at) - 1
    if index < 0:
        raise TooOld(f"nothing is known before {starts[0].isoformat()}")
    phases = list(running.phases)
    late = phases[index]
    phases[index] = replace(late, usage=counted(late.usage, reading, late.seen))
    cuts = cuts_between(plan, late.phase_start, starts[-1], changes_at_end=True)
    for place, cut in enumerate(cuts, index + 1):
        was = phases[place]
        anew = cross(plan, phases[place - 1], cut)
        phases[place] = replace(anew, at=was.at, usage=without(was.usage, anew.seen))
    return replace(running, phases=tuple(phases))
