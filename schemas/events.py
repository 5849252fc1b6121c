"""The venue's records as they travel: one struct per topic, FIX 5.0 SP2 names, decimals as strings.

A value on the topics `orders`, `trades`, `quotes` is one such record or an array of them, as JSON.
Times are integer nanoseconds since the Unix epoch, UTC. Source: SPEC.md sections 2.1 to 2.3.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Side = Literal["buy", "sell"]
OrderExecType = Literal[
    "new", "replaced", "canceled", "expired", "rejected", "triggered", "suspended", "resumed", "fill",
    "restated", "mm_protection_start", "mm_protection_end",
]  # fmt: skip
OrdType = Literal["limit", "market", "stop", "stop_limit"]
TimeInForce = Literal["gtc", "day", "ioc", "fok"]
ExecInst = Literal["all_or_none", "not_held", "pegged"]
OrderCapacity = Literal["agency", "principal", "riskless_principal"]
TradeExecType = Literal["trade", "trade_cancel", "trade_correct"]
Aggressor = Literal["buy", "sell", "none"]
MatchType = Literal["book", "auction", "block", "rfq", "liquidation"]
Topic = Literal["orders", "trades", "quotes"]

SOURCE_TOPICS: tuple[Topic, Topic, Topic] = ("orders", "trades", "quotes")


class OrderRecord(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One life-cycle event of an order (topic `orders`)."""

    instrument: str  # 55
    seq: int  # the venue's number, one series an instrument over all three topics
    ts: int  # matching-engine time
    exec_type: OrderExecType  # 150
    order_id: str | None = None  # 37; absent only on mm_protection_*
    cl_ord_id: str | None = None  # 11
    orig_cl_ord_id: str | None = None  # 41
    account: str | None = None  # 1
    side: Side | None = None  # 54
    ord_type: OrdType | None = None  # 40
    time_in_force: TimeInForce | None = None  # 59
    post_only: bool | None = None
    exec_inst: list[ExecInst] | None = None  # 18
    order_capacity: OrderCapacity | None = None  # 528
    price: str | None = None  # 44
    stop_px: str | None = None  # 99
    order_qty: str | None = None  # 38
    leaves_qty: str | None = None  # 151
    display_qty: str | None = None  # 1138
    min_qty: str | None = None  # 110
    mm_flag: bool | None = None  # came in under a market-making arrangement
    reason: str | None = None
    ts_gateway: int | None = None
    ts_ack: int | None = None
    ts_published: int | None = None
    session: str | None = None
    access_tier: str | None = None


class TradeRecord(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One trade, bust or correction (topic `trades`)."""

    instrument: str
    seq: int
    ts: int
    exec_type: TradeExecType
    trade_id: str | None = None  # 1003; a bust may have none of its own
    orig_trade_id: str | None = None  # what a bust or correction is about
    price: str | None = None  # 31; absent on trade_cancel
    qty: str | None = None  # 32; absent on trade_cancel
    aggressor: Aggressor | None = None  # 2446
    buy_order_id: str | None = None
    buy_account: str | None = None
    buy_mm_flag: bool | None = None
    buy_fee: str | None = None
    sell_order_id: str | None = None
    sell_account: str | None = None
    sell_mm_flag: bool | None = None
    sell_fee: str | None = None
    match_type: MatchType | None = None
    match_id: str | None = None


class QuoteRecord(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The venue's best bid and offer (no account), or a maker's two-sided quote (topic `quotes`)."""

    instrument: str
    seq: int
    ts: int
    quote_id: str | None = None  # 117
    bid_px: str | None = None
    bid_size: str | None = None
    ask_px: str | None = None
    ask_size: str | None = None
    account: str | None = None
    mm_flag: bool | None = None


Record = OrderRecord | TradeRecord | QuoteRecord
RECORD_TYPES: dict[Topic, type[Record]] = {
    "orders": OrderRecord,
    "trades": TradeRecord,
    "quotes": QuoteRecord,
}
