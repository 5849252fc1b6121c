"""A brute-force market of one instrument: every order ever seen in a dict, turns as SPEC 2.5 words them.

No levels, no sorted structures: best prices are max and min over all live orders. Observers get
`on_trade(market, index, entry)` just before a trade is applied, `on_state(market, start, end)` for each
stretch of time (ns, end > start) with the state that has weight in it, and `on_end(market)`.

Readings
B1  A `new` of an id that is live is a `conflict` and changes nothing (of a dead one: a new life); a
    `restated` of one replaces its price, quantities and stamp (stamp = the restated record's seq), dead or
    not.
B2  leaves: `leaves_qty` where given; else `new`: order_qty, `restated`: order_qty, `replaced`: order_qty -
    filled (not below 0), else unchanged. A replace leaves what it does not name as it was.
B3  A replace, cancel or trade of an order never seen adds nothing to the book. A replace, trigger or resume
    of a dead order changes nothing. A `rejected` never touches the book, but its order was seen, and is dead.
B4  "Reprice" is a change of `price`; a larger quantity loses the stamp but is not a reprice.
B5  A resumed order keeps its stamp; a suspended one is not displayed. Neither `suspended` nor `resumed`
    begins a turn.
B6  A turn's order is off the book until the turn ends; the shown tranche r is then min(d, L) when its stamp
    is new, min(r, L) when a replace kept it; fills in its own turn change neither stamp nor r.
B7  A tranche is refreshed by the formula for every fill of a resting order with `display_qty` > 0; with 0
    nothing is ever shown and the stamp stays.
B8  An order shown 0 (hidden) is not displayed: it makes no best price and no depth in L2, `crossed_book`,
    `book_mismatch`.
B9  A turn goes on through a venue quote where, after any further venue quotes, an entry of kind (a)-(c)
    follows, all at the turn's ts. A missing seq does not end a turn. A trade is (a) when the order on its
    `aggressor` side is the turn's. A `fill` is (b) when its order took part in a trade of the turn. An entry
    with a lower ts does not end it.
B10 A replace of an untriggered or suspended order begins (and ends) a turn that does nothing.
B11 Match = the trades of one turn. A trade outside any turn is a match by itself, whatever its `match_id`.
B12 Restated orders say what rests when the record begins: known time begins at the first entry that is not
    `restated` (at or after seq 1, or after the first `restated`). The original ts of restated orders never
    makes time.
B13 Time of the instrument = greatest ts of its entries; an entry with a lower ts is applied at that time.
B14 An order is an aggressor's "never seen" where no order record of its id came before the trade.
B15 Overfill: trade quantity above leaves; leaves then 0. An order dead at its turn's end keeps its leaves for
    this test; a cancelled or expired one has none.
B16 `conflict` also: `match_id`s that differ within one turn, or one `match_id` in two turns; a `fill` whose
    `leaves_qty` differs from the order's leaves; a cancel of a dead order that says something else is
    left. A `fill` never changes the book.
B17 `negative_lifetime`: a cancel, expiry or last fill with ts below the order's acceptance ts.
B18 `clock_skew`: an entry (not restated) more than 1 ms behind the time of the instrument, or a record whose
    `ts_gateway` is more than 1 ms after, or whose `ts_ack` or `ts_published` more than 1 ms before its `ts`.
    One finding a record.
B19 `crossed_book`: a state that lasts (or ends the recording) with a >= best ask, phase not `auction`; one
    finding an episode, its first seq that of the record that began the turn, or the entry, after which the
    cross was there.
B20 `book_mismatch`: a venue quote (no account) in phase continuous whose price or size of either side differs
    from the displayed best after the turn it lies in (else at once); one finding an episode: until a quote
    agrees.
B21 `orphan`: trade (each side's order id), fill, cancelled, expired, replaced, triggered, suspended, resumed
    of an order never seen, once the start is known; one finding a record. Not a `rejected`.
B22 `no_accounts`: an order record or a trade side without account; first seq of the trading day.
B23 `stale_reference`: some fact lists an instrument, and none lists this one at the first record (not a
    `restated` one) of a later trading day than those before.
"""

from __future__ import annotations

from typing import Any

from oracle_fills import fill_versions
from oracle_order import Order, accepted
from oracle_reference import View, trading_day

MILLISECOND = 10**6


class Market:
    """Runs one instrument's entries past observers. `end_ts` is the recording's clock."""

    def __init__(self, instrument: str, entries: list[dict[str, Any]], end_ts: int, view: View) -> None:
        self.instrument, self.entries, self.end_ts, self.view = instrument, entries, end_ts, view
        self.versions, self.late_busts = fill_versions(entries)
        self.orders: dict[str, Order] = {}
        # Not dead, leaves > 0, by side: untriggered and suspended ones too.
        self.live: dict[str, dict[str, Order]] = {"buy": {}, "sell": {}}
        self._resting: dict[str, list[Order]] = {}  # answers of `resting` until something changes
        self.turn: dict[str, Any] | None = None  # order, seq, ts, trades, kept, quotes
        self.time: int | None = None
        self.start_known = False
        self.known_from: int | None = None  # time from which the book is known
        self.first_time: int | None = None  # ts of the first entry that is not restated
        self.match_of: dict[int, int] = {}  # entry index of a trade -> index of its match's first trade
        self.match_end: dict[int, int] = {}  # match -> index of the turn's last entry
        self.findings: list[tuple[str, str, int]] = [
            ("late_bust", instrument, seq) for seq in self.late_busts
        ]
        self.gap_before: set[int] = set()  # indexes of entries with missing seqs just before
        self.gaps: list[tuple[int, int]] = []  # [start, end) of time
        self.match_ids: dict[str, int] = {}
        self.crossed_seq: int | None = None
        self.crossed_reported = False
        self.mismatching = False
        self.latest_day = ""
        self.days_without_accounts: set[str] = set()

    # -- the run--------------------------------------------------------------

    def run(self, *observers: Any) -> Market:
        """Apply all entries; the recording's end is a clock at `end_ts`."""
        last_seq = None
        gap_open = False
        for index, entry in enumerate(self.entries):
            if last_seq is not None and entry["seq"] > last_seq + 1:
                self.gap_before.add(index)
                gap_open = True
                self._found("sequence_gap", last_seq + 1)
            last_seq = entry["seq"]
            if self.turn is not None and not self._goes_on(index):
                self._end_turn(index - 1)
            restated = entry["kind"] == "orders" and entry["exec_type"] == "restated"
            if entry["seq"] == 1 or restated:
                self.start_known = True
            if not restated:
                self._skew(entry)
                if self.time is None:
                    self.time = self.first_time = entry["ts"]
                elif entry["ts"] > self.time:
                    self._state(observers, entry["ts"])
                    if gap_open:
                        self.gaps.append((self.time, entry["ts"]))
                    self.time = entry["ts"]
                gap_open = False
                if self.start_known and self.known_from is None:
                    self.known_from = self.time
            for observer in observers:
                if entry["kind"] == "trades" and hasattr(observer, "on_trade"):
                    observer.on_trade(self, index, entry)
            receipt = (self.best("buy"), self.best("sell")) if entry["kind"] == "orders" else None
            self._apply(index, entry)
            if self.turn is not None and self.turn["seq"] == entry["seq"]:
                self.turn["receipt"] = receipt  # the best prices just before the record that began the turn
            if self.turn is None:
                self._watch_cross(entry["seq"])
        if self.turn is not None:
            self._end_turn(len(self.entries) - 1)
        if self.time is not None:
            self._state(observers, max(self.end_ts, self.time))
            if gap_open and self.end_ts > self.time:
                self.gaps.append((self.time, self.end_ts))
            self.time = max(self.end_ts, self.time)
        for observer in observers:
            if hasattr(observer, "on_end"):
                observer.on_end(self)
        return self

    def _found(self, kind: str, seq: int) -> None:
        if (kind, self.instrument, seq) not in self.findings[-3:]:
            self.findings.append((kind, self.instrument, seq))

    def _state(self, observers: tuple[Any, ...], end: int) -> None:
        assert self.time is not None
        if self.crossed_seq is not None and not self.crossed_reported:
            stretch = [self.time, *self.view.breaks_between(self.time, end)]
            if any(self.view.at(t).phase(self.instrument) != "auction" for t in stretch):
                self._found("crossed_book", self.crossed_seq)
                self.crossed_reported = True
        if end > self.time:
            for observer in observers:
                if hasattr(observer, "on_state"):
                    observer.on_state(self, self.time, end)

    def _skew(self, entry: dict[str, Any]) -> None:
        ts = entry["ts"]
        behind = self.time is not None and ts < self.time - MILLISECOND
        early = entry.get("ts_gateway") is not None and entry["ts_gateway"] > ts + MILLISECOND
        late = any(
            entry.get(n) is not None and entry[n] < ts - MILLISECOND for n in ("ts_ack", "ts_published")
        )
        if behind or early or late:
            self._found("clock_skew", entry["seq"])

    # -- turns----------------------------------------------------------------

    def _goes_on(self, index: int) -> bool:
        """Whether the open turn goes on through entry `index` (SPEC 2.5 (a)-(d))."""
        assert self.turn is not None
        entry = self.entries[index]
        if entry["ts"] > self.turn["ts"]:
            return False
        if entry["kind"] != "quotes":
            return self._belongs(entry)
        for later in self.entries[index:]:
            if later["ts"] != self.turn["ts"]:
                return False
            if later["kind"] != "quotes":
                return self._belongs(later)
            if later["account"] is not None:
                return False
        return False

    def _belongs(self, entry: dict[str, Any]) -> bool:
        assert self.turn is not None
        mine = self.turn["order"].order_id
        if entry["kind"] == "trades":
            side = entry["aggressor"]
            return (
                entry["exec_type"] == "trade"
                and side in ("buy", "sell")
                and entry[f"{side}_order_id"] == mine
            )
        if entry["kind"] == "orders":
            if entry["exec_type"] == "fill":
                return entry["order_id"] in self.turn["parties"]
            if entry["exec_type"] == "canceled":
                return entry["order_id"] != mine and entry["reason"] in (
                    "self_trade_prevention",
                    "mm_protection",
                )
        return False

    def _begin_turn(self, order: Order, entry: dict[str, Any], stamp_kept: bool) -> None:
        order.turn_seq = entry["seq"]
        self.turn = {
            "order": order,
            "seq": entry["seq"],
            "ts": entry["ts"],
            "parties": set(),
            "match": None,
            "kept": stamp_kept,
            "quotes": [],
            "match_id": None,
        }

    def _end_turn(self, last_index: int) -> None:
        turn, self.turn = self.turn, None
        self._resting = {}
        assert turn is not None
        order = turn["order"]
        if not order.dead and not order.untriggered:
            if order.is_market or order.time_in_force in ("ioc", "fok"):
                self._die(order)
            elif order.display is not None:
                order.shown = min(order.shown if turn["kept"] else order.display, order.leaves)
        if turn["match"] is not None:
            self.match_end[turn["match"]] = last_index
        self._watch_cross(turn["seq"])
        for quote in turn["quotes"]:
            self._compare(quote)

    # -- the book-------------------------------------------------------------

    def resting(self, side: str) -> list[Order]:
        """Displayed limit orders of a side, the open turn's order not among them; in no particular order."""
        if side not in self._resting:
            taker = self.turn["order"] if self.turn is not None else None
            self._resting[side] = [
                o
                for o in self.live[side].values()
                if o.price is not None
                and not o.untriggered
                and not o.suspended
                and o is not taker
                and (o.display is None or o.shown > 0)
            ]
        return self._resting[side]

    def best(self, side: str) -> tuple[int, int] | None:
        """(price, displayed quantity) of the best price, None where the side is empty."""
        orders = self.resting(side)
        if not orders:
            return None
        prices = [o.price for o in orders if o.price is not None]
        price = max(prices) if side == "buy" else min(prices)
        return price, sum(o.displayed for o in orders if o.price == price)

    def _watch_cross(self, seq: int) -> None:
        bid, ask = self.best("buy"), self.best("sell")
        if bid is None or ask is None or bid[0] < ask[0]:
            self.crossed_seq, self.crossed_reported = None, False
        elif self.crossed_seq is None:
            self.crossed_seq = seq

    def _compare(self, quote: dict[str, Any]) -> None:
        if not self.start_known or self.view.at(quote["ts"]).phase(self.instrument) != "continuous":
            return
        bid, ask = self.best("buy") or (None, None), self.best("sell") or (None, None)
        # A size that is not stated cannot differ.
        agrees = all(
            quote[f"{side}_px"] == price and quote[f"{side}_size"] in (size, None)
            for side, (price, size) in (("bid", bid), ("ask", ask))
        )
        if not agrees and not self.mismatching:
            self._found("book_mismatch", quote["seq"])
        self.mismatching = not agrees

    def _die(self, order: Order) -> None:
        order.dead = True
        self.live[order.side].pop(order.order_id, None)

    def _listed(self, entry: dict[str, Any]) -> None:
        if entry["kind"] == "orders" and entry["exec_type"] == "restated":
            return
        day = trading_day(entry["ts"])
        if day > self.latest_day:
            self.latest_day = day
            listing = self.view.reference.facts["instruments"]
            if listing and not self.view.at(entry["ts"]).instrument(self.instrument):
                self._found("stale_reference", entry["seq"])

    def _apply(self, index: int, entry: dict[str, Any]) -> None:
        self._listed(entry)
        if entry["kind"] != "quotes":
            self._resting = {}
        if entry["kind"] == "quotes":
            if entry["account"] is None:
                if self.turn is not None:
                    self.turn["quotes"].append(entry)
                else:
                    self._compare(entry)
        elif entry["kind"] == "trades":
            if entry["buy_account"] is None or entry["sell_account"] is None:
                self._no_account(entry, entry["exec_type"] == "trade")
            if entry["exec_type"] == "trade":
                self._apply_trade(index, entry)
        elif not entry["exec_type"].startswith("mm_protection"):
            self._no_account(entry, entry["account"] is None)
            self._apply_order(entry)

    def _no_account(self, entry: dict[str, Any], absent: bool) -> None:
        day = trading_day(entry["ts"])
        if absent and day not in self.days_without_accounts:
            self.days_without_accounts.add(day)
            self._found("no_accounts", entry["seq"])

    def _apply_order(self, entry: dict[str, Any]) -> None:
        exec_type, order = entry["exec_type"], self.orders.get(entry["order_id"])
        if exec_type == "rejected":
            if order is None:
                side = entry["side"] or "buy"
                order = accepted({**entry, "side": side, "order_qty": 0, "leaves_qty": 0})
                order.dead = True
                self.orders[order.order_id] = order
            return
        if exec_type in ("new", "restated"):
            if order is not None and not order.dead and exec_type == "new":
                self._found("conflict", entry["seq"])
                return
            self._accept(entry)
            return
        if order is None:
            if self.start_known:
                self._found("orphan", entry["seq"])
            return
        if exec_type == "fill":
            if entry["leaves_qty"] is not None and entry["leaves_qty"] != order.leaves:
                self._found("conflict", entry["seq"])
            return
        if exec_type in ("canceled", "expired"):
            if entry["ts"] < order.accepted_ts:
                self._found("negative_lifetime", entry["seq"])
            if order.dead and entry["leaves_qty"] not in (None, 0, order.leaves):
                self._found("conflict", entry["seq"])
            order.leaves = 0
            self._die(order)
            return
        if order.dead:
            return
        if exec_type == "suspended":
            order.suspended = True
        elif exec_type == "resumed":
            order.suspended = False
            order.event_seq = entry["seq"]
        elif exec_type == "triggered":
            order.untriggered = False
            if order.ord_type == "stop_limit" and entry["price"] is not None:
                order.price = entry["price"]
            order.stamp = order.event_seq = entry["seq"]
            order.shown = order.leaves if order.display is None else min(order.display, order.leaves)
            self._begin_turn(order, entry, stamp_kept=False)
        else:
            self._replace(order, entry)

    def _accept(self, entry: dict[str, Any]) -> None:
        order, before = accepted(entry), self.orders.get(entry["order_id"])
        self.orders[order.order_id] = order
        if before is not None:
            self._die(before)
            if entry["order_qty"] is None:
                order.filled = before.filled
        if order.leaves > 0:
            self.live[order.side][order.order_id] = order
        else:
            order.dead = True
        if entry["exec_type"] == "new":
            self._begin_turn(order, entry, stamp_kept=False)

    def _replace(self, order: Order, entry: dict[str, Any]) -> None:
        kept = order.replace(entry)
        if order.leaves == 0:
            self._die(order)
        self._begin_turn(order, entry, stamp_kept=kept)

    def _apply_trade(self, index: int, entry: dict[str, Any]) -> None:
        in_turn = self.turn is not None and self._belongs(entry)
        if in_turn:
            assert self.turn is not None
            if self.turn["match"] is None:
                self.turn["match"] = index
            self.match_of[index] = self.turn["match"]
        else:
            self.match_of[index] = self.match_end[index] = index
        if entry["match_id"] is not None:
            match = self.match_of[index]
            other = self.turn["match_id"] if in_turn and self.turn is not None else None
            elsewhere = self.match_ids.setdefault(entry["match_id"], match) != match
            if elsewhere or other not in (None, entry["match_id"]):
                self._found("conflict", entry["seq"])
            if in_turn and self.turn is not None:
                self.turn["match_id"] = self.turn["match_id"] or entry["match_id"]
        for side in ("buy", "sell"):
            order_id = entry[f"{side}_order_id"]
            if order_id is None:
                continue
            if self.turn is not None:
                self.turn["parties"].add(order_id)
            order = self.orders.get(order_id)
            if order is None:
                if self.start_known:
                    self._found("orphan", entry["seq"])
                continue
            self._fill(order, entry)

    def _fill(self, order: Order, entry: dict[str, Any]) -> None:
        if entry["qty"] > order.leaves:
            self._found("overfill", entry["seq"])
        order.fill(entry, own_turn=self.turn is not None and self.turn["order"] is order)
        if order.leaves == 0 and not order.dead:
            if entry["ts"] < order.accepted_ts:
                self._found("negative_lifetime", entry["seq"])
            self._die(order)
