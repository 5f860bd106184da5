"""A running balance that changes in place: the phases of `running.py`, with what each used beside how it began.

Counting adds to a number and nothing else; who paid is worked out (`state.standing`) when somebody asks. Usage of an
earlier phase marks the phases after it, which begin anew before the next question. The rules are those of `engine.py`.

Source: metering §6.11.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.credits.cuts import Plan, cuts_between, next_cut_after
from domain.credits.engine import cross, evaluate, open_state
from domain.credits.quantity import exactly
from domain.credits.running import TooOld
from domain.credits.state import Standing, State, standing
from domain.credits.usage import Added, Last, PhaseUsage
from domain.metering.meter import Aggregation
from domain.metering.rows import EXACT, Exact, Latest
from domain.metering.series import nearest

Used = Exact | Latest | None
"""Of a phase: everything together, or of LATEST the latest value (None: there was none)."""

NEVER = 1 << 62
"""A second after all others."""

_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


class Phase:
    """`opened` stands at the phase's start, without usage. `start`: its first whole second, Unix."""

    __slots__ = ("opened", "start", "used")

    def __init__(self, opened: State, used: Used) -> None:
        self.opened = opened
        self.start = second_of(opened.phase_start)
        self.used = used


class Account:
    """The phases kept, oldest first; the last is the one the balance is in.

    `whole`: the first phase is that in which measuring began. Readings of UNIQUE_COUNT are counted with `see`: a value counts in
    the phase in which the period first saw it, so all that a phase needs is how many.
    """

    __slots__ = ("_next_second", "_phases", "_plan", "_stale", "next_cut_at", "whole")

    def __init__(self, plan: Plan, phases: Sequence[Phase], *, whole: bool) -> None:
        self._plan = counting(plan)
        self._phases = list(phases)
        self._stale = NEVER
        self.whole = whole
        self._look_ahead()

    @classmethod
    def begin(cls, plan: Plan, at: datetime) -> Account:
        """A balance that is measured from `at`. Refusals as `open_state`."""
        plan = counting(plan)
        return cls(plan, [Phase(open_state(plan, at), _nothing(plan))], whole=True)

    @property
    def plan(self) -> Plan:
        """What the balance depends on besides usage; of UNIQUE_COUNT, that of counting new values."""
        return self._plan

    @property
    def phases(self) -> Sequence[Phase]:
        """Every phase as it began, and what it used."""
        self._begin_anew()
        return self._phases

    @property
    def used_now(self) -> Used:
        """By the phase the balance is in."""
        return self._phases[-1].used

    @property
    def start(self) -> int:
        """The first second that can be counted."""
        return self._phases[0].start

    @property
    def phase_start(self) -> datetime:
        """Of the phase the balance is in."""
        return self._phases[-1].opened.phase_start

    @property
    def period_start(self) -> datetime:
        """Of the period the balance is in."""
        return self._phases[-1].opened.period_start

    def copy(self) -> Account:
        """Another one that stands where this one does."""
        phases = [_phase(phase.opened, phase.start, phase.used) for phase in self.phases]
        return Account(self._plan, phases, whole=self.whole)

    # -- counting

    def count(self, second: int, change: Exact) -> bool:
        """SUM, COUNT: usage of a second changed by so much, in whatever order. Raises TooOld.

        Returns whether phases other than the last have changed.
        """
        if second >= self._next_second:
            self.advance(moment_of(second))
        phase = self._phases[-1]
        late = second < phase.start
        if late:
            phase = self._late(second)
        used = phase.used
        if type(used) is int and type(change) is int:
            phase.used = used + change
        else:
            phase.used = EXACT.add(used, change)  # type: ignore[arg-type]  # exact: `Used`
        return late

    def offer(self, second: int, latest: Latest) -> bool:
        """LATEST: a value, which counts if it is its phase's latest. As `count`."""
        if second >= self._next_second:
            self.advance(moment_of(second))
        phase = self._phases[-1]
        late = second < phase.start
        if late:
            phase = self._late(second)
        if phase.used is None or latest > phase.used:  # type: ignore[operator]  # latest: `Used`
            phase.used = latest
        return late

    def see(self, first: int | None, second: int) -> int:
        """UNIQUE_COUNT: a value at `second`, which its period (`period_of`) knows since `first`. Returns since when it does now."""
        if first is not None and first <= second:
            return first
        if first is not None:
            self.count(first, -1)
        self.count(second, 1)
        return second

    def period_of(self, second: int) -> int:
        """The usage period of a second, by the first whole second of it. As `count`."""
        if second >= self._next_second:
            self.advance(moment_of(second))
        return second_of(self._phases[self._index(second)].opened.period_start)

    def _late(self, second: int) -> Phase:
        index = self._index(second)
        self._stale = min(self._stale, index + 1)
        return self._phases[index]

    def _index(self, second: int) -> int:
        phases = self._phases
        if second >= phases[-1].start:
            return len(phases) - 1
        index = bisect_right(phases, second, key=_start_of) - 1
        if index < 0:
            raise TooOld(f"nothing is known before {phases[0].opened.phase_start.isoformat()}")
        return index

    # -- time

    def advance(self, to: datetime) -> None:
        """Go through the cut points up to and with `to`. Nothing for a time that has been reached."""
        if self.next_cut_at is None or to < self.next_cut_at:
            return
        self._begin_anew()
        phases, plan = self._phases, self._plan
        with exactly():
            for cut in cuts_between(plan, phases[-1].opened.phase_start, to, changes_at_end=True):
                ended = _with_usage(phases[-1], cut.at)
                phases.append(Phase(cross(plan, ended, cut), _nothing(plan)))
        self._look_ahead()

    def _look_ahead(self) -> None:
        self.next_cut_at = next_cut_after(self._plan, self._phases[-1].opened.phase_start)
        self._next_second = NEVER if self.next_cut_at is None else second_of(self.next_cut_at)

    def _begin_anew(self) -> None:
        """The phases after the first that was counted late, from what it used now."""
        if self._stale >= len(self._phases):
            self._stale = NEVER
            return
        phases, place = self._phases, self._stale
        before, last = phases[place - 1].opened.phase_start, phases[-1].opened.phase_start
        with exactly():
            for cut in cuts_between(self._plan, before, last, changes_at_end=True):
                ended = _with_usage(phases[place - 1], cut.at)
                phases[place].opened = cross(self._plan, ended, cut)
                place += 1
        self._stale = NEVER

    # -- asking

    def standing_at(self, at: datetime) -> Standing:
        """What the balance is at `at`, which is not before the phase it is in: what an evaluation until then gives."""
        self._begin_anew()
        state = _with_usage(self._phases[-1], at)
        if self.next_cut_at is None or at < self.next_cut_at:
            return standing(self._plan, state)
        begun, nothing = _with_usage(self._phases[-1], self.phase_start), self._plan.nothing
        return evaluate(self._plan, begun, lambda _begin, _end: nothing, at).standing

    # -- changes of the plan, and forgetting

    def replan(self, plan: Plan) -> None:
        """The plan is another one, the difference lying after the phase's start and every reading counted."""
        self._begin_anew()
        self._plan = counting(plan)
        self._look_ahead()

    def change(
        self, plan: Plan, since: datetime, usage: Callable[[int, int], Exact] | None = None
    ) -> int:
        """The plan is another one from `since` on. Returns the second from which on all readings have to be counted again.

        That is `since` where `usage` says what was used in seconds `[start, end)`, else the start of the last phase begun before
        it. What was counted from then on is dropped. Raises TooOld.
        """
        self._begin_anew()
        plan = counting(plan)
        phases = self._phases
        index = len(phases) - 1
        while index >= 0 and phases[index].opened.phase_start >= since:
            index -= 1
        if index < 0:
            first = phases[0].opened.phase_start
            if not self.whole:
                raise TooOld(f"nothing is known before {first.isoformat()}")
            self._phases = [Phase(open_state(plan, first), _nothing(plan))]
            again = self._phases[0].start
        else:
            last = phases[index]
            end = phases[index + 1].start if index + 1 < len(phases) else NEVER
            self._phases = phases[: index + 1]
            if usage is None:
                last.used, again = _nothing(plan), last.start
            else:
                again = second_of(since)
                last.used = EXACT.subtract(last.used, usage(again, end))  # type: ignore[arg-type]
        self._plan = plan
        self._look_ahead()
        return again

    def forget(self, before: datetime) -> bool:
        """Without the phases that ended at or before `before`; whether there were any."""
        self._begin_anew()
        starts = [phase.opened.phase_start for phase in self._phases]
        gone = bisect_right(starts, before) - 1
        if gone <= 0:
            return False
        del self._phases[:gone]
        self.whole = False
        return True


def second_of(at: datetime) -> int:
    """The first whole second, Unix, that is not before `at`."""
    return -((_UNIX - at) // _SECOND)


def moment_of(second: int) -> datetime:
    """A Unix second."""
    return _UNIX + timedelta(seconds=second)


def just_before(at: datetime) -> datetime:
    """The last moment before `at`: what merely begins at `at` has not begun."""
    return at - _TICK


def counting(plan: Plan) -> Plan:
    """Distinct values are counted when they are new: docs/decisions/0081."""
    if plan.aggregation is Aggregation.UNIQUE_COUNT:
        return replace(plan, aggregation=Aggregation.COUNT)
    return plan


def _nothing(plan: Plan) -> Used:
    return None if plan.aggregation is Aggregation.LATEST else 0


def _with_usage(phase: Phase, at: datetime) -> State:
    """The phase at `at`, with all that it used."""
    opened = phase.opened
    return replace(opened, at=at, usage=_usage(phase.used, opened.usage))


def _usage(used: Used, nothing: PhaseUsage) -> PhaseUsage:
    if used is None:
        return nothing
    if type(used) is Latest:
        return Last(nearest(used.value), moment_of(used.second))
    return Added(Decimal(used))  # type: ignore[arg-type]  # exact: `Used`


def _phase(opened: State, start: int, used: Used) -> Phase:
    phase = Phase.__new__(Phase)
    phase.opened, phase.start, phase.used = opened, start, used
    return phase


def _start_of(phase: Phase) -> int:
    return phase.start
