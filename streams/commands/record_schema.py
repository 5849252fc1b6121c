"""`fairbook schema`: the JSON Schema of what travels, and one worked record of each kind a venue sends."""

from __future__ import annotations

from schemas import codec
from schemas.alerts import Alert
from schemas.events import RECORD_TYPES, Topic
from schemas.reference import Fact

_TS = 1_772_413_200_000_000_000
_ORDER = {"instrument": "BTC-USD", "order_id": "A-1001", "account": "CL-7", "side": "buy", "mm_flag": False}
_TERMS = {
    "ord_type": "limit",
    "time_in_force": "gtc",
    "price": "95000.5",
    "order_qty": "0.25",
    "leaves_qty": "0.25",
}
_TRADE = {
    "instrument": "BTC-USD",
    "trade_id": "T-501",
    "price": "95000.5",
    "qty": "0.1",
    "aggressor": "sell",
    "buy_order_id": "A-1001",
    "buy_account": "CL-7",
    "buy_mm_flag": False,
    "buy_fee": "0.19",
    "sell_order_id": "M-77",
    "sell_account": "MM-1",
    "sell_mm_flag": True,
    "sell_fee": "0.475",
    "match_type": "book",
    "match_id": "X-9",
}
_MORE: dict[str, list[dict[str, object]]] = {
    "orders": [
        {**_ORDER, **_TERMS, "exec_type": "new", "cl_ord_id": "c-1", "session": "FIX-3",
         "access_tier": "standard", "ts_gateway": _TS - 40_000, "ts_ack": _TS + 15_000,
         "ts_published": _TS + 20_000},
        {**_ORDER, **_TERMS, "exec_type": "new", "display_qty": "0.05", "post_only": True},
        {**_ORDER, "exec_type": "new", "ord_type": "stop_limit", "stop_px": "94000", "price": "93990",
         "order_qty": "1", "exec_inst": ["all_or_none"]},
        {**_ORDER, "exec_type": "new", "ord_type": "market", "time_in_force": "ioc", "order_qty": "0.5",
         "order_capacity": "agency", "min_qty": "0.1"},
        {**_ORDER, **_TERMS, "exec_type": "replaced", "cl_ord_id": "c-2", "orig_cl_ord_id": "c-1",
         "price": "95001", "leaves_qty": "0.2"},
        {**_ORDER, "exec_type": "canceled", "leaves_qty": "0", "reason": "user"},
        {**_ORDER, "exec_type": "expired", "leaves_qty": "0"},
        {**_ORDER, **_TERMS, "exec_type": "rejected", "reason": "post_only"},
        {**_ORDER, "exec_type": "triggered", "price": "93990"},
        {**_ORDER, "exec_type": "suspended"},
        {**_ORDER, "exec_type": "resumed"},
        {**_ORDER, "exec_type": "fill", "leaves_qty": "0.15"},
        {**_ORDER, **_TERMS, "exec_type": "restated"},
        {"instrument": "BTC-USD", "exec_type": "mm_protection_start", "account": "MM-1"},
        {"instrument": "BTC-USD", "exec_type": "mm_protection_end", "account": "MM-1"},
    ],
    "trades": [
        {**_TRADE, "exec_type": "trade"},
        {**_TRADE, "exec_type": "trade", "trade_id": "T-502", "aggressor": "none", "match_type": "block"},
        {"instrument": "BTC-USD", "exec_type": "trade_cancel", "trade_id": "T-503", "orig_trade_id": "T-501"},
        {"instrument": "BTC-USD", "exec_type": "trade_correct", "trade_id": "T-504", "orig_trade_id": "T-502",
         "price": "94990", "qty": "0.1"},
    ],
    "quotes": [
        {"instrument": "BTC-USD", "quote_id": "Q-1", "bid_px": "95000.5", "bid_size": "0.15",
         "ask_px": "95001", "ask_size": "2"},
        {"instrument": "BTC-USD", "quote_id": "Q-2", "account": "MM-1", "mm_flag": True, "bid_px": "95000",
         "bid_size": "0.5", "ask_px": None, "ask_size": None},
    ],
}  # fmt: skip


def examples(topic: Topic) -> list[bytes]:
    """Return one worked record of each kind, as a venue would send it."""
    return [
        codec.encode({**record, "seq": 1_001 + number, "ts": _TS + 1_000_000 * number})
        for number, record in enumerate(_MORE[topic])
    ]


def text(topic: str) -> str:
    """Return the JSON Schema of `topic`; of a venue's topic with the worked records, one a line."""
    if topic == "alerts":
        return codec.json_schema(Alert)
    if topic == "reference":
        return codec.json_schema(Fact)
    assert topic in RECORD_TYPES
    lines = [data.decode() for data in examples(topic)]
    note = f"A message on `{topic}` is one such record or an array of them; key: the instrument."
    return "\n".join([codec.json_schema(RECORD_TYPES[topic]), "", note, *lines])
