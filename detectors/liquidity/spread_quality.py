"""L2 spread and execution quality: what was quoted, and what trades cost, by minute and trading day."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from detectors.base import Rule
from detectors.bounded import oldest_beyond
from detectors.liquidity.displayed_depth import means
from detectors.liquidity.executions import add_volumes, best, best_at_receipt, describe, resolve
from detectors.liquidity.quoted_spread import Quoted, Sums, VenueBest, add, quoted, told
from detectors.liquidity.trade_measures import Fill, Trades, columns
from detectors.rulebook import Unit
from detectors.trading_day import day_bounds
from schemas import codec
from schemas.decimals import divide_half_even
from schemas.journal import OrderEntry, QuoteEntry, TradeEntry
from schemas.metrics import SpreadDay, SpreadMinute

if TYPE_CHECKING:
    from detectors.market import Market

MINUTE = 60_000_000_000
KEPT_MINUTES = 240  # with trades, whose rows a bust can still change


class Progress(msgspec.Struct):
    """The minute and trading day that are open, and what is still to come of those that are over.

    Summed up to the instrument's last own entry. `minutes`, `days`: rows that are published without realised
    spreads yet.
    """

    minute: int
    day: str
    sums: Sums
    day_sums: Sums
    minutes: dict[int, SpreadMinute] = {}
    days: dict[str, SpreadDay] = {}

    def copy(self) -> Progress:
        """Return an independent copy."""
        return Progress(
            self.minute, self.day, self.sums.copy(), self.day_sums.copy(), dict(self.minutes), dict(self.days)
        )


class Said(msgspec.Struct):
    """What was published of a minute or day: the latest revision, and digests of its two contents.

    `ends`: the time (ns) after which a gap cannot change it any more.
    """

    ends: int
    revision: int = -1
    first: str = ""
    final: str = ""


class Kept(msgspec.Struct):
    """A row that is published for good, unless a fill in it is busted, with its revision."""

    revision: int
    row: SpreadMinute | SpreadDay


class SpreadQualityState(msgspec.Struct):
    """`said`: rows published beyond the last own entry (by clocks), which a gap may still revise.

    `venue`: the venue's quote where the instrument's book is `quotes`, None while it is not known.
    `kept`: minutes and days with trades that are over, by key.
    """

    progress: Progress | None = None
    said: dict[str, Said] = {}
    venue: VenueBest | None = None
    trades: Trades = msgspec.field(default_factory=Trades)
    kept: dict[str, Kept] = {}


class SpreadQuality(Rule):
    """L2, quoted measures per instrument and UTC minute, and per trading day.

    Spread of a state: round_half_even(2e10 (a-b)/(a+b)) in 1e-6 bps, over time in which the book is
    two-sided and a > b; *without affiliates*: orders whose role at acceptance was affiliated_mm or affiliate
    struck out and nothing else changed (a static comparison: others would have quoted differently). Benefit =
    without - with over common time. Depth: displayed, within 10/25/50 bps of the full book's mid, over the
    full book's two-sided time. Volumes: every trade of every match type; the affiliated maker's by
    its side where somebody aggressed, and against clients; trades between affiliates only in `volume`.

    >>> from detectors.liquidity.quoted_spread import spread
    >>> spread(100_00000000, 101_00000000)
    99502488

    Choices where the text is silent: hidden orders make no best price; a phase that is
    not continuous wins over a data gap; before the first and after the last entry of a minute time is
    unknown whatever the phase; time since an instrument's last own entry is published by clocks as the book
    stood, and revised if a gap shows. A late trade counts in the minute it arrives in.

    Where the record has no orders and the instrument's fact says `book = "quotes"`, the spread is that of
    the venue's own quotes, each from its `ts` to the next one's; time is known from the first quote on, and
    after a gap from the next. A quote tells neither whose orders it is made of nor what lies behind it: all
    measures without affiliates, common time and depth stay 0 ns or null. It never enters the book.

    Misses: undisplayed interest; trade measures (effective, realised, impact) are not
    part of this version. Source: SPEC.md L2; SEC Rule 605 for the terms (secondary).
    """

    name = "spread_quality"
    version = 2
    State = SpreadQualityState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """Of the comparison of makers: by how much, and from how many fills of each on."""

        realised_excess_bps: Annotated[int, Unit("bps")] = 1_000_000
        min_fills: Annotated[int, Unit("count")] = 200

    def on_time(self, market: Market, state: SpreadQualityState, start: int, end: int, known: bool) -> None:
        """Commit the stretch since the last own entry."""
        progress = state.progress or self._start(market, state, start)
        known = known or _told_by_venue(market, state)
        resolve(market, state.venue, state.trades, end, known)
        self._advance(market, state, progress, state.trades, start, end, known)
        if state.said:
            state.said = {key: said for key, said in state.said.items() if said.ends > end}

    def on_quote(self, market: Market, state: SpreadQualityState, quote: QuoteEntry) -> None:
        """Keep the venue's best bid and offer, where the record tells no more of the book."""
        if quote.account is not None:
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
        elif turn is not None and not turn.trades and (receipt is None or receipt.seq != turn.begin_seq):
            state.trades.receipt = best(market, state.venue, turn.begin_seq)

    def on_trade(self, market: Market, state: SpreadQualityState, trade: TradeEntry) -> None:
        """Add to the volumes, and measure; a correction changes measures, and no volume."""
        if market.sequence.skipped is not None and not market.late:
            state.venue = None  # a quote may be among what is missing
        progress = state.progress or self._start(market, state, market.own_time or trade.ts)
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
        trades.enter(fill, trade.trade_id, progress.day, market.own_time or trade.ts)

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
        looked = (own, ts // MINUTE, market.seq, market.time_known)
        if looked == market.cache.get("spread_clock") and not end:
            return
        market.cache["spread_clock"] = looked
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

    # ---- time ---------------------------------------------------------------------------------------

    def _start(self, market: Market, state: SpreadQualityState, ts: int) -> Progress:
        minute = ts - ts % MINUTE
        state.progress = Progress(minute, market.day(minute), Sums(), Sums())
        return state.progress

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
            _weigh(market, progress.sums, now, start, stop, known)
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
        row = SpreadMinute(minute=minute, **_row(market, sums, MINUTE), **measures)
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
                    trades.minutes.pop(kept.minute, None)
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
            excluded=trades.excluded_on(day),
            **_row(market, sums, last - first),
            **columns(trades.days.get(day), with_realised=False),
        )
        progress.days[day] = row
        self._publish(market, state, f"day {day}", last + MINUTE, row, final=False)

    def _finish_day(
        self, market: Market, state: SpreadQualityState, progress: Progress, trades: Trades, day: str
    ) -> None:
        """Publish the day with them."""
        measures: dict[str, Any] = columns(trades.days.get(day), with_realised=True)
        row = msgspec.structs.replace(progress.days.pop(day), excluded=trades.excluded_on(day), **measures)
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
        for key, sums in (
            (f"minute {fill.minute}", trades.minutes.get(fill.minute)),
            (f"day {day}", trades.days.get(day)),
        ):
            kept = state.kept.get(key)
            if kept is None or sums is None:
                continue
            changes: dict[str, Any] = columns(sums, with_realised=True)
            if isinstance(kept.row, SpreadDay):
                changes["excluded"] = trades.excluded_on(day)
            kept.revision += 1
            market.publish(msgspec.structs.replace(kept.row, revision=kept.revision, **changes))


def _weigh(market: Market, sums: Sums, now: Quoted, start: int, end: int, known: bool) -> None:
    """Add time from `start` to `end`, cut where the phase changes."""
    directory = market.context.directory
    while start < end:
        change = directory.next_phase_change(market.instrument, start)
        stop = end if change is None else min(end, change)
        if directory.phase(market.instrument, start) != "continuous":
            sums.excluded += stop - start
        elif known:
            add(sums, now, stop - start, market)
        start = stop


def _told_by_venue(market: Market, state: SpreadQualityState) -> bool:
    return state.venue is not None and "gap" not in market.flags


def _row(market: Market, sums: Sums, length: int) -> dict[str, Any]:
    def mean(total: int, weight: int) -> int | None:
        return divide_half_even(total, weight) if weight else None

    return {
        "instrument": market.instrument,
        "two_sided_ns": sums.two_sided,
        "two_sided_without_affiliates_ns": sums.two_sided_without,
        "common_ns": sums.common,
        "one_sided_ns": sums.one_sided,
        "crossed_ns": sums.crossed,
        "excluded_ns": sums.excluded,
        "unknown_ns": length - sums.stated,
        "tw_spread_bps": mean(sums.spread, sums.two_sided),
        "tw_spread_bps_without_affiliates": mean(sums.spread_without, sums.two_sided_without),
        "tw_spread_bps_common": mean(sums.spread_common, sums.common),
        "tw_spread_bps_common_without_affiliates": mean(sums.spread_common_without, sums.common),
        "depth": means(sums.depth, sums.two_sided - sums.without_depth),
        "volume": sums.volume,
        "afmm_maker_volume": sums.maker,
        "afmm_taker_volume": sums.taker,
        "afmm_client_volume": sums.client,
    }
