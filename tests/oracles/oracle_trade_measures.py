"""L2, the trade part, by brute force: effective and realised spread, impact, improvement (SPEC sections 2.5,
3 and 4), one pass of reference data at a time.

Output: `minutes[minute]` and `days[trading day]`, dicts of the columns: *_bps int in 1e-6 bps or None, *_n
int; `by_role[trading day, aggressor's role, other side's role]`: the same of those trades; and
`excluded[trading day]`: reason -> number of trades.

Readings
T1  A measured trade is a fill that stands at the end (oracle_fills), of match type `book`, with an aggressor,
    made in phase continuous at its own ts, not between two accounts of roles affiliated_mm and affiliate at
    its ts, with an M0. Of all others the first reason that holds is counted: the match type itself,
    `no_aggressor`, `not_continuous`, `between_affiliates`, `start_unknown` (of the book), `no_mid`.
T2  M0: best displayed bid and ask just before the record that begins the turn in which the trade lies; of a
    trade outside any turn just before the trade. None where a side is missing or bid >= ask. A gap just
    before that record does not matter.
T3  A trade belongs to the minute of the instrument's time at it (as volumes do), a correction to that of the
    fill it corrects, also where the bust or correction came long after the minute was over.
T4  M_h: the state that has weight at t = trade ts + h, all turns of its ts ended; null where a side is
    missing, the phase at t is not continuous, t lies in a gap (from the time before the missing seqs to the
    next entry that is not `restated`, or for ever) or before the start of the book is known, after the
    recording's end (t = end is not after it), or, for a trade stamped more than h behind the instrument's
    time, before that time. A crossed book is not one-sided: its mid counts.
T5  Rounding: effective, realised and improvement each once per trade to 1e-6 bps, half even; impact is the
    difference of the two rounded ones. Mean: sum(measure * quantity) / sum(quantity), half even.
T6  The roles are those of the two accounts at the trade's own ts (of a correction: of its accounts).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from oracle_market import Market
from oracle_reference import WATCHED, View, trading_day

SECOND = 10**9
MINUTE = 60 * SECOND
HORIZONS = (1, 10, 60)
TEN_TO_TEN = 10**10  # 1e4 bps, each of 1e6 parts


def columns() -> list[str]:
    """The names of the columns."""
    names = ["effective_bps", "improvement_bps", "effective_n"]
    for h in HORIZONS:
        names += [f"realised_{h}s_bps", f"impact_{h}s_bps", f"realised_{h}s_n"]
    return names


class TradeMeasures:
    """Observer of a Market. `view` is one pass."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.receipts: dict[int, dict[str, Any]] = {}  # index of a trade -> its minute, M0's best prices
        self.states: list[tuple[int, int, Any, Any]] = []  # start, end, bid, ask
        self.minutes: dict[int, dict[str, Any]] = {}
        self.days: dict[str, dict[str, Any]] = {}
        self.by_role: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.excluded: dict[str, dict[str, int]] = {}

    def on_trade(self, market: Market, index: int, entry: dict[str, Any]) -> None:
        """Keep what the market looked like when the trade's turn began."""
        if entry["exec_type"] != "trade":
            return
        if market.turn is not None and market._belongs(entry):
            bid, ask = market.turn["receipt"]
        else:
            bid, ask = market.best("buy"), market.best("sell")
        self.receipts[index] = {
            "time": market.time,
            "bid": bid[0] if bid else None,
            "ask": ask[0] if ask else None,
            "start_known": market.start_known,
        }

    def on_state(self, market: Market, start: int, end: int) -> None:
        """Keep the best prices that have weight in [start, end)."""
        bid, ask = market.best("buy"), market.best("sell")
        self.states.append((start, end, bid[0] if bid else None, ask[0] if ask else None))

    def on_end(self, market: Market) -> None:
        """Measure every fill that stands."""
        if market.time is None:
            return
        bid, ask = market.best("buy"), market.best("sell")
        # the last state, at the recording's very end too
        self.states.append((market.time, market.time + 1, bid[0] if bid else None, ask[0] if ask else None))
        minutes: dict[int, list[dict[str, Any]]] = {}
        days: dict[str, list[dict[str, Any]]] = {}
        roles: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for fill in market.versions:
            if fill["known_to"] is not None:
                continue
            receipt = self.receipts[fill["index"]]
            minute = receipt["time"] // MINUTE
            day, pair = trading_day(minute * MINUTE), self._roles(market, fill)
            reason = self._reason(market, fill, receipt, pair)
            if reason is not None:
                of_day = self.excluded.setdefault(day, {})
                of_day[reason] = of_day.get(reason, 0) + 1
                continue
            taker, maker = pair if fill["aggressor"] == "buy" else pair[::-1]
            trade = self._measure(market, fill, receipt)
            minutes.setdefault(minute, []).append(trade)
            days.setdefault(day, []).append(trade)
            roles.setdefault((day, taker, maker), []).append(trade)
        self.minutes = {minute: means(trades) for minute, trades in minutes.items()}
        self.days = {day: means(trades) for day, trades in days.items()}
        self.by_role = {key: means(trades) for key, trades in roles.items()}

    def _roles(self, market: Market, fill: dict[str, Any]) -> list[str]:
        """The buyer's and the seller's role."""
        now, roles = self.view.at(fill["ts"]), []
        for side in ("buy", "sell"):
            account, order = fill[f"{side}_account"], market.orders.get(fill[f"{side}_order_id"] or "")
            if account is None and order is not None:
                account = order.account
            roles.append(str(now.role(account, market.instrument)))
        return roles

    def _reason(
        self, market: Market, fill: dict[str, Any], receipt: dict[str, Any], roles: list[str]
    ) -> str | None:
        if fill["match_type"] not in (None, "book"):
            return str(fill["match_type"])
        if fill["aggressor"] not in ("buy", "sell"):
            return "no_aggressor"
        now = self.view.at(fill["ts"])
        if now.phase(market.instrument) != "continuous":
            return "not_continuous"
        if all(role in WATCHED for role in roles):
            return "between_affiliates"
        if not receipt["start_known"]:
            return "start_unknown"
        if receipt["bid"] is None or receipt["ask"] is None or receipt["bid"] >= receipt["ask"]:
            return "no_mid"
        return None

    def _measure(self, market: Market, fill: dict[str, Any], receipt: dict[str, Any]) -> dict[str, Any]:
        d = 1 if fill["aggressor"] == "buy" else -1
        far = receipt["ask"] if d == 1 else receipt["bid"]
        m0 = Fraction(receipt["bid"] + receipt["ask"], 2)
        p = fill["price"]
        row: dict[str, Any] = {
            "qty": fill["qty"],
            "effective": round(TEN_TO_TEN * 2 * d * (p - m0) / m0),  # Fraction rounds half to even
            "improvement": round(TEN_TO_TEN * d * (far - p) / m0),
        }
        for h in HORIZONS:
            mid = self._mid(market, fill["ts"] + h * SECOND, receipt["time"])
            row[f"realised_{h}"] = None if mid is None else round(TEN_TO_TEN * 2 * d * (p - mid) / m0)
        return row

    def _mid(self, market: Market, t: int, not_before: int) -> Fraction | None:
        if t < not_before or self.view.at(t).phase(market.instrument) != "continuous":
            return None
        if market.known_from is None or t < market.known_from or in_gap(market, t):
            return None
        for start, end, bid, ask in self.states:
            if start <= t < end:
                return None if bid is None or ask is None else Fraction(bid + ask, 2)
        return None


def in_gap(market: Market, t: int) -> bool:
    """Whether seqs are missing at t; a gap that no entry has ended goes on at the recording's end."""
    if any(start <= t < end for start, end in market.gaps):
        return True
    if not market.gap_before or t != market.time:
        return False
    after = market.entries[max(market.gap_before) :]
    return all(e["kind"] == "orders" and e["exec_type"] == "restated" for e in after)


def means(trades: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns of a minute or day: quantity-weighted, null without trades."""
    row: dict[str, Any] = {
        "effective_bps": mean(trades, "effective"),
        "improvement_bps": mean(trades, "improvement"),
        "effective_n": len(trades),
    }
    for h in HORIZONS:
        known = [t for t in trades if t[f"realised_{h}"] is not None]
        with_impact = [{**t, "impact": t["effective"] - t[f"realised_{h}"]} for t in known]
        row[f"realised_{h}s_bps"] = mean(known, f"realised_{h}")
        row[f"impact_{h}s_bps"] = mean(with_impact, "impact")
        row[f"realised_{h}s_n"] = len(known)
    return row


def mean(trades: list[dict[str, Any]], name: str) -> int | None:
    """The quantity-weighted mean, half to even."""
    if not trades:
        return None
    return round(Fraction(sum(t[name] * t["qty"] for t in trades), sum(t["qty"] for t in trades)))
