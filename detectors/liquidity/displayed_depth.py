"""Displayed depth within bands of the full book's mid, with and without affiliated orders."""

from __future__ import annotations

from detectors.book import Ladder
from schemas.decimals import divide_half_even
from schemas.metrics import Depth

BANDS = (10, 25, 50)  # bps
KEYS = tuple(f"{side}_{band}bps" for side in ("bid", "ask") for band in BANDS)
WIDTH = 4  # base, quote, base without affiliates, quote without affiliates

Vector = list[int]  # WIDTH sums for each of KEYS


def beyond(ladder: Ladder, middle: int) -> bool:
    """Return True if nothing within the widest band has changed since `ladder.changed` was cleared."""
    key = ladder.changed
    if key is None:
        return True
    # signed: a hidden order at a better price than the displayed best must not mask what lies behind it
    return 10_000 * (2 * key - middle * ladder.sign) > BANDS[-1] * middle


def displayed_depth(ladder: Ladder, middle: int) -> Vector:
    """Return one side's sums for each band: base scaled by 10**8, quote by 10**16; `middle` = bid + ask.

    A level counts in a band of n bps if |price - mid| <= n bps of mid, exactly: with m = bid + ask,
    10**4 |2 price - m| <= n m. Source: SPEC.md L2.
    """
    sign, levels = ladder.sign, ladder.levels
    # of keys (prices, negated for bids): below the mid lie hidden orders, better than the displayed best
    limits = [(band * middle + 10_000 * middle * sign) // 20_000 for band in BANDS]
    sums: Vector = []
    base = quote = base_others = quote_others = 0
    band, limit = 0, limits[0]
    for key in ladder.keys:
        while key > limit:
            sums += (base, quote, base_others, quote_others)
            band += 1
            if band == len(BANDS):
                return sums
            limit = limits[band]
        level = levels[key]
        shown, others, price = level.shown, level.shown_others, key * sign
        base += shown
        quote += shown * price
        base_others += others
        quote_others += others * price
    while band < len(BANDS):
        sums += (base, quote, base_others, quote_others)
        band += 1
    return sums


def means(sums: Vector, weight: int) -> dict[str, Depth]:
    """Return the time-weighted means by key, rounded half to even; None where the weight is 0."""
    values: list[int | None] = [divide_half_even(value, weight) if weight else None for value in sums]
    return {
        key: Depth(
            base=values[WIDTH * at],
            quote=values[WIDTH * at + 1],
            base_without_affiliates=values[WIDTH * at + 2],
            quote_without_affiliates=values[WIDTH * at + 3],
        )
        for at, key in enumerate(KEYS)
    }
