"""Planted trades with one owner or group on both sides (F2), and of those who only seem to be one."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.events import MatchType, Side
from streams.sources.simulator_acts import Act, Acts
from streams.sources.simulator_config import Record
from streams.sources.simulator_market import OTHER, Book
from streams.sources.simulator_participants import (
    HALVES,
    MAKERS,
    MOVING,
    SAME_GROUP,
    SAME_OWNER,
    TREASURY,
    WATCHED,
)
from streams.sources.simulator_records import Order


class SelfTradeActs(Acts):
    """F2, both ways."""

    def acts(self) -> dict[str, Act]:
        """By kind."""
        pairs: dict[str, Sequence[str]] = {
            "self_trade_account": (), "self_trade_lot": (), "self_trade_liquidation": (),
            "self_trade_busted": (), "self_trade_corrected": (), "self_trade_owner": SAME_OWNER,
            "self_trade_group": SAME_GROUP, "self_trade_afmm": MAKERS,
            "self_trade_affiliate": (TREASURY, MAKERS[0]),
        }  # fmt: skip
        crossed = {kind: self._crossing(kind, accounts) for kind, accounts in pairs.items()}
        return crossed | {
            "self_trade_unknown": lambda book: self._trade(book, "self_trade_unknown", [self._ghost()] * 2),
            "self_trade_block": lambda book: self._reported(book, "self_trade_block", "block", SAME_OWNER),
            "self_trade_rfq": lambda book: self._reported(book, "self_trade_rfq", "rfq", MAKERS),
            "self_trade_auction": self._at_uncross,
            "self_trade_since_now": lambda book: self._reported(
                book, "self_trade_since_now", "block", MOVING
            ),
            "self_trade_by_correction": self._by_correction,
            "trade_of_unknowns": lambda book: self._trade(
                book, "trade_of_unknowns", [self._ghost(), self._ghost()]
            ),
            "trade_with_venture": lambda book: self._trade(book, "trade_with_venture", [MAKERS[0], WATCHED]),
            "trade_of_halves": lambda book: self._trade(book, "trade_of_halves", HALVES),
            "trade_prevented": self._prevented,
            "trade_until_now": lambda book: self._reported(book, "trade_until_now", "block", MOVING),
        }

    def _crossing(self, kind: str, accounts: Sequence[str]) -> Act:
        """Self-trade prevention lets one pair of orders through; of one account where none are named."""
        match_type: MatchType = "liquidation" if kind == "self_trade_liquidation" else "book"

        def act(book: Book) -> bool:
            if not self._may_trade(book):
                return False
            for side in self._sides():
                head = self._head(book, side)
                if head is None or head.tampered or head.account not in (accounts or self.people.clients):
                    head = self._improve(book, side, accounts or self.people.clients)
                if head is None:
                    continue
                other = next((name for name in accounts if name != head.account), head.account)
                self.ledger.planned_self_trade = kind
                quantity = book.spec.lot_size if kind == "self_trade_lot" else self._part(book, head.shown)
                made = self._take(
                    book, other, OTHER[side], head.price, quantity, permitted=head, match_type=match_type
                )
                if kind == "self_trade_busted":
                    self._bust_later(book, made[0])
                if kind == "self_trade_corrected":
                    self._pass_on(book, made[0], head.side)
                return True
            return False

        return act

    def _pass_on(self, book: Book, made: Record, side: Side) -> None:
        """Correct the account on one side of a trade: somebody else's, whose flag is as good as none."""
        account = self._rng.choice([
            name for name in self.people.clients
            if self.people.group(name) != self.people.group(str(made[f"{side}_account"]))
        ])  # fmt: skip
        self.market.correct(book, str(made["trade_id"]), {f"{side}_account": account})

    def _trade(self, book: Book, kind: str, accounts: Sequence[str]) -> bool:
        """Two accounts trade at a price that only the first one's order offers."""
        if not self._may_trade(book):
            return False
        side = self._sides()[0]
        order = self._improve(book, side, accounts[:1])
        if order is None:
            return False
        one_owner = accounts[0] == accounts[1]
        if one_owner:
            self.ledger.planned_self_trade = kind
        made = self._take(
            book, accounts[1], OTHER[side], order.price, self._part(book, order.shown), permitted=order
        )
        if not one_owner:
            self._near(kind, made[0])
        return True

    def _near(self, kind: str, record: Record) -> None:
        self.ledger.on_near(kind, "self_trade", "self_trade", record, {"trade_id": str(record["trade_id"])})

    def _reported(self, book: Book, kind: str, match_type: MatchType, accounts: Sequence[str]) -> bool:
        """A trade off the book between two accounts, a tick better than any client of the buyer's side."""
        best = book.engine.bids.best()
        ask = book.engine.asks.best()
        if best is None or ask is None or best.price + book.spec.tick_size > ask.price:
            return False
        if MAKERS[0] in accounts and best.price + book.spec.tick_size >= ask.price:
            return False
        price = best.price + book.spec.tick_size
        record = self.market.report(
            book, match_type, "buy", price, self._part(book, 9 * book.spec.lot_size), accounts[0], accounts[1]
        )
        if kind == "trade_until_now":
            self._near(kind, record)
        else:
            self.ledger.on_self_trade(
                kind, record, "afmm_own_group" if MAKERS[0] in accounts else "same_owner"
            )
        return True

    def _by_correction(self, book: Book) -> bool:
        """Two clients trade; then the buyer's account is corrected to the seller's."""
        if not self._may_trade(book):
            return False
        first, second = self._rng.sample(self.people.clients, 2)
        side = self._sides()[0]
        if self.people.group(first) == self.people.group(second):
            return False
        order = self._improve(book, side, [first])
        if order is None:
            return False
        made = self._take(book, second, OTHER[side], order.price, self._part(book, order.shown))[0]
        change: Record = {"buy_account": made["sell_account"]}
        correction = self.market.correct(book, str(made["trade_id"]), change)
        self.ledger.on_self_trade(
            "self_trade_by_correction", {**made, "trade_id": correction["trade_id"]}, "same_account"
        )
        return True

    def _at_uncross(self, book: Book) -> bool:
        """Two orders of one client, better than all others: they meet first when the auction uncrosses."""
        bid, ask = book.engine.bids.best(), book.engine.asks.best()
        if book.engine.phase != "auction" or bid is None or ask is None:
            return False
        account, lots = self._rng.choice(self.people.clients), self._rng.randrange(1, 9)
        high, low = max(bid.price, ask.price), min(bid.price, ask.price)
        if low <= 2 * book.spec.tick_size:
            return False
        prices: tuple[tuple[Side, int], ...] = (
            ("buy", high + book.spec.tick_size), ("sell", low - book.spec.tick_size)
        )  # fmt: skip
        for side, price in prices:
            order = self._post(book, account, side, price, lots=lots, post_only=False)
            book.permitted.add(order.order_id)
        return True

    def _prevented(self, book: Book) -> bool:
        """The order that trades next is of the aggressor's account: cancelled, and the next one trades."""
        side = self._sides()[0]
        head, begin = self._head(book, side), len(self.market.out)
        if head is None or not self._is_client(head) or not self._may_trade(book):
            return False
        self._take(book, head.account, OTHER[side], head.price, book.spec.lot_size)
        for topic, record in self.market.out[begin:]:
            if topic == "trades":
                self._near("trade_prevented", record)
                break
        else:
            prevented = self.market.out[begin + 1][1]
            anchor = {"trade_id": f"none of order {prevented['order_id']}"}
            self.ledger.on_near("trade_prevented", "self_trade", "self_trade", prevented, anchor)
        return True

    @staticmethod
    def _may_trade(book: Book) -> bool:
        return book.engine.phase in ("continuous", "exceptional")

    def _improve(self, book: Book, side: Side, accounts: Sequence[str]) -> Order | None:
        """A new order alone at a better price than the best; where there is no room for it, room is made."""
        best = book.engine.side(side).best()
        if best is None:
            return None
        price = best.price + (book.spec.tick_size if side == "buy" else -book.spec.tick_size)
        if book.engine.would_cross(side, price):
            self._make_room(book, side)
            return None
        order = self._post(book, self._rng.choice(accounts), side, price)
        return order if order.live else None
