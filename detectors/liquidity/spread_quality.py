"""L2 spread and execution quality: what was quoted, and what trades cost, by minute and trading day."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from detectors.base import Rule
from detectors.bounded import oldest_beyond
from detectors.liquidity.agreed_spread import Agreements, Widths
from detectors.liquidity.day_end import count_quotes, judge_makers, judge_open_days, judge_spread
from detectors.liquidity.executions import add_volumes, best, best_at_receipt, describe, resolve
from detectors.liquidity.progress import MINUTE, Kept, Progress, Said, quoted_columns, weigh
from detectors.liquidity.quoted_spread import Sums, VenueBest, quoted, told
from detectors.liquidity.trade_measures import Fill, Trades, columns
from detectors.rulebook import Unit
from detectors.trading_day import day_bounds
from schemas import codec
from schemas.decimals import divide_half_even
from schemas.journal import OrderEntry, QuoteEntry, TradeEntry
from schemas.metrics import SpreadDay, SpreadMinute

if TYPE_CHECKING:
    from detectors.market import Market

KEPT_MINUTES = 240  # with trades, whose rows a bust can still change


class SpreadQualityState(msgspec.Struct):
    """`said`: rows published beyond the last own entry (by clocks), which a gap may still revise.

    `venue`: the venue's quote where the instrument's book is `quotes`, None while it is not known.
    `kept`: minutes and days with trades that are over, by key. `judged`: days whose makers are compared,
    which a gap may still revise.
    """

    progress: Progress | None = None
    said: dict[str, Said] = {}
    venue: VenueBest | None = None
    trades: Trades = msgspec.field(default_factory=Trades)
    kept: dict[str, Kept] = {}
    judged: list[str] = []
    widths: Widths = msgspec.field(default_factory=Widths)


class SpreadQuality(Rule):
    """L2, quoted and trade measures per instrument and UTC minute, and per trading day; two alerts a day.

    Spread of a state: round_half_even(2e10 (a-b)/(a+b)) in 1e-6 bps, over time in which the book is
    two-sided and a > b; *without affiliates*: orders whose role at acceptance was affiliated_mm or affiliate
    struck out and nothing else changed (a static comparison: others would have quoted differently). Benefit =
    without - with over common time. Depth: displayed, within 10/25/50 bps of the full book's mid, over the
    full book's two-sided time. Volumes: every trade of every match type; the affiliated maker's by
    its side where somebody aggressed, and against clients; trades between affiliates only in `volume`.

    Per book trade (D = +1 buyer-initiated, M0 = the mid just before the record that began its turn):
    effective 2 D (P - M0) / M0, improvement D (far touch at M0 - P) / M0, realised at 1, 10 and 60 s
    2 D (P - M_h) / M0, impact = effective - realised: integers in 1e-6 bps, half even, then the
    quantity-weighted mean. A minute is published at its end, without realised spreads, and again 60 s later.
    So is a day, which also says the exact sums by pair of roles at the trade: the aggressor's, the other's.

    >>> from detectors.liquidity.quoted_spread import spread
    >>> spread(100_00000000, 101_00000000)
    99502488
    >>> from detectors.liquidity.trade_measures import Best, Fill
    >>> fill = Fill(3, 0, 0, Best(2, 99_00000000, 101_00000000, True), price=101_00000000, qty=1, sign=1)
    >>> fill.effective, fill.improvement  # bought at the ask, 1 above the mid of 100: 200 bps
    (200000000, 0)

    Alerts, at the end of the trading day (or of a recording): `spread`, for each agreement of an affiliated
    maker (by the role of its accounts at the session's start): its own best displayed quotes' time-weighted
    spread, over its session's two-sided, continuous and known time, above max_spread_bps (its mean, if it
    changes); `realised`, for each affiliated maker's account, decided when the last horizon has ended: the
    60 s realised spread of its passive fills by clients above that of independent makers' by more than
    `realised_excess_bps`, the lower 99 % bound above 0 (see `makers_compared`), with `min_fills` of each in
    `min_blocks` five-minute blocks.
    Parameters are those at the session's or trading day's first nanosecond.

    Choices where the text is silent:
    - Hidden orders make no best price; a phase that is not continuous wins over a data gap; before the first
      and after the last entry of a minute time is unknown whatever the phase; time since an instrument's last
      own entry is published by clocks as the book stood, and revised if a gap shows.
    - A trade belongs to the minute of the instrument's time at it, a late one to that in which it arrives.
    - Not measured, and counted by day under the first that holds: match types other than `book`; no
      aggressor; phase not continuous at its `ts`; between affiliates; late; start of the book unknown; book
      one-sided or crossed at receipt. A gap just before the turn does not matter. A trade outside any turn
      was received just before itself.
    - M_h is that at `ts` + h; a crossed book has a mid, a one-sided one has none. A trade stamped more than
      h behind the instrument's time has none either.
    - A bust takes a fill's measures out of its minute and day, a correction puts its new values in, with the
      prices at the old receipt: rows that are over are published again (the last 240 minutes with trades; the
      last 20,000 fills). Volumes stay: it was traded. Alerts of days that are over stay.
    - At a recording's end both revisions are published of what is open, horizons beyond it null.

    Where the record has no orders and the instrument's fact says `book = "quotes"`, the spread is that of
    the venue's own quotes, each from its `ts` to the next one's; time is known from the first quote on, and
    after a gap from the next; mids of trades are the venue's too. A quote tells neither whose orders it is
    made of nor what lies behind it: all measures without affiliates, common time and depth stay 0 ns or null.
    It never enters the book.

    Misses: undisplayed interest; fees and rebates; what a trade was worth to its parties beyond 60 s.
    Source: SPEC.md L2; SEC Rule 605 for the terms (secondary).
    """

    name = "spread_quality"
    version = 7
    State = SpreadQualityState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """Of the comparison of makers: by how much, from how many fills of each and blocks of 300 s on."""

        realised_excess_bps: Annotated[int, Unit("bps")] = 1_000_000
        min_fills: Annotated[int, Unit("count")] = 200
        min_blocks: Annotated[int, Unit("count")] = 1

    def on_open(self, market: Market, state: SpreadQualityState) -> None:
        """Follow the quotes of the accounts that agreements on the instrument name."""
        market.cache[self.instance.name] = Agreements(market, self.instance.name, state.widths)

    def on_due(
        self, market: Market, state: SpreadQualityState, start: int, end: int, known: bool, certain: bool
    ) -> None:
        """Count the makers' own quotes."""
        count_quotes(self, market, state.widths, start, end, known=known, certain=certain)

    def on_timer(self, market: Market, state: SpreadQualityState, due: int, key: str) -> None:
        """Decide a trading day that is over: of an agreement at its end, of makers 60 s after it."""
        check, _, day = key.partition(" ")
        if check == "spread":
            judge_spread(self, market, state.widths.due.pop(key))
            return
        self._judge_makers(market, state, day, due)
        state.judged.append(day)
        self._wake(market, day_bounds(day, market.context.zone)[1])

    def on_time(self, market: Market, state: SpreadQualityState, start: int, end: int, known: bool) -> None:
        """Commit the stretch since the last own entry."""
        progress = state.progress or self._start(market, state, start)
        known = known or _told_by_venue(market, state)
        resolve(market, state.venue, state.trades, end, known)
        self._advance(market, state, progress, state.trades, start, end, known)
        for day in [day for day in state.judged if day_bounds(day, market.context.zone)[1] + MINUTE <= end]:
            # again: a gap may have shown since
            judge_makers(self, market, state.trades, day, day_bounds(day, market.context.zone)[1])
            state.judged.remove(day)
            state.trades.makers.pop(day, None)
        if state.said:
            state.said = {key: said for key, said in state.said.items() if said.ends > end}

    def on_quote(self, market: Market, state: SpreadQualityState, quote: QuoteEntry) -> None:
        """Keep the venue's best bid and offer, where the record tells no more of the book."""
        if quote.account is not None:
            agreements: Agreements = market.cache[self.instance.name]
            agreements.quote(quote)
            return
        if market.context.directory.book_source(market.instrument, quote.ts) != "quotes":
            state.venue = None
        elif state.venue is None or quote.seq > state.venue.seq:  # not a late one
            state.venue = VenueBest(quote.seq, quote.bid_px, quote.ask_px)

    def on_order(self, market: Market, state: SpreadQualityState, entry: OrderEntry, first: bool) -> None:
        """Keep the prices at receipt before a turn changes them.

        A new order changes nothing until it trades; a replaced one has left its place by then, a triggered
        one may have, and prevention may have cancelled another's order.
        """
        turn, receipt = market.book.turn, state.trades.receipt
        if entry.exec_type in ("replaced", "triggered") and not market.late:
            state.trades.receipt = best(market, state.venue, entry.seq)
        elif turn is not None and (receipt is None or receipt.seq != turn.begin_seq):
            state.trades.receipt = best(market, state.venue, turn.begin_seq)

    def on_trade(self, market: Market, state: SpreadQualityState, trade: TradeEntry) -> None:
        """Add to the volumes, and measure; a correction changes measures, and no volume."""
        if market.sequence.skipped is not None and not market.late:
            state.venue = None  # a quote may be among what is missing
        progress = state.progress or self._start(market, state, market.now)
        buyer = market.party(market.account(trade, "buy"), trade.ts).role
        seller = market.party(market.account(trade, "sell"), trade.ts).role
        trades = state.trades
        if market.correcting:
            fill = trades.fills.get(trade.seq)
            if fill is None:
                return
            describe(market, fill, trade, buyer, seller)
            trades.count(fill, trade.trade_id, market.day(fill.minute))
            self._reopen(market, state, fill)
            return
        add_volumes(progress.sums, trade, buyer, seller)
        receipt = best_at_receipt(market, state.venue, trades, trade.seq)
        fill = Fill(trade.seq, trade.ts, progress.minute, receipt, late=market.late)
        describe(market, fill, trade, buyer, seller)
        trades.enter(fill, trade.trade_id, progress.day, market.now)

    def on_bust(self, market: Market, state: SpreadQualityState, trade_id: str, entry: TradeEntry) -> None:
        """Take out the measures of the fill; its volume was traded."""
        fill = state.trades.take_out(trade_id, market.day)
        if fill is not None and entry.exec_type != "trade_correct":
            self._reopen(market, state, fill)

    def on_clock(self, market: Market, state: SpreadQualityState, ts: int, end: bool) -> None:
        """Publish the minutes and days that have ended; at a recording's end also those that have not."""
        own = market.own_time
        if own is None or ts < own:
            return
        looked, key = (own, ts // MINUTE, market.seq, market.time_known), f"{self.instance.name} clock"
        if looked == market.cache.get(key) and not end:
            return
        market.cache[key] = looked
        progress = (state.progress or self._start(market, state, own)).copy()
        known = market.time_known or _told_by_venue(market, state)
        trades = state.trades
        if trades.due(ts + 1):
            trades = trades.copy()
            resolve(market, state.venue, trades, ts + 1, known)
        self._advance(market, state, progress, trades, own, ts, known)
        if end:
            self._end_minute(market, state, progress, trades)
            for minute in sorted(progress.minutes):
                self._finish_minute(market, state, progress, trades, minute)
            self._end_day(market, state, progress, trades)
            for day in sorted(progress.days):
                self._finish_day(market, state, progress, trades, day)
            judge_open_days(self, market, state.widths, own, ts, known=market.time_known)
            for day in sorted(trades.makers):
                judge_makers(self, market, trades, day, min(day_bounds(day, market.context.zone)[1], ts))

    # ---- time ---------------------------------------------------------------------------------------

    def _start(self, market: Market, state: SpreadQualityState, ts: int) -> Progress:
        minute = ts - ts % MINUTE
        state.progress = Progress(minute, market.day(minute), Sums(), Sums())
        self._wake(market, minute)
        return state.progress

    def _wake(self, market: Market, ts: int) -> None:
        """Ask for the end of the trading day of `ts`, and a minute more: the last realised spreads."""
        day = market.day(ts)
        market.wake(self, day_bounds(day, market.context.zone)[1] + MINUTE, f"makers {day}")

    def _judge_makers(self, market: Market, state: SpreadQualityState, day: str, due: int) -> None:
        """Compare makers with the horizons that end by `due`, as the book stands."""
        trades = state.trades
        if trades.due(due):
            trades = trades.copy()
            known = market.time_known or _told_by_venue(market, state)
            resolve(market, state.venue, trades, due, known)
        judge_makers(self, market, trades, day, day_bounds(day, market.context.zone)[1])

    def _advance(
        self,
        market: Market,
        state: SpreadQualityState,
        progress: Progress,
        trades: Trades,
        start: int,
        end: int,
        known: bool,
    ) -> None:
        """Add the book as it stands from `start` to `end`; publish what minutes and days end meanwhile."""
        now = quoted(market) if state.venue is None else told(state.venue)
        while True:
            stop = min(end, progress.minute + MINUTE)
            weigh(market, progress.sums, now, start, stop, known)
            start = stop
            if progress.minute + MINUTE > end:
                return
            if progress.minute - MINUTE in progress.minutes:
                self._finish_minute(market, state, progress, trades, progress.minute - MINUTE)
            self._end_minute(market, state, progress, trades)
            for day in list(progress.days):
                self._finish_day(market, state, progress, trades, day)
            progress.sums = Sums()
            progress.minute += MINUTE
            day = market.day(progress.minute)
            if day != progress.day:
                self._end_day(market, state, progress, trades)
                progress.day, progress.day_sums = day, Sums()

    # ---- rows ---------------------------------------------------------------------------------------

    def _end_minute(
        self, market: Market, state: SpreadQualityState, progress: Progress, trades: Trades
    ) -> None:
        """Publish the minute without realised spreads."""
        minute, sums = progress.minute, progress.sums
        measures = columns(trades.minutes.get(minute), with_realised=False)
        row = SpreadMinute(minute=minute, **quoted_columns(market, sums, MINUTE), **measures)
        progress.minutes[minute] = row
        progress.day_sums.add(sums)
        self._publish(market, state, f"minute {minute}", minute + 2 * MINUTE, row, final=False)

    def _finish_minute(
        self, market: Market, state: SpreadQualityState, progress: Progress, trades: Trades, minute: int
    ) -> None:
        """Publish the minute with them."""
        measures = columns(trades.minutes.get(minute), with_realised=True)
        row = msgspec.structs.replace(progress.minutes.pop(minute), **measures)
        key = f"minute {minute}"
        revision = self._publish(market, state, key, minute + 2 * MINUTE, row, final=True)
        if progress is state.progress and minute in trades.minutes:
            state.kept[key] = Kept(revision, row)
            for old in oldest_beyond(state.kept, KEPT_MINUTES):
                kept = state.kept.pop(old).row
                if isinstance(kept, SpreadMinute):
                    del trades.minutes[kept.minute]
                else:
                    trades.forget_day(kept.trading_day)

    def _end_day(self, market: Market, state: SpreadQualityState, progress: Progress, trades: Trades) -> None:
        """Publish the day without realised spreads."""
        sums, day = progress.day_sums, progress.day
        first, last = day_bounds(day, market.context.zone)
        benefit = None
        if sums.common:
            benefit = divide_half_even(sums.spread_common_without - sums.spread_common, sums.common)
        row = SpreadDay(
            trading_day=day,
            benefit_bps=benefit,
            two_sided_only_with_affiliates_ns=sums.only_with,
            **quoted_columns(market, sums, last - first),
            **trades.day_columns(day, with_realised=False),
        )
        progress.days[day] = row
        self._publish(market, state, f"day {day}", last + MINUTE, row, final=False)

    def _finish_day(
        self, market: Market, state: SpreadQualityState, progress: Progress, trades: Trades, day: str
    ) -> None:
        """Publish the day with them."""
        row = msgspec.structs.replace(progress.days.pop(day), **trades.day_columns(day, with_realised=True))
        key, last = f"day {day}", day_bounds(day, market.context.zone)[1]
        revision = self._publish(market, state, key, last + MINUTE, row, final=True)
        if progress is state.progress and day in trades.days:
            state.kept[key] = Kept(revision, row)
        if progress is state.progress:
            trades.forget_before(last - market.context.bust_horizon)

    def _publish(
        self,
        market: Market,
        state: SpreadQualityState,
        key: str,
        ends: int,
        row: SpreadMinute | SpreadDay,
        *,
        final: bool,
    ) -> int:
        """Publish a row, unless it has been said; return its revision."""
        content = hashlib.blake2b(codec.canonical(row), digest_size=16).hexdigest()
        said = state.said.setdefault(key, Said(ends))
        if content == (said.final if final else said.first) or (said.final and not final):
            return said.revision  # what has been said with realised spreads will be said so again
        if final:
            said.final = content
        else:
            said.first = content
        said.revision += 1
        market.publish(msgspec.structs.replace(row, revision=said.revision))
        return said.revision

    def _reopen(self, market: Market, state: SpreadQualityState, fill: Fill) -> None:
        """Publish again what is over, and was changed by a bust or correction."""
        trades, day = state.trades, market.day(fill.minute)
        changes: dict[str, dict[str, Any]] = {}
        if fill.minute in trades.minutes:
            changes[f"minute {fill.minute}"] = columns(trades.minutes[fill.minute], with_realised=True)
        if day in trades.days:
            changes[f"day {day}"] = trades.day_columns(day, with_realised=True)
        for key, changed in changes.items():
            kept = state.kept.get(key)
            if kept is not None:
                kept.revision += 1
                market.publish(msgspec.structs.replace(kept.row, revision=kept.revision, **changed))


def _told_by_venue(market: Market, state: SpreadQualityState) -> bool:
    return state.venue is not None and "gap" not in market.flags
