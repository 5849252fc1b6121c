"""L2 remembers what a bust can still change, and no more; memory decides no other answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arrivals import answers, recorded
from lake_journal import RULEBOOK
from maker_markets import maker_market
from trade_markets import affiliated_market, trade_market
from venue_records import order, trade

from detectors.liquidity import agreed_spread, spread_quality, trade_measures
from detectors.liquidity.spread_quality import SpreadQualityState
from detectors.liquidity.trade_measures import Best, Fill, Trades
from detectors.runner import Runner
from schemas import codec
from schemas.journal import ClockEntry, Entry, RulebookEntry, TradeEntry

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MIDNIGHT = 1_772_467_200 * SECOND  # in Hong Kong, 2026-03-03
MOST = 8
DAYS = 5


def trading(days: int) -> list[Entry]:
    """A purchase at each full hour, and a block a second later."""
    entries: list[Entry] = [
        order(1, MIDNIGHT, "buy", 99, 1_000, account="C-1"),
        order(2, MIDNIGHT, "sell", 101, 1_000, account="C-2"),
    ]
    for hour in range(24 * days):
        seq, ts = len(entries) + 1, MIDNIGHT + hour * HOUR
        sides: dict[str, Any] = {
            "aggressor": "buy", "buy_order_id": f"O{seq}", "buy_account": "C-3", "sell_order_id": "O2",
            "sell_account": "C-2",
        }  # fmt: skip
        entries += [
            order(seq, ts, "buy", 101, account="C-3", time_in_force="ioc"),
            trade(seq + 1, ts, f"T{seq + 1}", 101, **sides),
            trade(seq + 2, ts + SECOND, f"T{seq + 2}", 101, match_type="block", **sides),
        ]
    return entries


def test_it_is_bounded_in_minutes_days_and_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_quality, "KEPT_MINUTES", MOST)
    text = RULEBOOK.replace('bust_horizon = "7 d"', 'bust_horizon = "1 d"')
    assert text != RULEBOOK
    runner = Runner(strict=True)
    runner.apply(RulebookEntry(digest="", text=text))
    compared = 0
    for entry in trading(DAYS):
        runner.apply(entry)
        market = runner.markets()["X"]
        state = market.states["spread_quality"]
        assert isinstance(state, SpreadQualityState)
        before = codec.encode(state.trades)
        runner.apply(ClockEntry(ts=entry.ts + 3 * MINUTE))
        assert codec.encode(state.trades) == before, "a clock looks ahead: it changes nothing"
        trades, progress = state.trades, state.progress
        assert progress is not None
        assert len(state.kept) <= MOST + MOST // 8
        rows = [kept.row for kept in state.kept.values()]
        open_ = {progress.minute, *progress.minutes}
        assert trades.minutes.keys() <= open_ | {getattr(row, "minute", None) for row in rows}
        days = {getattr(row, "trading_day", None) for row in rows} | {progress.day, *progress.days}
        assert trades.days.keys() <= days
        assert trades.excluded.keys() <= days
        today = market.day(progress.minute)
        begun = MIDNIGHT + (progress.minute - MIDNIGHT) // DAY * DAY
        over = today != market.day(MIDNIGHT) and progress.minute >= begun + MINUTE
        if over:  # the day before has its last row
            assert min(fill.minute for fill in trades.fills.values()) == max(MIDNIGHT, begun - DAY)
            names = {fill.seq for fill in trades.fills.values()}
            assert set(trades.by_id.values()) <= names or entry.ts % DAY < HOUR
        compared += len(trades.fills)
    print(f"compared {compared} fills over {DAYS} days")
    assert compared > 0


def test_fills_that_no_bust_reaches_go_with_their_names() -> None:
    trades = Trades()
    for seq in range(1, 7):
        trades.enter(Fill(seq, 0, seq * MINUTE, Best(0, 1, 3, True), 3, 1, 1), f"T{seq}", "d", 2**62)
    trades.forget_before(4 * MINUTE)
    assert list(trades.fills) == [4, 5, 6]
    assert trades.by_id == {"T4": 4, "T5": 5, "T6": 6}
    trades.forget_day("another")
    assert trades.days.keys() == trades.excluded.keys() == {"d"}
    for _ in range(2):
        trades.forget_day("d")
        assert trades.days == trades.excluded == {}


def test_the_oldest_fills_go_and_their_names_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_measures, "MAX_FILLS", MOST)
    trades, longest = Trades(), 0
    for seq in range(1, 301):
        trades.enter(Fill(seq, 0, 0, Best(0, 1, 3, True), 3, 1, 1), f"T{seq}", "d", 2**62)
        kept = list(trades.fills)
        assert kept == list(range(seq - len(kept) + 1, seq + 1))
        assert min(seq, MOST) <= len(kept) <= MOST + MOST // 8
        assert trades.by_id.items() >= {f"T{one}": one for one in kept}.items()
        longest = max(longest, len(trades.by_id) - 2 * len(kept))
    assert 0 < longest <= 64 + 1


@pytest.mark.parametrize("make", [trade_market, maker_market, affiliated_market])
def test_a_short_memory_gives_the_same_answers(
    make: Callable[[int, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    for seed in range(12):
        entries = [
            entry
            for entry in recorded(make(seed, tmp_path / f"{seed}"))
            if not isinstance(entry, TradeEntry) or entry.exec_type == "trade"
        ]
        monkeypatch.undo()
        expected = answers(entries)
        monkeypatch.setattr(spread_quality, "KEPT_MINUTES", 1)
        monkeypatch.setattr(trade_measures, "MAX_FILLS", 1)
        monkeypatch.setattr(agreed_spread, "KEPT_DAYS", 1)
        assert answers(entries) == expected, f"seed {seed}"
        compared += len(expected)
    print(f"compared {compared} alerts and rows")
    assert compared > 0
