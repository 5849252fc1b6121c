"""Planted acts on the market-making flag (I1): wrong flags, and right ones that look like it."""

from __future__ import annotations

from schemas.events import MatchType, TimeInForce
from streams.sources.simulator_acts import UNTAGGED, Act, Acts
from streams.sources.simulator_config import Record
from streams.sources.simulator_flow import SIDES
from streams.sources.simulator_labels import trading_day
from streams.sources.simulator_market import OTHER, Book
from streams.sources.simulator_participants import (
    INDEPENDENT_MAKER,
    JOINING,
    LEAVING,
    MAKERS,
    TREASURY,
    TREASURY_DESK,
    WATCHED,
)
from streams.sources.simulator_records import Flag


class FlagActs(Acts):
    """I1, both ways."""

    def acts(self) -> dict[str, Act]:
        """By kind."""
        return {
            "untagged_order": self._untagged_order,
            "untagged_fill": self._untagged_fill,
            "untagged_block": lambda book: self._reported(book, "untagged_block", "block", MAKERS[0], False),
            "untagged_quote": lambda book: self._quote(book, "untagged_quote", MAKERS[1], None),
            "untagged_since_now": lambda book: self._dated(book, "untagged_since_now", JOINING, False),
            "false_tag": self._false_tag,
            "false_tag_rfq": lambda book: self._reported(book, "false_tag_rfq", "rfq", self._client(), True),
            "false_tag_quote": lambda book: self._quote(book, "false_tag_quote", self._client(), True),
            "false_tag_since_now": lambda book: self._dated(book, "false_tag_since_now", LEAVING, True),
            "mutated_flag": self._mutated_flag,
            "unregistered_affiliate": self._unregistered_affiliate,
            "unregistered_fill": self._unregistered_fill,
            "unknown_account": self._unknown_account,
            "flag_forms": self._forms,
            "flag_of_independent": lambda book: self._right(book, "flag_of_independent", INDEPENDENT_MAKER),
            "flag_rejected": self._rejected,
            "flag_quote": lambda book: self._quote(book, "flag_quote", MAKERS[0], True),
            "flag_venture": lambda book: self._right(book, "flag_venture", WATCHED),
            "flag_until_now": lambda book: self._dated(book, "flag_until_now", LEAVING, True),
            "untagged_until_now": lambda book: self._dated(book, "untagged_until_now", JOINING, False),
        }

    def _client(self) -> str:
        return self._rng.choice(self.people.clients)

    @staticmethod
    def _trading(book: Book) -> bool:
        return book.engine.phase in ("continuous", "exceptional")

    def _untagged_order(self, book: Book) -> bool:
        """A maker's order without its flag: resting, or (one in four) rejected at the door."""
        side = self._rng.choice(SIDES)
        other = book.engine.opposite(side).best()
        if other is None or book.engine.phase == "auction":
            return False
        away = -1 if side == "buy" else 1
        ticks = 0 if self._turn % 4 == 0 else self._rng.randrange(1, 5)
        order = self.market.order(
            book, self._rng.choice(MAKERS), side, other.price + away * ticks * book.spec.tick_size,
            self.market.quantity(book), post_only=True, mm_flag=self._rng.choice(UNTAGGED), tampered=True,
        )  # fmt: skip
        record = self.market.send(book, order)
        self.ledger.on_flagged_order("untagged", "untagged_order", record)
        self._cancel_later(book, order)
        return True

    def _untagged_fill(self, book: Book) -> bool:
        """A flagged maker order at the head of its queue is filled without the flag, which then returns."""
        for side in self._sides():
            order = self._head(book, side)
            if order is not None and self._is_clean_maker(order) and self._trading(book):
                order.tampered, order.mm_flag = True, self._rng.choice(UNTAGGED)
                self._take(
                    book, self._outsider(book, side), OTHER[side], order.price, self._part(book, order.shown)
                )
                order.mm_flag = order.first_flag
                return True
        return False

    def _false_tag(self, book: Book) -> bool:
        """A client's order with a market maker's flag, resting or IOC."""
        side, account = self._rng.choice(SIDES), self._rng.choice(self.people.clients)
        best = book.engine.side(side).best()
        if best is None or not self._trading(book):
            return False
        time_in_force: TimeInForce = "ioc" if self._turn % 3 == 0 else "gtc"
        order = self.market.order(
            book, account, side, 0 if time_in_force == "ioc" else best.price, self.market.quantity(book),
            ord_type="market" if time_in_force == "ioc" else "limit", time_in_force=time_in_force,
            mm_flag=True, tampered=True,
        )  # fmt: skip
        record = self.market.send(book, order)
        self.ledger.on_flagged_order("false_tag", "false_tag_order", record)
        self._cancel_later(book, order)
        return True

    def _mutated_flag(self, book: Book) -> bool:
        """The flag of a live order differs in a cancel (maker or client) or in a replace."""
        by_client = self._turn % 3 == 0
        pool = book.client_orders if by_client else [book.quotes[key] for key in sorted(book.quotes)]
        live = [
            order for order in pool
            if order.live and not order.tampered and not order.suspended
            and (by_client or order.account in MAKERS)
        ]  # fmt: skip
        if not live or not self._trading(book):
            return False
        order = self._rng.choice(live)
        order.tampered, order.mm_flag = True, True if by_client else self._rng.choice(UNTAGGED)
        begin = len(self.market.out)
        if self._turn % 3 == 1 and order.leaves > book.spec.lot_size and not order.stop_px:
            self.market.replace(book, order, order.price, order.leaves - book.spec.lot_size)
            order.mm_flag = order.first_flag
        else:
            self.market.cancel(book, order)
        self.ledger.on_flagged_order("mutated", "mutated_flag", self.market.out[begin][1])
        return True

    def _unregistered_affiliate(self, book: Book) -> bool:
        """The operator's treasury, which has no registration, sends an order."""
        return self._intruder(book, TREASURY)

    def _unknown_account(self, book: Book) -> bool:
        """An account that reference data does not know sends an order."""
        return self._intruder(book, self._ghost())

    def _intruder(self, book: Book, account: str) -> bool:
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        # Its later fills must fall on the same trading day, or they would be a finding of their own.
        if best is None or not self.market.day_is_far_from_over() or not self._trading(book):
            return False
        if self._turn % 2:
            order = self.market.order(book, account, side, best.price, self.market.quantity(book))
        else:
            order = self.market.order(
                book, account, side, 0, self.market.quantity(book), ord_type="market", time_in_force="ioc"
            )
        self.ledger.on_activity(account, self.market.send(book, order))
        self._cancel_later(book, order)
        return True

    def _unregistered_fill(self, book: Book) -> bool:
        """A block of the treasury, away from what any client would match."""
        best = book.engine.side("buy").best()
        if best is None or not self.market.day_is_far_from_over():
            return False
        price = best.price + book.spec.tick_size
        record = self.market.report(
            book, "block", "buy", price, book.spec.lot_size, TREASURY_DESK, self._client()
        )
        self.ledger.on_activity(TREASURY_DESK, record, "unregistered_fill")
        return True

    def _reported(self, book: Book, kind: str, match_type: MatchType, account: str, flag: bool) -> bool:
        """A fill off the book with a wrong flag, a tick better than any client's order on either side."""
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        if best is None:
            return False
        price = best.price + (book.spec.tick_size if side == "buy" else -book.spec.tick_size)
        other = self._rng.choice([name for name in self.people.clients if name != account])
        if self.people.group(other) == self.people.group(account):
            return False
        record = self.market.report(
            book, match_type, side, price, self.market.quantity(book), account, other, {account: flag}
        )
        code = "false_tag" if flag else "untagged"
        self.ledger.on_flagged_fill(code, kind, record, side)
        return True

    def _quote(self, book: Book, kind: str, account: str, flag: Flag) -> bool:
        """A two-sided quote of an account, which never enters the book."""
        bid, ask = book.engine.bids.best(), book.engine.asks.best()
        if bid is None or ask is None or bid.price >= ask.price:
            return False
        begin, lot = len(self.market.out), book.spec.lot_size
        book.engine.report_quote(self.market.time(), account, (bid.price, lot), (ask.price, lot), flag)
        record = self.market.out[begin][1]
        right = flag is True and account in MAKERS
        code = "false_tag" if flag is True and not right else "untagged"
        anchor = {
            "code": code,
            "target": "quote",
            "account": account,
            "day": trading_day(int(str(record["ts"]))),
        }
        self.ledger.on_flag(kind, record, anchor, near=right)
        return True

    def _dated(self, book: Book, kind: str, account: str, flag: bool) -> bool:
        """An order that trades with nobody, at the moment of a change of reference data or just before it."""
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        if best is None:
            return False
        order = self.market.order(
            book, account, side, best.price, self.market.quantity(book), time_in_force="ioc",
            mm_flag=flag, tampered=True,
        )  # fmt: skip
        record = self.market.send(book, order)
        code = "false_tag" if flag else "untagged"
        anchor = {"code": code, "target": "order", "order_id": order.order_id}
        self.ledger.on_flag(kind, record, anchor, near=kind.endswith("until_now"))
        return True

    def _right(self, book: Book, kind: str, account: str) -> bool:
        """An order with the flag it should have, where one might expect another."""
        side = self._rng.choice(SIDES)
        best = book.engine.opposite(side).best()
        if best is None or not self._trading(book):
            return False
        order = self.market.order(
            book, account, side, best.price, self.market.quantity(book), time_in_force="ioc"
        )
        if self.people.group(account) in {self.people.group(one.account) for one in best.orders.values()}:
            return False
        code = "false_tag" if order.mm_flag is True else "untagged"
        anchor = {"code": code, "target": "order", "order_id": order.order_id}
        self.ledger.on_flag(kind, self.market.send(book, order), anchor, near=True)
        return True

    def _rejected(self, book: Book) -> bool:
        """A maker's order with its flag, rejected since it would trade."""
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        if best is None or not self._trading(book):
            return False
        order = self.market.order(
            book,
            self._rng.choice(MAKERS),
            OTHER[side],
            best.price,
            self.market.quantity(book),
            post_only=True,
        )
        anchor = {"code": "untagged", "target": "order", "order_id": order.order_id}
        self.ledger.on_flag("flag_rejected", self.market.send(book, order), anchor, near=True)
        return True

    def _forms(self, book: Book) -> bool:
        """A client's order says false, nothing and null in turn, which is one value."""
        side = self._rng.choice(SIDES)
        best = book.engine.side(side).best()
        if best is None or not self._trading(book):
            return False
        forms = list(UNTAGGED)
        self._rng.shuffle(forms)
        order = self.market.order(
            book, self._client(), side, best.price, 3 * book.spec.lot_size, mm_flag=forms[0], tampered=True,
            post_only=True,
        )  # fmt: skip
        record: Record = self.market.send(book, order)
        for form in forms[1:]:
            order.mm_flag = form
            self.market.replace(book, order, order.price, order.leaves - book.spec.lot_size)
        self.ledger.on_flag("flag_forms", record, {"code": "mutated", "order_id": order.order_id}, near=True)
        self._cancel_later(book, order)
        return True
