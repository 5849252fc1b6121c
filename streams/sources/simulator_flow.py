"""What participants do on an ordinary day: clients of several styles, makers that requote.

Nothing here breaches a rule. Things that come close do happen: blocks of the maker one tick better than the
best client order, trades with the client that the operator part-owns, self-trade-prevention cancels inside
the group. In a halt nothing is accepted, in an auction orders gather.
"""

from __future__ import annotations

from collections.abc import Callable

from schemas.events import ExecInst, MatchType, Side, TimeInForce
from streams.sources.simulator_market import Book, Market
from streams.sources.simulator_participants import INDEPENDENT_MAKER, MAKERS
from streams.sources.simulator_records import TEXT, Order

SIDES: tuple[Side, Side] = ("buy", "sell")
TARGET_CLIENT_ORDERS = 120
QUOTE_LEVELS = 3


class Flow:
    """Ordinary behaviour; `act` does one thing in one instrument, sometimes nothing."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._rng = market.rng
        # Cumulative weights in thousandths; what is left over is a client's passive order or cancel.
        choices: tuple[tuple[int, Callable[[Book], None]], ...] = (
            (240, self.requote),
            (70, self.take),
            (60, self.amend),
            (25, self.iceberg),
            (10, self.stop),
            (2, self.hedge),
            (6, self.choosy),
            (6, self.pause),
            (2, self.sweep),
            (2, self.burst),
            (2, self.cascade),
            (1, self.freeze),
            (2, self.off_book),
            (1, self.bust),
            (1, self.correct),
        )
        self._table: list[Callable[[Book], None]] = [
            action for weight, action in choices for _ in range(weight)
        ]

    def act(self, book: Book) -> None:
        """Let somebody do something."""
        self.market.end_day(book)
        if self._rng.random() < 0.1:
            jump = self._rng.choice((15, 40)) if self._rng.random() < 0.002 else self._rng.randrange(1, 3)
            book.fair = max(60, book.fair + self._rng.choice((-jump, jump)))
        number = int(self._rng.random() * 1_000)
        if number < len(self._table):
            self._table[number](book)
        elif self._rng.random() * 2 * TARGET_CLIENT_ORDERS < len(book.client_orders):
            self.withdraw(book)
        else:
            self.rest(book)

    def requote(self, book: Book) -> None:
        """One maker moves one instrument's quotes to its target; a third of the time by cancel and new."""
        account = self._rng.choice(self.market.people.makers)
        # The independent one is the wider, so that the affiliates keep no more of the spread than others do.
        half_spread = 3 if account == INDEPENDENT_MAKER else 2
        by_cancel = self._rng.random() < 0.3
        for side in SIDES:
            away = -1 if side == "buy" else 1
            for rank in range(QUOTE_LEVELS):
                ticks = book.fair + away * (half_spread + 2 * rank)
                self._quote(book, account, side, rank, ticks * book.spec.tick_size, by_cancel)

    def _quote(self, book: Book, account: str, side: Side, rank: int, price: int, by_cancel: bool) -> None:
        market, key = self.market, (account, side, rank)
        order = book.quotes.get(key)
        size = 4 * book.spec.usual_lots * book.spec.lot_size
        if order is not None and order.live:
            if order.price == price:
                if order.leaves * 3 < size:
                    market.replace(book, order, price, size)
                return
            if not by_cancel:
                market.replace(book, order, price, order.leaves)
                return
            market.cancel(book, order)
        # The last maker's quotes may trade on arrival: a maker that aggresses is no breach of priority.
        fresh = market.order(book, account, side, price, size, post_only=account != MAKERS[1])
        market.send(book, fresh)
        book.quotes[key] = fresh

    def rest(self, book: Book) -> None:
        """A client's limit order near the fair value; now and then it meets the other side, or may not."""
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        if best is not None and self._rng.random() < 0.35:
            price = best.price
        else:
            offset = int(self._rng.expovariate(0.15)) - (2 if self._rng.random() < 0.1 else -1)
            price = self._away(book, side, offset)
        time_in_force: TimeInForce = "day" if self._rng.random() < 0.3 else "gtc"
        self._client_order(
            book, side, price, self.market.quantity(book), time_in_force, post_only=self._rng.random() < 0.15
        )

    def take(self, book: Book) -> None:
        """A client's market, IOC or FOK order."""
        side, kind = self._rng.choice(SIDES), self._rng.random()
        account, quantity = self._rng.choice(self.market.people.clients), self.market.quantity(book, 1.5)
        if kind < 0.4:
            order = self.market.order(
                book, account, side, 0, quantity, ord_type="market", time_in_force="ioc"
            )
        else:
            price = self._away(book, side, -self._rng.randrange(2, 7))
            time_in_force: TimeInForce = "fok" if kind > 0.85 else "ioc"
            order = self.market.order(book, account, side, price, quantity, time_in_force=time_in_force)
        self.market.send(book, order)

    def amend(self, book: Book) -> None:
        """A client changes an order: less (keeps its place), more, or another price (both lose it)."""
        order = self._some_order(book)
        if order is None or order.stop_px or order.suspended:
            return
        if "pegged" in order.exec_inst:
            best = book.engine.side(order.side).best()
            if best is not None and best.price != order.price:
                self.market.replace(book, order, best.price, order.leaves)
            return
        kind, lots = self._rng.random(), book.lots(order.leaves)
        if kind < 0.4 and lots > 1:
            self.market.replace(book, order, order.price, self._rng.randrange(1, lots) * book.spec.lot_size)
        elif kind < 0.6:
            self.market.replace(book, order, order.price, order.leaves + self.market.quantity(book, 0.3))
        else:
            price = max(1, order.price // book.spec.tick_size + self._rng.choice((-3, -1, 1, 2)))
            self.market.replace(book, order, price * book.spec.tick_size, order.leaves)

    def iceberg(self, book: Book) -> None:
        """A client's large order that shows a part. Post-only: it never aggresses."""
        side = self._rng.choice(SIDES)
        quantity = self.market.quantity(book, 4.0) + 2 * book.spec.lot_size
        display = max(1, book.lots(quantity) // self._rng.randrange(2, 9)) * book.spec.lot_size
        price = self._away(book, side, self._rng.randrange(1, 5))
        self._client_order(book, side, price, quantity, "gtc", display_qty=display, post_only=True)

    def stop(self, book: Book) -> None:
        """A client's stop or stop-limit a few ticks away from the last trade."""
        if not book.engine.last_price:
            return
        side = self._rng.choice(SIDES)
        distance = self._rng.randrange(2, 12) * book.spec.tick_size
        stop_px = book.engine.last_price + (distance if side == "buy" else -distance)
        limited = self._rng.random() < 0.5
        order = self.market.order(
            book, self._rng.choice(self.market.people.clients), side, stop_px if limited else 0,
            self.market.quantity(book), ord_type="stop_limit" if limited else "stop", stop_px=stop_px,
        )  # fmt: skip
        self.market.send(book, order)
        book.client_orders.append(order)

    def hedge(self, book: Book) -> None:
        """The maker takes liquidity, properly flagged."""
        side = self._rng.choice(SIDES)
        best = book.engine.opposite(side).best()
        if best is not None:
            order = self.market.order(
                book, self._rng.choice(MAKERS), side, best.price, self.market.quantity(book, 0.5),
                time_in_force="ioc",
            )  # fmt: skip
            self.market.send(book, order)

    def choosy(self, book: Book) -> None:
        """A client's order with an instruction: all or none, not held, pegged, or a least quantity."""
        side, quantity = self._rng.choice(SIDES), self.market.quantity(book) + book.spec.lot_size
        best = book.engine.side(side).best()
        inst: ExecInst | None = self._rng.choice(("all_or_none", "not_held", "pegged", None))
        least = 0 if inst else self._rng.randint(1, book.lots(quantity)) * book.spec.lot_size
        price = best.price if best is not None else self._away(book, side, 2)
        order = self.market.order(
            book, self._rng.choice(self.market.people.clients), side, price, quantity, post_only=True,
            exec_inst=(inst,) if inst else (), min_qty=least,
        )  # fmt: skip
        self.market.send(book, order)
        if order.live:
            book.client_orders.append(order)

    def pause(self, book: Book) -> None:
        """A client's order is suspended, and resumed after a while."""
        order = self._some_order(book)
        if order is None or order.stop_px or order.suspended or book.engine.phase == "auction":
            return
        book.engine.suspend(order, self.market.time())

        def resume() -> None:
            if order.live and order.suspended:
                book.engine.resume(order, self.market.time())

        self.market.later(resume)

    def sweep(self, book: Book) -> None:
        """A client's market order goes through many levels."""
        side = self._rng.choice(SIDES)
        depth = self._rng.randrange(3, 9)
        levels = [
            level for _, level in zip(range(depth), book.engine.opposite(side).from_best(), strict=False)
        ]
        quantity = sum(level.shown for level in levels)
        if quantity:
            account = self._rng.choice(self.market.people.clients)
            order = self.market.order(
                book, account, side, 0, quantity, ord_type="market", time_in_force="ioc"
            )
            self.market.send(book, order)

    def burst(self, book: Book) -> None:
        """A client withdraws all it has, or a maker all its quotes, one right after the other."""
        account = self._rng.choice((*self.market.people.clients, *self.market.people.makers))
        own = [order for order in (*book.client_orders, *book.quotes.values()) if order.account == account]
        for order in own:
            self.market.cancel(book, order)

    def cascade(self, book: Book) -> None:
        """Stops tick by tick, each of which may set off the next; then somebody sets off the first."""
        if not book.engine.last_price or book.engine.phase != "continuous":
            return
        side = self._rng.choice(SIDES)
        step = book.spec.tick_size if side == "buy" else -book.spec.tick_size
        for place in range(1, self._rng.randrange(3, 7)):
            stop_px = book.engine.last_price + place * step
            if stop_px > 0:
                account = self._rng.choice(self.market.people.clients)
                order = self.market.order(
                    book, account, side, 0, self.market.quantity(book), ord_type="stop", stop_px=stop_px
                )
                self.market.send(book, order)
                book.client_orders.append(order)
        self.sweep(book)

    def freeze(self, book: Book) -> None:
        """Market-maker protection holds a maker: its quotes go, and come back when it ends."""
        account = self._rng.choice(self.market.people.makers)
        flag = self.market.people.flag(account)
        book.engine.protect(self.market.time(), account, True, flag)
        for order in [order for order in book.quotes.values() if order.account == account and order.live]:
            book.engine.cancel(order, self.market.time(), "mm_protection")
        self.market.later(lambda: book.engine.protect(self.market.time(), account, False, flag))

    def off_book(self, book: Book) -> None:
        """A block, rfq or liquidation of the maker with a client, a tick better than the best of its side."""
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        if best is None or book.engine.phase == "auction":
            return
        price = best.price + (book.spec.tick_size if side == "buy" else -book.spec.tick_size)
        kind: MatchType = self._rng.choice(("block", "rfq", "liquidation"))
        self.market.report(
            book, kind, side, price, self.market.quantity(book, 20.0), self._rng.choice(MAKERS),
            self._rng.choice(self.market.people.clients),
        )  # fmt: skip

    def correct(self, book: Book) -> None:
        """The venue corrects the quantity of a recent trade of others than affiliates."""
        if book.correctable is not None:
            trade_id, quantity = book.correctable
            book.correctable = None
            if self.market.ledger.may_be_corrected(trade_id):
                self.market.correct(book, trade_id, {"qty": TEXT[quantity - book.spec.lot_size]})

    def bust(self, book: Book) -> None:
        """The venue takes a recent trade back."""
        if book.recent_trades:
            trade_id = book.recent_trades.pop(self._rng.randrange(len(book.recent_trades)))
            self.market.bust(book, trade_id)

    def withdraw(self, book: Book) -> None:
        """A client cancels."""
        order = self._some_order(book)
        if order is not None:
            self.market.cancel(book, order)

    def _client_order(
        self,
        book: Book,
        side: Side,
        price: int,
        quantity: int,
        time_in_force: TimeInForce,
        display_qty: int = 0,
        post_only: bool = False,
    ) -> None:
        order = self.market.order(
            book, self._rng.choice(self.market.people.clients), side, price, quantity,
            time_in_force=time_in_force, display_qty=display_qty, post_only=post_only,
        )  # fmt: skip
        self.market.send(book, order)
        if order.live:
            book.client_orders.append(order)

    def _some_order(self, book: Book) -> Order | None:
        """A random live client order; dead ones met on the way are forgotten."""
        orders = book.client_orders
        while orders:
            index = self._rng.randrange(len(orders))
            if orders[index].live:
                return orders[index]
            orders[index] = orders[-1]
            orders.pop()
        return None

    def _away(self, book: Book, side: Side, ticks: int) -> int:
        """A price `ticks` away from the fair value on the passive side (negative: beyond it)."""
        return max(1, book.fair + (-ticks if side == "buy" else ticks)) * book.spec.tick_size
