"""L1 by brute force: `presence_days`, the warning and the breach, one pass of reference data at a time.

Written from SPEC.md sections 2.4, 2.5, 3 and 4 (L1) alone; shares no code with the product. Time is cut at
every moment at which anything can change; each piece is classified by its first nanosecond, from the raw
records; the warning's formula is evaluated afresh, from all pieces, at every moment that it is asked for.

Output: `rows`, one dict an agreement and trading day: ns columns, `presence_pct*` and `required_pct` int in
1e-6 %, verdict; and `alerts`: anchor, ts (the warning's t; the session's or the
recording's end, whichever is earlier).

Readings
L1a The session of trading day D begins at `session_start` of the civil day D in the agreement's zone (else
    the venue's), ends at `session_end` of D, or of D + 1 where that is not later. A wall-clock time that
    comes twice is the first; one that is skipped has the offset before the skip (RFC 5545, 3.3.5).
L1b A nanosecond is in the session iff the terms that stand at it (2.4's two passes) have it in their hours:
    so validity in mid-day shortens the session, and terms that change in mid-day are each used for their
    time. The required percentage is that of the session's first nanosecond.
L1c Rows: days of which the civil day or the session touches [first entry that is not `restated`, instrument's
    time], with a session that is not empty.
L1d An agreement of an entity counts, at each moment, the accounts that the entity owns at that moment.
L1e What is hidden quotes nothing: best prices are the best displayed ones (as L2a).
L1f Protection: from `mm_protection_start` to `mm_protection_end` of any one of the agreement's accounts, not
    beyond the instrument's time. A phase's exemption also before the first and after the last record.
L1g `quotes`: an account's latest quote stands until its next one. Known time as for orders.
L1h An absent limit (max_spread_bps, min_qty) limits nothing; presence_pct is 50 by default.
L1i Warning: t lies in the session or at the end of a stretch of it, and not after the recording's end.
    "Known at t": pass 1 uses facts recorded at or before t for what lies after t, pass 2 all. A freeze's
    future is not known.
L1j At equal prices of several orders and accounts quantities add up.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from oracle_market import Market
from oracle_reference import EPOCH, View

VENUE_ZONE = "Asia/Hong_Kong"
DAY = timedelta(days=1)
IMBALANCE = Fraction(1, 2)


def wall_clock(day: date, hhmm: str, zone: str) -> int:
    """The UTC ns of a wall-clock time; "24:00" is the next day's midnight."""
    hours, minutes = int(hhmm[:2]), int(hhmm[3:])
    if hours == 24:
        day, hours = day + DAY, 0
    past = datetime.combine(day, time(hours, minutes), ZoneInfo(zone)).astimezone(UTC) - EPOCH
    return (past.days * 86400 + past.seconds) * 10**9


def hours_of(terms: dict[str, Any], day: date) -> tuple[int, int]:
    """The agreed hours of a trading day (L1a)."""
    zone = terms.get("zone") or VENUE_ZONE
    start, end = terms.get("session_start", "00:00"), terms.get("session_end", "24:00")
    return wall_clock(day, start, zone), wall_clock(day if end > start else day + DAY, end, zone)


def is_compliant(terms: dict[str, Any], bids: dict[int, int], asks: dict[int, int]) -> bool:
    """L1's condition on displayed quantities by price."""
    needed = Fraction(str(terms.get("min_qty") or 0)) * 10**8
    depth = terms.get("size_at", "best") == "depth"
    a, q_a = _size(sorted(asks.items()), needed if depth else Fraction(0))
    b, q_b = _size(sorted(bids.items(), reverse=True), needed if depth else Fraction(0))
    if a is None or b is None or a <= b:
        return False
    least = min(q_a, q_b)
    limit = terms.get("max_spread_bps")
    if limit is not None and 10**4 * (a - b) / (Fraction(a + b) / 2) > Fraction(str(limit)):
        return False
    return least >= needed and Fraction(abs(q_a - q_b), least) <= IMBALANCE


def _size(levels: list[tuple[int, int]], needed: Fraction) -> tuple[int | None, int]:
    total = 0
    for price, quantity in levels:
        total += quantity
        if total >= needed:
            return price, total
    return None, 0


def percent(part: int, whole: int) -> int | None:
    """100 part / whole in 1e-6 %, half to even; None where whole is 0."""
    return round(Fraction(10**8 * part, whole)) if whole else None


class QuotingObligation:
    """Observer of a Market. `view` is one pass."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.states: list[tuple[int, int, list[tuple[str | None, str, int, int]]]] = []
        self.rows: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.facts: list[dict[str, Any]] = []
        self.phases: list[dict[str, Any]] = []

    def on_state(self, market: Market, start: int, end: int) -> None:
        """Keep every displayed order that rests in [start, end)."""
        orders = [
            (o.account, side, o.price or 0, o.displayed)
            for side in ("buy", "sell")
            for o in market.resting(side)
        ]
        self.states.append((start, end, orders))

    def on_end(self, market: Market) -> None:
        """Judge every agreement and trading day."""
        if market.first_time is None or market.time is None:
            return
        facts = self.view.reference.facts
        named = sorted(
            {f["key"] for f in facts["mm_agreements"] if f["row"]["instrument"] == market.instrument}
        )
        self.phases = [f for f in facts["trading_phases"] if f["key"] == (market.instrument,)]
        self._messages(market)
        for key in named:
            self.facts = [f for f in facts["mm_agreements"] if f["key"] == key]
            day = (EPOCH + timedelta(microseconds=market.first_time // 1000)).date() - 3 * DAY
            while wall_clock(day - 3 * DAY, "00:00", "UTC") <= market.time:
                self._day(market, key[0], day)
                day += DAY

    # -- raw records----------------------------------------------------------

    def _messages(self, market: Market) -> None:
        """Quotes and protection by account, each with the time from which it has weight."""
        self.quotes: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.protection: dict[str, list[tuple[int, bool]]] = {}
        moment: int | None = None
        for entry in market.entries:
            if entry["kind"] == "orders" and entry["exec_type"] == "restated":
                continue
            moment = entry["ts"] if moment is None else max(moment, entry["ts"])
            if entry["kind"] == "quotes" and entry["account"]:
                self.quotes.setdefault(entry["account"], []).append((moment, entry))
            if entry["kind"] == "orders" and entry["exec_type"].startswith("mm_protection"):
                begins = entry["exec_type"] == "mm_protection_start"
                self.protection.setdefault(entry["account"], []).append((moment, begins))

    # -- what is true at one nanosecond---------------------------------------

    def _standing(self, facts: list[dict[str, Any]], ts: int, known_at: int) -> dict[str, Any] | None:
        """The row of the fact of one key that stands at `ts` for one who knows what was recorded by then."""
        best: dict[str, Any] | None = None
        for f in facts:
            valid = (f["from"] is None or f["from"] <= ts) and (f["to"] is None or ts < f["to"])
            recorded = -1 if f["recorded"] is None else f["recorded"]
            if not valid or (self.view.which == 1 and recorded > known_at):
                continue
            if best is None or recorded >= (-1 if best["recorded"] is None else best["recorded"]):
                best = f
        return None if best is None or best["withdrawn"] else best["row"]

    def _terms(self, market: Market, day: date, ts: int, known_at: int) -> dict[str, Any] | None:
        """The terms in force at `ts` if `ts` is in their hours of the trading day."""
        terms = self._standing(self.facts, ts, known_at)
        if terms is None or terms["instrument"] != market.instrument:
            return None
        start, end = hours_of(terms, day)
        return terms if start <= ts < end else None

    def _phase(self, ts: int, known_at: int) -> str:
        row = self._standing(self.phases, ts, known_at)
        return "continuous" if row is None else str(row["phase"])

    def _accounts(self, terms: dict[str, Any], ts: int, names: set[str]) -> set[str]:
        if terms.get("account"):
            return {terms["account"]}
        return {name for name in names if self.view.at(ts).owner(name) == terms.get("entity")}

    def _kind(self, market: Market, terms: dict[str, Any], ts: int, state: Any) -> str:
        """exempt, unknown, compliant or not, of the nanosecond `ts`; `state`: the orders resting then."""
        if self._phase(ts, ts) != "continuous":
            return "exempt"
        assert market.time is not None
        orders = state if state is not None else []
        names = {o[0] for o in orders if o[0]} | set(self.quotes) | set(self.protection)
        mine = self._accounts(terms, ts, names)
        if terms.get("protection_exempt") and ts < market.time:
            for name in mine & set(self.protection):
                before = [begins for moment, begins in self.protection[name] if moment <= ts]
                if before and before[-1]:
                    return "exempt"
        if market.known_from is None or not market.known_from <= ts < market.time:
            return "unknown"
        if any(start <= ts < end for start, end in market.gaps):
            return "unknown"
        sides: dict[str, dict[int, int]] = {"buy": {}, "sell": {}}
        if terms.get("source", "orders") == "orders":
            for account, side, price, quantity in orders:
                if account in mine:
                    sides[side][price] = sides[side].get(price, 0) + quantity
        else:
            for name in mine & set(self.quotes):
                said = [quote for moment, quote in self.quotes[name] if moment <= ts]
                for side, px, size in (("buy", "bid_px", "bid_size"), ("sell", "ask_px", "ask_size")):
                    if said and said[-1][px] is not None:
                        price = said[-1][px]
                        sides[side][price] = sides[side].get(price, 0) + said[-1][size]
        return "compliant" if is_compliant(terms, sides["buy"], sides["sell"]) else "not"

    # -- a day----------------------------------------------------------------

    def _day(self, market: Market, name: str, day: date) -> None:
        assert market.time is not None and market.first_time is not None
        bounds = [hours_of(f["row"], day) for f in self.facts]
        low, high = min(start for start, _ in bounds), max(end for _, end in bounds)
        cuts = {t for pair in bounds for t in pair} | set(self.view.reference.breaks)
        cuts |= {t for start, end, _ in self.states for t in (start, end)} | {
            t for g in market.gaps for t in g
        }
        cuts |= {moment for said in self.quotes.values() for moment, _ in said}
        cuts |= {moment for said in self.protection.values() for moment, _ in said}
        cuts |= {market.first_time, market.time, market.known_from or market.time}
        edges = sorted(t for t in cuts if low <= t <= high)
        pieces: list[tuple[int, int, str]] = []
        first_terms: dict[str, Any] | None = None
        at = 0
        for start, end in pairwise(edges):
            terms = self._terms(market, day, start, start)
            if terms is None:
                continue
            first_terms = first_terms or terms
            while at < len(self.states) and self.states[at][1] <= start:
                at += 1
            inside = at < len(self.states) and self.states[at][0] <= start
            pieces.append(
                (start, end, self._kind(market, terms, start, self.states[at][2] if inside else None))
            )
        if first_terms is None:
            return
        zone = first_terms.get("zone") or VENUE_ZONE
        begins = min(pieces[0][0], wall_clock(day, "00:00", zone))
        ends = max(pieces[-1][1], wall_clock(day + DAY, "00:00", zone))
        if begins > market.time or ends <= market.first_time:
            return
        required = Fraction(str(first_terms.get("presence_pct") or 50))
        self._row(market, name, day, pieces, required)
        self._warn(market, name, day, pieces, required, edges)

    def _row(
        self, market: Market, name: str, day: date, pieces: list[tuple[int, int, str]], required: Fraction
    ) -> None:
        total = dict.fromkeys(("exempt", "unknown", "compliant", "not"), 0)
        for start, end, kind in pieces:
            total[kind] += end - start
        session = sum(total.values())
        left, good, maybe = session - total["exempt"], total["compliant"], total["unknown"]
        if left == 0:
            verdict = "exempt"
        elif 100 * good >= required * left:
            verdict = "met"
        elif 100 * (good + maybe) < required * left:
            verdict = "breach"
        else:
            verdict = "inconclusive"
        self.rows.append(
            {
                "agreement": name,
                "trading_day": day.isoformat(),
                "session_ns": session,
                "exempt_ns": total["exempt"],
                "unknown_ns": maybe,
                "compliant_ns": good,
                "presence_pct": percent(good, left - maybe),
                "presence_pct_low": percent(good, left),
                "presence_pct_high": percent(good + maybe, left),
                "required_pct": round(required * 10**6),
                "verdict": verdict,
            }
        )
        if verdict == "breach":
            assert market.time is not None
            self._alert(name, day, "breach", min(pieces[-1][1], market.time))

    def _alert(self, name: str, day: date, kind: str, ts: int) -> None:
        self.alerts.append(
            {
                "rule": "quoting_obligation",
                "anchor": [name, day.isoformat(), kind],
                "status": "confirmed",
                "reason": None,
                "ts": ts,
            }
        )

    def _warn(
        self,
        market: Market,
        name: str,
        day: date,
        pieces: list[tuple[int, int, str]],
        required: Fraction,
        edges: list[int],
    ) -> None:
        """The least t with 100 (compliant + unknown up to t + (end - t) - exempt known after t) < required x
        (session - exempt known at t)."""
        assert market.time is not None

        def holds(t: int) -> bool:
            so_far = dict.fromkeys(("exempt", "unknown", "compliant", "not"), 0)
            for start, end, kind in pieces:
                so_far[kind] += max(0, min(end, t) - start)
            rest = exempt_after = 0
            ahead = [t, *(edge for edge in edges if edge > t)]
            for start, end in pairwise(ahead):
                if self._terms(market, day, start, t) is not None:
                    rest += end - start
                    if self._phase(start, t) != "continuous":
                        exempt_after += end - start
            session = sum(so_far.values()) + rest
            left = session - so_far["exempt"] - exempt_after
            return 100 * (so_far["compliant"] + so_far["unknown"] + rest - exempt_after) < required * left

        ends = {end for _start, end, _kind in pieces} - {start for start, _end, _kind in pieces}
        for start, end, _kind in sorted([*pieces, *((end, end + 1, "") for end in ends)]):
            if start > market.time:
                return
            last = min(end - 1, market.time)
            if not holds(last):
                continue
            low = start  # the formula is monotone within a piece: nothing new becomes known in it
            while low < last:
                middle = (low + last) // 2
                low, last = (low, middle) if holds(middle) else (middle + 1, last)
            self._alert(name, day, "warning", low)
            return
