"""Memory of L2's trades: bounded, and never at the expense of a horizon that is still open."""

from __future__ import annotations

from typing import Any

import pytest

from detectors.liquidity import trade_measures
from detectors.liquidity.trade_measures import Best, Fill, Trades, columns
from detectors.trading_day import SECOND

MINUTE = 60 * SECOND


def fill(seq: int, ts: int) -> Fill:
    """Return a purchase of 1 at 101 from a book of 99/101."""
    best = Best(seq, 99, 101, True)
    return Fill(seq, ts, ts - ts % MINUTE, best, price=101, qty=1, sign=1, roles="client market_maker")


def day_of(_moment: int) -> str:
    return "2026-03-02"


def test_fills_are_forgotten_oldest_first_but_not_before_their_horizons_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(trade_measures, "MAX_FILLS", 8)
    trades = Trades()
    for number in range(40):
        trades.enter(fill(number + 1, number), f"T{number}", day_of(0), number)
    assert len(trades.fills) == 40
    assert len(trades.pending) == 120
    trades.resolve(lambda _moment: 200, day_of, 100 * SECOND)
    assert not trades.pending
    for number in range(40, 60):
        trades.enter(fill(number + 1, 200 * SECOND), f"T{number}", day_of(0), 200 * SECOND)
    assert len(trades.fills) == 20  # those that are open
    assert trades.day_columns(day_of(0), with_realised=True)["effective_n"] == 60


def test_a_bust_takes_out_exactly_what_was_added() -> None:
    trades = Trades()
    trades.enter(fill(1, 0), "T1", day_of(0), 0)
    once = {minute: list(sums) for minute, sums in trades.minutes.items()}
    trades.enter(fill(2, 0), "T2", day_of(0), 0)
    assert trades.take_out("T2", day_of) is not None
    assert trades.minutes == once
    assert trades.take_out("T2", day_of) is None
    trades.resolve(lambda _moment: 204, day_of, MINUTE + 1)
    row = columns(trades.minutes[0], with_realised=True)
    assert (row["effective_n"], row["realised_60s_n"]) == (1, 1)
    assert row["realised_60s_bps"] == -2 * trade_measures.TO_MICRO_BPS // 100


def test_a_look_ahead_changes_nothing() -> None:
    trades = Trades()
    trades.enter(fill(1, 0), "T1", day_of(0), 0)
    before = trades.copy()
    ahead = trades.copy()
    ahead.resolve(lambda _moment: 204, day_of, 2 * MINUTE)
    assert ahead.minutes != before.minutes
    assert (trades.minutes, trades.days, trades.pending) == (before.minutes, before.days, before.pending)
    assert trades.fills[1].mids == [0, 0, 0]


@pytest.mark.parametrize(("behind", "left"), [(0, 3), (SECOND, 3), (SECOND + 1, 2), (61 * SECOND, 0)])
def test_a_horizon_before_the_instruments_time_stays_unknown(behind: int, left: int) -> None:
    trades = Trades()
    trades.enter(fill(1, 0), "T1", day_of(0), behind)
    assert len(trades.pending) == left
