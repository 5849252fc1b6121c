"""One instrument's price-time book, rebuilt from the journal; rules read it and never change it.

Turns, stamps and icebergs are SPEC.md sections 2.5 and 4 (P1). The order that opened the current turn is
held `aside` until the turn ends, so the book never crosses in mid-turn. What it cannot know: orders that
rested before a record that neither starts at seq 1 nor with `restated` orders (`start_known`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from detectors.bounded import oldest_beyond
from schemas.events import ExecInst, OrderCapacity, OrdType, Side, TimeInForce

OrderState = Literal["live", "untriggered", "suspended", "dead"]
MAX_DEAD = 20_000  # dead orders remembered an instrument: later records of them are no orphans


class Order(msgspec.Struct, gc=False, array_like=True):
    """An order as the book knows it. Quantities and prices scaled by 10**8; `leaves` is what can still fill.

    `stamp`: the seq that gives its place at its price. `active_seq`: seq of its last acceptance, reprice,
    trigger or resume. `turn_seq`: seq of the record that began its last turn, 0 if it never had one.
    `shown`: the displayed tranche. `peak`: greatest leaves + filled. `affiliated`: role at acceptance.
    """

    order_id: str
    account: str | None
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    price: int | None
    leaves: int
    shown: int
    stamp: int
    active_seq: int
    accepted_seq: int
    accepted_ts: int
    display_qty: int | None = None
    min_qty: int | None = None
    exec_inst: tuple[ExecInst, ...] = ()
    order_capacity: OrderCapacity | None = None
    mm_flag: bool = False
    affiliated: bool = False
    state: OrderState = "live"
    turn_seq: int = 0
    filled: int = 0
    peak: int = 0
    ts_gateway: int | None = None
    resting: bool = False  # it stands in a ladder

    @property
    def immediate(self) -> bool:
        """True if nothing of it may rest: market, IOC and FOK orders die with their turn."""
        return self.state != "untriggered" and (
            self.ord_type == "market" or self.time_in_force in ("ioc", "fok")
        )


class Level:
    """The orders at one price (priority: by `stamp`), with the sums that L2 and the venue's quote need."""

    __slots__ = ("orders", "shown", "shown_others")

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.shown = 0
        self.shown_others = 0  # without affiliated orders


Watchers = dict[str, Callable[[Order, int], None]]  # told of each resting order and change of what it shows


class Ladder:
    """One side of the book. Keys are prices, negated for bids, so that the best is always the first."""

    __slots__ = ("changed", "keys", "levels", "side", "sign", "watchers")

    def __init__(self, side: Side, watchers: Watchers) -> None:
        self.watchers = watchers
        self.side = side
        self.sign = -1 if side == "buy" else 1
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}
        self.changed: int | None = None  # best key touched since somebody looked and set it to None

    def _touch(self, key: int) -> None:
        if self.changed is None or key < self.changed:
            self.changed = key

    def add(self, order: Order) -> None:
        """Put a resting order at its price."""
        assert order.price is not None
        key = order.price * self.sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = Level()
            insort(self.keys, key)
        level.orders[order.order_id] = order
        order.resting = True
        level.shown += order.shown
        if not order.affiliated:
            level.shown_others += order.shown
        self._touch(key)
        if self.watchers:
            self._tell(order, order.shown)

    def remove(self, order: Order) -> None:
        """Take a resting order out."""
        assert order.price is not None
        key = order.price * self.sign
        level = self.levels[key]
        del level.orders[order.order_id]
        order.resting = False
        if level.orders:
            level.shown -= order.shown
            if not order.affiliated:
                level.shown_others -= order.shown
        else:
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]
        self._touch(key)
        if self.watchers:
            self._tell(order, -order.shown)

    def _tell(self, order: Order, change: int) -> None:
        for watcher in self.watchers.values():
            watcher(order, change)

    def show(self, order: Order, shown: int) -> None:
        """Set the displayed quantity of a resting order that keeps its place."""
        assert order.price is not None
        key = order.price * self.sign
        level = self.levels[key]
        level.shown += shown - order.shown
        if not order.affiliated:
            level.shown_others += shown - order.shown
        if self.watchers:
            self._tell(order, shown - order.shown)
        order.shown = shown
        self._touch(key)

    def best_displayed(self) -> int | None:
        """Return the best price at which anything is displayed."""
        for key in self.keys:
            if self.levels[key].shown:
                return key * self.sign
        return None

    def best_displayed_without_affiliates(self) -> int | None:
        """Return the best displayed price with affiliated orders struck out."""
        for key in self.keys:
            if self.levels[key].shown_others:
                return key * self.sign
        return None

    def best_shown(self) -> tuple[int, int] | None:
        """Return the best displayed price and the quantity displayed there: what a venue quotes."""
        price = self.best_displayed()
        return None if price is None else (price, self.levels[price * self.sign].shown)

    def orders(self) -> Iterator[Order]:
        """Return all resting orders, best price first."""
        for key in self.keys:
            yield from self.levels[key].orders.values()


class Turn(msgspec.Struct):
    """The open turn: its order, the record that began it, and its trades' match, where they name one."""

    order_id: str
    begin_seq: int
    ts: int
    match_id: str | None = None


class Book:
    """Orders by id, the two ladders, and the open turn of one instrument."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}  # everything not dead, resting or not
        self.aside: dict[str, Order] = {}  # those of them that do not rest: takers, stops, suspended, market
        self.dead: dict[str, Order] = {}  # bounded memory
        self.watchers: Watchers = {}  # by name: who follows somebody's resting orders
        self.bids = Ladder("buy", self.watchers)
        self.asks = Ladder("sell", self.watchers)
        self.turn: Turn | None = None
        self.start_known = False

    def ladder(self, side: Side) -> Ladder:
        """Return the side's ladder."""
        return self.bids if side == "buy" else self.asks

    def find(self, order_id: str | None) -> Order | None:
        """Return the order, dead or alive, or None if it was never seen (or long forgotten)."""
        if order_id is None:
            return None
        return self.orders.get(order_id) or self.dead.get(order_id)

    def enter(self, order: Order) -> None:
        """Know a new order; it rests once it is placed."""
        self.orders[order.order_id] = order
        self.aside[order.order_id] = order

    def place(self, order: Order) -> None:
        """Let a live limit order rest."""
        if order.state == "live" and order.price is not None and order.ord_type != "market":
            self.ladder(order.side).add(order)
            self.aside.pop(order.order_id, None)

    def lift(self, order: Order) -> None:
        """Take an order off its ladder, if it rests."""
        if order.resting:
            self.ladder(order.side).remove(order)
            self.aside[order.order_id] = order

    def kill(self, order: Order) -> None:
        """The order's life ends; it is remembered for a while."""
        self.lift(order)
        order.state = "dead"
        self.orders.pop(order.order_id, None)
        self.aside.pop(order.order_id, None)
        self.dead[order.order_id] = order
        for order_id in oldest_beyond(self.dead, MAX_DEAD):
            del self.dead[order_id]

    def fill(self, order: Order, qty: int, seq: int) -> None:
        """Reduce an order by a trade of `qty` at `seq`; icebergs show their next tranche with a new stamp."""
        leaves = max(0, order.leaves - qty)
        order.filled += min(qty, order.leaves)
        order.leaves = leaves
        if leaves == 0:
            self.kill(order)
        elif not order.resting:
            order.shown = min(order.shown, leaves)
        elif order.display_qty is None:
            self.ladder(order.side).show(order, leaves)
        elif qty < order.shown:
            self.ladder(order.side).show(order, order.shown - qty)
        elif order.display_qty:
            tranche = order.display_qty - (qty - order.shown) % order.display_qty
            self.lift(order)
            order.shown = min(tranche, leaves)
            order.stamp = seq
            self.place(order)

    def end_turn(self) -> None:
        """The turn's order rests, or dies if nothing of it may rest."""
        turn, self.turn = self.turn, None
        if turn is None:
            return
        order = self.orders.get(turn.order_id)
        if order is not None:
            self.rest_or_die(order)

    def rest_or_die(self, order: Order) -> None:
        """What an order does when its turn has ended."""
        if order.immediate:
            self.kill(order)
        elif not order.resting:
            self.place(order)
