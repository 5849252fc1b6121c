"""What accounts show of their own, by price, and whether it is the two-sided quote that was agreed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from detectors.book import Order
from schemas.alerts import Evidence
from schemas.decimals import ONE, parse
from schemas.reference import MmAgreement

if TYPE_CHECKING:
    from detectors.market import Market

MICRO = 1_000_000
BPS = 20_000  # 1e4 bps, and twice since the mid is half of a + b

_scaled = lru_cache(maxsize=4_096)(parse)  # the same few limits, again and again
Levels = dict[int, int]  # price -> displayed quantity above 0, both scaled by 10**8


class OwnQuotes:
    """Displayed resting limit orders of some accounts, kept up by the book's own changes, not by scanning.

    `version` grows with every change, so that who has judged knows whether to judge again. `touched`: by
    account, the record that last changed what it shows.
    """

    def __init__(
        self, market: Market, name: str, accounts: Iterable[str], touched: dict[str, Evidence]
    ) -> None:
        self.version = 0
        self._market = market
        self._touched = touched
        self._sides: dict[str, tuple[Levels, Levels]] = {account: ({}, {}) for account in accounts}
        if not self._sides:
            return
        for ladder in (market.book.bids, market.book.asks):
            for order in ladder.orders():
                self._change(order, order.shown)
        market.book.watchers[name] = self._hear

    def _hear(self, order: Order, change: int) -> None:
        if self._change(order, change):
            seq = self._market.seq
            if change > 0:  # at a turn's end the record in hand is a later one
                seq = max(order.turn_seq, order.active_seq, order.stamp)
            self._touched[order.account or ""] = Evidence("order", order.order_id, seq)

    def _change(self, order: Order, change: int) -> bool:
        sides = self._sides.get(order.account or "")
        if sides is None or order.price is None or not change:  # what is hidden quotes nothing
            return False
        levels = sides[0] if order.side == "buy" else sides[1]
        shown = levels.get(order.price, 0) + change
        if shown:
            levels[order.price] = shown
        else:
            del levels[order.price]
        self.version += 1
        return True

    def levels(self, accounts: tuple[str, ...]) -> tuple[Levels, Levels]:
        """Return the accounts' bids and asks together."""
        found = [self._sides[account] for account in accounts if account in self._sides]
        if len(found) == 1:
            return found[0]
        return together(bids for bids, _ in found), together(asks for _, asks in found)


def level(price: int | None, size: int | None) -> Levels:
    """Return one side of a quote; without a price or a size there is none."""
    return {price: size} if price is not None and size is not None else {}


def together(sides: Iterable[Levels]) -> Levels:
    """Return the sum of what several show, by price.

    >>> together([{99: 2}, {99: 3, 100: 5}])
    {99: 5, 100: 5}
    """
    total: Levels = {}
    for levels in sides:
        for price, shown in levels.items():
            total[price] = total.get(price, 0) + shown
    return total


def compliant(terms: MmAgreement, bids: Levels, asks: Levels, max_imbalance: int) -> bool:
    """Return True if what is shown is the quote that was agreed: two-sided, a > b, narrow, large and even.

    `max_imbalance` in 1e-6. Every comparison is a cross-multiplication of integers. Source: SPEC.md L1.

    >>> terms = MmAgreement(id="A", instrument="X", max_spread_bps="20", min_qty="1")
    >>> compliant(terms, {9990 * ONE: 2 * ONE}, {10010 * ONE: 3 * ONE}, 500_000)  # 20 bps; 1 / 2
    True
    >>> compliant(terms, {9990 * ONE: 2 * ONE}, {10010 * ONE: 3 * ONE + 1}, 500_000)
    False
    """
    if not bids or not asks:
        return False
    needed = _scaled(terms.min_qty) if terms.min_qty is not None else 0
    if terms.size_at == "best":
        bid, ask = max(bids), min(asks)
        bid_qty, ask_qty = bids[bid], asks[ask]
    else:
        found_bid = _depth(bids, sorted(bids, reverse=True), needed)
        found_ask = _depth(asks, sorted(asks), needed)
        if found_bid is None or found_ask is None:
            return False
        (bid, bid_qty), (ask, ask_qty) = found_bid, found_ask
    if ask <= bid:
        return False
    if terms.max_spread_bps is not None and BPS * ONE * (ask - bid) > _scaled(terms.max_spread_bps) * (
        ask + bid
    ):
        return False
    least = min(bid_qty, ask_qty)
    return least >= needed and abs(bid_qty - ask_qty) * MICRO <= max_imbalance * least


def _depth(levels: Levels, prices: Iterable[int], needed: int) -> tuple[int, int] | None:
    """Return the price at which the cumulated quantity first reaches `needed`, and the quantity to there."""
    total = 0
    for price in prices:
        total += levels[price]
        if total >= needed:
            return price, total
    return None
