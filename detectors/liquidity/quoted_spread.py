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

    spread: int | None
    spread_without: int | None
    crossed: bool
    bid: int
    ask: int
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
        return msgspec.structs.replace(self, depth=list(self.depth))

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
    two_sided = best.bid is not None and best.ask is not None
    bid, ask = best.bid or 0, best.ask or 0
    return Quoted(
        spread=spread(bid, ask) if two_sided and ask > bid else None,
        spread_without=None,
        crossed=two_sided and ask <= bid,
        bid=bid,
        ask=ask,
        from_venue=True,
    )


def quoted(market: Market) -> Quoted:
    bids, asks = market.book.bids, market.book.asks
    bid, ask = bids.best_displayed(), asks.best_displayed()
    bid_without, ask_without = (
        bids.best_displayed_without_affiliates(),
        asks.best_displayed_without_affiliates(),
    )
    two_sided = bid is not None and ask is not None and ask > bid
    without = bid_without is not None and ask_without is not None and ask_without > bid_without
    return Quoted(
        spread=spread(bid or 0, ask or 0) if two_sided else None,
        spread_without=spread(bid_without or 0, ask_without or 0) if without else None,
        crossed=bid is not None and ask is not None and ask <= bid,
        bid=bid or 0,
        ask=ask or 0,
    )


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
        total + value * span for total, value in zip(sums.depth, _depth(market, quoted), strict=True)
    ]


def _depth(market: Market, quoted: Quoted) -> Vector:
    """Return the state's depth, computed again only if the mid or a level within reach has changed."""
    book, middle = market.book, quoted.bid + quoted.ask
    cached: tuple[int, Vector, Vector, Vector] | None = market.cache.get("displayed_depth")
    same = cached is not None and cached[0] == middle
    if cached is not None and same and beyond(book.bids, middle) and beyond(book.asks, middle):
        return cached[3]
    bids = cached[1] if cached is not None and same and beyond(book.bids, middle) else None
    asks = cached[2] if cached is not None and same and beyond(book.asks, middle) else None
    bids = displayed_depth(book.bids, middle) if bids is None else bids
    asks = displayed_depth(book.asks, middle) if asks is None else asks
    market.cache["displayed_depth"] = (middle, bids, asks, bids + asks)
    book.bids.changed = book.asks.changed = None
    return bids + asks
