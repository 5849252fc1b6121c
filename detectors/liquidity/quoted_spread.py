"""The quoted part of L2: what one state of the book says, and time summed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.liquidity.displayed_depth import KEYS, WIDTH, Vector, beyond, displayed_depth
from schemas.decimals import divide_half_even

if TYPE_CHECKING:
    from detectors.market import Market


class Quoted(msgspec.Struct):
    """One book state: spreads in 1e-6 bps (None unless two-sided with a > b), and its kind."""

    spread: int | None = None
    middle: int = 0  # bid + ask, where there is a spread
    spread_without: int | None = None
    crossed: bool = False
    from_venue: bool = False  # only the venue's quote is known: neither depth nor whose orders they are


class Sums(msgspec.Struct):
    """Time (ns) by kind of state, and spread and depth summed over time."""

    two_sided: int = 0
    two_sided_without: int = 0
    common: int = 0
    one_sided: int = 0
    crossed: int = 0
    excluded: int = 0
    only_with: int = 0
    without_depth: int = 0  # two-sided time of which the depth is not known
    spread: int = 0
    spread_without: int = 0
    spread_common: int = 0
    spread_common_without: int = 0
    depth: Vector = msgspec.field(default_factory=lambda: [0] * (WIDTH * len(KEYS)))
    volume: int = 0
    maker: int = 0
    taker: int = 0
    client: int = 0

    def add(self, other: Sums) -> None:
        """Add another stretch of time."""
        for name in self.__struct_fields__:
            if name != "depth":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.depth = [a + b for a, b in zip(self.depth, other.depth, strict=True)]

    def copy(self) -> Sums:
        """Return an independent copy."""
        return msgspec.structs.replace(self)

    @property
    def stated(self) -> int:
        """Time that is not unknown."""
        return self.two_sided + self.crossed + self.one_sided + self.excluded


class VenueBest(msgspec.Struct):
    """The venue's last best bid and offer, and the seq that told it."""

    seq: int
    bid: int | None
    ask: int | None


def spread(bid: int, ask: int) -> int:
    """Return the quoted spread in 1e-6 bps of mid."""
    return divide_half_even(20_000_000_000 * (ask - bid), ask + bid)


def told(best: VenueBest) -> Quoted:
    """Return the state that the venue's quote tells."""
    now = _quoted(best.bid, best.ask)
    now.from_venue = True
    return now


def quoted(market: Market) -> Quoted:
    bids, asks = market.book.bids, market.book.asks
    now = _quoted(bids.best_displayed(), asks.best_displayed())
    others = bids.best_displayed_without_affiliates(), asks.best_displayed_without_affiliates()
    now.spread_without = _quoted(*others).spread
    return now


def _quoted(bid: int | None, ask: int | None) -> Quoted:
    if bid is None or ask is None:
        return Quoted()
    return Quoted(spread(bid, ask), bid + ask) if ask > bid else Quoted(crossed=True)


def add(sums: Sums, quoted: Quoted, span: int, market: Market) -> None:
    with_, without = quoted.spread, quoted.spread_without
    if without is not None:
        sums.two_sided_without += span
        sums.spread_without += without * span
    if with_ is None:
        if quoted.crossed:
            sums.crossed += span
        else:
            sums.one_sided += span
        return
    sums.two_sided += span
    sums.spread += with_ * span
    if quoted.from_venue:
        sums.without_depth += span
        return
    if without is not None:
        sums.common += span
        sums.spread_common += with_ * span
        sums.spread_common_without += without * span
    else:
        sums.only_with += span
    sums.depth = [
        total + value * span for total, value in zip(sums.depth, _depth(market, quoted.middle), strict=True)
    ]


def _depth(market: Market, middle: int) -> Vector:
    """Return the state's depth, a side computed again only if the mid or a level within reach has changed."""
    found: Vector = []
    for ladder in (market.book.bids, market.book.asks):
        key = f"depth {ladder.side}"
        kept: tuple[int, Vector] | None = market.cache.get(key)
        if kept is None or kept[0] != middle or not beyond(ladder, middle):
            kept = market.cache[key] = middle, displayed_depth(ladder, middle)
            ladder.changed = None
        found += kept[1]
    return found
