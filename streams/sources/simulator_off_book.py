"""Planted fills of makers off the book (P1: block, rfq, liquidation), and what makes them good or quiet."""

from __future__ import annotations

from schemas.events import MatchType, Side
from streams.sources.simulator_acts import Act, Acts, passed_over
from streams.sources.simulator_config import SECOND, Record
from streams.sources.simulator_market import OTHER, Book
from streams.sources.simulator_participants import MAKERS, SAME_OWNER
from streams.sources.simulator_records import Order


class OffBookActs(Acts):
    """P1 off the book, both ways. A breach is one in every instance that alerts on a block."""

    def acts(self) -> dict[str, Act]:
        """By kind."""
        cured = self._made_good
        return {
            "client_first_block": lambda book: self._breach(book, "client_first_block", "block"),
            "client_first_rfq": lambda book: self._breach(book, "client_first_rfq", "rfq"),
            "client_first_halt": lambda book: (
                book.engine.phase == "halt" and self._breach(book, "client_first_halt", "block")
            ),
            "client_first_cured": cured("client_first_cured"),
            "client_first_late_cure": cured("client_first_late_cure", late=1),
            "client_first_worse_cure": cured("client_first_worse_cure", worse=1),
            "client_first_lot_short": cured("client_first_lot_short", short=1),
            "block_tick_better": lambda book: self._near(book, "block_tick_better", "block", better=1),
            "rfq_tick_better": lambda book: self._near(book, "rfq_tick_better", "rfq", better=1),
            "block_same_owner": self._same_owner,
            "liquidation_reported": lambda book: self._near(
                book, "liquidation_reported", "liquidation", better=-1
            ),
        }

    def _breach(self, book: Book, kind: str, match_type: MatchType) -> bool:
        """A fill at a price that a client's resting order would have matched, or up to two ticks worse."""
        for side in self._sides():
            for level in book.engine.side(side).from_best():
                if any(self._is_client(order) for order in level.orders.values()):
                    away = -1 if side == "buy" else 1
                    price = level.price + away * self._rng.randrange(3) * book.spec.tick_size
                    lots = min(self._rng.choice((1, 1_000, 20_000)), 20 * book.spec.usual_lots)
                    other = self._outsider(book, side)
                    return price > 0 and self._report(
                        book, kind, match_type, side, price, lots * book.spec.lot_size, other
                    )
        return False

    def _report(
        self, book: Book, kind: str, match_type: MatchType, side: Side, price: int, quantity: int, other: str
    ) -> bool:
        harmed = passed_over(self.market, book, side, price, quantity, other, None)
        if not harmed or book.engine.phase == "auction":
            return False
        record = self.market.report(book, match_type, side, price, quantity, self._rng.choice(MAKERS), other)
        self.ledger.on_off_book(kind, record, side, price, harmed)
        return True

    def _alone(self, book: Book, account: str | None = None) -> Order | None:
        """A client's order, at a better price than any other's of its side."""
        pair = self._stage(book, account, client_terms={"lots": 5}, apart=-1)
        if pair is None:
            return None
        self.market.cancel(book, pair[1])
        return pair[0]

    def _made_good(self, kind: str, *, late: int = 0, worse: int = 0, short: int = 0) -> Act:
        """Passed over by a block, then filled at the window's end: `late` ns, `worse` ticks, `short` lots."""

        def act(book: Book) -> bool:
            market, lot = self.market, book.spec.lot_size
            if not market.is_free_until(market.now + 3 * SECOND) or not market.day_is_far_from_over():
                return False
            client = self._alone(book)
            if client is None:
                return False
            side, quantity = client.side, 3 * lot
            price = client.price - worse * (book.spec.tick_size if side == "buy" else -book.spec.tick_size)
            if not self._report(book, kind, "block", side, price, quantity, self._outsider(book, side)):
                return False
            taker, begun = self._outsider(book, side), market.now
            made: list[Record] = []
            market.wait_until(begun + SECOND + late, lambda: made.extend(self._take(
                book, taker, OTHER[side], client.price, quantity - short * lot, favoured=client
            )))  # fmt: skip
            return bool(made)

        return act

    def _near(self, book: Book, kind: str, match_type: MatchType, better: int) -> bool:
        """A fill so many ticks better than the best order of its side."""
        for side in self._sides():
            best = book.engine.side(side).best()
            if best is not None and book.engine.phase != "auction":
                tick = book.spec.tick_size if side == "buy" else -book.spec.tick_size
                record = self.market.report(
                    book, match_type, side, best.price + better * tick, self.market.quantity(book),
                    self._rng.choice(MAKERS), self._outsider(book, side),
                )  # fmt: skip
                self.ledger.on_near_fill(kind, record, side)
                return True
        return False

    def _same_owner(self, book: Book) -> bool:
        """The only client whose order is as good has the owner that is across."""
        client = self._alone(book, SAME_OWNER[0])
        if client is None:
            return False
        record = self.market.report(
            book,
            "block",
            client.side,
            client.price,
            book.spec.lot_size,
            self._rng.choice(MAKERS),
            SAME_OWNER[1],
        )
        self.ledger.on_near_fill("block_same_owner", record, client.side)
        return True
