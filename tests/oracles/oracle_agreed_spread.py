"""L2's alert on an affiliated maker's own quotes, by brute force: their time-weighted spread above agreement.

Time is cut as for L1 (oracle_quoting_obligation), sessions, accounts and known time are read as there.

Readings
A1  Over the session's continuous, known time in which the accounts' best displayed quotes (or latest quotes,
    by the agreement's source) have two sides and a > b: sum(spread dt) > sum(agreed dt), spread of a state
    rounded to 1e-6 bps, half even; time under terms without max_spread_bps is left out.
A2  An agreement is an affiliated maker's if any of its accounts at the session's first nanosecond has role
    affiliated_mm then.
A3  Decided at the end of the civil day in the agreement's zone, or of the session where that is later, or of
    the recording where that is earlier.
"""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any

from oracle_market import Market
from oracle_quoting_obligation import DAY, VENUE_ZONE, QuotingObligation, hours_of, wall_clock
from oracle_reference import View
from oracle_spread import round_half_even, spread


class AgreedSpread(QuotingObligation):
    """Observer of a Market. `view` is one pass; `alerts` is what comes of it."""

    def __init__(self, view: View) -> None:
        super().__init__(view)

    def _day(self, market: Market, name: str, day: date) -> None:
        assert market.time is not None and market.first_time is not None
        bounds = [hours_of(f["row"], day) for f in self.facts]
        low, high = min(start for start, _ in bounds), max(end for _, end in bounds)
        cuts = {t for pair in bounds for t in pair} | set(self.view.reference.breaks)
        cuts |= {t for start, end, _ in self.states for t in (start, end)}
        cuts |= {t for gap in market.gaps for t in gap}
        cuts |= {moment for said in self.quotes.values() for moment, _ in said}
        cuts |= {market.first_time, market.time, market.known_from or market.time}
        total, agreed, two_sided = 0, Fraction(0), 0
        first: tuple[int, dict[str, Any]] | None = None
        ends = 0
        for start, end in pairwise(sorted(t for t in cuts if low <= t <= high)):
            terms = self._terms(market, day, start, start)
            if terms is None:
                continue
            first, ends = first or (start, terms), end
            now = self._own_spread(market, terms, start)
            if now is None or terms.get("max_spread_bps") is None:
                continue
            two_sided += end - start
            total += now * (end - start)
            agreed += Fraction(str(terms["max_spread_bps"])) * 10**6 * (end - start)
        if first is None or total <= agreed or not self._affiliated(market, *first):
            return
        zone = first[1].get("zone") or VENUE_ZONE
        over = max(ends, wall_clock(day + DAY, "00:00", zone))
        self.alerts.append(
            {
                "rule": "spread_quality",
                "anchor": [name, day.isoformat(), "spread"],
                "status": "confirmed",
                "reason": None,
                "ts": min(over, market.time),
                "tw_spread_bps": round_half_even(total, two_sided),
            }
        )

    def _names(self) -> set[str]:
        facts = self.view.reference.facts["accounts"]
        return {f["key"][0] for f in facts} | {o[0] for _, _, orders in self.states for o in orders if o[0]}

    def _affiliated(self, market: Market, start: int, terms: dict[str, Any]) -> bool:
        accounts = self._accounts(terms, start, self._names() | set(self.quotes))
        return any(self.view.at(start).role(a, market.instrument) == "affiliated_mm" for a in accounts)

    def _own_spread(self, market: Market, terms: dict[str, Any], ts: int) -> int | None:
        assert market.time is not None
        if self._phase(ts, ts) != "continuous" or any(start <= ts < end for start, end in market.gaps):
            return None
        if market.known_from is None or not market.known_from <= ts < market.time:
            return None
        state = next((orders for start, end, orders in self.states if start <= ts < end), [])
        mine = self._accounts(terms, ts, {o[0] for o in state if o[0]} | set(self.quotes))
        if terms.get("source", "orders") == "orders":
            bids = [price for account, side, price, _ in state if account in mine and side == "buy"]
            asks = [price for account, side, price, _ in state if account in mine and side == "sell"]
        else:
            latest = [
                [quote for moment, quote in self.quotes[name] if moment <= ts][-1:]
                for name in mine & set(self.quotes)
            ]
            quotes = [quote for found in latest for quote in found]
            bids = [quote["bid_px"] for quote in quotes if quote["bid_px"] is not None]
            asks = [quote["ask_px"] for quote in quotes if quote["ask_px"] is not None]
        return spread(max(bids, default=None), min(asks, default=None))
