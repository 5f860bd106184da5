"""Laws of holds, over random histories of requests and time."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.holds.errors import HoldConflict
from domain.holds.hold import (
    Counting,
    Hold,
    HoldState,
    Status,
    Wanted,
    confirm,
    grant,
    release,
    reserves,
    sent,
)
from tests.builders import NOON

KEYS = ("a", "b", "c", "d")
BALANCE = Decimal(100)


@dataclass
class Account:
    """Holds by key over a balance; `used` is what events have been made of, `counted` what the balance has of that."""

    now: object = NOON
    holds: dict[str, Hold] = field(default_factory=dict)
    position: int = 0
    counted_until: int = 0
    used: dict[int, Decimal] = field(default_factory=dict)

    @property
    def raw(self):
        return BALANCE - sum(
            (used for at, used in self.used.items() if at < self.counted_until), Decimal(0)
        )

    @property
    def held(self):
        source_next = {0: self.counted_until}
        return sum(
            (reserves(hold, self.now, source_next) for hold in self.holds.values()), Decimal(0)
        )

    def create(self, key, amount, ttl):
        wanted = Wanted(
            id=f"{key}",
            key=key,
            customer_id="c",
            entitlement_id="e",
            feature_id="f",
            feature_key="f",
            amount=Decimal(amount),
            digest=f"{amount} {ttl}",
            expires_at=self.now + timedelta(seconds=ttl),
        )
        before = self.holds.get(key)
        free = self.raw - self.held
        hold = grant(wanted, before, free=free, active=0, active_max=9, soft=False, now=self.now)
        if before is not None:
            assert hold is before
        else:
            assert hold.amount <= free
        self.holds[key] = hold

    def confirm(self, key, used):
        hold = self.holds[key]
        counting = (
            Counting(subject="s", minute=NOON - timedelta(minutes=1), events=("{}",))
            if used
            else None
        )
        before = self.raw - self.held
        after = confirm(hold, used=Decimal(used), counting=counting, digest=f"{used}", now=self.now)
        if after is hold:
            return
        assert hold.status(self.now) is Status.ACTIVE
        self.holds[key] = after
        assert self.raw - self.held == before + hold.amount - used
        if counting is not None:
            self.used[self.position] = Decimal(used)
            self.holds[key] = sent(after, 0, self.position + 1)
            self.position += 1

    def release(self, key):
        self.holds[key] = release(self.holds[key], self.now)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("create"), st.sampled_from(KEYS), st.integers(1, 120), st.integers(1, 20)
        ),
        st.tuples(st.just("confirm"), st.sampled_from(KEYS), st.integers(0, 60)),
        st.tuples(st.just("release"), st.sampled_from(KEYS)),
        st.tuples(st.just("wait"), st.integers(1, 10)),
        st.tuples(st.just("count")),
    ),
    max_size=30,
)


@given(STEPS)
def test_what_is_free_is_the_balance_less_what_is_active_or_used_at_every_moment(steps):
    account = Account()
    for name, *arguments in steps:
        try:
            match name:
                case "wait":
                    account.now += timedelta(seconds=arguments[0])
                case "count":
                    account.counted_until = account.position
                case _ if name == "create" or arguments[0] in account.holds:
                    getattr(account, name)(*arguments)
        except HoldConflict:
            pass

        active = [one for one in account.holds.values() if one.status(account.now) is Status.ACTIVE]
        free = BALANCE - sum((one.amount for one in active), Decimal(0))
        free -= sum(account.used.values(), Decimal(0))
        assert account.raw - account.held == free


@given(st.integers(1, 50), st.integers(1, 3600), st.integers(0, 4000))
def test_a_hold_reserves_its_amount_exactly_until_it_expires(amount, ttl, waited):
    account = Account()
    account.create("a", amount, ttl)

    account.now += timedelta(seconds=waited)

    assert account.held == (amount if waited < ttl else 0)


@given(STEPS)
def test_an_end_is_final(steps):
    account = Account()
    ended: dict[str, HoldState] = {}
    for name, *arguments in steps:
        try:
            match name:
                case "wait":
                    account.now += timedelta(seconds=arguments[0])
                case "count":
                    account.counted_until = account.position
                case _ if name == "create" or arguments[0] in account.holds:
                    getattr(account, name)(*arguments)
        except HoldConflict:
            pass
        for key, hold in account.holds.items():
            status = hold.status(account.now)
            assert ended.get(key, status) is status
            if status is not Status.ACTIVE:
                ended[key] = status
