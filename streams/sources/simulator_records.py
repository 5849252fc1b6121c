"""The simulator's wire records: plain dicts as SPEC 2.1-2.3, decimals as strings.

Absent fields are left out; an absent side of a venue quote is null. Fees follow the one published tier (2 bps
maker, 5 bps taker of the notional), rounded up to 8 decimals so that nobody ever pays less than published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from schemas.decimals import ONE, text
from schemas.events import (
    Aggressor,
    ExecInst,
    MatchType,
    OrderCapacity,
    OrderExecType,
    OrdType,
    Side,
    TimeInForce,
)
from streams.sources.simulator_config import Record

Flag = bool | None | Literal["absent"]

MAKER_BPS = 2
TAKER_BPS = 5
_FEE_DIVISOR = 10_000 * ONE


class _DecimalTexts(dict[int, str]):
    """Bounded memory of scaled integers already written out: prices and sizes repeat all day."""

    def __missing__(self, scaled: int) -> str:
        if len(self) > 200_000:
            self.clear()
        written = self[scaled] = text(scaled)
        return written


TEXT = _DecimalTexts()


@dataclass(slots=True, eq=False)
class Order:
    """One order in the engine. Quantities and prices are scaled by 10**8; 0 means "none" in optional ones.

    `mm_flag` is what the next record of the order carries; `first_flag` what its first one carried;
    `tampered` says that a planted violation has touched the flag, so that every later record must be looked
    at for a label.
    """

    order_id: str
    account: str
    side: Side
    price: int
    order_qty: int
    cl_ord_id: str
    ord_type: OrdType = "limit"
    time_in_force: TimeInForce = "gtc"
    stop_px: int = 0
    display_qty: int = 0
    post_only: bool = False
    mm_flag: Flag = "absent"
    order_capacity: OrderCapacity = "agency"
    orig_cl_ord_id: str = ""
    leaves: int = field(default=0)
    shown: int = 0
    stamp: int = 0
    live: bool = False
    first_flag: Flag = "absent"
    tampered: bool = False
    exec_inst: tuple[ExecInst, ...] = ()
    min_qty: int = 0
    suspended: bool = False

    @property
    def takes_any(self) -> bool:
        """Whether it trades with any quantity, however small."""
        return not self.min_qty and "all_or_none" not in self.exec_inst

    def takes(self, offered: int) -> bool:
        """Whether it trades with an aggressor of that quantity: a whole, or its least."""
        return offered >= (self.leaves if "all_or_none" in self.exec_inst else self.min_qty)

    def __post_init__(self) -> None:
        if self.order_qty <= 0:
            raise ValueError(f"order {self.order_id}: quantity must be above 0, not {self.order_qty}")
        self.leaves = self.order_qty
        self.first_flag = self.mm_flag


def order_record(
    instrument: str, seq: int, ts: int, exec_type: OrderExecType, order: Order, reason: str = ""
) -> Record:
    """One `orders` record. Leaves are 0 once the order is dead, what is left otherwise.

    Gateway times follow from `seq` alone, the same for every account, so the simulated venue is fair.
    """
    record: Record = {
        "instrument": instrument,
        "seq": seq,
        "ts": ts,
        "exec_type": exec_type,
        "order_id": order.order_id,
        "cl_ord_id": order.cl_ord_id,
        "account": order.account,
        "side": order.side,
        "ord_type": order.ord_type,
        "time_in_force": order.time_in_force,
        "order_capacity": order.order_capacity,
        "order_qty": TEXT[order.order_qty],
        "leaves_qty": TEXT[order.leaves] if order.live else "0",
    }
    if order.price:
        record["price"] = TEXT[order.price]
    if order.stop_px:
        record["stop_px"] = TEXT[order.stop_px]
    if order.display_qty:
        record["display_qty"] = TEXT[order.display_qty]
    if order.min_qty:
        record["min_qty"] = TEXT[order.min_qty]
    if order.exec_inst:
        record["exec_inst"] = list(order.exec_inst)
    if order.post_only:
        record["post_only"] = True
    if order.mm_flag != "absent":
        record["mm_flag"] = order.mm_flag
    if reason:
        record["reason"] = reason
    if exec_type == "replaced":
        record["orig_cl_ord_id"] = order.orig_cl_ord_id
    if seq % 4 and exec_type in ("new", "replaced", "rejected"):
        record["ts_gateway"] = ts - 20_000 - seq * 7_919 % 180_000
        record["ts_ack"] = ts + 30_000 + seq * 6_101 % 90_000
        if exec_type != "rejected":
            record["ts_published"] = ts + 130_000 + seq * 5_003 % 200_000
        record["session"] = "FIX-1"
        record["access_tier"] = "standard"
    return record


def protection_record(
    instrument: str, seq: int, ts: int, exec_type: OrderExecType, account: str, mm_flag: Flag
) -> Record:
    """One `orders` record of no order: market-maker protection begins or ends to hold an account."""
    return {
        "instrument": instrument,
        "seq": seq,
        "ts": ts,
        "exec_type": exec_type,
        "account": account,
        "mm_flag": mm_flag,
    }


def trade_record(
    instrument: str,
    seq: int,
    ts: int,
    trade_id: str,
    price: int,
    quantity: int,
    buyer: Order,
    seller: Order,
    aggressor: Aggressor,
    match_type: MatchType,
    match_id: str,
) -> Record:
    """One `trades` record of the book; an uncross has no aggressor and no `match_id`."""
    fee_base = price * quantity
    taker_fee = text(-(-fee_base * TAKER_BPS // _FEE_DIVISOR))
    maker_fee = text(-(-fee_base * MAKER_BPS // _FEE_DIVISOR))
    record: Record = {
        "instrument": instrument,
        "seq": seq,
        "ts": ts,
        "exec_type": "trade",
        "trade_id": trade_id,
        "price": TEXT[price],
        "qty": TEXT[quantity],
        "aggressor": aggressor,
        "buy_order_id": buyer.order_id,
        "buy_account": buyer.account,
        "buy_fee": taker_fee if aggressor == "buy" else maker_fee,
        "sell_order_id": seller.order_id,
        "sell_account": seller.account,
        "sell_fee": taker_fee if aggressor == "sell" else maker_fee,
        "match_type": match_type,
    }
    if match_id:
        record["match_id"] = match_id
    if buyer.mm_flag != "absent":
        record["buy_mm_flag"] = buyer.mm_flag
    if seller.mm_flag != "absent":
        record["sell_mm_flag"] = seller.mm_flag
    return record


def off_book_record(
    instrument: str,
    seq: int,
    ts: int,
    trade_id: str,
    match_type: MatchType,
    price: int,
    quantity: int,
    buyer: tuple[str, Flag],
    seller: tuple[str, Flag],
) -> Record:
    """One `trades` record agreed off the book: no orders, no match. Sides are (account, mm_flag)."""
    fee = text(-(-price * quantity * TAKER_BPS // _FEE_DIVISOR))
    record: Record = {
        "instrument": instrument,
        "seq": seq,
        "ts": ts,
        "exec_type": "trade",
        "trade_id": trade_id,
        "price": TEXT[price],
        "qty": TEXT[quantity],
        "aggressor": "none",
        "buy_account": buyer[0],
        "buy_fee": fee,
        "sell_account": seller[0],
        "sell_fee": fee,
        "match_type": match_type,
    }
    for side, (_, flag) in (("buy", buyer), ("sell", seller)):
        if flag != "absent":
            record[f"{side}_mm_flag"] = flag
    return record


def correction_record(
    instrument: str, seq: int, ts: int, trade_id: str, orig_trade_id: str, changes: Record
) -> Record:
    """One `trade_correct`: it names the trade it corrects and says what it changes."""
    record = bust_record(instrument, seq, ts, trade_id, orig_trade_id)
    return {**record, "exec_type": "trade_correct", **changes}


def bust_record(instrument: str, seq: int, ts: int, trade_id: str, orig_trade_id: str) -> Record:
    """One `trade_cancel`: it names the trade it takes back and repeats nothing of it."""
    return {
        "instrument": instrument,
        "seq": seq,
        "ts": ts,
        "exec_type": "trade_cancel",
        "trade_id": trade_id,
        "orig_trade_id": orig_trade_id,
    }


def quote_record(instrument: str, seq: int, ts: int, bid: tuple[int, int], ask: tuple[int, int]) -> Record:
    """The venue's best bid and offer as (price, displayed quantity); price 0 is an absent side.

    With an `account` added it is that maker's own two-sided quote.
    """
    return {
        "quote_id": f"{instrument}-Q{seq}",
        "instrument": instrument,
        "seq": seq,
        "ts": ts,
        "bid_px": TEXT[bid[0]] if bid[0] else None,
        "bid_size": TEXT[bid[1]] if bid[0] else None,
        "ask_px": TEXT[ask[0]] if ask[0] else None,
        "ask_size": TEXT[ask[1]] if ask[0] else None,
    }
