"""What becomes of a source record: an entry, or a refusal with its reason, detail, place and bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detectors.affiliation import Directory
from schemas import codec
from schemas.journal import EventEntry, OrderEntry, QuoteEntry, RefusedEntry, Source, TradeEntry
from schemas.reference import Account, Affiliation, Entity, Fact, MmRegistration
from streams.tagger import Tagger

FACTS: list[Fact] = [
    Entity(id="venue", operator=True),
    Entity(id="maker"),
    Entity(id="alice"),
    Account(account="MM-1", entity="maker"),
    Account(account="C-1", entity="alice"),
    Affiliation(parent="venue", child="maker", control_pct="75"),
    MmRegistration(account="MM-1", affiliated=True),
]
T = 1_772_409_600_000_000_000
ORDER: dict[str, Any] = {
    "instrument": "X",
    "seq": 7,
    "ts": T,
    "exec_type": "new",
    "order_id": "O1",
    "account": "MM-1",
    "side": "buy",
    "price": "100.5",
    "order_qty": "2",
}
TRADE: dict[str, Any] = {
    "instrument": "X",
    "seq": 8,
    "ts": T,
    "exec_type": "trade",
    "trade_id": "T1",
    "price": "100.5",
    "qty": "0.00000001",
    "aggressor": "sell",
    "buy_account": "MM-1",
    "sell_account": "C-1",
    "buy_fee": "-0.25",
}
QUOTE: dict[str, Any] = {"instrument": "X", "seq": 9, "ts": T, "bid_px": "100", "bid_size": "1"}
RECORDS = {"orders": ORDER, "trades": TRADE, "quotes": QUOTE}


def tag(topic: str, value: bytes, append_ts_ms: int | None = None) -> list[EventEntry | RefusedEntry]:
    return [entry for entry, _ in Tagger(Directory(FACTS)).tag(topic, value, 3, 41, append_ts_ms)]


def one(topic: str, **changes: Any) -> EventEntry | RefusedEntry:
    """Tag the topic's sound record with some fields changed; `...` takes a field away."""
    record = {name: value for name, value in (RECORDS[topic] | changes).items() if value is not ...}
    [entry] = tag(topic, json.dumps(record).encode())
    return entry


def refusal(entry: EventEntry | RefusedEntry) -> str | None:
    return entry.reason if isinstance(entry, RefusedEntry) else None


def test_an_order_is_scaled_and_tagged() -> None:
    assert one("orders") == OrderEntry(
        instrument="X",
        seq=7,
        ts=T,
        exec_type="new",
        src=Source("orders", 3, 41),
        order_id="O1",
        account="MM-1",
        side="buy",
        price=10_050_000_000,
        order_qty=200_000_000,
        role="affiliated_mm",
        owner="maker",
        grp="venue",
    )


def test_a_trade_is_tagged_on_both_sides() -> None:
    entry = one("trades")
    assert isinstance(entry, TradeEntry)
    assert (entry.buy_role, entry.buy_owner, entry.sell_role, entry.sell_owner) == (
        "affiliated_mm", "maker", "client", "alice",
    )  # fmt: skip
    assert (entry.qty, entry.buy_fee, entry.match_type, entry.aggressor) == (1, -25_000_000, "book", "sell")


def test_a_venue_quote_has_no_party_and_an_absent_side_is_none() -> None:
    entry = one("quotes")
    assert isinstance(entry, QuoteEntry)
    assert (entry.role, entry.owner, entry.ask_px, entry.ask_size) == ("unknown", None, None, None)


SOUND: list[tuple[str, dict[str, Any]]] = [
    ("orders", {"leaves_qty": "0"}),
    ("orders", {"display_qty": "0"}),
    ("orders", {"ord_type": "market", "price": ...}),
    ("orders", {"exec_type": "restated", "order_qty": ..., "leaves_qty": "1"}),
    ("orders", {"exec_type": "canceled", "price": ..., "order_qty": ..., "side": ...}),
    ("orders", {"exec_type": "canceled", "order_qty": "0"}),
    ("orders", {"exec_type": "mm_protection_start", "order_id": ...}),
    ("orders", {"price": "9999999999.99999999"}),
    ("orders", {"price": None, "ord_type": "market", "account": None}),
    (
        "trades",
        {"exec_type": "trade_cancel", "trade_id": ..., "orig_trade_id": "T1", "price": ..., "qty": ...},
    ),
    ("trades", {"exec_type": "trade_cancel"}),
    ("trades", {"exec_type": "trade_correct", "orig_trade_id": "T0", "qty": ...}),
    ("quotes", {"bid_px": ..., "bid_size": ...}),
    ("quotes", {"bid_size": ...}),
]


@pytest.mark.parametrize(("topic", "changes"), SOUND, ids=str)
def test_sound(topic: str, changes: dict[str, Any]) -> None:
    assert refusal(one(topic, **changes)) is None


UNSOUND: list[tuple[str, dict[str, Any], str, str]] = [
    ("orders", {"price": 100.5}, "wrong_type", "got `float` - at `$.price`"),
    ("orders", {"price": 100}, "wrong_type", "got `int` - at `$.price`"),
    ("orders", {"seq": "7"}, "wrong_type", "got `str` - at `$.seq`"),
    ("orders", {"seq": True}, "wrong_type", "got `bool` - at `$.seq`"),
    ("orders", {"ts": 1.0}, "wrong_type", "got `float` - at `$.ts`"),
    ("orders", {"side": "long"}, "wrong_type", "'long' - at `$.side`"),
    ("orders", {"exec_type": "done"}, "wrong_type", "'done' - at `$.exec_type`"),
    ("orders", {"mm_flag": "true"}, "wrong_type", "at `$.mm_flag`"),
    ("orders", {"instrument": ...}, "missing_field", "`instrument`"),
    ("orders", {"seq": ...}, "missing_field", "`seq`"),
    ("orders", {"exec_type": ...}, "missing_field", "`exec_type`"),
    ("orders", {"order_id": ...}, "missing_field", "expected an order_id on new"),
    ("orders", {"order_id": "", "exec_type": "canceled"}, "missing_field", "expected an order_id on cance"),
    ("orders", {"side": ...}, "missing_field", "expected a side on new"),
    ("orders", {"price": ...}, "missing_field", "expected a price on new of a limit order"),
    ("orders", {"price": ..., "ord_type": "stop_limit"}, "missing_field", "expected a price"),
    ("orders", {"order_qty": ...}, "missing_field", "expected order_qty on new"),
    ("orders", {"order_qty": ..., "leaves_qty": "1"}, "missing_field", "expected order_qty on new"),
    ("orders", {"order_qty": ..., "exec_type": "restated"}, "missing_field", "order_qty or leaves_qty"),
    ("orders", {"instrument": ""}, "bad_value", "expected an instrument, got ''"),
    ("orders", {"seq": 0}, "bad_value", "expected seq from 1 to 4611686018427387904, got 0"),
    ("orders", {"seq": 2**80}, "bad_value", f"got {2**80}"),
    ("orders", {"ts": -1}, "bad_value", "expected ts in ns since 1970, up to 4611686018427387904, got -1"),
    ("orders", {"ts": 2**63}, "bad_value", f"got {2**63}"),
    ("orders", {"ts_gateway": -1}, "bad_value", "expected ts_gateway in ns"),
    ("orders", {"ts_ack": 2**63}, "bad_value", "expected ts_ack in ns"),
    ("orders", {"ts_published": 2**64}, "bad_value", "expected ts_published in ns"),
    ("orders", {"price": "0"}, "bad_value", "price: expected > 0, got 0"),
    ("orders", {"price": "-1"}, "bad_value", "price: expected > 0, got -1"),
    ("orders", {"stop_px": "0"}, "bad_value", "stop_px: expected > 0, got 0"),
    ("orders", {"order_qty": "0"}, "bad_value", "order_qty: expected > 0, got 0"),
    ("orders", {"order_qty": "0", "exec_type": "replaced"}, "bad_value", "order_qty: expected > 0, got 0"),
    ("orders", {"order_qty": "-2"}, "bad_value", "order_qty: expected > 0, got -2"),
    ("orders", {"leaves_qty": "-1"}, "bad_value", "leaves_qty: expected >= 0, got -1"),
    ("orders", {"display_qty": "-1"}, "bad_value", "display_qty: expected >= 0, got -1"),
    ("orders", {"min_qty": "-1"}, "bad_value", "min_qty: expected >= 0, got -1"),
    ("orders", {"price": "1e3"}, "bad_decimal", "price: expected a decimal like '12.5', got '1e3'"),
    ("orders", {"price": " 1"}, "bad_decimal", "got ' 1'"),
    ("orders", {"price": "+1"}, "bad_decimal", "got '+1'"),
    ("orders", {"price": "1_0"}, "bad_decimal", "got '1_0'"),
    ("orders", {"price": "٣"}, "bad_decimal", "got '٣'"),
    ("orders", {"price": ""}, "bad_decimal", "got ''"),
    ("orders", {"price": "1.123456789"}, "bad_decimal", "at most 18 digits of which 8 decimals"),
    ("orders", {"price": "12345678901.12345678"}, "bad_decimal", "at most 18 digits"),
    ("orders", {"order_qty": "10000000000"}, "bad_decimal", "expected a value below 10000000000"),
    ("trades", {"trade_id": ...}, "missing_field", "expected a trade_id on trade"),
    ("trades", {"price": ...}, "missing_field", "expected price and qty on a trade"),
    ("trades", {"qty": ...}, "missing_field", "expected price and qty on a trade"),
    ("trades", {"qty": "0"}, "bad_value", "qty: expected > 0, got 0"),
    ("trades", {"exec_type": "trade_cancel", "trade_id": ...}, "missing_field", "a trade_id on trade_cancel"),
    ("trades", {"exec_type": "trade_correct"}, "missing_field", "expected orig_trade_id on trade_correct"),
    ("trades", {"sell_fee": 1.5}, "wrong_type", "at `$.sell_fee`"),
    ("quotes", {"bid_px": "0"}, "bad_value", "bid_px: expected > 0, got 0"),
    ("quotes", {"bid_size": "0"}, "bad_value", "bid_size: expected > 0, got 0"),
    ("quotes", {"ask_size": "1"}, "missing_field", "expected ask_px beside ask_size"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "changes", "reason", "detail"), UNSOUND, ids=str)
def test_unsound(topic: str, changes: dict[str, Any], reason: str, detail: str) -> None:
    entry = one(topic, **changes)
    assert isinstance(entry, RefusedEntry)
    assert entry.reason == reason
    assert detail in entry.detail


def test_a_refusal_keeps_bytes_and_place() -> None:
    data = json.dumps(ORDER | {"price": 1.5}).encode()
    [entry] = tag("orders", data)
    assert isinstance(entry, RefusedEntry)
    assert (entry.raw, entry.src) == (data, Source("orders", 3, 41))
    assert (entry.instrument, entry.seq, entry.ts) == ("X", 7, T)


def test_numbers_beyond_64_bits_are_not_passed_on() -> None:
    entry = one("orders", seq=2**63, ts=-(2**63) - 1)
    assert isinstance(entry, RefusedEntry)
    assert (entry.instrument, entry.seq, entry.ts) == ("X", None, None)


SOUND_BYTES = json.dumps(ORDER).encode()
POISON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "white space": (b" \t\r\n", "empty"),
    "no records": (b"[]", "empty"),
    "text": (b"hello", "not_json"),
    "byte order mark": (b"\xef\xbb\xbf" + SOUND_BYTES, "not_json"),
    "zero byte": (b"\x00", "not_json"),
    "not a number": (b"NaN", "not_json"),
    "cut": (SOUND_BYTES[:-5], "not_json"),
    "cut array": (b"[" + SOUND_BYTES + b",", "not_json"),
    "cut after an unknown field": (b'{"unknown": 1, "instrument":', "not_json"),
    "two records": (SOUND_BYTES + SOUND_BYTES, "not_json"),
    "a string": (b'"X"', "wrong_type"),
    "a number": (b"7", "wrong_type"),
    "null": (b"null", "wrong_type"),
    "deep array": (b"[" * 100_000, "not_json"),
    "deep object": (b'{"a":' * 100_000, "not_json"),
    "deep unknown field": (SOUND_BYTES[:-1] + b', "u":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "not_json"),
    "no UTF-8 in the instrument": (b'{"instrument":"\xff"}', "not_json"),
    "no UTF-8 in an unknown field": (SOUND_BYTES[:-1] + b', "u":"\xff"}', "not_json"),
    "no UTF-8 in a key": (SOUND_BYTES[:-1] + b', "\xff":1}', "not_json"),
    "half a surrogate": (SOUND_BYTES.replace(b"MM-1", b"\\ud800"), "not_json"),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused_with_its_bytes(name: str) -> None:
    value, reason = POISON[name]
    [entry] = tag("orders", value)
    assert isinstance(entry, RefusedEntry)
    assert (entry.reason, entry.raw) == (reason, value)


@pytest.mark.parametrize("topic", RECORDS)
def test_poison_can_be_journaled_whatever_its_topic(topic: str) -> None:
    values = [value for value, _ in POISON.values()]
    entries = [entry for value in values for entry in tag(topic, value)]
    assert [refusal(entry) is not None for entry in entries] == [True] * len(values)
    assert codec.decode_frame(codec.encode_frame(list(entries))) == entries


def test_an_absent_value_is_empty() -> None:
    [(entry, raw)] = Tagger(Directory()).tag("orders", None, 0, 1)
    assert (refusal(entry), raw) == ("empty", b"")


def test_a_bad_element_refuses_only_itself() -> None:
    bad = b'{ "instrument" : "X", "seq":8 }'
    value = b"[" + SOUND_BYTES + b" , " + bad + b"," + SOUND_BYTES.replace(b'"seq": 7', b'"seq": 9') + b"]"
    first, second, third = tag("orders", value)
    assert [refusal(entry) for entry in (first, second, third)] == [None, "missing_field", None]
    assert [entry.src.index for entry in (first, second, third)] == [0, 1, 2]
    assert isinstance(second, RefusedEntry) and second.raw == bad


def test_each_element_is_passed_on_with_its_own_bytes() -> None:
    tagged = Tagger(Directory()).tag("orders", b"[" + SOUND_BYTES + b"," + SOUND_BYTES + b"]", 0, 1)
    assert [raw for _, raw in tagged] == [SOUND_BYTES, SOUND_BYTES]


def test_unknown_fields_are_kept_aside_and_never_used() -> None:
    entry = one("orders", zeta={"a": [1, 2.50]}, alpha="x")
    assert isinstance(entry, OrderEntry)
    assert entry.extra == '{"alpha":"x","zeta":{"a": [1, 2.5]}}'
    plain = one("orders")
    assert isinstance(plain, OrderEntry)
    entry.extra = None
    assert entry == plain


def test_unknown_fields_do_not_hide_a_wrong_one() -> None:
    entry = one("orders", zeta=1, price=1.5)
    assert isinstance(entry, RefusedEntry)
    assert (entry.reason, "at `$.price`" in entry.detail) == ("wrong_type", True)


def test_too_far_in_the_future_is_judged_by_the_append_time_alone() -> None:
    at = T // 1_000_000
    data = json.dumps(ORDER).encode()
    assert [refusal(tag("orders", data, append)[0]) for append in (None, at, at - 5_000, at - 5_001)] == [
        None, None, None, "too_far_in_future",
    ]  # fmt: skip


def test_a_role_is_that_at_the_records_time() -> None:
    facts = [fact for fact in FACTS if not isinstance(fact, MmRegistration)]
    registered = MmRegistration(account="MM-1", affiliated=True, valid_from=T, valid_to=T + 10)
    tagger = Tagger(Directory([*facts, registered]))
    roles = []
    for ts in (T - 1, T, T + 9, T + 10):
        [(entry, _)] = tagger.tag("orders", json.dumps(ORDER | {"ts": ts}).encode(), 0, 1)
        assert isinstance(entry, OrderEntry)
        roles.append(entry.role)
    assert roles == ["affiliate", "affiliated_mm", "affiliated_mm", "affiliate"]


def test_texts_and_reasons_are_bounded() -> None:
    """An alert says an account several times over, a reason quotes what it refuses: both must stay small."""
    assert refusal(one("orders", account="A" * 1_000)) is None
    assert refusal(one("orders", account="A" * 1_001)) == "bad_value"
    for entry in (one("orders", exec_type="x" * 100_000), one("trades", instrument="I" * 100_000)):
        assert isinstance(entry, RefusedEntry)
        assert len(entry.raw) > 100_000
        assert len(codec.encode_frame([entry])) - 4 * len(entry.raw) // 3 < 3_000
