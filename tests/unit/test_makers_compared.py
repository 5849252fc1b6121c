"""The seeded block bootstrap: exact, the same everywhere, and not moved by one block."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import pytest

from detectors.liquidity.makers_compared import Blocks, compare
from detectors.liquidity.trade_measures import Cell

BPS = 1_000_000


def blocks(*realised: int, fills: int = 50, qty: int = 50) -> Blocks:
    """Return consecutive blocks of fills that kept so many bps on average."""
    return {number: Cell(fills, qty, mean * BPS * qty) for number, mean in enumerate(realised)}


def by_hand(ours: Blocks, others: Blocks, seed: str) -> Fraction:
    """Return the 10th smallest of 1,000 differences of means of blocks drawn by the words of digests."""
    words: list[int] = []
    for counter in range(1_000 * len(ours) // 8 + 1):
        digest = hashlib.blake2b(f"{seed} {counter}".encode()).digest()
        words += [int.from_bytes(digest[at : at + 8], "big") for at in range(0, 64, 8)]
    found = []
    for draw in range(1_000):
        drawn = [w * len(ours) // 2**64 for w in words[draw * len(ours) : (draw + 1) * len(ours)]]
        mine = Fraction(sum(ours[n].realised for n in drawn), sum(ours[n].qty for n in drawn))
        theirs = Fraction(sum(others[n].realised for n in drawn), sum(others[n].qty for n in drawn))
        found.append(mine - theirs)
    return sorted(found)[9]


def test_the_bound_is_the_tenth_smallest_of_a_thousand_draws() -> None:
    compared = 0
    for seed in ("a", "b", "c"):
        ours, others = blocks(5, 9, 1, 14, 7, 3, 2), blocks(1, 2, 0, 3, 2, 8, 1)
        found = compare(ours, others, excess=BPS, min_fills=200, min_blocks=1, seed=seed)
        assert found is not None
        assert found.lower == round(by_hand(ours, others, seed))
        compared += 1
    print(f"compared {compared} bounds")
    assert compared > 0


@pytest.mark.parametrize("excess", [1, 3])
def test_a_difference_that_all_blocks_have_exceeds(excess: int) -> None:
    found = compare(
        blocks(*[7] * 6), blocks(*[3] * 6), excess=excess * BPS, min_fills=200, min_blocks=1, seed="x"
    )
    assert found is not None
    assert found.exceeds
    assert found.lower == 4 * BPS


def test_a_difference_that_is_the_allowance_does_not_exceed() -> None:
    found = compare(blocks(*[7] * 6), blocks(*[3] * 6), excess=4 * BPS, min_fills=200, min_blocks=1, seed="x")
    assert found is not None
    assert (found.exceeds, found.lower) == (False, None)


def test_a_difference_of_one_block_does_not_exceed() -> None:
    found = compare(
        blocks(90, 0, 0, 0, 0, 0), blocks(0, 0, 0, 0, 0, 0), excess=BPS, min_fills=200, min_blocks=1, seed="x"
    )
    assert found is not None
    assert found.mean == 15 * BPS
    assert (found.exceeds, found.lower) == (False, 0)


@pytest.mark.parametrize(("ours", "others"), [(199, 400), (400, 199)])
def test_fewer_fills_than_asked_for_are_not_compared(ours: int, others: int) -> None:
    one, other = blocks(9, fills=ours), blocks(1, fills=others)
    assert compare(one, other, excess=BPS, min_fills=200, min_blocks=1, seed="x") is None
    one[0].fills = other[0].fills = 200
    assert compare(one, other, excess=BPS, min_fills=200, min_blocks=1, seed="x") is not None


def test_fewer_blocks_than_asked_for_are_not_compared() -> None:
    for least, count in ((4, 3), (4, 4)):
        found = compare(
            blocks(*[9] * count, fills=200), blocks(*[1] * count, fills=200), excess=BPS, min_fills=200,
            min_blocks=least, seed="x",
        )  # fmt: skip
        assert (found is not None and found.exceeds) == (count >= least)


def test_draws_without_fills_of_one_maker_count_against_it() -> None:
    ours, others = blocks(9, 9), {0: Cell(200, 200, 0)}
    found = compare(ours, others, excess=BPS, min_fills=100, min_blocks=1, seed="x")
    assert found is not None
    assert (found.exceeds, found.lower) == (False, None)


@pytest.mark.parametrize(("difference", "above"), [(1, True), (0, False)])
def test_the_least_difference_there_is_is_above_none(difference: int, above: bool) -> None:
    ours, others = {0: Cell(1, 1, 3 + difference)}, {0: Cell(1, 1, 3)}
    found = compare(ours, others, excess=-1, min_fills=1, min_blocks=1, seed="x")
    assert found is not None
    assert (found.exceeds, found.lower) == (above, difference)
