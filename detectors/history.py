"""The last changes of a book: a corrected fill is judged with the book of its old seq."""

from __future__ import annotations

import msgspec

from detectors.book import Book, Order
from schemas.journal import EventEntry, OrderEntry

MAX_CHANGES = 2_000  # remembered an instrument: a fill further back is judged with the present book, degraded


class Change(msgspec.Struct, gc=False, array_like=True):
    """An order as it was before a record, or (no `order_id`) the place just before trade `seq`.

    `ts` is the record's, None at a turn's end. `cancelled`: by its owner. `price`: what a replace asked for.
    """

    seq: int
    ts: int | None
    order_id: str = ""
    before: Order | None = None
    cancelled: bool = False
    price: int | None = None


class History(msgspec.Struct):
    """The changes, oldest first."""

    changes: list[Change] = []

    def mark(self, seq: int) -> None:
        """A trade is about to be applied."""
        self._add(Change(seq, None))

    def change(self, book: Book, order_id: str, entry: EventEntry | None) -> None:
        """A record of an order, a fill of it, or its turn's end (None) is about to be applied."""
        order = book.find(order_id)
        before = msgspec.structs.replace(order) if order is not None else None
        if entry is None:
            self._add(Change(0, None, order_id, before))
            return
        change = Change(entry.seq, entry.ts, order_id, before)
        if isinstance(entry, OrderEntry):
            change.cancelled = entry.exec_type == "canceled" and entry.reason in (None, "user")
            change.price = entry.price if entry.exec_type == "replaced" else None
        self._add(change)

    def _add(self, change: Change) -> None:
        self.changes.append(change)
        if len(self.changes) > MAX_CHANGES + MAX_CHANGES // 4:  # now and then, not each time
            del self.changes[:-MAX_CHANGES]

    def since(self, seq: int) -> list[Change] | None:
        """Return the changes from trade `seq` on, its own included, or None if that is too far back."""
        for at in reversed(range(len(self.changes))):
            change = self.changes[at]
            if not change.order_id and change.seq == seq:
                return self.changes[at + 1 :]
        return None

    def book_before(self, book: Book, seq: int) -> Book | None:
        """Return a copy of the book as it was just before trade `seq`, or None if that is too far back."""
        changes = self.since(seq)
        if changes is None:
            return None
        was = {change.order_id: change.before for change in reversed(changes) if change.order_id}
        past = Book()
        past.dead = {order_id: order for order_id, order in book.dead.items() if order_id not in was}
        orders = [order for order_id, order in book.orders.items() if order_id not in was]
        resting = []
        for order in (*orders, *was.values()):
            if order is None:
                continue
            if order.state == "dead":
                past.dead[order.order_id] = order
                continue
            order = msgspec.structs.replace(order)
            past.orders[order.order_id] = order
            if order.resting:
                resting.append(order)
            else:
                past.aside[order.order_id] = order
        for order in resting:
            past.ladder(order.side).add(order)
        return past
