"""How wide a maker's own quotes were over an agreement's trading day, against what was agreed."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from detectors.liquidity.agreed_session import Schedule, Segment
from detectors.liquidity.own_quotes import Levels, OwnQuotes, level, together
from detectors.liquidity.quoted_spread import spread
from detectors.trading_day import day_bounds, trading_day
from schemas.alerts import Evidence
from schemas.decimals import parse
from schemas.journal import QuoteEntry
from schemas.reference import MmAgreement

if TYPE_CHECKING:
    from detectors.market import Market

KEPT_DAYS = 64  # whose sessions are remembered
_scaled = lru_cache(maxsize=4_096)(parse)


class Width(msgspec.Struct):
    """An agreement's trading day: two-sided time (ns), spread and agreed spread summed over it.

    `spread` in 1e-6 bps x ns, `agreed` in 1e-8 bps x ns. `widest`, and the record that made it so.
    """

    trading_day: str
    two_sided: int = 0
    spread: int = 0
    agreed: int = 0
    widest: int = 0
    evidence: Evidence | None = None

    @property
    def exceeds(self) -> bool:
        """True if the time-weighted mean is above the agreed one."""
        return 100 * self.spread > self.agreed


class Over(msgspec.Struct, frozen=True):
    """An agreement's trading day that is over at `ts`, or as far as it is known; `start` of its session."""

    agreement: str
    width: Width
    accounts: list[str]
    start: int
    ts: int


class MakerQuote(msgspec.Struct, frozen=True):
    """An account's latest quote: by price, of the record `seq`."""

    seq: int
    bids: dict[int, int]
    asks: dict[int, int]


class Widths(msgspec.Struct):
    """By agreement the days that are open, ascending: two where a session crosses midnight and the next has
    begun; by key what is due; by account the record that last changed quotes.

    `told`: days that clocks let be over beyond the last own entry.
    """

    open: dict[str, list[Width]] = {}
    due: dict[str, Over] = {}
    told: dict[str, Width] = {}
    touched: dict[str, Evidence] = {}
    quotes: dict[str, MakerQuote] = {}


class AgreedDay(NamedTuple):
    """An agreement's session on one trading day, when the day and what it agrees is over, and whose it is."""

    schedule: Schedule
    midnight: int
    last: int
    affiliated: bool
    accounts: list[str]


class Agreements:
    """What is derived from reference data and the book: the agreements on an instrument and own quotes."""

    def __init__(self, market: Market, name: str, widths: Widths) -> None:
        directory = market.context.directory
        self.market, self.widths = market, widths
        self.facts = directory.agreement_versions(market.instrument)
        self._days: dict[tuple[str, str], AgreedDay] = {}
        self._spreads: dict[tuple[str, int], tuple[tuple[int, int], int | None]] = {}
        self._quotes = 0  # makers' quotes so far
        accounts: set[str] = set()
        for fact in (fact for facts in self.facts.values() for fact in facts):
            if fact.entity is not None:
                accounts.update(directory.accounts_of(fact.entity))
            elif fact.account is not None:
                accounts.add(fact.account)
        self.accounts = accounts
        self._own = OwnQuotes(market, name, accounts, widths.touched)

    def quote(self, quote: QuoteEntry) -> None:
        """Keep a maker's latest quote."""
        account, kept = quote.account, self.widths.quotes
        if account not in self.accounts or account is None:
            return
        if account not in kept or kept[account].seq < quote.seq:
            bids, asks = level(quote.bid_px, quote.bid_size), level(quote.ask_px, quote.ask_size)
            kept[account] = MakerQuote(quote.seq, bids, asks)
            self._quotes += 1
            self.widths.touched[account] = Evidence("quote", quote.quote_id or account, quote.seq)

    def zone(self, agreement: str) -> str:
        """Return the agreement's zone (the first by name, if it changes), or the venue's."""
        return min(fact.zone or self.market.context.zone for fact in self.facts[agreement])

    def _day(self, agreement: str, day: str) -> AgreedDay:
        found = self._days.get((agreement, day))
        if found is None:
            if len(self._days) >= KEPT_DAYS:
                self._days, self._spreads = {}, {}
            market, directory = self.market, self.market.context.directory
            schedule = Schedule(directory, market.instrument, self.facts[agreement], day, market.context.zone)
            midnight, affiliated = day_bounds(day, self.zone(agreement))[1], False
            last = midnight
            if schedule.segments:
                last = schedule.span[1]
                affiliated = any(
                    market.party(account, schedule.start).role == "affiliated_mm"
                    for account in schedule.segments[0].accounts
                )
            found = self._days[agreement, day] = AgreedDay(
                schedule, midnight, last, affiliated, schedule.accounts()
            )
        return found

    def run(self, agreement: str, opened: list[Width], start: int, end: int, known: bool) -> Run:
        """Add the quotes as they stand from `start` to `end`; return days over by then, and those still open.

        The day is over at its end, or at its session's, whichever is later.
        """
        found = Run()
        widths = opened or [Width(_shift(trading_day(start, self.zone(agreement)), -1))]
        while self._day(agreement, widths[-1].trading_day).midnight <= end:
            widths = [*widths, Width(_shift(widths[-1].trading_day, 1))]
        for width in widths:
            schedule, _midnight, last, affiliated, accounts = self._day(agreement, width.trading_day)
            watched = affiliated and last > start
            if watched:
                self._weigh(schedule, width, start, min(end, last), known)
            if last > end:
                found.open.append(width)
            if watched:
                ends = found.over if last <= end else found.now
                ends.append(Over(agreement, width, accounts, schedule.start, min(last, end)))
        return found

    def _weigh(self, schedule: Schedule, width: Width, start: int, end: int, known: bool) -> None:
        for segment in schedule.segments[schedule.index(start) :] if known else ():
            first, last = max(start, segment.start), min(end, segment.end)
            if first >= end:
                return
            terms = segment.terms
            if segment.phase != "continuous" or terms.max_spread_bps is None:
                continue
            now = self._spread(segment)
            if now is None:
                continue
            width.two_sided += last - first
            width.spread += now * (last - first)
            width.agreed += _scaled(terms.max_spread_bps) * (last - first)
            if now > width.widest:
                touched = (self.widths.touched.get(account) for account in segment.accounts)
                width.widest = now
                width.evidence = max(filter(None, touched), key=lambda record: record.seq, default=None)

    def _spread(self, segment: Segment) -> int | None:
        """Return the accounts' own spread (1e-6 bps), looked at again only if their quotes have changed."""
        mark = (self._own.version, self._quotes)
        key = (segment.terms.id, segment.start)
        known = self._spreads.get(key)
        if known is not None and known[0] == mark:
            return known[1]
        bids, asks = self._levels(segment.terms, segment.accounts)
        two_sided = bool(bids) and bool(asks) and min(asks) > max(bids)
        now = spread(max(bids), min(asks)) if two_sided else None
        self._spreads[key] = (mark, now)
        return now

    def _levels(self, terms: MmAgreement, accounts: tuple[str, ...]) -> tuple[Levels, Levels]:
        if terms.source == "orders":
            return self._own.levels(accounts)
        quotes = [self.widths.quotes[name] for name in accounts if name in self.widths.quotes]
        return together(quote.bids for quote in quotes), together(quote.asks for quote in quotes)


class Run(msgspec.Struct):
    """What `Agreements.run` found: the days still open, those over by then, and the open ones as of now."""

    open: list[Width] = []
    over: list[Over] = []
    now: list[Over] = []


def _shift(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
