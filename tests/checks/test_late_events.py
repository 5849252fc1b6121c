"""What came after its gap was given up changes the book from there on, and no judgement made before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agreement import RULEBOOK

from detectors import sequence
from detectors.runner import Runner
from schemas.alerts import Alert
from schemas.journal import Entry, OrderEntry, ReferenceEntry, RulebookEntry, Source, TradeEntry
from streams import reference_data

ROOT = Path(__file__).resolve().parents[2]
FACTS = reference_data.load(ROOT / "tests" / "oracles" / "handmade" / "01_queue_jump" / "reference.toml")
START = 1_772_409_600_000_000_000
ONE = 100_000_000


def order(seq: int, order_id: str, account: str, side: Any, price: int, qty: int, **more: Any) -> OrderEntry:
    """A `new`, a millisecond after its predecessor."""
    return OrderEntry(
        instrument="X", seq=seq, ts=more.pop("ts", START + seq * 1_000_000), exec_type="new",
        src=Source("orders", 0, seq), order_id=order_id, account=account, side=side, price=price * ONE,
        order_qty=qty * ONE, mm_flag=account.startswith("MM") or None, **more,
    )  # fmt: skip


def trade(seq: int, ts: int, maker: str, maker_account: str, price: int) -> TradeEntry:
    """One unit sold to a resting buy order by taker `S`."""
    return TradeEntry(
        instrument="X", seq=seq, ts=ts, exec_type="trade", src=Source("trades", 0, seq), trade_id=f"T{seq}",
        price=price * ONE, qty=ONE, aggressor="sell", buy_order_id=maker, buy_account=maker_account,
        buy_mm_flag=maker_account.startswith("MM") or None, sell_order_id=f"S{seq - 1}", sell_account="C-2",
    )  # fmt: skip


def run(entries: list[Entry]) -> tuple[Runner, list[Alert]]:
    """Apply entries in journal order; return the runner and every revision of every alert."""
    runner = Runner(strict=True)
    head: list[Entry] = [ReferenceEntry(fact=fact) for fact in FACTS]
    head.append(RulebookEntry(digest="", text=RULEBOOK))
    said = [output for entry in (*head, *entries) for output in runner.apply(entry)]
    return runner, [output for output in said if isinstance(output, Alert)]


def taker(seq: int, **more: Any) -> OrderEntry:
    """An IOC sell of one unit."""
    return order(seq, f"S{seq}", "C-2", "sell", 90, 1, time_in_force="ioc", **more)


CLIENT = order(1, "C1", "C-1", "buy", 100, 1)
MISSED = order(2, "C2", "C-1", "buy", 101, 1)
MAKER = order(3, "M1", "MM-1", "buy", 100, 3)


def test_a_late_order_joins_the_book_and_remakes_no_judgement() -> None:
    first = [CLIENT, MAKER, taker(4), trade(5, START + 4_000_000, "M1", "MM-1", 100)]
    second = [trade(8, START + 7_000_000, "M1", "MM-1", 100), order(9, "Z", "C-1", "buy", 10, 1)]
    house = order(6, "H", "HOUSE-1", "buy", 20, 1)
    runner, alerts = run([*first, house, taker(7), MISSED, *second])
    by_trade: dict[str, list[Alert]] = {}
    for alert in alerts:
        if alert.instance == "client_priority.price_time":
            by_trade.setdefault(str(alert.evidence[0].id), []).append(alert)
    before, after = by_trade["T5"], by_trade["T8"]
    assert [alert.harm_qty for alert in before] == ["1"] * len(before)
    assert before[-1].dq_degraded
    assert {item.id for item in after[-1].evidence} >= {"C2"}
    kinds = {str(alert.measures["kind"]) for alert in alerts if alert.rule == "data_quality"}
    assert kinds == {"sequence_gap", "late"}
    of_house = [alert.dq_degraded for alert in alerts if alert.measures.get("role") == "affiliate"]
    assert of_house == [False, True]  # it lies between the gap and the late record
    book = runner.markets()["X"].book
    assert [o.order_id for o in book.bids.orders()] == ["C2", "C1", "M1", "H"]
    print(f"compared {len(alerts)} revisions")


def test_what_comes_after_its_gap_was_forgotten_is_told_and_not_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sequence, "MAX_GAPS", 1)
    later = [order(5, "C5", "C-1", "buy", 99, 1), order(7, "C7", "C-1", "buy", 98, 1)]
    runner, alerts = run([CLIENT, MAKER, *later, MISSED, order(8, "Z", "C-1", "buy", 10, 1)])
    [forgotten] = [alert for alert in alerts if alert.measures.get("kind") == "late"]
    assert forgotten.measures == {
        "kind": "late", "first_seq": 2, "last_seq": 2,
        "detail": "came after its gap was forgotten: not applied",
    }  # fmt: skip
    assert forgotten.ts == MISSED.ts
    assert "C2" not in runner.markets()["X"].book.orders
    print(f"compared {len(alerts)} alerts")


def test_a_late_order_does_not_end_the_turn_it_comes_into() -> None:
    sweep = [taker(4), MISSED, trade(5, START + 4_000_000, "M1", "MM-1", 100)]
    _runner, alerts = run([CLIENT, MAKER, *sweep, order(6, "Z", "C-1", "buy", 10, 1)])
    kinds = {str(alert.measures["kind"]) for alert in alerts if alert.rule == "data_quality"}
    assert kinds == {"sequence_gap", "late"}  # no overfill: the taker was not dead yet
    print(f"compared {len(kinds)} kinds")


def test_the_ladder_is_the_same_as_if_it_had_come_in_time() -> None:
    rest = [MAKER, order(4, "C4", "C-2", "buy", 100, 2), order(5, "C5", "C-1", "buy", 99, 2)]
    late, _ = run([CLIENT, *rest, MISSED])
    timely, _ = run([CLIENT, MISSED, *rest])
    ladders = [[(o.order_id, o.stamp) for o in r.markets()["X"].book.bids.orders()] for r in (late, timely)]
    assert ladders[0] == ladders[1]
    assert [name for name, _stamp in ladders[0]] == ["C2", "C1", "M1", "C4"]  # C5 is still in its turn
    print(f"compared {len(ladders[0])} orders")
