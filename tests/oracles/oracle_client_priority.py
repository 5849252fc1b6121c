"""P1 client-order priority by brute force: both instances, one pass of reference data at a time (SPEC section
4).

Output. `rows`: the columns of `client_priority_harm` (ints scaled 10**8). `alerts`: one per (instance,
trade_id, side) that ever had harm left at its turn's end or later: ts, status, reason, history [(status,
reason)], harm_qty, harm_notional (scaled 10**16), undecided_qty. `undecided`: fills with quantity that could
not be compared, alert or not. `exemptions`: (instance, trade_id, side, order_id, name).

Readings
P1a An account missing on a trade's side is taken from the side's order.
P1b "Fills block, rfq: as client_first" holds in both instances: `client_priority.price_time` judges them with
    client_first's condition and counting quantity (and its own cure window 0), so such a fill can alert in
    both.
P1c An instrument whose `matching` is given and not `price_time` has no price_time rows; client_first then
    alerts for book fills too ("on a price-time venue only counts").
P1d `min_price_improvement` is the tick size at F.ts; no tick known: `C.price >= p` (sell: <=).
P1e Live market order: a restated market order is the only one that can be live outside its own turn.
    A stop that is not triggered is not a market order: without a limit price it is neither harmed nor an
    exemption.
P1f "Reprice" excludes a mere increase of quantity (the stamp is lost, `event_seq` stays). An aggressor that
    never began a turn (restated only, or without order id) counts as never seen for the "below" test: below
    s.
P1g C is never A itself. Limit orders C only by their own price; hidden (`display_qty` 0) never counts at an
    equal price.
P1h A fill with match_type `auction` is exempt as "phase not continuous" whatever the phase row says.
P1i Exemptions are looked at in the text's order, per C in allocation order; `min_qty > what is left` compares
    with the rest of q when C's turn comes. An exempt C takes nothing. Of C that are not compared (A's stamp
    unknown) no exemption is counted.
P1j Allocation order: market orders (by stamp), then best price, then stamp. Icebergs by their current stamp.
P1k e_C's "earlier F' of the same match and side": same instance, any watched account, seq < s; one busted by
    then counts nothing.
P1l The cure window of F is closed by the first entry with seq > s and ts > F.ts + window, and by the
    recording's end. A cure has ts <= F.ts + window and comes before that entry. Cures in F's match always
    count.
P1m Status: at the end of F's turn harm left > 0 -> provisional; at each later entry before the window's end:
    none left -> retracted (cured), some left again (a cure busted) -> provisional. At the window's end: harm
    left -> confirmed. Later: harm left again after a bust of a cure -> confirmed. A bust of F retracts
    (busted) whatever is not already retracted. With window 0 provisional and confirmed are two revisions too.
P1n Outcome and harm after a bust: `busted`, harm_left 0, cured_qty as it was. `open` does not occur at a
    recording's end (an open window is decided by the last clock).
P1o A correction's fill is judged with the book just before the old seq, at the old ts, roles at the old ts;
    its first status comes at the correction (provisional while its window is open, else confirmed). With the
    same trade id it goes on in the same alert, and its rows replace the busted ones of the same order.
P1p Withdrawn: C cancelled (reason user or none) or replaced to a price worse than p after s, before the
    window closes (window 0: same ts only).
P1q undecided_qty = min(q left after allocation, sum of e_C of the equal-price client orders not compared), of
    such C as no exemption names. price_time only.
P1r The same owner exemption needs a known owner of C and of F's other side.
"""

from __future__ import annotations

from typing import Any

from oracle_cure import better_or_equal, follow
from oracle_market import Market
from oracle_order import Order
from oracle_recording import scaled
from oracle_reference import WATCHED, View

INSTANCES = {
    "client_priority.price_time": ("price_time", 0),
    "client_priority.client_first": ("client_first", 10**9),
}


class ClientPriority:
    """Observer of a Market. `view` is one pass."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.judgements: list[dict[str, Any]] = []
        self.by_match: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        self.versions_by_index: dict[int, list[dict[str, Any]]] = {}
        self.exemptions: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.undecided: list[dict[str, Any]] = []

    def on_trade(self, market: Market, index: int, entry: dict[str, Any]) -> None:
        """Judge the trade, and every later correction of it, with the book as it is just before it."""
        if entry["exec_type"] != "trade":
            return
        in_match = market.turn["match"] if market.turn is not None and market._belongs(entry) else None
        match = index if in_match is None else in_match
        if not self.versions_by_index:
            for version in market.versions:
                self.versions_by_index.setdefault(version["index"], []).append(version)
        for version in self.versions_by_index[index]:
            for side in ("buy", "sell"):
                account = version[f"{side}_account"]
                order = market.orders.get(version[f"{side}_order_id"] or "")
                if account is None and order is not None:
                    account = order.account
                if self.view.at(version["ts"]).role(account, market.instrument) in WATCHED:
                    for instance in INSTANCES:
                        self._judge(market, instance, version, side, order, match)

    def _judge(
        self,
        market: Market,
        instance: str,
        version: dict[str, Any],
        side: str,
        mine: Order | None,
        match: int,
    ) -> None:
        mode, window = INSTANCES[instance]
        moment = self.view.at(version["ts"])
        row = moment.instrument(market.instrument)
        price_time_venue = row.get("matching", "price_time") == "price_time"
        if mode == "price_time" and not price_time_venue:
            return
        off_book = version["match_type"] in ("block", "rfq")
        if off_book:
            mode = "client_first"
        p, q, s = version["price"], version["qty"], version["seq"]
        aggressor = version["aggressor"] if version["aggressor"] in ("buy", "sell") else None
        below = s
        if aggressor is not None:
            taker = market.orders.get(version[f"{aggressor}_order_id"] or "")
            if taker is not None and taker.turn_seq is not None:
                below = taker.turn_seq
        if mine is not None:
            my_stamp: int | None = mine.stamp
        else:
            my_stamp = s if aggressor == side else None
        tick = None if row.get("tick_size") is None else scaled(str(row["tick_size"]))

        candidates: list[tuple[Order, int, bool]] = []  # order, counting quantity, compared
        for c in market.live[side].values():
            if c is mine or c.event_seq >= below:
                continue
            if not c.is_market and (c.price is None or not self._reaches(side, c.price, p, tick)):
                continue
            if moment.role(c.account, market.instrument) != "client":
                continue
            compared, counting = True, c.leaves
            if mode == "price_time" and not c.is_market and c.price is not None:
                if not better_or_equal(side, c.price, p):
                    continue
                if c.price == p:
                    counting = c.displayed
                    if my_stamp is None:
                        compared = False
                    elif c.stamp >= my_stamp:
                        continue
            if counting > 0:
                candidates.append((c, counting, compared))
        candidates.sort(key=lambda item: self._rank(side, item[0]))

        rest, harms = q, []
        waiting: list[tuple[Order, int]] = []
        for c, counting, compared in candidates:
            name = self._exemption(market, version, side, mine, c, rest, off_book)
            if name is not None:
                if compared:
                    self.exemptions.append(
                        {
                            "instance": instance,
                            "trade_id": version["trade_id"],
                            "side": side,
                            "order_id": c.order_id,
                            "exemption": name,
                        }
                    )
                continue
            entitled = max(0, counting - self._already(market, instance, version, side, match, c))
            if not compared:
                waiting.append((c, entitled))
                continue
            harm = min(rest, entitled)
            rest -= harm
            if harm > 0:
                harms.append((c.order_id, c.account, harm))
        uncompared = min(rest, sum(entitled for _, entitled in waiting))
        judgement = {
            "instance": instance,
            "version": version,
            "side": side,
            "match": match,
            "harms": harms,
            "undecided_qty": uncompared,
            "window": window,
            "alerting": instance.endswith("price_time") or off_book or not price_time_venue,
        }
        self.judgements.append(judgement)
        self.by_match.setdefault((instance, side, match), []).append(judgement)

    @staticmethod
    def _reaches(side: str, price: int, p: int, tick: int | None) -> bool:
        """client_first's price condition, the wider one: p < C.price + tick (sell: p > C.price - tick)."""
        if tick is None:
            return better_or_equal(side, price, p)
        return p < price + tick if side == "buy" else p > price - tick

    @staticmethod
    def _rank(side: str, c: Order) -> tuple[int, int, int]:
        if c.is_market or c.price is None:
            return (0, 0, c.stamp)
        return (1, -c.price if side == "buy" else c.price, c.stamp)

    def _exemption(
        self,
        market: Market,
        version: dict[str, Any],
        side: str,
        mine: Order | None,
        c: Order,
        rest: int,
        off_book: bool,
    ) -> str | None:
        moment = self.view.at(version["ts"])
        other = "sell" if side == "buy" else "buy"
        other_account = version[f"{other}_account"]
        if other_account is None and version[f"{other}_order_id"] in market.orders:
            other_account = market.orders[version[f"{other}_order_id"]].account
        owner = moment.owner(c.account)
        if owner is not None and owner == moment.owner(other_account):
            return "same_owner"
        in_auction = version["match_type"] == "auction" or moment.phase(market.instrument) != "continuous"
        if in_auction and not off_book:
            return "phase"
        if c.untriggered:
            return "untriggered"
        if c.suspended:
            return "suspended"
        for name in ("all_or_none", "not_held"):
            if name in c.exec_inst:
                return name
        if c.min_qty > rest:
            return "min_qty"
        if moment.waiver(c.account):
            return "priority_waiver"
        if mine is not None and mine.capacity in ("agency", "riskless_principal"):
            return "order_capacity"
        if version["match_type"] == "liquidation":
            return "liquidation"
        return None

    def _already(
        self, market: Market, instance: str, version: dict[str, Any], side: str, match: int, c: Order
    ) -> int:
        """What earlier fills of the match already took of C's entitlement and had not been cured before s."""
        taken = 0
        for j in self.by_match.get((instance, side, match), []):
            f = j["version"]
            if f["seq"] >= version["seq"] or f["known_from"] > version["known_from"]:
                continue
            if f["known_to"] is not None and f["known_to"] <= version["known_from"]:
                continue
            harm = sum(h for order_id, _, h in j["harms"] if order_id == c.order_id)
            if harm:
                cured = sum(
                    g["qty"]
                    for g in market.versions
                    if g[f"{side}_order_id"] == c.order_id
                    and f["index"] < g["index"] < version["index"]
                    and g["known_from"] <= version["known_from"]
                    and (g["known_to"] is None or g["known_to"] > version["known_from"])
                    and better_or_equal(side, f["price"], g["price"])
                )
                taken += harm - min(harm, cured)
        return taken

    def on_end(self, market: Market) -> None:
        """Follow every judgement to the recording's end."""
        fills_of: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for g in market.versions:
            for side in ("buy", "sell"):
                if g[f"{side}_order_id"] is not None:
                    fills_of.setdefault((side, g[f"{side}_order_id"]), []).append(g)
        events_of: dict[str, list[int]] = {}
        for index, entry in enumerate(market.entries):
            if entry["kind"] == "orders" and entry["exec_type"] in ("canceled", "replaced"):
                events_of.setdefault(entry["order_id"], []).append(index)
        threads: dict[tuple[str, str, str], dict[str, Any]] = {}
        for j in sorted(
            self.judgements, key=lambda j: (j["version"]["known_from"], j["instance"], j["side"])
        ):
            follow(market, j, fills_of, events_of, threads)
        self.alerts = [t["alert"] for t in threads.values() if t["alert"] is not None]
        self.rows = [row for t in threads.values() for row in t["rows"].values()]

        self.undecided = [
            {
                "instance": j["instance"],
                "trade_id": j["version"]["trade_id"],
                "side": j["side"],
                "undecided_qty": j["undecided_qty"],
            }
            for j in self.judgements
            if j["undecided_qty"]
        ]
