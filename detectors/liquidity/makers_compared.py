"""Whether a maker keeps more of the spread from clients than other makers do: a seeded block bootstrap.

Everything that a second implementation needs, which SPEC.md leaves open:

1. Fills. Of one instrument and trading day, the measured trades (see `spread_quality`) in which a client
   aggressed and whose 60 s realised spread is known: *ours* where an account of role affiliated_mm rested, of
   that account alone; *theirs* where one of role market_maker did, all together. Roles are those at the
   trade. They count as they stand before the first entry with a `ts` beyond T = the day's end + 60 s (or at
   the recording's end): a bust or correction that comes later changes no alert.
2. Values. Each fill has its quantity q (1e-8 base) and its realised spread r (1e-6 bps, rounded half to
   even): mean = sum(r q) / sum(q), exact. Nothing is said with fewer than `min_fills` fills of either.
3. Blocks. A block is 300 s of Unix time, from a multiple of 300 s on; a fill lies in that of the instrument's
   time at it. k = the number of blocks in which either has a fill, numbered 0 .. k-1 in order of time.
   Nothing is said with fewer than `min_blocks` of them. SPEC.md sets no least number, so 1 is the default;
   better is 4: with fewer, more than 1 % of the draws are the worst block k times (1 of 1, 1 of 4, 1 of 27),
   so that the bound is that block's own difference, and bounds nothing; with 4 it is 1 of 256.
4. Chance. The seed is the alert's id, 32 hex digits. The words w(0), w(1), ... are 64-bit unsigned integers,
   big-endian, eight of each BLAKE2b digest of 64 bytes over the ASCII text "SEED N", N = 0, 1, 2, ...
5. Draws. There are 1,000; draw d (0 .. 999) takes k blocks with replacement: floor(w(d k + i) k / 2^64) for
   i = 0 .. k-1, the fills of both makers in a block together. Its value is the mean of ours less the mean of
   theirs over the fills drawn, exact; without a fill of one of them it is below every other value.
6. Bound. The lower 99 % bound is the 10th smallest of the 1,000 values (the percentile method).
7. Alert iff mean of ours - mean of theirs > `realised_excess_bps`, and the bound > 0: exact, on fractions. In
   the alert's measures means and bound are rounded half to even to 1e-6 bps.

Why 300 s: horizons of 60 s overlap, so fills within a minute share most of what the price did; five times
that leaves little between blocks, and a day still has 288. Source: Kuensch 1989, The jackknife and the
bootstrap for general stationary observations (secondary); SPEC.md L2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from detectors.liquidity.trade_measures import Cell
from schemas.decimals import divide_half_even

RESAMPLES = 1_000
BEYOND = RESAMPLES // 100  # the lower 99 % bound is the 10th smallest of 1,000
WORDS = 8  # 64-bit words of one digest

Blocks = dict[int, Cell]


class Comparison(NamedTuple):
    """Numbers of fills, means of realised spread (1e-6 bps), and whether the bounds are passed.

    `lower`: the lower 99 % bound of the difference of means, None where it was not drawn or has no value.
    `blocks`: of time with fills of either.
    """

    fills: int
    other_fills: int
    mean: int
    other_mean: int
    exceeds: bool
    blocks: int
    lower: int | None


def compare(
    ours: Blocks, others: Blocks, *, excess: int, min_fills: int, min_blocks: int, seed: str
) -> Comparison | None:
    """Compare a maker's fills with other makers', both by block of time; None with too few fills or blocks.

    It exceeds if the difference of the quantity-weighted means is above `excess` (1e-6 bps) and the lower
    99 % bound of that difference is above 0 (points 2 to 7 above), both by cross-multiplication.
    """
    mine, theirs = _total(ours.values()), _total(others.values())
    if mine.fills < max(min_fills, 1) or theirs.fills < max(min_fills, 1):
        return None
    times = sorted({time for blocks in (ours, others) for time, cell in blocks.items() if cell.fills})
    if len(times) < min_blocks:
        return None
    exceeds = _difference(mine, theirs) > excess * mine.qty * theirs.qty
    lower, positive = None, False
    if exceeds:
        none = Cell()
        pairs = [(ours.get(time, none), others.get(time, none)) for time in times]
        lower, positive = _lower_bound(pairs, seed)
    return Comparison(
        mine.fills,
        theirs.fills,
        divide_half_even(mine.realised, mine.qty),
        divide_half_even(theirs.realised, theirs.qty),
        exceeds and positive,
        len(times),
        lower,
    )


def _total(cells: Iterable[Cell]) -> Cell:
    total = Cell()
    for cell in cells:
        total.fills += cell.fills
        total.qty += cell.qty
        total.realised += cell.realised
    return total


def _difference(mine: Cell, theirs: Cell) -> int:
    """Return the difference of means, times both quantities."""
    return mine.realised * theirs.qty - theirs.realised * mine.qty


def _lower_bound(pairs: list[tuple[Cell, Cell]], seed: str) -> tuple[int | None, bool]:
    """Return the bound in 1e-6 bps and whether it is above 0, exactly."""
    numbers, count = draws(seed), len(pairs)
    blocks = [(mine.qty, mine.realised, theirs.qty, theirs.realised) for mine, theirs in pairs]
    least = undecided = 0
    differences: list[int] = []
    for _ in range(RESAMPLES):
        qty = realised = other_qty = other_realised = 0
        for _ in blocks:
            block = blocks[next(numbers) * count >> 64]
            qty += block[0]
            realised += block[1]
            other_qty += block[2]
            other_realised += block[3]
        if not qty or not other_qty:
            undecided += 1
            continue
        difference = realised * other_qty - other_realised * qty
        least += difference <= 0
        differences.append(divide_half_even(difference, qty * other_qty))
    if undecided >= BEYOND:
        return None, False
    return sorted(differences)[BEYOND - 1 - undecided], undecided + least < BEYOND


def draws(seed: str) -> Iterator[int]:
    """Return 64-bit numbers that depend on the seed alone: words of BLAKE2b over the seed and a counter.

    >>> [number >> 56 for number, _ in zip(draws("alert"), range(4))]
    [201, 93, 127, 231]
    """
    counter = 0
    while True:
        digest = hashlib.blake2b(f"{seed} {counter}".encode()).digest()
        for at in range(0, 8 * WORDS, 8):
            yield int.from_bytes(digest[at : at + 8], "big")
        counter += 1
