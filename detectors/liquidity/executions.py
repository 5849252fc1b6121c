"""What a trade found: prices at its receipt and horizons, who took part, and why it may not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.liquidity.quoted_spread import Sums, VenueBest
from detectors.liquidity.trade_measures import OTHERS, Best, Fill, Trades
from schemas.events import Side
from schemas.journal import TradeEntry

if TYPE_CHECKING:
    from detectors.market import Market

AFFILIATES = ("affiliated_mm", "affiliate")


def best(market: Market, venue: VenueBest | None, seq: int) -> Best:
    """Return the best displayed prices now, or the venue's where it tells no more."""
    if venue is not None:
        return Best(seq, venue.bid or 0, venue.ask or 0, True)
    book = market.book
    bid, ask = book.bids.best_displayed(), book.asks.best_displayed()
    return Best(seq, bid or 0, ask or 0, book.start_known)


def best_at_receipt(market: Market, venue: VenueBest | None, trades: Trades, seq: int) -> Best:
    """Return the best prices just before the record that began the trade's turn, or before the trade."""
    turn, receipt = market.matching, trades.receipt
    if turn is None:
        return best(market, venue, seq)
    if receipt is None or receipt.seq != turn.begin_seq:
        receipt = trades.receipt = best(market, venue, turn.begin_seq)
    return receipt


def resolve(market: Market, venue: VenueBest | None, trades: Trades, before: int, known: bool) -> None:
    """End the horizons of trades that end before `before`, while the book stands as it is."""
    if not trades.due(before):
        return
    now = best(market, venue, 0)
    middle = now.bid + now.ask if known and now.bid and now.ask else 0

    def middle_at(moment: int) -> int:
        return middle if market.phase(moment) == "continuous" else 0

    trades.resolve(middle_at, market.day, before)


def describe(market: Market, fill: Fill, trade: TradeEntry, buyer: str, seller: str) -> None:
    """Take over what a trade, or its correction, says; find why it is not measured."""
    fill.price, fill.qty = trade.price or 0, trade.qty or 0
    fill.sign = 1 if trade.aggressor == "buy" else -1
    maker: Side = "sell" if trade.aggressor == "buy" else "buy"
    passive, active = (seller, buyer) if trade.aggressor == "buy" else (buyer, seller)
    fill.reason, fill.maker, fill.roles = "", "", f"{active} {passive}"
    if trade.match_type != "book":
        fill.reason = trade.match_type
    elif trade.aggressor == "none":
        fill.reason = "no_aggressor"
    elif market.phase(trade.ts) != "continuous":
        fill.reason = "not_continuous"
    elif buyer in AFFILIATES and seller in AFFILIATES:
        fill.reason = "between_affiliates"
    elif fill.late:
        fill.reason = "late"
    elif not fill.best.known:
        fill.reason = "start_unknown"
    elif not 0 < fill.best.bid < fill.best.ask:
        fill.reason = "no_mid"
    elif active == "client" and passive == "market_maker":
        fill.maker = OTHERS
    elif active == "client" and passive == "affiliated_mm":
        fill.maker = f"account {market.account(trade, maker)}"


def add_volumes(sums: Sums, trade: TradeEntry, buyer: str, seller: str) -> None:
    """Add a trade to the volumes; the roles are those at it."""
    qty = trade.qty or 0
    sums.volume += qty
    if buyer in AFFILIATES and seller in AFFILIATES:
        return
    if "affiliated_mm" in (buyer, seller) and "client" in (buyer, seller):
        sums.client += qty
    if trade.aggressor == "none":
        return
    maker, taker = (seller, buyer) if trade.aggressor == "buy" else (buyer, seller)
    sums.maker += qty if maker == "affiliated_mm" else 0
    sums.taker += qty if taker == "affiliated_mm" else 0
