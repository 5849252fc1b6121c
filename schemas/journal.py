"""The journal: the venue's day as one ordered, tagged log per instrument; everything an answer depends on.

A message on the topic `journal` is a *frame*: JSON Lines, one entry a line. Prices and quantities are
integers scaled by 10**8, times integer nanoseconds. An entry's place is (partition, offset, index in the
frame). Gaps, late entries and redeliveries are derived from the order of entries, never written by the
writer, so two writers of one partition do no harm. Source: DESIGN.md section 4.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.events import (
    Aggressor,
    ExecInst,
    MatchType,
    OrderCapacity,
    OrderExecType,
    OrdType,
    Side,
    TimeInForce,
    TradeExecType,
)
from schemas.reference import Fact, Role

RefusedReason = Literal[
    "not_json", "wrong_type", "missing_field", "bad_decimal", "bad_value", "empty", "too_far_in_future",
    "partition_mismatch", "duplicate", "conflict", "evicted",
]  # fmt: skip


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a record came from: source topic, partition, offset, and index within an array value.

    Of a recording: partition 0 and offset = line number (from 1), so that a person finds the line.
    """

    topic: str
    partition: int
    offset: int
    index: int = 0


class _Entry(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class OrderEntry(_Entry, tag="order"):
    """An order record, tagged with the role, owner and group of its account at `ts` (pass 1)."""

    instrument: str
    seq: int
    ts: int
    exec_type: OrderExecType
    src: Source
    order_id: str | None = None
    cl_ord_id: str | None = None
    orig_cl_ord_id: str | None = None
    account: str | None = None
    side: Side | None = None
    ord_type: OrdType | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool | None = None
    exec_inst: tuple[ExecInst, ...] | None = None  # an empty list says: none any more
    order_capacity: OrderCapacity | None = None
    price: int | None = None
    stop_px: int | None = None
    order_qty: int | None = None
    leaves_qty: int | None = None
    display_qty: int | None = None
    min_qty: int | None = None
    mm_flag: bool | None = None
    reason: str | None = None
    ts_gateway: int | None = None
    ts_ack: int | None = None
    ts_published: int | None = None
    session: str | None = None
    access_tier: str | None = None
    role: Role = "unknown"
    owner: str | None = None
    grp: str | None = None
    start: bool = False  # the instrument's first entry: what lies below it is a gap
    extra: str | None = None  # fields nobody knows, as JSON: kept aside, never used


class TradeEntry(_Entry, tag="trade"):
    """A trade record, tagged on both sides."""

    instrument: str
    seq: int
    ts: int
    exec_type: TradeExecType
    trade_id: str
    src: Source
    orig_trade_id: str | None = None
    price: int | None = None
    qty: int | None = None
    aggressor: Aggressor = "none"
    buy_order_id: str | None = None
    buy_account: str | None = None
    buy_mm_flag: bool | None = None
    buy_fee: int | None = None
    sell_order_id: str | None = None
    sell_account: str | None = None
    sell_mm_flag: bool | None = None
    sell_fee: int | None = None
    match_type: MatchType = "book"
    match_id: str | None = None
    buy_role: Role = "unknown"
    buy_owner: str | None = None
    buy_grp: str | None = None
    sell_role: Role = "unknown"
    sell_owner: str | None = None
    sell_grp: str | None = None
    start: bool = False
    extra: str | None = None


class QuoteEntry(_Entry, tag="quote"):
    """A quote record: the venue's best bid and offer where `account` is None."""

    instrument: str
    seq: int
    ts: int
    src: Source
    quote_id: str | None = None
    bid_px: int | None = None
    bid_size: int | None = None
    ask_px: int | None = None
    ask_size: int | None = None
    account: str | None = None
    mm_flag: bool | None = None
    role: Role = "unknown"
    owner: str | None = None
    grp: str | None = None
    start: bool = False
    extra: str | None = None


class RefusedEntry(_Entry, tag="refused"):
    """A record that is not part of the order of things, with its bytes, place and reason.

    `instrument`, `seq`, `ts` are what could be read of it. Reason `duplicate`: another source record with
    the same seq and content; `conflict`: with other content.
    """

    src: Source
    reason: RefusedReason
    detail: str
    raw: bytes
    instrument: str | None = None
    seq: int | None = None
    ts: int | None = None


class ClockEntry(_Entry, tag="clock"):
    """A promise: no source event of this partition with `ts` <= this one is still to come.

    `end`: a recording ends here; what is open (windows, minutes, days) is decided with what is known.
    """

    ts: int
    end: bool = False


class ReferenceEntry(_Entry, tag="reference"):
    """A reference fact, known to the pipeline from here on."""

    fact: Fact


class RulebookEntry(_Entry, tag="rulebook"):
    """The rulebook in force from here on: its text and digest."""

    digest: str
    text: str


EventEntry = OrderEntry | TradeEntry | QuoteEntry
Entry = OrderEntry | TradeEntry | QuoteEntry | RefusedEntry | ClockEntry | ReferenceEntry | RulebookEntry


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """The place of an entry in the journal."""

    partition: int
    offset: int
    index: int
