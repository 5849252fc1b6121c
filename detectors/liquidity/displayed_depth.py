"""Displayed depth within bands of the full book's mid, with and without affiliated orders."""

from __future__ import annotations

from detectors.book import Book, Ladder
from schemas.decimals import divide_half_even
from schemas.metrics import Depth

BANDS = (10, 25, 50)  # bps
KEYS = tuple(f"{side}_{band}bps" for side in ("bid", "ask") for band in BANDS)
WIDTH = 4  # base, quote, base without affiliates, quote without affiliates

Vector = list[int]  # WIDTH sums for each of KEYS


def displayed_depth(book: Book, bid: int, ask: int) -> Vector:
    """Return the sums for each key: base scaled by 10**8, quote by 10**16.

    A level counts in a band of n bps if |price - mid| <= n bps of mid, exactly: with m = bid + ask,
    10**4 |2 price - m| <= n m. Source: SPEC.md L2.
    """
    middle = bid + ask
    return _side(book.bids, middle) + _side(book.asks, middle)


def beyond(ladder: Ladder, middle: int) -> bool:
    """Return True if nothing within the widest band has changed since `ladder.changed` was cleared."""
    key = ladder.changed
    if key is None:
        return True
    # signed: a hidden order at a better price than the displayed best must not mask what lies behind it
    return 10_000 * (2 * key - middle * ladder.sign) > BANDS[-1] * middle


def _side(ladder: Ladder, middle: int) -> Vector:
    sums: Vector = []
    base = quote = base_others = quote_others = 0
    band, reach = 0, BANDS[0] * middle
    for key in ladder.keys:
        price = key * ladder.sign
        distance = 10_000 * (2 * key - middle * ladder.sign)  # below 0: hidden, better than the displayed best
        while distance > reach:
            sums += (base, quote, base_others, quote_others)
            band += 1
            if band == len(BANDS):
                return sums
            reach = BANDS[band] * middle
        level = ladder.levels[key]
        base += level.shown
        quote += level.shown * price
        base_others += level.shown_others
        quote_others += level.shown_others * price
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
