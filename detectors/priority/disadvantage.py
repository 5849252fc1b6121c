"""Who stood before the affiliate: the client orders one fill passed over, and why some do not count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from detectors.book import Order
from schemas.events import Side
from schemas.journal import TradeEntry
from schemas.reference import Role

if TYPE_CHECKING:
    from detectors.market import Market

OFF_BOOK = ("block", "rfq")


class Candidate(msgspec.Struct, frozen=True):
    """A client order that was disadvantaged by a fill, before allocation.

    `counting`: the quantity that counts just before the fill (scaled). `exempt`: the first named exemption
    of `_exemption` that holds, or None. `rank`: market orders first, then best price, then stamp. `compared`:
    False at an equal price where A's stamp is unknown.
    """

    order: Order
    counting: int
    exempt: str | None
    rank: tuple[bool, int, int]
    compared: bool


class Fill(msgspec.Struct, frozen=True):
    """One side of a trade under judgement: the watched account's order A on `side`."""

    trade: TradeEntry
    side: Side
    order_id: str | None
    order: Order | None  # A as the book has it, None if never seen
    client_first: bool
    improvement: int  # min_price_improvement as a price (scaled)
    protected_roles: tuple[Role, ...]

    @property
    def stamp(self) -> int | None:
        """A's priority stamp; its own seq when it aggresses unseen; None if unknown."""
        if self.order is not None:
            return self.order.stamp
        return self.trade.seq if self.trade.aggressor == self.side else None


def candidates(market: Market, fill: Fill) -> list[Candidate]:
    """Return the disadvantaged orders in allocation order, and those at an equal price not compared."""
    trade, book = fill.trade, market.view
    price = trade.price or 0
    taker = book.find(trade.buy_order_id if trade.aggressor == "buy" else trade.sell_order_id)
    bound = trade.seq
    if trade.aggressor != "none" and taker is not None and taker.turn_seq:
        bound = taker.turn_seq
    stamp, found = fill.stamp, []
    for order in _orders_ahead(market, fill, price):
        if order.active_seq >= bound or order.order_id == fill.order_id or order.leaves <= 0:
            continue
        if market.party(order.account, trade.ts).role not in fill.protected_roles:
            continue
        counting, order_price, compared = order.leaves, order.price, True
        if order.ord_type == "stop":
            continue  # without a limit, and no market order before its trigger
        as_market = order.ord_type == "market"
        if not as_market and order_price is not None:
            better = (order_price - price) * (1 if fill.side == "buy" else -1)
            if fill.client_first:
                if better + fill.improvement <= 0:
                    continue
            elif better < 0:
                continue
            elif better == 0:
                counting = order.leaves if order.display_qty is None else order.shown
                compared = stamp is not None
                if counting == 0 or (stamp is not None and order.stamp >= stamp):
                    continue
        sign = -1 if fill.side == "buy" else 1
        rank = (not as_market, 0 if as_market else (order_price or 0) * sign, order.stamp)
        found.append(Candidate(order, counting, _exemption(market, fill, order), rank, compared))
    found.sort(key=lambda candidate: candidate.rank)
    return found


def _orders_ahead(market: Market, fill: Fill, price: int) -> Iterator[Order]:
    """Every order of the side that may be ahead: resting at a price not yet excluded, or not resting."""
    ladder = market.view.ladder(fill.side)
    worst = price * ladder.sign + (fill.improvement if fill.client_first else 0)
    for key in ladder.keys:
        if key > worst:
            break
        yield from ladder.levels[key].orders.values()
    for order in market.view.aside.values():
        if order.side == fill.side:
            yield order


def _exemption(market: Market, fill: Fill, order: Order) -> str | None:
    """Return the first named exemption that holds, but `min_qty`, which depends on the allocation."""
    trade = fill.trade
    counterparty = market.account(trade, "sell" if fill.side == "buy" else "buy")
    owner = market.party(order.account, trade.ts).owner
    if owner is not None and owner == market.party(counterparty, trade.ts).owner:
        return "same_owner_as_counterparty"
    if trade.match_type not in OFF_BOOK and (
        trade.match_type == "auction" or market.phase(trade.ts) != "continuous"
    ):
        return "not_continuous"
    if order.ord_type == "stop_limit":
        return "untriggered"
    if order.state == "suspended":
        return "suspended"
    for instruction in ("all_or_none", "not_held"):
        if instruction in order.exec_inst:
            return instruction
    return None


def late_exemption(market: Market, fill: Fill, order: Order, left: int) -> str | None:
    """Return the first exemption that holds after those of `Candidate.exempt`; `left`: still to allocate."""
    if order.min_qty is not None and order.min_qty > left:
        return "min_qty"
    if market.context.directory.priority_waiver(order.account, fill.trade.ts):
        return "priority_waiver"
    if fill.order is not None and fill.order.order_capacity in ("agency", "riskless_principal"):
        return "agency"
    return "liquidation" if fill.trade.match_type == "liquidation" else None
