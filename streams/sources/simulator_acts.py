"""What planted acts share: orders sent for the purpose, situations staged, who is passed over by a fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.events import MatchType, Side
from streams.sources.simulator_config import Record
from streams.sources.simulator_flow import SIDES
from streams.sources.simulator_labels import HarmedOrder
from streams.sources.simulator_market import OTHER, Book, Market
from streams.sources.simulator_participants import MAKERS, WAIVER
from streams.sources.simulator_records import Flag, Order

Act = Callable[[Book], bool]
UNTAGGED: tuple[Flag, ...] = (False, "absent", None)


class Acts:
    """A family of planted acts, by kind. Each returns False, having breached nothing, where it cannot be."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.people = market.people
        self.ledger = market.ledger
        self._rng = market.rng
        self._turn = 0

    def acts(self) -> dict[str, Act]:
        """Every act of the family, by kind of `simulator_kinds`."""
        raise NotImplementedError

    # Situations

    def _stage(
        self, book: Book, client: str | None = None, maker: str | None = None, *,
        apart: int = 0, client_terms: dict[str, Any] | None = None, maker_terms: dict[str, Any] | None = None,
    ) -> tuple[Order, Order] | None:  # fmt: skip
        """A client's order at a price of its own inside the spread, and after it a maker's: (C, A).

        The maker's price is `apart` ticks better than the client's (negative: worse). Nobody else of the side
        is as good as either, so whom a fill of A passes over is C or nobody. `lots` in the terms: how many.
        None, after a client has made room, where the spread is too narrow.
        """
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        if best is None or book.engine.phase not in ("continuous", "exceptional"):
            return None
        better = book.spec.tick_size if side == "buy" else -book.spec.tick_size
        low = best.price + better
        prices = (low - better * min(apart, 0), low + better * max(apart, 0))
        if book.engine.would_cross(side, max(prices) if side == "buy" else min(prices)):
            self._make_room(book, side)
            return None
        orders = [
            self._post(book, account or self._rng.choice(others), side, price, **(terms or {}))
            for account, others, price, terms in (
                (client, self.people.clients, prices[0], client_terms),
                (maker, MAKERS, prices[1], maker_terms),
            )
        ]
        return (orders[0], orders[1]) if all(order.live for order in orders) else None

    def _make_room(self, book: Book, side: Side) -> None:
        """Somebody takes all that is best on the other side, so that the spread widens."""
        best = book.engine.opposite(side).best()
        if best is not None:
            quantity = sum(order.leaves for order in best.orders.values())
            self._take(book, self._outsider(book, OTHER[side]), side, best.price, quantity)

    # Steps

    def _post(self, book: Book, account: str, side: Side, price: int, **terms: Any) -> Order:
        lots = terms.pop("lots", 0)
        quantity = lots * book.spec.lot_size or self.market.quantity(book)
        terms = {"post_only": not terms.get("stop_px")} | terms
        order = self.market.order(book, account, side, price, quantity, **terms)
        record = self.market.send(book, order)
        self.ledger.on_activity(account, record)
        if self._is_client(order):
            book.client_orders.append(order)
        else:
            self._cancel_later(book, order)
        return order

    def _take(
        self, book: Book, account: str, side: Side, price: int, quantity: int,
        favoured: Order | None = None, permitted: Order | None = None, match_type: MatchType = "book",
    ) -> list[Record]:  # fmt: skip
        """Send an IOC order; returns the trades of its turn (and of stops that they set off)."""
        order = self.market.order(book, account, side, price, quantity, time_in_force="ioc")
        begin = len(self.market.out)
        self.ledger.on_activity(account, self.market.send(book, order, favoured, permitted, match_type))
        return [record for topic, record in self.market.out[begin:] if topic == "trades"]

    def _bust_later(self, book: Book, trade: Record) -> None:
        self.market.later(lambda: self.market.bust(book, str(trade["trade_id"])))

    def _cancel_later(self, book: Book, order: Order) -> None:
        self.market.later(lambda: self.market.cancel(book, order))

    def _outsider(self, book: Book, side: Side) -> str:
        """A client none of whose group rests near the best of `side`; any client if there is none such."""
        near = {
            self.people.group(order.account)
            for _, level in zip(range(8), book.engine.side(side).from_best(), strict=False)
            for order in level.orders.values()
        }
        clients = self.people.clients
        return self._rng.choice([name for name in clients if self.people.group(name) not in near] or clients)

    def _ghost(self) -> str:
        self._turn += 1
        return f"GHOST-{type(self).__name__}-{self._turn}"

    def _sides(self) -> tuple[Side, Side]:
        first = self._rng.choice(SIDES)
        return (first, OTHER[first])

    def _head(self, book: Book, side: Side) -> Order | None:
        """The order that trades next on a side, if it takes any quantity."""
        level = book.engine.side(side).best()
        order = next(iter(level.orders.values())) if level else None
        return order if order is not None and order.takes_any else None

    def _part(self, book: Book, quantity: int) -> int:
        """One lot, all of it, or something between."""
        lots = book.lots(quantity)
        return self._rng.choice((1, lots, self._rng.randint(1, lots))) * book.spec.lot_size

    def _is_client(self, order: Order) -> bool:
        return self.people.role(order.account) == "client"

    def _is_clean_maker(self, order: Order) -> bool:
        return order.account in MAKERS and not order.tampered


def passed_over(
    market: Market, book: Book, side: Side, price: int, quantity: int, other: str, stamp: int | None
) -> list[HarmedOrder]:
    """The client orders that a fill on `side` at `price` harms just now, best price then stamp (SPEC P1).

    `stamp` is that of the order filled, for price-time; None for client-first, where stamps do not matter and
    the whole open quantity counts. `other` is the account across: its owner's orders are exempt. So is all
    in the book while trading is not continuous.
    """
    own_book, rest = book.engine.side(side), quantity
    harmed: list[HarmedOrder] = []
    if stamp is not None and book.engine.phase != "continuous":
        return harmed
    for level in own_book.from_best():
        better = level.price * own_book.sign > price * own_book.sign
        if not better and level.price != price:
            break
        for order in level.orders.values():
            exempt = (
                market.people.owner(order.account) == market.people.owner(other)
                or order.account == WAIVER
                or not {"all_or_none", "not_held"}.isdisjoint(order.exec_inst)
                or order.min_qty > rest
            )
            behind = stamp is not None and not better and order.stamp > stamp
            if exempt or behind or market.people.role(order.account) != "client":
                continue
            counting = order.leaves if better or stamp is None else order.shown
            if rest:
                harm = min(rest, counting)
                harmed.append(HarmedOrder(order.order_id, order.account, harm))
                rest -= harm
    return harmed
