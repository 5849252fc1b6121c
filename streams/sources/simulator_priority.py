"""Planted fills in the book out of turn (P1, price_time), and those that one condition makes quiet."""

from __future__ import annotations

from typing import Any

from schemas.events import MatchType
from streams.sources.simulator_acts import Act, Acts, passed_over
from streams.sources.simulator_config import Record
from streams.sources.simulator_flow import SIDES
from streams.sources.simulator_labels import HarmedOrder
from streams.sources.simulator_ledger import PlannedFill
from streams.sources.simulator_market import OTHER, Book
from streams.sources.simulator_participants import (
    INDEPENDENT_MAKER,
    MAKERS,
    SAME_GROUP,
    SAME_OWNER,
    TREASURY,
    WAIVER,
    WATCHED,
)
from streams.sources.simulator_records import TEXT, Order

Terms = dict[str, Any]


class PriorityActs(Acts):
    """P1 in the book, both ways."""

    def acts(self) -> dict[str, Act]:
        """By kind."""
        breach, near = self._breach, self._near
        return {
            "price_time_equal": lambda book: self._equal_price(book, "price_time_equal", cure=False),
            "price_time_better": self._better_price,
            "price_time_one_lot": breach("price_time_one_lot", lots=1),
            "price_time_affiliate": breach("price_time_affiliate", maker=TREASURY),
            "price_time_kept_place": breach("price_time_kept_place", client_terms={"lots": 3}, change=-1),
            "price_time_resumed": breach("price_time_resumed", pause="over"),
            "price_time_min_qty": breach(
                "price_time_min_qty", lots=3, client_terms={"lots": 5, "min_qty": 3}
            ),
            "price_time_hidden": breach(
                "price_time_hidden", apart=-1, lots=4, client_terms={"lots": 6, "display_qty": 1}
            ),
            "price_time_same_group": breach(
                "price_time_same_group", client=SAME_GROUP[0], taker=SAME_GROUP[1]
            ),
            "price_time_part_cured": lambda book: self._equal_price(book, "price_time_part_cured", cure=True),
            "price_time_lot_short": self._made_good("price_time_lot_short", short=1),
            "price_time_worse_cure": self._made_good("price_time_worse_cure", apart=-1),
            "price_time_busted": lambda book: self._equal_price(book, "price_time_busted", cure=False),
            "price_time_cure_busted": self._made_good("price_time_cure_busted"),
            "price_time_corrected": self._corrected_price,
            "priority_tick_better": near("priority_tick_better", apart=1),
            "priority_behind": self._behind,
            "priority_lost_place": near("priority_lost_place", change=1),
            "priority_hidden": self._hidden,
            "priority_cured": self._made_good("priority_cured"),
            "priority_same_owner": near("priority_same_owner", client=SAME_OWNER[0], taker=SAME_OWNER[1]),
            "priority_all_or_none": near(
                "priority_all_or_none", client_terms={"exec_inst": ("all_or_none",)}
            ),
            "priority_not_held": near("priority_not_held", client_terms={"exec_inst": ("not_held",)}),
            "priority_min_qty": near("priority_min_qty", lots=3, client_terms={"lots": 5, "min_qty": 4}),
            "priority_suspended": near("priority_suspended", pause="on"),
            "priority_untriggered": near("priority_untriggered", client_terms={"stop_away": 40}),
            "priority_waiver": near("priority_waiver", client=WAIVER),
            "priority_agency": near("priority_agency", maker_terms={"capacity": "agency"}),
            "priority_riskless": near("priority_riskless", maker_terms={"capacity": "riskless_principal"}),
            "priority_liquidation": near("priority_liquidation", match_type="liquidation"),
            "priority_exceptional": near("priority_exceptional", phase="exceptional"),
            "priority_rival": near("priority_rival", client=INDEPENDENT_MAKER),
            "priority_unknown": near("priority_unknown", client="a ghost"),
            "priority_unwatched": near("priority_unwatched", maker=INDEPENDENT_MAKER),
            "priority_venture": near("priority_venture", maker=WATCHED),
            "priority_corrected": self._corrected_quantity,
        }

    # A client's order alone at its price, a maker's filled before it

    def _breach(self, kind: str, *, taker: str = "", lots: int = 0, **staged: Any) -> Act:
        def act(book: Book) -> bool:
            pair = self._prepared(book, lots, **staged)
            if pair is None:
                return False
            quantity = lots * book.spec.lot_size or self._part(book, pair[1].shown)
            return self._out_of_turn(book, kind, pair[1], quantity, 0, taker)

        return act

    def _near(
        self, kind: str, *, taker: str = "", lots: int = 0, match_type: MatchType = "book", **staged: Any
    ) -> Act:
        def act(book: Book) -> bool:
            pair = self._prepared(book, lots, **staged)
            for _ in range(4 if "phase" in staged else 0):  # phases are short: room is made at once
                pair = pair or self._prepared(book, lots, **staged)
            if pair is None:
                return False
            client, maker = pair
            quantity = lots * book.spec.lot_size or self._part(book, maker.shown)
            made = self._take(
                book, taker or self._outsider(book, maker.side), OTHER[maker.side], maker.price, quantity,
                favoured=maker, match_type=match_type,
            )  # fmt: skip
            self.ledger.on_near_fill(kind, made[0], maker.side)
            if client.suspended:
                book.engine.resume(client, self.market.time())
            return True

        return act

    def _prepared(
        self,
        book: Book,
        lots: int,
        *,
        client: str | None = None,
        maker: str | None = None,
        change: int = 0,
        pause: str = "",
        phase: str = "continuous",
        client_terms: Terms | None = None,
        **staged: Any,
    ) -> tuple[Order, Order] | None:
        """Stage C and A; then C is `change`d by so many lots, or paused by a suspension, on or over."""
        if book.engine.phase != phase or not self.market.day_is_far_from_over():
            return None
        terms, lot = dict(client_terms or {}), book.spec.lot_size
        terms |= {name: terms[name] * lot for name in ("min_qty", "display_qty") if name in terms}
        staged["maker_terms"] = {**staged.get("maker_terms", {}), **({"lots": lots + 1} if lots else {})}
        away = terms.pop("stop_away", 0)
        if away:
            pair = self._with_stop(book, away)
        else:
            name = self._ghost() if client == "a ghost" else client
            pair = self._stage(book, name, maker, client_terms=terms, **staged)
        if pair is None:
            return None
        first = pair[0]
        if change:
            self.market.replace(book, first, first.price, first.leaves + change * lot)
        if pause:
            book.engine.suspend(first, self.market.time())
        if pause == "over":
            book.engine.resume(first, self.market.time())
        return pair

    def _with_stop(self, book: Book, away: int) -> tuple[Order, Order] | None:
        """A client's stop-limit order whose limit is as good as the maker's price, its trigger far away."""
        pair = self._stage(book)
        if pair is None:
            return None
        first, maker = pair
        self.market.cancel(book, first)
        self.market.cancel(book, maker)
        distance = away * book.spec.tick_size * (1 if first.side == "buy" else -1)
        stop_px = maker.price + distance
        if stop_px <= 0:
            return None
        stop = self._post(
            book, first.account, first.side, maker.price, ord_type="stop_limit", stop_px=stop_px
        )
        maker = self._post(book, maker.account, maker.side, maker.price)
        return (stop, maker) if stop.live and maker.live else None

    def _made_good(self, kind: str, *, short: int = 0, apart: int = 0) -> Act:
        """Passed over, then filled later in the match: in full, some lots `short`, or a tick worse."""

        def act(book: Book) -> bool:
            pair = self._prepared(book, 3, client_terms={"lots": 4}, apart=apart)
            if pair is None:
                return False
            extra = min(pair[0].shown, pair[1].shown) - short * book.spec.lot_size
            return self._out_of_turn(book, kind, pair[1], pair[1].shown, extra)

        return act

    def _behind(self, book: Book) -> bool:
        """The maker was first, by one number."""
        pair = self._stage(book, client=self._rng.choice(MAKERS), maker=self._rng.choice(self.people.clients))
        if pair is None or book.engine.phase != "continuous":
            return False
        maker = pair[0]
        quantity = self._part(book, maker.shown)
        made = self._take(book, self._outsider(book, maker.side), OTHER[maker.side], maker.price, quantity)
        self.ledger.on_near_fill("priority_behind", made[0], maker.side)
        return True

    def _hidden(self, book: Book) -> bool:
        """An iceberg's tranche is served; the next one has its place after the maker, who is filled then."""
        lot = book.spec.lot_size
        pair = self._prepared(book, 2, client_terms={"lots": 6, "display_qty": 1})
        if pair is None:
            return False
        maker = pair[1]
        made = self._take(book, self._outsider(book, maker.side), OTHER[maker.side], maker.price, 3 * lot)
        self.ledger.on_near_fill("priority_hidden", made[1], maker.side)
        return True

    # Corrections

    def _corrected_price(self, book: Book) -> bool:
        """A maker a tick better than a client is filled; then its price is corrected to the client's."""
        pair = self._prepared(book, 2, apart=1)
        if pair is None:
            return False
        client, maker = pair
        quantity, shown = 2 * book.spec.lot_size, client.shown
        made = self._take(book, self._outsider(book, maker.side), OTHER[maker.side], maker.price, quantity)[0]
        corrected = self._correct(book, made, {"price": TEXT[client.price]})
        harmed = [HarmedOrder(client.order_id, client.account, min(quantity, shown))]
        self.ledger.on_corrected("price_time_corrected", corrected, maker.side, client.price, harmed)
        return True

    def _corrected_quantity(self, book: Book) -> bool:
        """A maker a tick better than a client is filled; then its quantity is corrected to a lot less."""
        pair = self._prepared(book, 2, apart=1)
        if pair is None:
            return False
        maker, lot = pair[1], book.spec.lot_size
        made = self._take(book, self._outsider(book, maker.side), OTHER[maker.side], maker.price, 2 * lot)[0]
        self.ledger.on_near_fill(
            "priority_corrected", self._correct(book, made, {"qty": TEXT[lot]}), maker.side
        )
        return True

    def _correct(self, book: Book, made: Record, changes: Record) -> Record:
        """Correct a trade; returns it with the new values and id, at its old place."""
        correction = self.market.correct(book, str(made["trade_id"]), changes)
        return {**made, **changes, "trade_id": correction["trade_id"]}

    # In the ordinary book

    def _equal_price(self, book: Book, kind: str, *, cure: bool) -> bool:
        """A maker's order at the best price trades before a client's; `cure`: then part of the client's."""
        side = self._rng.choice(SIDES)
        level = book.engine.side(side).best()
        if level is None or book.engine.phase != "continuous":
            return False
        hidden = self._rng.random() < 0.4
        if hidden or not any(self._is_client(order) for order in level.orders.values()):
            client = self._rng.choice(self.people.clients)
            self._post(book, client, side, level.price, display_qty=book.spec.lot_size if hidden else 0)
        queue = list(level.orders.values())
        first = next((order for order in queue if self._is_client(order)), None)
        if first is None or not all(order.takes_any and not order.exec_inst for order in queue):
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
        if cure:
            harm = min(quantity, first.shown)
            ahead = sum(order.shown for order in queue[: queue.index(first)])
            extra = ahead + max(0, harm - book.spec.lot_size)
            quantity = maker.shown if extra else quantity
        return self._out_of_turn(book, kind, maker, quantity, extra)

    def _better_price(self, book: Book) -> bool:
        """A maker's order trades although a client bids more (or asks less)."""
        levels = list(book.engine.side(self._rng.choice(SIDES)).from_best())
        seen_client = False
        for level in levels[:8] if book.engine.phase == "continuous" else ():
            if seen_client:
                makers = [order for order in level.orders.values() if self._is_clean_maker(order)]
                if makers:
                    maker = self._rng.choice(makers)
                    quantity = self._part(book, maker.shown)
                    extra = self._part(book, levels[0].shown) if quantity == maker.shown else 0
                    return self._out_of_turn(book, "price_time_better", maker, quantity, extra)
            seen_client = seen_client or any(self._is_client(order) for order in level.orders.values())
        return False

    def _out_of_turn(
        self, book: Book, kind: str, maker: Order, quantity: int, extra: int, taker: str = ""
    ) -> bool:
        """Let `maker` trade `quantity` before its turn; its taker then takes `extra` in proper order."""
        taker = taker or self._outsider(book, maker.side)
        if extra and quantity != maker.shown:
            raise RuntimeError(
                "a taker goes on in the queue only after it has taken all that the maker shows"
            )
        harmed = passed_over(self.market, book, maker.side, maker.price, quantity, taker, maker.stamp)
        if not harmed:
            return False
        self.ledger.planned_fill = PlannedFill(kind, maker.account, harmed)
        made = self._take(book, taker, OTHER[maker.side], maker.price, quantity + extra, favoured=maker)
        if kind == "price_time_busted":
            self._bust_later(book, made[0])
        if kind == "price_time_cure_busted":
            cures = [(size, trade_id) for order in harmed for trade_id, size in order.cures.items()]
            if cures:
                self._bust_later(book, {"trade_id": max(cures)[1]})
        return True
