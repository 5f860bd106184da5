"""Laws of rating: parts charge what the whole would, lines add up, limits hold, and a slow count of units agrees."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.money.amounts import add_up, exactly, round_amount, round_half_away
from domain.money.currency import Currency, fiat
from domain.money.totals import PARTS
from domain.rating.credits import pay_with_credits
from domain.rating.discounts import PercentageDiscount, UsageDiscount
from domain.rating.line import CreditAllocation, LinePart
from domain.rating.price import (
    Commitments,
    DynamicPrice,
    FlatPrice,
    PackagePrice,
    PaymentTerm,
    Tier,
    TieredPrice,
    TierMode,
    UnitPrice,
)
from domain.rating.rate import BillableLine, rate
from domain.rating.unit_conversion import Operation, Rounding, UnitConfig

USD = fiat("USD")
currencies = st.sampled_from([USD, fiat("JPY"), fiat("KWD"), Currency("TOKENS", 6)])


def decimals(places, most):
    return st.decimals(0, most, places=places, allow_nan=False, allow_infinity=False)


cents, amounts = decimals(2, 1000), decimals(5, 1000)
whole_units = st.integers(0, 200).map(Decimal)
quantities = whole_units | decimals(3, 200)
tier_ends = st.integers(0, 100)
percentages = st.none() | decimals(2, 100).map(lambda p: PercentageDiscount(percentage=p))
free_units = st.none() | quantities.map(lambda q: UsageDiscount(quantity=q))


@st.composite
def limits(draw):
    low, high = sorted((draw(cents), draw(cents)))
    return Commitments(
        minimum=draw(st.sampled_from([None, low])), maximum=draw(st.sampled_from([None, high]))
    )


@st.composite
def tiered(draw, mode, money=cents, ends=tier_ends, commitments=None):
    bounds = sorted(draw(st.sets(ends, max_size=4)))
    tiers = []
    for end in [*map(Decimal, bounds), None]:
        flat, unit = draw(
            st.tuples(st.none() | money, st.none() | money).filter(
                lambda both: any(c is not None for c in both)
            )
        )
        tiers.append(Tier(up_to=end, flat=flat, unit=unit))
    given_limits = Commitments() if commitments is None else draw(commitments)
    return TieredPrice(mode=mode, tiers=tuple(tiers), commitments=given_limits)


graduated = tiered(TierMode.GRADUATED)
usage_prices = st.one_of(
    st.builds(UnitPrice, amount=amounts, commitments=limits()),
    st.builds(
        PackagePrice,
        amount=amounts,
        quantity_per_package=st.decimals("0.5", 50, places=1),
        commitments=limits(),
    ),
    st.builds(DynamicPrice, multiplier=decimals(4, 3), commitments=limits()),
    tiered(TierMode.GRADUATED, money=amounts, commitments=limits()),
    tiered(TierMode.VOLUME, money=amounts, commitments=limits()),
)
flat_prices = st.builds(FlatPrice, amount=amounts, payment_term=st.sampled_from(list(PaymentTerm)))


@st.composite
def lines(draw):
    price = draw(usage_prices | flat_prices)
    part = draw(st.sampled_from(list(LinePart)))
    is_volume = isinstance(price, TieredPrice) and price.mode is TierMode.VOLUME
    return BillableLine(
        name="line",
        price=price,
        currency=draw(currencies),
        part=part,
        quantity=draw(quantities),
        quantity_before_line=Decimal(0) if is_volume or part.is_first else draw(quantities),
        previously_billed=Decimal(0) if part.is_first else draw(cents),
        discount_percentage=draw(percentages),
        discount_usage=None if isinstance(price, FlatPrice) else draw(free_units),
    )


def in_parts(price, quantities, **more):
    """The ratings of a service period billed in parts of these quantities; one part is the whole."""
    last = len(quantities) - 1
    ratings, before, billed = [], Decimal(0), Decimal(0)
    for index, quantity in enumerate(quantities):
        part = LinePart.SINGLE if last == 0 else LinePart.MID
        if last and index in (0, last):
            part = LinePart.FIRST if index == 0 else LinePart.LAST
        rating = rate(
            BillableLine(
                name="line",
                price=price,
                currency=USD,
                part=part,
                quantity=quantity,
                quantity_before_line=before,
                previously_billed=billed,
                **more,
            )
        )
        ratings.append(rating)
        before += quantity
        billed += rating.totals.amount
    return ratings


def charged(ratings):
    return sum(rating.totals.total for rating in ratings)


@given(price=graduated, parts=st.lists(whole_units, min_size=1, max_size=6))
def test_splitting_a_period_never_changes_what_a_graduated_price_charges(price, parts):
    assert charged(in_parts(price, parts)) == charged(in_parts(price, [sum(parts)]))


@given(amount=cents, size=st.decimals("0.1", 50, places=1), parts=st.lists(quantities, min_size=1, max_size=6))  # fmt: skip
def test_splitting_a_period_never_changes_what_a_package_price_charges(amount, size, parts):
    price = PackagePrice(amount=amount, quantity_per_package=size)

    assert charged(in_parts(price, parts)) == charged(in_parts(price, [sum(parts)]))


@given(
    price=tiered(TierMode.GRADUATED, commitments=limits())
    | st.builds(PackagePrice, amount=cents, quantity_per_package=st.integers(1, 50).map(Decimal), commitments=limits()),
    parts=st.lists(whole_units, min_size=1, max_size=6),
)  # fmt: skip
def test_nor_with_a_minimum_and_a_maximum(price, parts):
    assert charged(in_parts(price, parts)) == charged(in_parts(price, [sum(parts)]))


@given(price=graduated, parts=st.lists(whole_units, min_size=1, max_size=6), free=whole_units)
def test_nor_with_free_units(price, parts, free):
    more = {"discount_usage": UsageDiscount(quantity=free)}

    assert charged(in_parts(price, parts, **more)) == charged(in_parts(price, [sum(parts)], **more))


@given(
    price=tiered(TierMode.GRADUATED, money=amounts, ends=decimals(3, 100)),
    parts=st.lists(quantities, min_size=1, max_size=6),
)
def test_parts_of_any_amounts_differ_by_the_rounding_of_their_lines_at_most(price, parts):
    split, whole = in_parts(price, parts), in_parts(price, [sum(parts)])

    count = sum(len(rating.lines) for rating in [*split, *whole])
    assert abs(charged(split) - charged(whole)) <= Decimal("0.005") * count


@given(
    parts=st.lists(quantities, min_size=1, max_size=6),
    operation=st.sampled_from(list(Operation)),
    factor=st.sampled_from(["3", "10", "0.7", "3600"]),
    rounding=st.sampled_from(list(Rounding)),
    precision=st.integers(0, 3),
    free=free_units,
)
def test_parts_are_converted_to_what_the_whole_is(
    parts, operation, factor, rounding, precision, free
):
    config = UnitConfig(
        operation=operation, factor=Decimal(factor), rounding=rounding, precision=precision
    )
    price, more = UnitPrice(amount=Decimal(1)), {"unit_config": config, "discount_usage": free}

    split = in_parts(price, parts, **more)

    (whole,) = in_parts(price, [sum(parts)], **more)
    assert sum(rating.usage.quantity for rating in split) == whole.usage.quantity
    assert sum(rating.free_units.quantity for rating in split) == whole.free_units.quantity


@given(line=lines())
def test_lines_add_up_to_the_totals_to_the_last_minor_unit(line):
    rating = rate(line)

    for name in (*PARTS, "total"):
        parts = [getattr(one.totals, name) for one in rating.lines]
        total = getattr(rating.totals, name)
        assert add_up(parts) == total == round_amount(total, line.currency)
    assert len({one.ref for one in rating.lines}) == len(rating.lines)


@given(line=lines())
def test_nothing_is_ever_paid_back_and_no_discount_exceeds_its_line(line):
    for one in rate(line).lines:
        assert one.quantity >= 0
        assert one.total >= 0
        assert all(discount.amount > 0 for discount in one.discounts)


@given(line=lines())
def test_a_rated_line_keeps_to_its_limits(line):
    if isinstance(line.price, FlatPrice):
        return
    minimum, maximum = line.price.commitments.minimum, line.price.commitments.maximum

    totals = rate(line).totals

    half_unit = Decimal(5).scaleb(-line.currency.exponent - 1)
    with_parts = totals.total + line.previously_billed
    if minimum is not None and line.part.is_last:
        assert with_parts >= minimum - half_unit
    if maximum is not None and totals.total and not totals.charges:
        assert with_parts <= maximum + half_unit * len(rate(line).lines)


@given(price=graduated, used=st.integers(0, 150))
def test_a_graduated_price_is_each_unit_at_its_tier(price, used):
    expected = price.tiers[0].flat or Decimal(0)
    starts = [Decimal(0), *(tier.up_to for tier in price.tiers[:-1])]
    for start, tier in list(zip(starts, price.tiers, strict=True))[1:]:
        expected += (tier.flat or 0) if used > start else 0
    for unit in range(1, used + 1):
        tier = next(t for t in price.tiers if t.up_to is None or unit <= t.up_to)
        expected += tier.unit or 0

    assert charged(in_parts(price, [Decimal(used)])) == expected


@given(price=tiered(TierMode.VOLUME), used=whole_units)
def test_a_volume_price_is_all_units_at_one_tier(price, used):
    tier = next(t for t in price.tiers if t.up_to is None or used <= t.up_to)

    assert charged(in_parts(price, [used])) == (tier.flat or 0) + (tier.unit or 0) * used


@given(line=lines(), share=st.lists(st.integers(0, 100), min_size=1, max_size=3))
def test_credits_are_consumed_to_the_last_unit(line, share):
    rating = rate(line)
    unit = Decimal(1).scaleb(-line.currency.exponent)
    per_credit = rating.totals.total / (100 * len(share))
    credits = [
        CreditAllocation(credit_id=str(i), amount=(per_credit * s // unit) * unit)
        for i, s in enumerate(share)
    ]

    paid = pay_with_credits(rating.lines, credits)

    given_credit = sum(credit.amount for credit in credits)
    assert add_up(one.totals.credits for one in paid) == given_credit
    assert add_up(one.total for one in paid) == rating.totals.total - given_credit
    assert all(one.total >= 0 for one in paid)
    assert not any(later.credits and one.total for one, later in pairwise(paid))


values = st.fractions() | st.decimals(allow_nan=False, allow_infinity=False, places=6)


@given(value=values, digits=st.integers(0, 8))
def test_rounding_moves_by_half_a_unit_at_most_and_away_from_zero_in_the_middle(value, digits):
    rounded = round_half_away(value, digits)

    error = Fraction(rounded) - Fraction(value)
    assert abs(error) <= Fraction(1, 2 * 10**digits)
    if abs(error) == Fraction(1, 2 * 10**digits):
        assert abs(Fraction(rounded)) > abs(Fraction(value))
    assert round_half_away(rounded, digits) == rounded == round_half_away(Fraction(value), digits)
    assert Fraction(round_half_away(-Fraction(value), digits)) == -Fraction(rounded)


@given(line=lines())
def test_the_callers_decimal_context_has_no_say(line):
    with exactly():
        inside = rate(line)

    assert rate(line) == inside
