"""One side of the simulated venue's book: levels of orders in priority order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from schemas.events import Side
from streams.sources.simulator_records import Order


class Level:
    """Orders at one price in priority order, and the quantity they display."""

    __slots__ = ("orders", "price", "shown")

    def __init__(self, price: int) -> None:
        self.price = price
        self.orders: dict[str, Order] = {}
        self.shown = 0


class BookSide:
    """One side of the book. `keys` ascend towards the best price (asks are kept negated)."""

    def __init__(self, side: Side) -> None:
        self.sign = 1 if side == "buy" else -1
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    def best(self) -> Level | None:
        """The level at the best price, if there is one."""
        return self.levels[self.keys[-1]] if self.keys else None

    @property
    def best_level(self) -> Level:
        """The level at the best price. Raises IndexError where there is none."""
        return self.levels[self.keys[-1]]

    def from_best(self) -> Iterator[Level]:
        """Levels from the best price outwards."""
        return (self.levels[key] for key in reversed(self.keys))

    def level_of(self, order: Order) -> Level:
        """The level on which a resting order stands."""
        return self.levels[order.price * self.sign]

    def add(self, order: Order) -> None:
        """Put an order at the end of the queue at its price, its first tranche shown."""
        order.shown = min(order.display_qty, order.leaves) if order.display_qty else order.leaves
        self._join(order)

    def put_back(self, order: Order) -> None:
        """Put an order where its stamp has its place, as it showed itself before it was taken out."""
        level = self._join(order)
        level.orders = {one.order_id: one for one in sorted(level.orders.values(), key=lambda one: one.stamp)}

    def _join(self, order: Order) -> Level:
        key = order.price * self.sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = Level(order.price)
            self.keys.insert(bisect_left(self.keys, key), key)
        level.orders[order.order_id] = order
        level.shown += order.shown
        return level

    def remove(self, order: Order) -> None:
        """Take an order out of the queue, and its level with it if it was the last."""
        key = order.price * self.sign
        level = self.levels[key]
        del level.orders[order.order_id]
        level.shown -= order.shown
        if not level.orders:
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]

    def fill(self, order: Order, quantity: int, seq: int) -> None:
        """Fill a resting order. After a spent tranche the next goes to the back, newly stamped."""
        order.leaves -= quantity
        if not order.leaves:
            order.live = False
            self.remove(order)
            return
        level = self.levels[order.price * self.sign]
        if quantity < order.shown:
            order.shown -= quantity
            level.shown -= quantity
            return
        hidden_taken = (quantity - order.shown) % order.display_qty
        tranche = min(order.display_qty - hidden_taken, order.leaves)
        level.shown += tranche - order.shown
        order.shown = tranche
        order.stamp = seq
        level.orders[order.order_id] = level.orders.pop(order.order_id)


def clearing_price(bids: BookSide, asks: BookSide) -> int:
    """The lowest price at which most would trade, all hidden quantity counted; 0 where nothing crosses."""
    if not bids.keys or not asks.keys or bids.keys[-1] < -asks.keys[-1]:
        return 0
    low, high = asks.best_level.price, bids.best_level.price
    sums = []
    for price in sorted({abs(key) for key in (*bids.keys, *asks.keys) if low <= abs(key) <= high}):
        volume = [
            sum(
                order.leaves
                for level in side.from_best()
                for order in level.orders.values()
                if level.price * side.sign >= price * side.sign
            )
            for side in (bids, asks)
        ]
        sums.append((min(volume), -price))
    return -max(sums)[1]
