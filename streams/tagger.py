"""From raw bytes to journal entries: strict decoding, exact decimals, roles. Nothing is guessed at."""

from __future__ import annotations

from detectors.affiliation import Directory
from schemas import codec
from schemas.decimals import DecimalError, Parsed
from schemas.events import OrderRecord, QuoteRecord, Record, TradeRecord
from schemas.journal import (
    EventEntry,
    OrderEntry,
    QuoteEntry,
    RefusedEntry,
    RefusedReason,
    Source,
    TradeEntry,
)

MAX_TS = 1 << 62
MAX_TEXT = 1_000  # characters of an id or any other text of a record: alerts say them several times over
MAX_DETAIL = 1_000  # characters of why a record was refused
CARRIES_TERMS = ("new", "restated")
QUANTITY_COUNTS = ("new", "restated", "replaced")  # an order_qty of 0 makes no sense on these


class Refused(Exception):
    """A record that cannot be used: why, and what was expected."""

    def __init__(self, reason: RefusedReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Tagger:
    """Decodes, checks and tags source records. `max_future` in ns; `directory` looks roles up (pass 1)."""

    def __init__(self, directory: Directory, max_future: int = 5_000_000_000) -> None:
        self.directory = directory
        self.max_future = max_future
        self._decimals = Parsed()

    def tag(
        self, topic: str, value: bytes | None, partition: int, offset: int, append_ts_ms: int | None = None
    ) -> list[tuple[EventEntry | RefusedEntry, bytes]]:
        """Return one entry, with its bytes, for each record in `value`, one record or an array; never raises.

        `append_ts_ms`: the broker's append time (ms), None for a recording.
        """
        value = value or b""
        src = Source(topic, partition, offset)
        first = value.lstrip()[:1]
        if not first:
            return [(self._refuse(src, value, "empty", "expected a record, got nothing"), value)]
        if first != b"[":
            return [(self._one(src, value, append_ts_ms), value)]
        try:
            records = codec.split_array(value)
        except codec.UNREADABLE as error:
            return [(self._refuse(src, value, "not_json", f"expected JSON: {error}"), value)]
        if not records:
            return [(self._refuse(src, value, "empty", "expected records, got []"), value)]
        return [
            (self._one(Source(topic, partition, offset, index), record, append_ts_ms), record)
            for index, record in enumerate(records)
        ]

    def _one(self, src: Source, data: bytes, append_ts_ms: int | None) -> EventEntry | RefusedEntry:
        try:
            record, extra = self._decode(src.topic, data)
            if len(data) > MAX_TEXT:
                _check_texts(record)
            return self._entry(record, src, extra, append_ts_ms)
        except Refused as refused:
            return self._refuse(src, data, refused.reason, refused.detail)

    def _refuse(self, src: Source, data: bytes, reason: RefusedReason, detail: str) -> RefusedEntry:
        seen = codec.place_of(data)
        return RefusedEntry(
            src=src,
            reason=reason,
            detail=detail if len(detail) <= MAX_DETAIL else f"{detail[:MAX_DETAIL]} ...",
            raw=data,
            instrument=seen.instrument if len(seen.instrument or "") <= MAX_TEXT else None,
            seq=seen.seq,
            ts=seen.ts,
        )

    def _decode(self, topic: str, data: bytes) -> tuple[Record, str | None]:
        try:
            return codec.decode_record(topic, data), None
        except codec.ValidationError as error:
            if "unknown field" not in str(error):
                raise _wrong(error) from error
        except codec.UNREADABLE as error:
            raise Refused("not_json", f"expected JSON: {error}") from error
        try:  # an unknown field is told before what follows it is read: the rest may be anything
            return codec.decode_beside(topic, data)
        except codec.ValidationError as error:
            raise _wrong(error) from error
        except codec.UNREADABLE as error:
            raise Refused("not_json", f"expected JSON: {error}") from error

    # ---- checks -------------------------------------------------------------------------------------

    def _entry(self, record: Record, src: Source, extra: str | None, append_ts_ms: int | None) -> EventEntry:
        if not record.instrument:
            raise Refused("bad_value", "expected an instrument, got ''")
        if record.seq < 1 or record.seq > MAX_TS:
            raise Refused("bad_value", f"expected seq from 1 to {MAX_TS}, got {record.seq}")
        if not 0 <= record.ts <= MAX_TS:
            raise Refused("bad_value", f"expected ts in ns since 1970, up to {MAX_TS}, got {record.ts}")
        if append_ts_ms is not None and record.ts > append_ts_ms * 1_000_000 + self.max_future:
            ahead = record.ts - append_ts_ms * 1_000_000
            raise Refused(
                "too_far_in_future", f"ts is {ahead} ns after the append time, allowed {self.max_future}"
            )
        if isinstance(record, OrderRecord):
            return self._order(record, src, extra)
        if isinstance(record, TradeRecord):
            return self._trade(record, src, extra)
        return self._quote(record, src, extra)

    def _decimal(self, field: str, text: str | None, least: int | None = None) -> int | None:
        """Return the scaled decimal; `least`: smallest value that makes sense."""
        if text is None:
            return None
        try:
            value = self._decimals[text]
        except DecimalError as error:
            raise Refused("bad_decimal", f"{field}: {error}") from error
        if least is not None and value < least:
            raise Refused("bad_value", f"{field}: expected {'> 0' if least else '>= 0'}, got {text}")
        return value

    def _order(self, record: OrderRecord, src: Source, extra: str | None) -> OrderEntry:
        kind = record.exec_type
        if not kind.startswith("mm_protection") and not record.order_id:
            raise Refused("missing_field", f"expected an order_id on {kind}")
        if "" in (record.order_id, record.account):
            raise Refused("bad_value", "expected order_id and account to be absent or named, got ''")
        price = self._decimal("price", record.price, 1)
        order_qty = self._decimal("order_qty", record.order_qty, 1 if kind in QUANTITY_COUNTS else 0)
        leaves_qty = self._decimal("leaves_qty", record.leaves_qty, 0)
        if kind in CARRIES_TERMS:
            if record.side is None:
                raise Refused("missing_field", f"expected a side on {kind}")
            if price is None and record.ord_type not in ("market", "stop"):
                raise Refused("missing_field", f"expected a price on {kind} of a limit order")
            if order_qty is None and (kind == "new" or leaves_qty is None):
                wanted = "order_qty" if kind == "new" else "order_qty or leaves_qty"
                raise Refused("missing_field", f"expected {wanted} on {kind}")
        for name, time in (
            ("ts_gateway", record.ts_gateway),
            ("ts_ack", record.ts_ack),
            ("ts_published", record.ts_published),
        ):
            if time is not None and not 0 <= time <= MAX_TS:
                raise Refused("bad_value", f"expected {name} in ns since 1970, up to {MAX_TS}, got {time}")
        party = self.directory.party(record.account, record.instrument, record.ts)
        return OrderEntry(
            instrument=record.instrument,
            seq=record.seq,
            ts=record.ts,
            exec_type=kind,
            src=src,
            order_id=record.order_id,
            cl_ord_id=record.cl_ord_id,
            orig_cl_ord_id=record.orig_cl_ord_id,
            account=record.account,
            side=record.side,
            ord_type=record.ord_type,
            time_in_force=record.time_in_force,
            post_only=record.post_only,
            exec_inst=None if record.exec_inst is None else tuple(record.exec_inst),
            order_capacity=record.order_capacity,
            price=price,
            stop_px=self._decimal("stop_px", record.stop_px, 1),
            order_qty=order_qty,
            leaves_qty=leaves_qty,
            display_qty=self._decimal("display_qty", record.display_qty, 0),
            min_qty=self._decimal("min_qty", record.min_qty, 0),
            mm_flag=record.mm_flag,
            reason=record.reason,
            ts_gateway=record.ts_gateway,
            ts_ack=record.ts_ack,
            ts_published=record.ts_published,
            session=record.session,
            access_tier=record.access_tier,
            role=party.role,
            owner=party.owner,
            grp=party.grp,
            extra=extra,
        )

    def _trade(self, record: TradeRecord, src: Source, extra: str | None) -> TradeEntry:
        trade_id = record.trade_id or record.orig_trade_id
        if not trade_id or (record.exec_type == "trade" and not record.trade_id):
            raise Refused("missing_field", f"expected a trade_id on {record.exec_type}")
        price = self._decimal("price", record.price, 1)
        qty = self._decimal("qty", record.qty, 1)
        if record.exec_type == "trade" and (price is None or qty is None):
            raise Refused("missing_field", "expected price and qty on a trade")
        if record.exec_type == "trade_correct" and not record.orig_trade_id:
            raise Refused("missing_field", "expected orig_trade_id on trade_correct")
        buyer = self.directory.party(record.buy_account, record.instrument, record.ts)
        seller = self.directory.party(record.sell_account, record.instrument, record.ts)
        return TradeEntry(
            instrument=record.instrument,
            seq=record.seq,
            ts=record.ts,
            exec_type=record.exec_type,
            trade_id=trade_id,
            src=src,
            orig_trade_id=record.orig_trade_id,
            price=price,
            qty=qty,
            aggressor=record.aggressor or "none",
            buy_order_id=record.buy_order_id,
            buy_account=record.buy_account,
            buy_mm_flag=record.buy_mm_flag,
            buy_fee=self._decimal("buy_fee", record.buy_fee),
            sell_order_id=record.sell_order_id,
            sell_account=record.sell_account,
            sell_mm_flag=record.sell_mm_flag,
            sell_fee=self._decimal("sell_fee", record.sell_fee),
            match_type=record.match_type or "book",
            match_id=record.match_id,
            buy_role=buyer.role,
            buy_owner=buyer.owner,
            buy_grp=buyer.grp,
            sell_role=seller.role,
            sell_owner=seller.owner,
            sell_grp=seller.grp,
            extra=extra,
        )

    def _quote(self, record: QuoteRecord, src: Source, extra: str | None) -> QuoteEntry:
        for side, price, size in (
            ("bid", record.bid_px, record.bid_size),
            ("ask", record.ask_px, record.ask_size),
        ):
            if price is None and size is not None:
                raise Refused("missing_field", f"expected {side}_px beside {side}_size")
        party = self.directory.party(record.account, record.instrument, record.ts)
        return QuoteEntry(
            instrument=record.instrument,
            seq=record.seq,
            ts=record.ts,
            src=src,
            quote_id=record.quote_id,
            bid_px=self._decimal("bid_px", record.bid_px, 1),
            bid_size=self._decimal("bid_size", record.bid_size, 1),
            ask_px=self._decimal("ask_px", record.ask_px, 1),
            ask_size=self._decimal("ask_size", record.ask_size, 1),
            account=record.account,
            mm_flag=record.mm_flag,
            role=party.role,
            owner=party.owner,
            grp=party.grp,
            extra=extra,
        )


def _check_texts(record: Record) -> None:
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise Refused("bad_value", f"{name}: expected at most {MAX_TEXT} characters, got {len(value)}")


def _wrong(error: Exception) -> Refused:
    said = str(error)
    return Refused("missing_field" if "missing required field" in said else "wrong_type", said)
