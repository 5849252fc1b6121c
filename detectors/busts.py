"""Busts and corrections of fills (SPEC.md 2.5): what they retract, and how a corrected fill is judged.

A bust never changes the book. A correction is a bust and a fill with the new values at the old seq.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from detectors.bounded import oldest_beyond
from schemas.journal import TradeEntry

if TYPE_CHECKING:
    from detectors.market import Market

MAX_TRADES = 20_000  # fills that a correction can still find, an instrument


class KeptTrade(msgspec.Struct, array_like=True):
    """A fill that a bust or correction can find. `match`: seq at which its turn began, or its own."""

    trade: TradeEntry
    match: int
    busted: bool = False
    corrected: bool = False


class Busts:
    """The fills of a market that a bust can still reach, and what becomes of them."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.trades: dict[str, KeptTrade] = {}  # by trade id, while a bust can reach it
        self.renamed: dict[str, str] = {}  # trade id -> the id its correction gave it

    def forget(self, horizon: int) -> None:
        """Drop what no bust can reach any more; by own records, so that clocks decide nothing."""
        self.market.ledger.forget(horizon)
        old = takewhile(lambda item: item[1].trade.ts < horizon, self.trades.items())
        for trade_id in [trade_id for trade_id, _kept in old]:
            self._forget_trade(trade_id)

    def remember(self, kept: KeptTrade) -> None:
        """Keep a fill; the oldest go where there are too many."""
        self.renamed.pop(kept.trade.trade_id, None)
        self.trades[kept.trade.trade_id] = kept
        for trade_id in oldest_beyond(self.trades, MAX_TRADES):
            self._forget_trade(trade_id)
            self.market.flags["forgot_young_trades"] = 1  # a bust can still reach what rests on them

    def _forget_trade(self, trade_id: str) -> None:
        del self.trades[trade_id]
        self.market.flags["forgot_trades"] = 1
        if self.renamed:
            self.renamed = {old: new for old, new in self.renamed.items() if new != trade_id}

    def apply(self, entry: TradeEntry) -> None:
        """A bust or correction; that of a fill never seen, or busted already, says nothing."""
        flags = self.market.flags
        trade_id = entry.orig_trade_id or entry.trade_id
        trade_id = self.renamed.get(trade_id, trade_id)
        was = self.trades.get(trade_id)
        if was is None:
            taken_back = "forgot_young_trades" in flags and self._take_back(trade_id, entry)
            if "forgot_trades" in flags and not (taken_back and entry.exec_type == "trade_cancel"):
                self._too_late(entry, f"{trade_id}, which was never seen or is no longer kept")
            return
        if was.busted:
            return
        if entry.ts > was.trade.ts + self.market.context.bust_horizon:
            self._too_late(entry, f"{trade_id} of seq {was.trade.seq}")
            return
        was.busted = True
        self._take_back(trade_id, entry)
        if entry.exec_type == "trade_correct":
            self._correct(was, entry)

    def _too_late(self, entry: TradeEntry, trade: str) -> None:
        detail = f"{entry.exec_type} of trade {trade}"
        self.market.fault("late_bust", entry.seq, entry.seq, entry.ts, detail)

    def _take_back(self, trade_id: str, entry: TradeEntry) -> bool:
        """What rests on the fill is retracted; return True if any alert was."""
        self.market.tell("on_bust", trade_id, entry)
        resting = self.market.ledger.busted(trade_id)
        for alert in resting:
            self.market.retract(alert, "busted")
        return bool(resting)

    def _correct(self, was: KeptTrade, entry: TradeEntry) -> None:
        """A bust and a fill with the new values at the old seq, judged with the book just before that seq."""
        market, trade_id = self.market, was.trade.trade_id
        corrected = _corrected(was.trade, entry)
        self.remember(KeptTrade(corrected, was.match, corrected=True))
        if corrected.trade_id != trade_id:
            self.renamed[trade_id] = corrected.trade_id
            for name, now in list(self.renamed.items()):
                if now == trade_id:
                    self.renamed[name] = corrected.trade_id
        market.correcting = was
        market.past = market.history.book_before(market.book, corrected.seq)
        late, market.late = market.late, market.late or market.past is None
        market.tell("on_trade", corrected)
        market.late = late
        market.correcting = market.past = None


def _corrected(was: TradeEntry, correction: TradeEntry) -> TradeEntry:
    """Return the fill with what the correction states, at the old seq and ts."""
    stated = {
        name: getattr(correction, name)
        for name, default in zip(
            reversed(TradeEntry.__struct_fields__), reversed(TradeEntry.__struct_defaults__), strict=False
        )
        if getattr(correction, name) != default and name not in ("orig_trade_id", "start", "extra")
    }
    stated["trade_id"] = correction.trade_id
    return msgspec.structs.replace(was, **stated)
