"""A venue's records of instrument X as journal entries, for tests that write few by hand. Whole units."""

from __future__ import annotations

from typing import Any

from schemas.journal import OrderEntry, Source, TradeEntry

ONE = 10**8


def order(seq: int, ts: int, side: Any, price: int, qty: int = 1, **more: Any) -> OrderEntry:
    """A new limit order, good till cancelled, named O and its seq unless `more` says otherwise."""
    given = {"order_id": f"O{seq}", "ord_type": "limit", "time_in_force": "gtc"} | more
    return OrderEntry(
        instrument="X", seq=seq, ts=ts, exec_type="new", src=Source("orders", 0, seq), side=side,
        price=price * ONE, order_qty=qty * ONE, leaves_qty=qty * ONE, **given,
    )  # fmt: skip


def trade(seq: int, ts: int, name: str, price: int = 100, **more: Any) -> TradeEntry:
    """A fill of one unit."""
    given = {"exec_type": "trade", "price": price * ONE, "qty": ONE} | more
    return TradeEntry(instrument="X", seq=seq, ts=ts, trade_id=name, src=Source("trades", 0, seq), **given)


def bust(seq: int, ts: int, of: str) -> TradeEntry:
    """A bust of a fill."""
    return TradeEntry(
        instrument="X", seq=seq, ts=ts, exec_type="trade_cancel", trade_id=of, orig_trade_id=of,
        src=Source("trades", 0, seq),
    )  # fmt: skip
