"""How each record changes the book, and what about it cannot be right (SPEC.md 2.1, 2.5, data quality)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.book import Order, Turn
from detectors.bounded import oldest_beyond
from schemas.decimals import text
from schemas.journal import EventEntry, OrderEntry, QuoteEntry, TradeEntry

if TYPE_CHECKING:
    from detectors.market import Market

MAX_MATCH_IDS = 20_000  # remembered an instrument, to see one used again


class Transitions:
    """Applies order records and trades to a market's book; reports what contradicts it."""

    def __init__(self, market: Market) -> None:
        self.market = market

    # ---- orders -------------------------------------------------------------------------------------

    def order(self, entry: OrderEntry) -> None:
        """Apply an order's life-cycle event. `mm_protection_*` and `fill` change nothing in the book."""
        kind = entry.exec_type
        if kind in ("mm_protection_start", "mm_protection_end") or entry.order_id is None:
            return
        book = self.market.book
        if kind in ("new", "restated"):
            self._enter(entry)
            return
        if kind == "rejected":
            if book.find(entry.order_id) is None:
                book.kill(self._make(entry, 0))
            return
        order = book.orders.get(entry.order_id)
        if order is None:
            self._stray(entry)
        elif kind in ("canceled", "expired"):
            self._check_lifetime(entry.ts, order)
            book.kill(order)
            order.leaves = 0
        elif kind == "replaced":
            self._replace(entry, order)
        elif kind == "triggered":
            self._trigger(entry, order)
        elif kind == "suspended":
            book.lift(order)
            order.state = "suspended"
        elif kind == "resumed":
            order.state = "untriggered" if order.ord_type in ("stop", "stop_limit") else "live"
            order.active_seq = entry.seq
            if not order.resting:
                book.place(order)
        else:
            self._check_fill(entry, order)

    def _make(self, entry: OrderEntry, leaves: int) -> Order:
        display = entry.display_qty
        role = self.market.party(entry.account, entry.ts).role
        return Order(
            order_id=entry.order_id or "",
            account=entry.account,
            side=entry.side or "buy",
            ord_type=entry.ord_type or "limit",
            time_in_force=entry.time_in_force or "gtc",
            price=entry.price,
            leaves=leaves,
            shown=leaves if display is None else min(display, leaves),
            stamp=entry.seq,
            active_seq=entry.seq,
            accepted_seq=entry.seq,
            accepted_ts=entry.ts,
            display_qty=display,
            min_qty=entry.min_qty,
            exec_inst=entry.exec_inst or (),
            order_capacity=entry.order_capacity,
            mm_flag=bool(entry.mm_flag),
            affiliated=role in ("affiliated_mm", "affiliate"),
            state="untriggered" if entry.ord_type in ("stop", "stop_limit") else "live",
            filled=max(0, entry.order_qty - leaves) if entry.order_qty is not None else 0,
            peak=leaves,
            ts_gateway=entry.ts_gateway,
        )

    def _enter(self, entry: OrderEntry) -> None:
        market, book = self.market, self.market.book
        leaves = entry.leaves_qty if entry.leaves_qty is not None else entry.order_qty or 0
        order = self._make(entry, leaves)
        was = book.orders.get(order.order_id)
        if was is not None:
            if entry.exec_type == "new":
                market.fault(
                    "conflict", entry.seq, entry.seq, entry.ts, f"new, but order {order.order_id} is live"
                )
                return
            book.lift(was)
        before = was or book.dead.pop(order.order_id, None)
        if before is not None:
            order.mm_flag = before.mm_flag
            if entry.order_qty is None:
                order.filled = before.filled
            order.peak = max(before.peak, leaves + order.filled)
        book.enter(order)
        if leaves == 0:
            book.kill(order)
        elif entry.exec_type == "restated":
            book.start_known = True
            book.place(order)
        else:
            self._open_turn(entry, order)

    def _open_turn(self, entry: OrderEntry, order: Order) -> None:
        order.turn_seq = entry.seq
        if self.market.late:  # inserted by its stamp; its turn is past
            self.market.book.rest_or_die(order)
        else:
            self.market.book.turn = Turn(order.order_id, entry.seq, entry.ts)

    def _replace(self, entry: OrderEntry, order: Order) -> None:
        book = self.market.book
        if entry.leaves_qty is not None:
            leaves = entry.leaves_qty
        elif entry.order_qty is not None:
            leaves = max(0, entry.order_qty - order.filled)
        else:
            leaves = order.leaves
        price = entry.price if entry.price is not None else order.price
        repriced = price != order.price
        keeps = not repriced and leaves <= order.leaves
        book.lift(order)
        order.price, order.leaves = price, leaves
        order.display_qty = entry.display_qty if entry.display_qty is not None else order.display_qty
        order.min_qty = entry.min_qty if entry.min_qty is not None else order.min_qty
        order.exec_inst = entry.exec_inst if entry.exec_inst is not None else order.exec_inst
        order.time_in_force = entry.time_in_force or order.time_in_force
        order.peak = max(order.peak, leaves + order.filled)
        if order.display_qty is None:
            order.shown = leaves
        else:
            order.shown = min(order.shown if keeps and order.display_qty else order.display_qty, leaves)
        if not keeps:
            order.stamp = entry.seq
        if repriced:
            order.active_seq = entry.seq
        if leaves == 0:
            book.kill(order)
            return
        self._open_turn(entry, order)

    def _trigger(self, entry: OrderEntry, order: Order) -> None:
        self.market.book.lift(order)
        if order.ord_type == "stop_limit":
            order.ord_type = "limit"
            order.price = entry.price if entry.price is not None else order.price
        elif order.ord_type == "stop":
            order.ord_type = "market"
        if order.state != "suspended":
            order.state = "live"
        order.stamp = order.active_seq = entry.seq
        order.shown = order.leaves if order.display_qty is None else min(order.display_qty, order.leaves)
        self._open_turn(entry, order)

    def _stray(self, entry: OrderEntry) -> None:
        """A record of an order that is not live: never seen, or dead."""
        market = self.market
        dead = market.book.dead.get(entry.order_id or "")
        if dead is None:
            if market.book.start_known:
                market.fault(
                    "orphan", entry.seq, entry.seq, entry.ts,
                    f"{entry.exec_type} of order {entry.order_id}, never seen",
                )  # fmt: skip
        elif entry.exec_type in ("canceled", "expired"):
            self._check_lifetime(entry.ts, dead)
            if entry.leaves_qty not in (None, 0, dead.leaves):
                market.fault(
                    "conflict", entry.seq, entry.seq, entry.ts,
                    f"{entry.exec_type} of order {entry.order_id} with {text(entry.leaves_qty or 0)} left, "
                    f"the book has {text(dead.leaves)}",
                )  # fmt: skip
            dead.leaves = 0
        elif entry.exec_type == "fill":
            self._check_fill(entry, dead)

    # ---- trades -------------------------------------------------------------------------------------

    def check_trade(self, entry: TradeEntry) -> None:
        """What about a trade cannot be right, before it is judged and applied."""
        market = self.market
        self._check_match(entry, market.matching)
        qty = entry.qty or 0
        for side, order_id in (("buy", entry.buy_order_id), ("sell", entry.sell_order_id)):
            if order_id is None:
                continue
            order = market.book.find(order_id)
            if order is None:
                if market.book.start_known:
                    market.fault(
                        "orphan", entry.seq, entry.seq, entry.ts,
                        f"trade {entry.trade_id} of order {order_id}, never seen",
                    )  # fmt: skip
                continue
            if qty >= order.leaves and order.state != "dead":
                self._check_lifetime(entry.ts, order)
            if qty > order.leaves:
                market.fault(
                    "overfill", entry.seq, entry.seq, entry.ts,
                    f"{side} order {order_id} filled {text(qty)} of {text(order.leaves)} left",
                )  # fmt: skip

    def trade(self, entry: TradeEntry) -> None:
        """Reduce both orders' leaves; a trade of the turn's order belongs to its match."""
        market = self.market
        turn = market.matching
        if turn is not None:
            turn.match_id = turn.match_id or entry.match_id
        for order_id in (entry.buy_order_id, entry.sell_order_id):
            if order_id is None:
                continue
            if turn is not None:
                market.in_turn.append(order_id)
            order = market.book.find(order_id)
            if order is not None:
                market.book.fill(order, entry.qty or 0, entry.seq)

    def _check_match(self, entry: TradeEntry, turn: Turn | None) -> None:
        """`match_id`, where given, must agree: one in a turn, and not that of another match."""
        if entry.match_id is None:
            return
        market = self.market
        match = turn.begin_seq if turn is not None else entry.seq
        ids = market.match_ids
        before = ids.setdefault(entry.match_id, match)
        for match_id in oldest_beyond(ids, MAX_MATCH_IDS):
            del ids[match_id]
        if turn is not None and turn.match_id not in (None, entry.match_id):
            detail = f"but the turn's trades have {turn.match_id}"
        elif before != match:
            detail = f"which was that of the match at seq {before}"
        else:
            return
        market.fault("conflict", entry.seq, entry.seq, entry.ts, f"match_id {entry.match_id}, {detail}")

    # ---- what cannot be right -----------------------------------------------------------------------

    def check_time(self, entry: EventEntry) -> None:
        """A record stamped too long before the instrument's time, or against its own other stamps."""
        market = self.market
        if isinstance(entry, OrderEntry) and entry.exec_type == "restated":
            return
        behind, what = 0, "before its predecessor"
        if not market.late:
            behind = (market.own_time or entry.ts) - entry.ts
        if isinstance(entry, OrderEntry):
            for moment, name in (
                (entry.ts_ack, "after its ts_ack"),
                (entry.ts_published, "after its ts_published"),
            ):
                if moment is not None and entry.ts - moment > behind:
                    behind, what = entry.ts - moment, name
            if entry.ts_gateway is not None and entry.ts_gateway - entry.ts > behind:
                behind, what = entry.ts_gateway - entry.ts, "before its ts_gateway"
        if behind > market.context.clock_skew(entry.ts):
            market.fault("clock_skew", entry.seq, entry.seq, entry.ts, f"stamped {behind} ns {what}")

    def _check_lifetime(self, ts: int, order: Order) -> None:
        if ts < order.accepted_ts:
            seq = self.market.seq
            self.market.fault(
                "negative_lifetime", seq, seq, ts,
                f"order {order.order_id} changed {order.accepted_ts - ts} ns before it was accepted",
            )  # fmt: skip

    def _check_fill(self, entry: OrderEntry, order: Order) -> None:
        if entry.leaves_qty is not None and entry.leaves_qty != order.leaves:
            self.market.fault(
                "conflict", entry.seq, entry.seq, entry.ts,
                f"fill says {text(entry.leaves_qty)} left of order {order.order_id}, "
                f"trades say {text(order.leaves)}",
            )  # fmt: skip

    def watch_cross(self, seq: int) -> None:
        """After a turn, or an entry outside one: remember the seq since which the book is crossed."""
        flags = self.market.flags
        bid, ask = self.market.book.bids.best_displayed(), self.market.book.asks.best_displayed()
        if bid is None or ask is None or bid < ask:
            flags.pop("crossed", None)
            flags.pop("crossed_told", None)
        else:
            flags.setdefault("crossed", seq)

    def check_crossed(self, start: int, end: int) -> None:
        """The state had weight from `start` to `end`: if it is crossed outside an auction, say so once."""
        market = self.market
        seq = market.flags.get("crossed")
        if seq is None or "crossed_told" in market.flags:
            return
        directory = market.context.directory
        moment: int | None = start
        while moment is not None and moment < end:
            if market.phase(moment) != "auction":
                market.flags["crossed_told"], market.now = 1, moment
                bid, ask = market.book.bids.best_displayed(), market.book.asks.best_displayed()
                market.fault(
                    "crossed_book",
                    seq,
                    seq,
                    moment,
                    f"bid {text(bid or 0)} is not below ask {text(ask or 0)}",
                )
                return
            moment = directory.next_phase_change(market.instrument, moment)

    def check_quote(self, quote: QuoteEntry) -> None:
        """The venue's best bid and offer against the book's displayed best, price and size; told once."""
        market = self.market
        if not market.book.start_known or market.phase(quote.ts) != "continuous":
            return
        book = market.book
        published: tuple[tuple[str, int | None, int | None, tuple[int, int] | None], ...] = (
            ("bid", quote.bid_px, quote.bid_size, book.bids.best_shown()),
            ("ask", quote.ask_px, quote.ask_size, book.asks.best_shown()),
        )
        for name, price, size, best in published:
            ours = best if best is not None else (None, None)
            if price != ours[0] or (size is not None and size != ours[1]):
                if "mismatch" in market.flags:
                    return  # the same episode
                market.flags["mismatch"] = quote.seq
                market.fault(
                    "book_mismatch", quote.seq, quote.seq, quote.ts,
                    f"venue's {name} {_quoted(price, size)}, the book's {_quoted(*ours)}",
                )  # fmt: skip
                return
        market.flags.pop("mismatch", None)


def _quoted(price: int | None, size: int | None) -> str:
    if price is None:
        return "none"
    return f"{text(price)} x {text(size)}" if size is not None else text(price)
