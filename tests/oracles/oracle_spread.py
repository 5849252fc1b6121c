"""L2, the quoted part, by brute force: `spread_minutes`, one pass of reference data at a time (SPEC sections
3 and 4).

Output: one dict a UTC minute: ns columns; tw_spread_bps* int in 1e-6 bps or None; *_base depth int * 10**8
and *_quote depth int * 10**16 or None; volumes int * 10**8; and `exact`: name -> [numerator, denominator] of
every mean before it is rounded.

Readings
L2a The best prices of a book are its displayed ones (a hidden order makes no quote), untriggered, suspended
    and market orders not among them.
L2b Excluded (phase not continuous at that ns, in that pass) wins over unknown, as exempt does in L1, but not
    in the rest of a partial minute, before the first entry and after the instrument's time.
L2c Unknown: before the instrument's first entry that is not `restated`, before the start of the book is
    known, after the recording's end, and in sequence gaps: from the time before the missing seqs to the ts of
    the next entry. After a gap time is known again. A quarantined record leaves a gap like a missing one.
L2d Rows run from the minute of the first entry that is not `restated` to the minute that holds the
    recording's end (a whole minute of unknown where the end is a minute's first ns).
L2e two_sided_without_affiliates_ns counts in continuous, known time, whatever the full book is (also where
    the full book is crossed). crossed: a <= b. common: both books have a > b.
L2f Depth: bids with 2 * 10**4 * price >= (a + b)(10**4 - k), asks mirrored, inclusive; mean over the full
    book's two-sided time (with and without affiliates alike); null where that is 0. Quote depth is the sum of
    price * quantity, a DECIMAL(38,16), rounded half even there.
L2g `volume`: every `trade` record of every match type and phase, in the minute of the instrument's time at
    it; busts and corrections do not change it. The afmm columns take role affiliated_mm at the fill, where
    the other side has neither watched role: maker where it is not the aggressor, taker where it is (no
    aggressor: neither); afmm_client_volume: other side's role client, whatever the aggressor. An account
    missing on the trade is the order's.
L2h An affiliated order has role affiliated_mm or affiliate at the ts of its acceptance (`restated`: its
    original ts).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from oracle_market import Market
from oracle_order import Order
from oracle_reference import WATCHED, View

MINUTE = 60 * 10**9
BANDS = (10, 25, 50)
NS = (
    "two_sided_ns",
    "two_sided_without_affiliates_ns",
    "common_ns",
    "one_sided_ns",
    "crossed_ns",
    "excluded_ns",
    "unknown_ns",
)
SPREADS = {
    "tw_spread_bps": "two_sided_ns",
    "tw_spread_bps_without_affiliates": "two_sided_without_affiliates_ns",
    "tw_spread_bps_common": "common_ns",
    "tw_spread_bps_common_without_affiliates": "common_ns",
}
DEPTHS = [
    f"{side}_depth_{band}bps_{unit}{without}"
    for side in ("bid", "ask")
    for band in BANDS
    for unit in ("base", "quote")
    for without in ("", "_without_affiliates")
]
VOLUMES = ("volume", "afmm_maker_volume", "afmm_taker_volume", "afmm_client_volume")


def round_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0) to the nearest integer, ties to the even one."""
    whole, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1):
        whole += 1
    return whole


def spread(bid: int | None, ask: int | None) -> int | None:
    """The spread of one state in 1e-6 bps; None where it is not two-sided with ask > bid."""
    if bid is None or ask is None or ask <= bid:
        return None
    return round_half_even(2 * 10**10 * (ask - bid), ask + bid)


class Spread:
    """Observer of a Market. `view` is one pass."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.states: list[tuple[int, int, dict[str, Any]]] = []
        self.volumes: dict[int, dict[str, int]] = {}
        self.affiliated: dict[
            int, tuple[Order, bool]
        ] = {}  # by identity; holds the order so that it stays one
        self.rows: list[dict[str, Any]] = []

    def _is_affiliated(self, market: Market, order: Order) -> bool:
        found = self.affiliated.get(id(order))
        if found is None:
            role = self.view.at(order.accepted_ts).role(order.account, market.instrument)
            found = self.affiliated[id(order)] = (order, role in WATCHED)
        return found[1]

    def on_trade(self, market: Market, index: int, entry: dict[str, Any]) -> None:
        """Volumes by the roles at the fill."""
        if entry["exec_type"] != "trade":
            return
        assert market.time is not None
        minute = self.volumes.setdefault(market.time // MINUTE, dict.fromkeys(VOLUMES, 0))
        minute["volume"] += entry["qty"]
        roles = {}
        for side in ("buy", "sell"):
            account, order = entry[f"{side}_account"], market.orders.get(entry[f"{side}_order_id"] or "")
            if account is None and order is not None:
                account = order.account
            roles[side] = self.view.at(entry["ts"]).role(account, market.instrument)
        for side, other in (("buy", "sell"), ("sell", "buy")):
            if roles[side] != "affiliated_mm" or roles[other] in WATCHED:
                continue
            if entry["aggressor"] in ("buy", "sell"):
                minute["afmm_taker_volume" if entry["aggressor"] == side else "afmm_maker_volume"] += entry[
                    "qty"
                ]
            if roles[other] == "client":
                minute["afmm_client_volume"] += entry["qty"]

    def on_state(self, market: Market, start: int, end: int) -> None:
        """Measure the book that has weight in [start, end)."""
        # Orders as (price, displayed quantity, affiliated).
        bids = [
            (o.price or 0, o.leaves if o.display is None else o.shown, self._is_affiliated(market, o))
            for o in market.resting("buy")
        ]
        asks = [
            (o.price or 0, o.leaves if o.display is None else o.shown, self._is_affiliated(market, o))
            for o in market.resting("sell")
        ]
        bid, ask = max(bids, default=(None,))[0], min(asks, default=(None,))[0]
        full = spread(bid, ask)
        without = spread(
            max([p for p, _, own in bids if not own], default=None),
            min([p for p, _, own in asks if not own], default=None),
        )
        state: dict[str, Any] = {"full": full, "without": without, "one_sided": bid is None or ask is None}
        if full is not None and bid is not None and ask is not None:
            for band in reversed(
                BANDS
            ):  # from wide to narrow: a narrow band's orders are all in the wide one
                bids = [o for o in bids if 2 * 10**4 * o[0] >= (ask + bid) * (10**4 - band)]
                asks = [o for o in asks if 2 * 10**4 * o[0] <= (ask + bid) * (10**4 + band)]
                for side, orders in (("bid", bids), ("ask", asks)):
                    others = [o for o in orders if not o[2]]
                    for name, chosen in (("", orders), ("_without_affiliates", others)):
                        state[f"{side}_depth_{band}bps_base{name}"] = sum(q for _, q, _ in chosen)
                        state[f"{side}_depth_{band}bps_quote{name}"] = sum(p * q for p, q, _ in chosen)
        self.states.append((start, end, state))

    def on_end(self, market: Market) -> None:
        """Cut the states at minutes, phases, gaps and the start of known time, and add up."""
        if market.first_time is None or market.time is None:
            return
        first, last = market.first_time // MINUTE, market.time // MINUTE
        sums: dict[int, dict[str, int]] = {
            m: dict.fromkeys([*NS, *SPREADS, *DEPTHS], 0) for m in range(first, last + 1)
        }
        stretches: list[tuple[int, int, dict[str, Any] | None]] = [
            (first * MINUTE, market.first_time, None),
            *self.states,
            (market.time, (last + 1) * MINUTE, None),
        ]
        known_from = market.known_from
        gap_edges = sorted(
            {t for gap in market.gaps for t in gap} | ({known_from} if known_from is not None else set())
        )
        for start, end, state in stretches:
            cuts = {start, end, *self.view.breaks_between(start, end)}
            cuts |= set(range((start // MINUTE + 1) * MINUTE, end, MINUTE))
            cuts |= {t for t in gap_edges if start < t < end}
            edges = sorted(cuts)
            for a, b in pairwise(edges):
                ns = b - a
                into = sums[a // MINUTE]
                if state is None:
                    into["unknown_ns"] += ns
                elif self.view.at(a).phase(market.instrument) != "continuous":
                    into["excluded_ns"] += ns
                elif known_from is None or a < known_from or any(g <= a < h for g, h in market.gaps):
                    into["unknown_ns"] += ns
                else:
                    self._add(into, state, ns)
        for minute, into in sums.items():
            row: dict[str, Any] = {"instrument": market.instrument, "minute": minute * MINUTE}
            row.update({name: into[name] for name in NS})
            exact = {name: [into[name], into[weight]] for name, weight in SPREADS.items()}
            exact.update({name: [into[name], into["two_sided_ns"]] for name in DEPTHS})
            row.update({name: round_half_even(n, d) if d else None for name, (n, d) in exact.items()})
            row.update(self.volumes.get(minute, dict.fromkeys(VOLUMES, 0)))
            row["exact"] = exact
            self.rows.append(row)

    @staticmethod
    def _add(into: dict[str, int], state: dict[str, Any], ns: int) -> None:
        full, without = state["full"], state["without"]
        if full is not None:
            into["two_sided_ns"] += ns
            into["tw_spread_bps"] += full * ns
            for name in DEPTHS:
                into[name] += state[name] * ns
        else:
            into["one_sided_ns" if state["one_sided"] else "crossed_ns"] += ns
        if without is not None:
            into["two_sided_without_affiliates_ns"] += ns
            into["tw_spread_bps_without_affiliates"] += without * ns
        if full is not None and without is not None:
            into["common_ns"] += ns
            into["tw_spread_bps_common"] += full * ns
            into["tw_spread_bps_common_without_affiliates"] += without * ns
