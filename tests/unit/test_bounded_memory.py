"""What an instrument's market remembers by id is bounded, however many ids a venue uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from detectors import book as books
from detectors import busts, ledger, market, transitions
from detectors.fairness import self_trade
from detectors.identification import affiliate_flag
from detectors.runner import Runner
from schemas.alerts import Alert
from schemas.journal import Entry, OrderEntry, RulebookEntry, Source, TradeEntry
from streams.settings import resource

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
MOST = 16
SLACK = MOST // 8  # see `detectors.bounded`
START = 1_772_409_600_000_000_000


def records(count: int) -> Iterator[Entry]:
    """Per number a cancel of an order never seen, a reject and a trade, each with names of its own."""
    for n in range(count):
        seq, ts = 3 * n + 1, START + n * 1_000_000
        yield OrderEntry(
            instrument="X", seq=seq, ts=ts, exec_type="canceled", src=Source("orders", 0, seq),
            order_id=f"C{n}", account=f"A{n}", reason="self_trade_prevention",
        )  # fmt: skip
        yield OrderEntry(
            instrument="X", seq=seq + 1, ts=ts, exec_type="rejected", src=Source("orders", 0, seq + 1),
            order_id=f"R{n}", account=f"A{n}", side="buy", order_qty=10**8, price=10**8,
        )  # fmt: skip
        yield TradeEntry(
            instrument="X", seq=seq + 2, ts=ts, exec_type="trade", trade_id=f"T{n}", match_id=f"M{n}",
            src=Source("trades", 0, seq + 2), price=10**8, qty=10**8, aggressor="buy",
            buy_order_id=f"B{n}", buy_account=f"D{n}", sell_order_id=f"S{n}", sell_account=f"E{n}",
        )  # fmt: skip


def test_memories_stay_within_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (books, "MAX_DEAD"),
        (ledger, "MAX_ALERTS"),
        (busts, "MAX_TRADES"),
        (market, "MAX_FAULTS"),
        (transitions, "MAX_MATCH_IDS"),
        (self_trade, "MAX_ACCOUNTS"),
        (affiliate_flag, "MAX_STRANGERS"),
        (affiliate_flag, "MAX_MUTATED"),
        (affiliate_flag, "MAX_RESTING"),
    ):
        monkeypatch.setattr(module, name, MOST)
    runner = Runner(strict=True)
    runner.apply(RulebookEntry(digest="", text=RULEBOOK))
    count = 10 * MOST
    said = sum(len(runner.apply(entry)) for entry in records(count))
    assert said > count, "a finding is forgotten, never left unsaid"
    state = runner.markets()["X"]
    flags, trades = state.states["affiliate_flag"], state.states["self_trade"]
    sizes = {
        "dead": len(state.book.dead),
        "alerts": len(state.ledger.alerts),
        "faults": len(state.ledger.faults),
        "trades": len(state.busts.trades),
        "match_ids": len(state.match_ids),
        "preventions": len(trades.preventions),
        "strangers": len(flags.strangers),
        "resting": len(flags.resting),
        "by_trade": len(state.ledger.by_trade),
        "sound": len(state.ledger.sound) - MOST - 64,  # compacted now and then
    }
    print(f"after {3 * count} records: {sizes}")
    assert all(size <= MOST + SLACK for size in sizes.values()), sizes
    full = {"dead", "alerts", "trades", "match_ids", "preventions", "strangers", "resting"}
    assert min(sizes[name] for name in full) >= MOST, sizes
    assert list(trades.preventions)[-1] == f"A{count - 1}", "the latest are kept"


@pytest.mark.parametrize("first", ["new", "canceled"])
def test_what_is_said_once_is_not_said_again_when_it_is_forgotten(
    first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That an order's flag has changed: of one that the book knows, and of one that it never saw."""
    monkeypatch.setattr(ledger, "MAX_ALERTS", MOST)
    runner, said = Runner(strict=True), []
    runner.apply(RulebookEntry(digest="", text=RULEBOOK))
    kinds = [first, "suspended", *["suspended", "resumed"] * 2 * MOST, "suspended"]
    for seq, kind in enumerate(kinds, 1):
        middle = 2 < seq < len(kinds)
        entry = OrderEntry(
            instrument="X", seq=seq, ts=START + seq, exec_type=kind, src=Source("orders", 0, seq),
            order_id=f"O{seq}" if middle else "O", account="A", side="buy", order_qty=10**8, price=10**8,
            leaves_qty=10**8, mm_flag=seq > 1,
        )  # fmt: skip
        said += [output for output in runner.apply(entry) if isinstance(output, Alert)]
    first_said = [alert for alert in said if "code" in alert.measures and alert.revision == 0]
    codes = [(alert.evidence[0].seq, alert.measures["code"]) for alert in first_said]
    assert [seq for seq, code in codes if code == "mutated"] == [2]
    assert len(codes) > MOST
    assert "mutated" not in {a.measures.get("code") for a in runner.markets()["X"].ledger.alerts.values()}
