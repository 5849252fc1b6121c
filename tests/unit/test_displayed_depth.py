"""Depth within bands of the mid, by the definition, on ladders with levels at every band's edge."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from detectors.book import Ladder, Order
from detectors.liquidity.displayed_depth import BANDS, beyond, displayed_depth
from schemas.events import Side

SEEDS = 150


def drawn(random: Random, side: Side) -> tuple[Ladder, int, list[Order]]:
    """A ladder, bid + ask, and its orders: few or many digits, some a unit beside an edge, some hidden."""
    middle = random.choice((20_000 * random.randint(1, 9), random.randint(2 * 10**16, 2 * 10**17)))
    ladder, orders = Ladder(side, {}), []
    edges = [middle * (10_000 + sign * band) // 20_000 for band in BANDS for sign in (-1, 1)]
    for number in range(random.randint(1, 12)):
        price = random.choice((middle // 2, *edges)) + random.choice((-1, 0, 0, 1, 2))
        shown = random.choice((0, 1, 7, 10**9))
        order = Order(
            order_id=f"O{number}", account=None, side=side, ord_type="limit", time_in_force="gtc",
            price=price, leaves=shown + 1, shown=shown, stamp=number, active_seq=number, accepted_seq=number,
            accepted_ts=0, affiliated=random.random() < 0.5,
        )  # fmt: skip
        ladder.add(order)
        orders.append(order)
    return ladder, middle, orders


def within(price: int | None, middle: int, band: int, side: Side) -> bool:
    """Whether a price is no further than so many bps from the mid, on its side or better."""
    assert price is not None
    behind = Fraction(middle, 2) - price if side == "buy" else price - Fraction(middle, 2)
    return behind <= Fraction(band, 10_000) * Fraction(middle, 2)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_each_band_is_that_of_the_definition(side: Side) -> None:
    compared = inside = 0
    for seed in range(SEEDS):
        ladder, middle, orders = drawn(Random(seed), side)
        expected: list[int] = []
        for band in BANDS:
            near = [order for order in orders if within(order.price, middle, band, side)]
            for those in (near, [order for order in near if not order.affiliated]):
                expected.append(sum(order.shown for order in those))
                expected.append(sum(order.shown * (order.price or 0) for order in those))
            inside += len(near)
        assert displayed_depth(ladder, middle) == expected, f"seed {seed}"
        compared += len(expected)
    print(f"compared {compared} sums of {inside} orders")
    assert compared > 0
    assert inside > 0


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_change_matters_if_it_is_within_the_widest_band(side: Side) -> None:
    answers: dict[bool, int] = {True: 0, False: 0}
    for seed in range(SEEDS):
        ladder, middle, orders = drawn(Random(seed), side)
        ladder.changed = None
        assert beyond(ladder, middle)
        for order in orders:
            ladder.changed = None
            ladder.remove(order)
            expected = not within(order.price, middle, BANDS[-1], side)
            assert beyond(ladder, middle) == expected, f"seed {seed}: {order.price}"
            answers[expected] += 1
    print(f"compared {answers}")
    assert min(answers.values()) > 0
