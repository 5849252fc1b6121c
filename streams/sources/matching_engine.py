"""A price-time matching engine for one instrument that speaks in wire records.

Every call is one turn of SPEC 2.5: `new`, `replaced` or `triggered`; its trades, with the
self-trade-prevention cancels where they fall; the cancel of what an IOC, FOK or market order leaves; then the
venue's best bid and offer if it changed; then the stops that the trades reached, each with a turn of its own.

In an auction orders rest without trading until `uncross`; in a halt nothing is accepted. An order that takes
only a whole (all-or-none, `min_qty`) is passed by until a taker is large enough; a remainder that would cross
one is cancelled.

The dishonest things it can do are asked for by name: `favoured` lets a resting order trade before its turn
in the queue, and `permitted` lets one resting order trade with its own group. Both exist to plant violations.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from schemas.events import Aggressor, MatchType, OrderExecType, Side, Topic
from streams.sources.order_book import BookSide, Level, clearing_price
from streams.sources.simulator_config import Phase, Record
from streams.sources.simulator_records import (
    Flag,
    Order,
    bust_record,
    correction_record,
    off_book_record,
    order_record,
    protection_record,
    quote_record,
    trade_record,
)

TradeListener = Callable[[Record, int, int, Order, Order], None]
"""Called after each book trade with (record, price, quantity, buy order, sell order)."""


class MatchingEngine:
    """The book of one instrument, the sequence its three kinds of record share, and its matching.

    `out` receives (topic, record) in the order of `seq`. `prevention_group` maps an account to the group
    inside which it may not trade; an account that is not in it is a group of its own.
    """

    def __init__(
        self,
        instrument: str,
        out: list[tuple[Topic, Record]],
        prevention_group: Mapping[str, str],
        fill_records: bool = False,
    ) -> None:
        self.instrument = instrument
        self.bids = BookSide("buy")
        self.asks = BookSide("sell")
        self.stops: dict[str, Order] = {}
        self.seq = 0
        self.last_price = 0
        self.phase: Phase = "continuous"
        self.protected: dict[str, int] = {}  # account -> fills in one turn after which its quotes are pulled
        self._out = out
        self._groups = prevention_group
        self._on_trade: TradeListener | None = None
        self._fill_records = fill_records
        self._quoted: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
        # Lowest and highest price traded since stops were last looked at.
        self._reached: tuple[int, int] | None = None
        self._trades = 0

    def listen(self, listener: TradeListener) -> None:
        """Call `listener` after each book trade."""
        self._on_trade = listener

    def side(self, side: Side) -> BookSide:
        """Bids for `buy`, asks for `sell`."""
        return self.bids if side == "buy" else self.asks

    def opposite(self, side: Side) -> BookSide:
        """Asks for `buy`, bids for `sell`."""
        return self.asks if side == "buy" else self.bids

    def group(self, account: str) -> str:
        """The self-trade-prevention group of an account."""
        return self._groups.get(account, account)

    def would_cross(self, side: Side, price: int) -> bool:
        """Whether a limit order at `price` would meet the other side."""
        best = self.opposite(side).best()
        return best is not None and (price >= best.price if side == "buy" else price <= best.price)

    def submit(
        self,
        order: Order,
        ts: int,
        favoured: Order | None = None,
        permitted: Order | None = None,
        match_type: MatchType = "book",
    ) -> None:
        """Accept a new order and carry out its turn, or reject it (post-only that crosses, stop reached).

        `favoured` (a resting order on the other side) trades first, ahead of its place. `permitted`
        (likewise) may trade in spite of self-trade prevention, once.
        """
        reason = self._refusal(order)
        if reason:
            self._order("rejected", order, ts, reason)
            return
        order.live = True
        self._order("new", order, ts)
        if order.stop_px:
            self.stops[order.order_id] = order
            return
        order.stamp = self.seq
        if self.phase == "auction":
            self.side(order.side).add(order)
            return
        self._turn(order, ts, favoured, permitted, match_type)
        self._settle(ts)

    def replace(self, order: Order, ts: int, cl_ord_id: str, price: int, leaves: int) -> bool:
        """Change a resting order's price or open quantity; False if it was rejected and stays as it was.

        It keeps its place iff the price is unchanged and the open quantity does not grow (SPEC P1, stamp).
        """
        if not order.live or order.order_id in self.stops or leaves <= 0:
            raise ValueError(f"order {order.order_id}: only a resting order can be replaced, to more than 0")
        if order.suspended or self.phase in ("auction", "halt"):
            return False
        previous = (order.cl_ord_id, order.orig_cl_ord_id, order.price, order.order_qty, order.leaves)
        keeps_place = price == order.price and leaves <= order.leaves
        refused = order.post_only and price != order.price and self.would_cross(order.side, price)
        book = self.side(order.side)
        if not refused:
            if keeps_place:
                shown = min(order.shown, leaves) if order.display_qty else leaves
                book.level_of(order).shown += shown - order.shown
                order.shown = shown
            else:
                book.remove(order)
        order.orig_cl_ord_id, order.cl_ord_id = order.cl_ord_id, cl_ord_id
        order.order_qty += leaves - order.leaves
        order.price, order.leaves = price, leaves
        if refused:
            self._order("rejected", order, ts, "post_only")
            order.cl_ord_id, order.orig_cl_ord_id, order.price, order.order_qty, order.leaves = previous
            return False
        self._order("replaced", order, ts)
        if not keeps_place:
            order.stamp = self.seq
            self._turn(order, ts)
        self._settle(ts)
        return True

    def cancel(self, order: Order, ts: int, reason: str = "user") -> None:
        """Cancel a live order."""
        self._withdraw(order)
        self._order("canceled", order, ts, reason)
        self._settle(ts)

    def expire(self, order: Order, ts: int) -> None:
        """End a live order whose time in force has run out."""
        self._withdraw(order)
        self._order("expired", order, ts)
        self._settle(ts)

    def suspend(self, order: Order, ts: int) -> None:
        """Take a resting order out of the market for a while."""
        self.side(order.side).remove(order)
        order.suspended = True
        self._order("suspended", order, ts)
        self._publish(ts)

    def resume(self, order: Order, ts: int) -> None:
        """Put a suspended order back in its place, or cancel it where it would cross by now."""
        if self.would_cross(order.side, order.price) or self.phase == "auction":
            self.cancel(order, ts, "venue")
            return
        order.suspended = False
        self.side(order.side).put_back(order)
        self._order("resumed", order, ts)
        self._publish(ts)

    def enter(self, phase: Phase, ts: int) -> None:
        """A phase begins; what an uncross set off happens when trading is continuous again."""
        self.phase = phase
        if phase != "auction":
            self._settle(ts)

    def uncross(self, ts: int, permitted: Container[str] = ()) -> None:
        """Trade what crosses at the price of the greatest volume; what may not trade is cancelled.

        `permitted`: ids of orders that may trade with their own group.
        """
        while price := clearing_price(self.bids, self.asks):
            bid, ask = (next(iter(side.best_level.orders.values())) for side in (self.bids, self.asks))
            barred = self._barred(bid, ask, permitted)
            if barred is not None:
                self._withdraw(barred)
                same = self.group(bid.account) == self.group(ask.account)
                self._order("canceled", barred, ts, "self_trade_prevention" if same else "venue")
                continue
            quantity = min(bid.leaves, ask.leaves)
            self.bids.fill(bid, quantity, self.seq + 1)
            self.asks.fill(ask, quantity, self.seq + 1)
            self._execute(bid, ask, price, quantity, ts, "none", "auction", "")

    def _barred(self, bid: Order, ask: Order, permitted: Container[str]) -> Order | None:
        """Which of two orders may not trade in an uncross: one that wants a whole, or of the same group."""
        for order in (bid, ask):
            if not order.takes_any:
                return order
        if self.group(bid.account) != self.group(ask.account) or (
            bid.order_id in permitted and ask.order_id in permitted
        ):
            return None
        return max(bid, ask, key=lambda order: order.stamp)

    def report(
        self, ts: int, match_type: MatchType, price: int, quantity: int,
        buyer: tuple[str, Flag], seller: tuple[str, Flag],
    ) -> Record:  # fmt: skip
        """Publish a trade agreed off the book between two (account, mm_flag); returns its record."""
        trade_id = self._next_trade_id()
        record = off_book_record(
            self.instrument, self.seq + 1, ts, trade_id, match_type, price, quantity, buyer, seller
        )
        self._emit("trades", record)
        return record

    def protect(self, ts: int, account: str, on: bool, mm_flag: Flag) -> None:
        """Publish that market-maker protection holds an account, or lets it go. Its orders stay."""
        kind: OrderExecType = "mm_protection_start" if on else "mm_protection_end"
        self._emit("orders", protection_record(self.instrument, self.seq + 1, ts, kind, account, mm_flag))

    def report_quote(
        self, ts: int, account: str, bid: tuple[int, int], ask: tuple[int, int], mm_flag: Flag
    ) -> None:
        """Publish a maker's own two-sided quote, which never enters the book; price 0 is an absent side."""
        record = quote_record(self.instrument, self.seq + 1, ts, bid, ask)
        self._emit("quotes", {**record, "account": account, "mm_flag": mm_flag})

    def correct(self, ts: int, trade_id: str, changes: Record) -> Record:
        """Publish that a trade had other values; returns the correction. The book does not change."""
        record = correction_record(
            self.instrument, self.seq + 1, ts, self._next_trade_id(), trade_id, changes
        )
        self._emit("trades", record)
        return record

    def bust(self, ts: int, trade_id: str) -> None:
        """Publish that a trade is taken back. The book does not change (SPEC 2.5)."""
        self._emit("trades", bust_record(self.instrument, self.seq + 1, ts, self._next_trade_id(), trade_id))

    def _refusal(self, order: Order) -> str:
        in_auction = self.phase == "auction"
        if self.phase == "halt" or (
            in_auction and (not order.price or order.stop_px or order.time_in_force in ("ioc", "fok"))
        ):
            return "venue"
        if in_auction and order.post_only:
            return ""
        if order.post_only and self.would_cross(order.side, order.price):
            return "post_only"
        if order.stop_px and self._is_reached(order, self.last_price, self.last_price):
            return "venue"
        return ""

    def _turn(
        self,
        taker: Order,
        ts: int,
        favoured: Order | None = None,
        permitted: Order | None = None,
        match_type: MatchType = "book",
    ) -> None:
        """Match an accepted order; what is left rests or is cancelled."""
        book = self.opposite(taker.side)
        match_id = f"{self.instrument}-M{self.seq}"
        group = self.group(taker.account)
        if taker.time_in_force == "fok" and self._available(taker, group) < taker.leaves:
            self._kill(taker, ts)
            return
        if favoured is not None:
            self._trade(taker, favoured, min(taker.leaves, favoured.shown), ts, match_id, match_type)
        fills: dict[str, int] = {}
        while taker.leaves and (found := self._next(taker, book)) is not None:
            level, resting = found
            if self.group(resting.account) == group and resting is not permitted:
                self._withdraw(resting)
                self._order("canceled", resting, ts, "self_trade_prevention")
                continue
            if resting is permitted:
                permitted = None
            # An iceberg that stands alone gives its hidden quantity in the same trade.
            offered = resting.shown if len(level.orders) > 1 else resting.leaves
            self._trade(taker, resting, min(taker.leaves, offered), ts, match_id, match_type)
            if resting.account in self.protected:
                self._protect(book, resting.account, fills, ts)
        if not taker.leaves:
            taker.live = False
        elif not taker.price or taker.time_in_force in ("ioc", "fok"):
            self._kill(taker, ts)
        elif self.would_cross(taker.side, taker.price):
            self._kill(taker, ts, "venue")
        else:
            self.side(taker.side).add(taker)

    @staticmethod
    def _next(taker: Order, book: BookSide) -> tuple[Level, Order] | None:
        """The order that a taker trades with next: the first, by price and place, that takes so little."""
        worst = book.sign * taker.price if taker.price else None
        for key in reversed(book.keys):
            if worst is not None and key < worst:
                return None
            level = book.levels[key]
            for order in level.orders.values():
                if order.takes_any or order.takes(taker.leaves):
                    return level, order
        return None

    def _protect(self, book: BookSide, account: str, fills: dict[str, int], ts: int) -> None:
        """Market-maker protection: after so many fills in one turn the account's other orders are pulled."""
        fills[account] = fills.get(account, 0) + 1
        if fills[account] == self.protected[account]:
            for order in [order for level in book.from_best() for order in level.orders.values()]:
                if order.account == account:
                    self._withdraw(order)
                    self._order("canceled", order, ts, "mm_protection")

    def _available(self, taker: Order, group: str) -> int:
        """Quantity a taker could trade at its limit, its own group's orders left out."""
        book = self.opposite(taker.side)
        total = 0
        for level in book.from_best():
            if taker.price and level.price * book.sign < taker.price * book.sign:
                break
            total += sum(
                order.leaves
                for order in level.orders.values()
                if order.takes_any and self.group(order.account) != group
            )
        return total

    def _trade(
        self, taker: Order, resting: Order, quantity: int, ts: int, match_id: str, match_type: MatchType
    ) -> None:
        buyer, seller = (taker, resting) if taker.side == "buy" else (resting, taker)
        taker.leaves -= quantity
        if not taker.leaves:
            taker.live = False
        self.opposite(taker.side).fill(resting, quantity, self.seq + 1)
        self._execute(buyer, seller, resting.price, quantity, ts, taker.side, match_type, match_id)

    def _execute(
        self, buyer: Order, seller: Order, price: int, quantity: int, ts: int,
        aggressor: Aggressor, match_type: MatchType, match_id: str,
    ) -> None:  # fmt: skip
        record = trade_record(
            self.instrument, self.seq + 1, ts, self._next_trade_id(), price, quantity, buyer, seller,
            aggressor, match_type, match_id,
        )  # fmt: skip
        self._emit("trades", record)
        self.last_price = price
        low, high = self._reached or (price, price)
        self._reached = (min(low, price), max(high, price))
        if self._on_trade is not None:
            self._on_trade(record, price, quantity, buyer, seller)
        if self._fill_records:
            taker, resting = (seller, buyer) if aggressor == "sell" else (buyer, seller)
            self._order("fill", taker, ts)
            self._order("fill", resting, ts)

    def _settle(self, ts: int) -> None:
        """After a turn: the venue's quote, then every stop reached, each with its own turn and quote."""
        if self.phase in ("auction", "halt"):
            self._publish(ts)
            return
        self._publish(ts)
        while self._reached is not None:
            low, high = self._reached
            self._reached = None
            for stop in [stop for stop in self.stops.values() if self._is_reached(stop, low, high)]:
                del self.stops[stop.order_id]
                self._order("triggered", stop, ts)
                stop.stamp = self.seq
                self._turn(stop, ts)
                self._publish(ts)

    @staticmethod
    def _is_reached(stop: Order, low: int, high: int) -> bool:
        return bool(high) and (high >= stop.stop_px if stop.side == "buy" else low <= stop.stop_px)

    def _withdraw(self, order: Order) -> None:
        if not order.live:
            raise ValueError(f"order {order.order_id} is not live: it cannot be cancelled or expired")
        if self.stops.pop(order.order_id, None) is None and not order.suspended:
            self.side(order.side).remove(order)
        order.live = False

    def _kill(self, taker: Order, ts: int, reason: str = "expiry") -> None:
        taker.live = False
        self._order("canceled", taker, ts, reason)

    def _publish(self, ts: int) -> None:
        if self.phase == "auction":
            return
        bid, ask = self.bids.best(), self.asks.best()
        quote = ((bid.price, bid.shown) if bid else (0, 0), (ask.price, ask.shown) if ask else (0, 0))
        if quote != self._quoted:
            self._quoted = quote
            self._emit("quotes", quote_record(self.instrument, self.seq + 1, ts, *quote))

    def _order(self, exec_type: OrderExecType, order: Order, ts: int, reason: str = "") -> None:
        self._emit("orders", order_record(self.instrument, self.seq + 1, ts, exec_type, order, reason))

    def _emit(self, topic: Topic, record: Record) -> None:
        self.seq += 1
        self._out.append((topic, record))

    def _next_trade_id(self) -> str:
        self._trades += 1
        return f"{self.instrument}-T{self._trades}"
