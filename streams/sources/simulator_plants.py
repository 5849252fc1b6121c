"""Planted violations: one method per kind of `Violations`, each tried until it can be committed.

A method returns False, having breached nothing, where the book does not offer the situation; the run tries
again later and elsewhere. What a method breaches is told to the ledger here, or by the fills it causes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.events import Side, TimeInForce
from streams.sources.simulator_config import Violations
from streams.sources.simulator_flow import SIDES
from streams.sources.simulator_labels import HarmedOrder, PlannedFill
from streams.sources.simulator_market import OTHER, Book, Market
from streams.sources.simulator_participants import MAKERS, SAME_GROUP, SAME_OWNER, TREASURY
from streams.sources.simulator_records import Flag, Order

UNTAGGED: tuple[Flag, ...] = (False, "absent", None)


class Plants:
    """Commits violations in the market it is given."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._rng = market.rng
        self._turn = 0
        self._acts: dict[str, Callable[[Book], bool]] = {
            "untagged_order": self._untagged_order,
            "untagged_fill": self._untagged_fill,
            "false_tag": self._false_tag,
            "mutated_flag": self._mutated_flag,
            "unregistered_affiliate": self._unregistered_affiliate,
            "unknown_account": self._unknown_account,
            "price_time_equal": lambda book: self._equal_price(book, "price_time_equal", 0),
            "price_time_better": self._better_price,
            "price_time_part_cured": lambda book: self._equal_price(book, "price_time_part_cured", 1),
            "price_time_cured": lambda book: self._equal_price(book, "price_time_cured", 2),
            "price_time_busted": lambda book: self._equal_price(book, "price_time_busted", 0),
            "price_time_cure_busted": lambda book: self._equal_price(book, "price_time_cure_busted", 2),
            "client_first_block": self._block,
            "self_trade_account": lambda book: self._self_trade(book, "self_trade_account"),
            "self_trade_owner": lambda book: self._self_trade(book, "self_trade_owner"),
            "self_trade_afmm": lambda book: self._self_trade(book, "self_trade_afmm"),
            "self_trade_group": lambda book: self._self_trade(book, "self_trade_group"),
            "self_trade_busted": lambda book: self._self_trade(book, "self_trade_busted"),
        }
        missing = {kind for kind, _ in Violations().counts()} ^ set(self._acts)
        if missing:
            raise RuntimeError(
                f"kinds of violation without an act, or acts without a kind: {sorted(missing)}"
            )

    def commit(self, kind: str, book: Book) -> bool:
        """Commit one violation of `kind` in `book`; False if the situation is not there just now."""
        self._turn += 1
        self.market.end_day(book)
        return self._acts[kind](book)

    # Identification

    def _untagged_order(self, book: Book) -> bool:
        """A maker's order without its flag: resting, or (one in four) rejected at the door."""
        side = self._rng.choice(SIDES)
        other = book.engine.opposite(side).best()
        if other is None:
            return False
        away = -1 if side == "buy" else 1
        ticks = 0 if self._turn % 4 == 0 else self._rng.randrange(1, 5)
        order = self.market.order(
            book, self._rng.choice(MAKERS), side, other.price + away * ticks * book.spec.tick_size,
            self.market.quantity(book), post_only=True, mm_flag=self._rng.choice(UNTAGGED), tampered=True,
        )  # fmt: skip
        record = self.market.send(book, order)
        self.market.ledger.on_flagged_order("untagged", "untagged_order", record)
        self._cancel_later(book, order)
        return True

    def _untagged_fill(self, book: Book) -> bool:
        """A flagged maker order at the head of its queue is filled without the flag, which then returns."""
        for side in self._sides():
            order = self._head(book, side)
            if order is not None and order.account in MAKERS and not order.tampered:
                order.tampered, order.mm_flag = True, self._rng.choice(UNTAGGED)
                self._take(
                    book, self._outsider(book, side), OTHER[side], order.price, self._part(book, order.shown)
                )
                order.mm_flag = order.first_flag
                return True
        return False

    def _false_tag(self, book: Book) -> bool:
        """A client's order with a market maker's flag, resting or IOC."""
        side, account = self._rng.choice(SIDES), self._rng.choice(self.market.people.clients)
        best = book.engine.side(side).best()
        if best is None:
            return False
        time_in_force: TimeInForce = "ioc" if self._turn % 3 == 0 else "gtc"
        order = self.market.order(
            book, account, side, 0 if time_in_force == "ioc" else best.price, self.market.quantity(book),
            ord_type="market" if time_in_force == "ioc" else "limit", time_in_force=time_in_force,
            mm_flag=True, tampered=True,
        )  # fmt: skip
        record = self.market.send(book, order)
        self.market.ledger.on_flagged_order("false_tag", "false_tag_order", record)
        self._cancel_later(book, order)
        return True

    def _mutated_flag(self, book: Book) -> bool:
        """The flag of a live order differs in a cancel (maker or client) or in a replace."""
        by_client = self._turn % 3 == 0
        pool = book.client_orders if by_client else [book.quotes[key] for key in sorted(book.quotes)]
        live = [
            order for order in pool
            if order.live and not order.tampered and (by_client or order.account in MAKERS)
        ]  # fmt: skip
        if not live:
            return False
        order = self._rng.choice(live)
        order.tampered, order.mm_flag = True, True if by_client else self._rng.choice(UNTAGGED)
        begin = len(self.market.out)
        if self._turn % 3 == 1 and order.leaves > book.spec.lot_size:
            self.market.replace(book, order, order.price, order.leaves - book.spec.lot_size)
            order.mm_flag = order.first_flag
        else:
            self.market.cancel(book, order)
        self.market.ledger.on_flagged_order("mutated", "mutated_flag", self.market.out[begin][1])
        return True

    def _unregistered_affiliate(self, book: Book) -> bool:
        """The operator's treasury, which has no registration, sends an order."""
        return self._intruder(book, TREASURY)

    def _unknown_account(self, book: Book) -> bool:
        """An account that reference data does not know sends an order."""
        return self._intruder(book, f"GHOST-{self._turn}")

    def _intruder(self, book: Book, account: str) -> bool:
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        # Its later fills must fall on the same trading day, or they would be a finding of their own.
        if best is None or not self.market.day_is_far_from_over():
            return False
        if self._turn % 2:
            order = self.market.order(book, account, side, best.price, self.market.quantity(book))
        else:
            order = self.market.order(
                book, account, side, 0, self.market.quantity(book), ord_type="market", time_in_force="ioc"
            )
        self.market.ledger.on_activity(account, self.market.send(book, order))
        self._cancel_later(book, order)
        return True

    # Priority

    def _equal_price(self, book: Book, kind: str, cure: int) -> bool:
        """A maker's order at the best price trades before a client's; `cure`: 0 none, 1 part, 2 all."""
        side = self._rng.choice(SIDES)
        level = book.engine.side(side).best()
        if level is None:
            return False
        hidden = self._rng.random() < 0.4
        if hidden or not any(self._is_client(order) for order in level.orders.values()):
            client = self._rng.choice(self.market.people.clients)
            self._post(book, client, side, level.price, book.spec.lot_size if hidden else 0)
        queue = list(level.orders.values())
        first = next((order for order in queue if self._is_client(order)), None)
        if first is None:
            return False
        behind = [order for order in queue[queue.index(first) + 1 :] if self._is_clean_maker(order)]
        maker = (
            self._rng.choice(behind)
            if behind
            else self._post(book, self._rng.choice(MAKERS), side, level.price)
        )
        if not maker.live or maker.order_id not in level.orders:
            return False
        quantity = self._part(book, maker.shown)
        extra = 0
        if cure == 1:
            harm = min(quantity, first.shown)
            ahead = sum(order.shown for order in queue[: queue.index(first)])
            extra = ahead + max(0, harm - book.spec.lot_size)
            quantity = maker.shown if extra else quantity
        elif cure == 2:
            quantity = maker.shown
            extra = level.shown - quantity
        return self._out_of_turn(book, kind, maker, quantity, extra)

    def _better_price(self, book: Book) -> bool:
        """A maker's order trades although a client bids more (or asks less)."""
        side = self._rng.choice(SIDES)
        levels = list(book.engine.side(side).from_best())
        seen_client = False
        for level in levels[:8]:
            if seen_client:
                makers = [order for order in level.orders.values() if self._is_clean_maker(order)]
                if makers:
                    maker = self._rng.choice(makers)
                    quantity = self._part(book, maker.shown)
                    extra = self._part(book, levels[0].shown) if quantity == maker.shown else 0
                    return self._out_of_turn(book, "price_time_better", maker, quantity, extra)
            seen_client = seen_client or any(self._is_client(order) for order in level.orders.values())
        return False

    def _out_of_turn(self, book: Book, kind: str, maker: Order, quantity: int, extra: int) -> bool:
        """Let `maker` trade `quantity` before its turn; its taker then takes `extra` in proper order."""
        taker = self._outsider(book, maker.side)
        if extra and quantity != maker.shown:
            raise RuntimeError(
                "a taker goes on in the queue only after it has taken all that the maker shows"
            )
        harmed = passed_over(self.market, book, maker.side, maker.price, quantity, taker, maker.stamp)
        if not harmed:
            return False
        self.market.ledger.planned_fill = PlannedFill(kind, maker.account, harmed)
        made = self._take(book, taker, OTHER[maker.side], maker.price, quantity + extra, favoured=maker)
        if kind == "price_time_busted":
            self._bust_later(book, made[0])
        if kind == "price_time_cure_busted":
            cures = [(size, trade_id) for order in harmed for trade_id, size in order.cures.items()]
            if cures:
                self._bust_later(book, max(cures)[1])
        return True

    def _block(self, book: Book) -> bool:
        """A block of the maker at a price that a client's resting order would have matched."""
        for side in self._sides():
            for level in book.engine.side(side).from_best():
                clients = [order for order in level.orders.values() if self._is_client(order)]
                if clients:
                    away = -1 if side == "buy" else 1
                    price = level.price + away * self._rng.randrange(3) * book.spec.tick_size
                    return price > 0 and self._report_block(book, side, price, self._outsider(book, side))
        return False

    def _report_block(self, book: Book, side: Side, price: int, counterparty: str) -> bool:
        lots = self._rng.choice((1, 1_000, 20_000))
        quantity = min(lots, 20 * book.spec.usual_lots) * book.spec.lot_size
        harmed = passed_over(self.market, book, side, price, quantity, counterparty, None)
        if not harmed:
            return False
        sides = {side: (self._rng.choice(MAKERS), True), OTHER[side]: (counterparty, False)}
        self.market.separate()
        begin = len(self.market.out)
        book.engine.report_block(self.market.time(), price, quantity, sides["buy"], sides["sell"])
        self.market.separate()
        record = self.market.out[begin][1]
        self.market.ledger.on_block("client_first_block", record, side, price, harmed)
        return True

    # Fairness

    def _self_trade(self, book: Book, kind: str) -> bool:
        """Self-trade prevention lets one pair of orders of the same account, owner or group through."""
        pairs: dict[str, Sequence[str]] = {
            "self_trade_owner": SAME_OWNER, "self_trade_group": SAME_GROUP, "self_trade_afmm": MAKERS,
        }  # fmt: skip
        accounts = pairs.get(kind)
        for side in self._sides():
            head = self._head(book, side)
            if head is None or head.tampered or head.account not in (accounts or self.market.people.clients):
                head = self._improve(book, side, accounts or self.market.people.clients)
            if head is None:
                continue
            other = (
                next((name for name in accounts if name != head.account), "") if accounts else head.account
            )
            self.market.ledger.planned_self_trade = kind
            made = self._take(
                book, other, OTHER[side], head.price, self._part(book, head.shown), permitted=head
            )
            if kind == "self_trade_busted":
                self._bust_later(book, made[0])
            return True
        return False

    def _improve(self, book: Book, side: Side, accounts: Sequence[str]) -> Order | None:
        """A new order alone at a better price than the best, where the spread has room for it."""
        best = book.engine.side(side).best()
        if best is None:
            return None
        price = best.price + (book.spec.tick_size if side == "buy" else -book.spec.tick_size)
        if book.engine.would_cross(side, price):
            return None
        order = self._post(book, self._rng.choice(accounts), side, price)
        return order if order.live else None

    # Shared steps

    def _post(self, book: Book, account: str, side: Side, price: int, display_qty: int = 0) -> Order:
        order = self.market.order(
            book, account, side, price, self.market.quantity(book), display_qty=display_qty, post_only=True
        )
        self.market.send(book, order)
        if self._is_client(order):
            book.client_orders.append(order)
        else:
            self._cancel_later(book, order)
        return order

    def _take(
        self, book: Book, account: str, side: Side, price: int, quantity: int,
        favoured: Order | None = None, permitted: Order | None = None,
    ) -> list[str]:  # fmt: skip
        """Send an IOC order; returns the ids of the trades of its turn (and of stops that they set off)."""
        order = self.market.order(book, account, side, price, quantity, time_in_force="ioc")
        begin = len(self.market.out)
        self.market.send(book, order, favoured, permitted)
        return [str(record["trade_id"]) for topic, record in self.market.out[begin:] if topic == "trades"]

    def _bust_later(self, book: Book, trade_id: str) -> None:
        self.market.later(lambda: self.market.bust(book, trade_id))

    def _cancel_later(self, book: Book, order: Order) -> None:
        self.market.later(lambda: self.market.cancel(book, order))

    def _outsider(self, book: Book, side: Side) -> str:
        """A client none of whose group rests near the best of `side`; any client if there is none such."""
        near = {
            self.market.people.group(order.account)
            for _, level in zip(range(8), book.engine.side(side).from_best(), strict=False)
            for order in level.orders.values()
        }
        clients = self.market.people.clients
        return self._rng.choice(
            [name for name in clients if self.market.people.group(name) not in near] or clients
        )

    def _sides(self) -> tuple[Side, Side]:
        first = self._rng.choice(SIDES)
        return (first, OTHER[first])

    def _head(self, book: Book, side: Side) -> Order | None:
        level = book.engine.side(side).best()
        return next(iter(level.orders.values())) if level else None

    def _part(self, book: Book, quantity: int) -> int:
        """One lot, all of it, or something between."""
        lots = book.lots(quantity)
        return self._rng.choice((1, lots, self._rng.randint(1, lots))) * book.spec.lot_size

    def _is_client(self, order: Order) -> bool:
        return self.market.people.role(order.account) == "client"

    def _is_clean_maker(self, order: Order) -> bool:
        return order.account in MAKERS and not order.tampered


def passed_over(
    market: Market, book: Book, side: Side, price: int, quantity: int, other: str, stamp: int | None
) -> list[HarmedOrder]:
    """The client orders that a fill on `side` at `price` harms just now, best price then stamp (SPEC P1).

    `stamp` is that of the order filled, for price-time; None for client-first, where stamps do not matter and
    the whole open quantity counts. `other` is the account across: its owner's orders are exempt.
    """
    own_book, rest = book.engine.side(side), quantity
    harmed: list[HarmedOrder] = []
    for level in own_book.from_best():
        better = level.price * own_book.sign > price * own_book.sign
        if not better and level.price != price:
            break
        for order in level.orders.values():
            exempt = market.people.owner(order.account) == market.people.owner(other)
            behind = stamp is not None and not better and order.stamp > stamp
            if exempt or behind or market.people.role(order.account) != "client":
                continue
            counting = order.leaves if better or stamp is None else order.shown
            if rest:
                harm = min(rest, counting)
                harmed.append(HarmedOrder(order.order_id, order.account, harm))
                rest -= harm
    return harmed
