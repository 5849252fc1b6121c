"""L2 spread quality, the quoted part: what the spread and depth were, with and without the affiliates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from detectors.base import Rule
from detectors.liquidity.displayed_depth import KEYS, WIDTH, Vector, beyond, displayed_depth, means
from detectors.trading_day import day_bounds
from schemas import codec
from schemas.decimals import divide_half_even
from schemas.journal import QuoteEntry, TradeEntry
from schemas.metrics import SpreadDay, SpreadMinute

if TYPE_CHECKING:
    from detectors.market import Market

MINUTE = 60_000_000_000


class Quoted(msgspec.Struct):
    """One book state: spreads in 1e-6 bps (None unless two-sided with a > b), and its kind."""

    spread: int | None
    spread_without: int | None
    crossed: bool
    bid: int
    ask: int
    from_venue: bool = False  # only the venue's quote is known: neither depth nor whose orders they are


class Sums(msgspec.Struct):
    """Time (ns) by kind of state, and spread and depth summed over time."""

    two_sided: int = 0
    two_sided_without: int = 0
    common: int = 0
    one_sided: int = 0
    crossed: int = 0
    excluded: int = 0
    only_with: int = 0
    without_depth: int = 0  # two-sided time of which the depth is not known
    spread: int = 0
    spread_without: int = 0
    spread_common: int = 0
    spread_common_without: int = 0
    depth: Vector = msgspec.field(default_factory=lambda: [0] * (WIDTH * len(KEYS)))
    volume: int = 0
    maker: int = 0
    taker: int = 0
    client: int = 0

    def add(self, other: Sums) -> None:
        """Add another stretch of time."""
        for name in self.__struct_fields__:
            if name != "depth":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.depth = [a + b for a, b in zip(self.depth, other.depth, strict=True)]

    def copy(self) -> Sums:
        """Return an independent copy."""
        return msgspec.structs.replace(self, depth=list(self.depth))

    @property
    def stated(self) -> int:
        """Time that is not unknown."""
        return self.two_sided + self.crossed + self.one_sided + self.excluded


class Running(msgspec.Struct):
    """The minute and trading day that are open, summed up to the instrument's last own entry."""

    minute: int
    day: str
    sums: Sums
    day_sums: Sums

    def copy(self) -> Running:
        """Return an independent copy."""
        return Running(self.minute, self.day, self.sums.copy(), self.day_sums.copy())


class Said(msgspec.Struct):
    """A row as it was published, and the time (ns) after which it cannot change any more."""

    revision: int
    content: str
    ends: int


class VenueBest(msgspec.Struct):
    """The venue's last best bid and offer, and the seq that told it."""

    seq: int
    bid: int | None
    ask: int | None


class SpreadQualityState(msgspec.Struct):
    """`said`: rows published beyond the last own entry (by clocks), which a gap may still revise.

    `venue`: the venue's quote where the instrument's book is `quotes`, None while it is not known.
    """

    running: Running | None = None
    said: dict[str, Said] = {}
    venue: VenueBest | None = None


class SpreadQuality(Rule):
    """L2, quoted measures per instrument and UTC minute, and per trading day.

    Spread of a state: round_half_even(2e10 (a-b)/(a+b)) in 1e-6 bps, over time in which the book is
    two-sided and a > b; *without affiliates*: orders whose role at acceptance was affiliated_mm or affiliate
    struck out and nothing else changed (a static comparison: others would have quoted differently). Benefit =
    without - with over common time. Depth: displayed, within 10/25/50 bps of the full book's mid, over the
    full book's two-sided time. Volumes: every trade of every match type; the affiliated maker's by
    its side where somebody aggressed, and against clients; trades between affiliates only in `volume`.

    >>> from detectors.liquidity.spread_quality import spread
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
    version = 1
    State = SpreadQualityState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """No parameters: thresholds come with the trade measures."""

    def on_time(self, market: Market, state: SpreadQualityState, start: int, end: int, known: bool) -> None:
        """Commit the stretch since the last own entry."""
        running = state.running or self._start(market, state, start)
        self._advance(market, state, running, start, end, known or _told_by_venue(market, state))
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

    def on_trade(self, market: Market, state: SpreadQualityState, trade: TradeEntry) -> None:
        """Add to the volumes."""
        if market.sequence.skipped is not None and not market.late:
            state.venue = None  # a quote may be among what is missing
        if market.correcting:
            return
        running = state.running or self._start(market, state, market.own_time or trade.ts)
        sums, qty = running.sums, trade.qty or 0
        buyer = market.party(market.account(trade, "buy"), trade.ts).role
        seller = market.party(market.account(trade, "sell"), trade.ts).role
        sums.volume += qty
        affiliates = ("affiliated_mm", "affiliate")
        if buyer in affiliates and seller in affiliates:
            return
        if "affiliated_mm" in (buyer, seller) and "client" in (buyer, seller):
            sums.client += qty
        if trade.aggressor == "none":
            return
        maker, taker = (seller, buyer) if trade.aggressor == "buy" else (buyer, seller)
        sums.maker += qty if maker == "affiliated_mm" else 0
        sums.taker += qty if taker == "affiliated_mm" else 0

    def on_clock(self, market: Market, state: SpreadQualityState, ts: int, end: bool) -> None:
        """Publish the minutes and days that have ended; at a recording's end also those that have not."""
        own = market.own_time
        if own is None:
            return
        running = (state.running or self._start(market, state, own)).copy()
        known = market.time_known or _told_by_venue(market, state)
        self._advance(market, state, running, own, max(ts, own), known)
        if end:
            self._publish_minute(market, state, running)
            running.day_sums.add(running.sums)
            self._publish_day(market, state, running)

    # ---- time ---------------------------------------------------------------------------------------

    def _start(self, market: Market, state: SpreadQualityState, ts: int) -> Running:
        minute = ts - ts % MINUTE
        state.running = Running(minute, market.day(minute), Sums(), Sums())
        return state.running

    def _advance(
        self, market: Market, state: SpreadQualityState, running: Running, start: int, end: int, known: bool
    ) -> None:
        """Add the book as it stands from `start` to `end`; publish what minutes and days end meanwhile."""
        quoted = _quoted(market) if state.venue is None else _told(state.venue)
        while True:
            stop = min(end, running.minute + MINUTE)
            self._weigh(market, running.sums, quoted, start, stop, known)
            start = stop
            if running.minute + MINUTE > end:
                return
            self._publish_minute(market, state, running)
            running.day_sums.add(running.sums)
            running.sums = Sums()
            running.minute += MINUTE
            day = market.day(running.minute)
            if day != running.day:
                self._publish_day(market, state, running)
                running.day, running.day_sums = day, Sums()

    def _weigh(self, market: Market, sums: Sums, quoted: Quoted, start: int, end: int, known: bool) -> None:
        directory = market.context.directory
        while start < end:
            change = directory.next_phase_change(market.instrument, start)
            stop = end if change is None else min(end, change)
            span = stop - start
            if directory.phase(market.instrument, start) != "continuous":
                sums.excluded += span
            elif known:
                _add(sums, quoted, span, market)
            start = stop

    # ---- rows ---------------------------------------------------------------------------------------

    def _publish_minute(self, market: Market, state: SpreadQualityState, running: Running) -> None:
        values = _row(market, running.sums, MINUTE)
        row = SpreadMinute(minute=running.minute, **values)
        self._publish(market, state, f"minute {running.minute}", running.minute + MINUTE, row)

    def _publish_day(self, market: Market, state: SpreadQualityState, running: Running) -> None:
        sums = running.day_sums
        first, last = day_bounds(running.day, market.context.zone)
        values = _row(market, sums, last - first)
        benefit = None
        if sums.common:
            benefit = divide_half_even(sums.spread_common_without - sums.spread_common, sums.common)
        row = SpreadDay(
            trading_day=running.day,
            benefit_bps=benefit,
            two_sided_only_with_affiliates_ns=sums.only_with,
            **values,
        )
        self._publish(market, state, f"day {running.day}", last, row)

    def _publish(
        self, market: Market, state: SpreadQualityState, key: str, ends: int, row: SpreadMinute | SpreadDay
    ) -> None:
        content = codec.canonical(row).decode()
        said = state.said.get(key)
        if said is not None and said.content == content:
            return
        revision = said.revision + 1 if said is not None else 0
        state.said[key] = Said(revision, content, ends)
        market.publish(msgspec.structs.replace(row, revision=revision))


def spread(bid: int, ask: int) -> int:
    """Return the quoted spread in 1e-6 bps of mid."""
    return divide_half_even(20_000_000_000 * (ask - bid), ask + bid)


def _told_by_venue(market: Market, state: SpreadQualityState) -> bool:
    return state.venue is not None and "gap" not in market.flags


def _told(best: VenueBest) -> Quoted:
    """Return the state that the venue's quote tells."""
    two_sided = best.bid is not None and best.ask is not None
    bid, ask = best.bid or 0, best.ask or 0
    return Quoted(
        spread=spread(bid, ask) if two_sided and ask > bid else None,
        spread_without=None,
        crossed=two_sided and ask <= bid,
        bid=bid,
        ask=ask,
        from_venue=True,
    )


def _quoted(market: Market) -> Quoted:
    bids, asks = market.book.bids, market.book.asks
    bid, ask = bids.best_displayed(), asks.best_displayed()
    bid_without, ask_without = (
        bids.best_displayed_without_affiliates(),
        asks.best_displayed_without_affiliates(),
    )
    two_sided = bid is not None and ask is not None and ask > bid
    without = bid_without is not None and ask_without is not None and ask_without > bid_without
    return Quoted(
        spread=spread(bid or 0, ask or 0) if two_sided else None,
        spread_without=spread(bid_without or 0, ask_without or 0) if without else None,
        crossed=bid is not None and ask is not None and ask <= bid,
        bid=bid or 0,
        ask=ask or 0,
    )


def _add(sums: Sums, quoted: Quoted, span: int, market: Market) -> None:
    with_, without = quoted.spread, quoted.spread_without
    if without is not None:
        sums.two_sided_without += span
        sums.spread_without += without * span
    if with_ is None:
        if quoted.crossed:
            sums.crossed += span
        else:
            sums.one_sided += span
        return
    sums.two_sided += span
    sums.spread += with_ * span
    if quoted.from_venue:
        sums.without_depth += span
        return
    if without is not None:
        sums.common += span
        sums.spread_common += with_ * span
        sums.spread_common_without += without * span
    else:
        sums.only_with += span
    sums.depth = [
        total + value * span for total, value in zip(sums.depth, _depth(market, quoted), strict=True)
    ]


def _depth(market: Market, quoted: Quoted) -> Vector:
    """Return the state's depth, computed again only if the mid or a level within reach has changed."""
    book, middle = market.book, quoted.bid + quoted.ask
    cached: tuple[int, Vector, Vector, Vector] | None = market.cache.get("displayed_depth")
    same = cached is not None and cached[0] == middle
    if cached is not None and same and beyond(book.bids, middle) and beyond(book.asks, middle):
        return cached[3]
    bids = cached[1] if cached is not None and same and beyond(book.bids, middle) else None
    asks = cached[2] if cached is not None and same and beyond(book.asks, middle) else None
    bids = displayed_depth(book.bids, middle) if bids is None else bids
    asks = displayed_depth(book.asks, middle) if asks is None else asks
    market.cache["displayed_depth"] = (middle, bids, asks, bids + asks)
    book.bids.changed = book.asks.changed = None
    return bids + asks


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
