"""The balance of a metered entitlement at an instant, from all of its usage.

Source: metering §6.4; §11.21: one that measures from a time in the future has a value, too.
"""

from datetime import datetime

from domain.credits.cuts import Plan
from domain.credits.engine import Evaluation, evaluate, open_state
from domain.credits.readings import UsageBetween
from domain.entitlements.usage_period import Timeline


def balance_at(plan: Plan, timeline: Timeline, usage: UsageBetween, until: datetime) -> Evaluation:
    """Where the balance stands at `until`, a whole minute, and the segments from where measuring begins.

    Before that nothing has been used, and the grants that are active hold their amounts. Refused: `too_many_phases`.
    """
    opened = open_state(plan, min(timeline.measured_from, until))
    return evaluate(plan, opened, usage, until)
