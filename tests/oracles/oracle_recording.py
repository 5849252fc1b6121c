"""Reads a recording folder for the oracles: sound records by instrument and seq, refused lines with a reason.

Written from SPEC.md 2.1-2.4 alone; shares no code with the product. Standard library, and `zstandard` for
`.zst`.

Shapes. `load(folder)` returns a `Recording`: `entries[instrument]` is a list of records (dicts, ascending
seq; every known field present, None where absent; prices and quantities int scaled by 10**8; times int ns
UTC; `kind` is `orders`, `trades` or `quotes`; `place` is (file, line, index)), `duplicates` and `conflicts`
by instrument, `refused` lines, `end_ts`, the recording's latest ts (a clock for every instrument), and
`reference`.

Readings (where SPEC is silent)
R1  A whitespace-only line is skipped; every other line that is not JSON is refused. A line may hold an array:
    each element is a record of its own with its index in the line.
R2  A decimal is `-?[0-9]+(\\.[0-9]+)?` in ASCII: at most 18 digits in all as written (leading zeros count),
    at most 8 after the point. A JSON number is never a price or quantity, an integer one neither.
R3  A price must be > 0. A quantity must be < 10**10 (DECIMAL(18,8)), >= 0; > 0 for a trade, an `order_qty` of
    `new` and `replaced` and a quote's size. A price may use all 18 digits before the point (DECIMAL(28,8)).
    Fees may be negative.
R4  seq is an integer 1..2**63-1, times 0..2**63-1; JSON true is not an integer, 1.0 neither.
R5  Required: instrument, seq, ts everywhere; exec_type in orders and trades; order_id in orders except
    mm_protection_*; account in mm_protection_*; side and a quantity (`order_qty`; `restated`: `leaves_qty` or
    `order_qty`) in `new` and `restated`; price where such an order is limit (the default) or stop_limit;
    stop_px where it is stop or stop_limit; trade_id, price, qty in `trade`; orig_trade_id in `trade_cancel`
    and `trade_correct`. A quote side has price and size or neither. Everything else may be absent.
R6  Unknown values of a named list (exec_type, side, ord_type, time_in_force, exec_inst, order_capacity,
    aggressor, match_type) are refused; `reason`, `session`, `access_tier` are free text. Empty strings are
    refused. Unknown fields are ignored, also in comparing contents. A wrong type in any known field refuses
    the record.
R7  Content (duplicate or conflict) is the kind and the decoded known fields: "1.0" equals "1.00", key order
    and white space do not matter, null equals absent.
R8  The recording's end is the latest ts of the sound records that were kept (not of refused or conflicting
    ones).
R9  Two files of one kind (plain and packed) in one folder are an error of the recording.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oracle_reference import Reference, load_reference

SCALE = 10**8
KINDS = ("orders", "trades", "quotes")
DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
INT64 = 2**63

ORDER_EXEC = (
    "new",
    "replaced",
    "canceled",
    "expired",
    "rejected",
    "triggered",
    "suspended",
    "resumed",
    "fill",
    "restated",
    "mm_protection_start",
    "mm_protection_end",
)
FIELDS: dict[str, dict[str, Any]] = {
    "orders": {
        "instrument": "text",
        "seq": "seq",
        "ts": "time",
        "exec_type": ORDER_EXEC,
        "order_id": "text",
        "cl_ord_id": "text",
        "orig_cl_ord_id": "text",
        "account": "text",
        "side": ("buy", "sell"),
        "ord_type": ("limit", "market", "stop", "stop_limit"),
        "time_in_force": ("gtc", "day", "ioc", "fok"),
        "post_only": "bool",
        "exec_inst": ["all_or_none", "not_held", "pegged"],
        "order_capacity": ("agency", "principal", "riskless_principal"),
        "price": "price",
        "stop_px": "price",
        "order_qty": "quantity",
        "leaves_qty": "quantity",
        "display_qty": "quantity",
        "min_qty": "quantity",
        "mm_flag": "bool",
        "reason": "text",
        "ts_gateway": "time",
        "ts_ack": "time",
        "ts_published": "time",
        "session": "text",
        "access_tier": "text",
    },
    "trades": {
        "instrument": "text",
        "seq": "seq",
        "ts": "time",
        "exec_type": ("trade", "trade_cancel", "trade_correct"),
        "orig_trade_id": "text",
        "trade_id": "text",
        "price": "price",
        "qty": "quantity",
        "aggressor": ("buy", "sell", "none"),
        "buy_order_id": "text",
        "buy_account": "text",
        "buy_mm_flag": "bool",
        "buy_fee": "amount",
        "sell_order_id": "text",
        "sell_account": "text",
        "sell_mm_flag": "bool",
        "sell_fee": "amount",
        "match_type": ("book", "auction", "block", "rfq", "liquidation"),
        "match_id": "text",
    },
    "quotes": {
        "quote_id": "text",
        "instrument": "text",
        "seq": "seq",
        "ts": "time",
        "bid_px": "price",
        "bid_size": "quantity",
        "ask_px": "price",
        "ask_size": "quantity",
        "account": "text",
        "mm_flag": "bool",
    },
}


class Refused(Exception):
    """The record cannot be used; the text says what was expected and what came."""


@dataclass
class Recording:
    """What `load` returns; see the module's docstring for shapes."""

    reference: Reference
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    duplicates: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    conflicts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    end_ts: int = 0


def scaled(text: Any, name: str = "decimal") -> int:
    """A decimal string as an int scaled by 10**8, exactly; else `Refused`."""
    if not isinstance(text, str):
        raise Refused(f"{name}: expected a decimal string, got {type(text).__name__}")
    found = DECIMAL.fullmatch(text)
    if found is None:
        raise Refused(f"{name}: not an ASCII decimal: {text!r}")
    sign, whole, part = found[1], found[2], found[3] or ""
    if len(whole) + len(part) > 18:
        raise Refused(f"{name}: more than 18 digits: {text!r}")
    if len(part) > 8:
        raise Refused(f"{name}: more than 8 decimals: {text!r}")
    value = int(whole) * SCALE + int(part.ljust(8, "0"))
    return -value if sign else value


def _value(name: str, kind: Any, value: Any) -> Any:
    if isinstance(kind, tuple):
        if not isinstance(value, str) or value not in kind:
            raise Refused(f"{name}: expected one of {', '.join(kind)}, got {value!r}")
        return value
    if isinstance(kind, list):
        if not isinstance(value, list) or any(item not in kind for item in value):
            raise Refused(f"{name}: expected a list of {', '.join(kind)}, got {value!r}")
        return sorted(set(value))
    if kind == "text":
        if not isinstance(value, str) or not value:
            raise Refused(f"{name}: expected text, got {value!r}")
        return value
    if kind == "bool":
        if not isinstance(value, bool):
            raise Refused(f"{name}: expected true or false, got {value!r}")
        return value
    if kind in ("seq", "time"):
        least = 1 if kind == "seq" else 0
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < INT64:
            raise Refused(f"{name}: expected an integer from {least}, got {value!r}")
        return value
    number = scaled(value, name)
    if kind == "price" and number <= 0:
        raise Refused(f"{name}: a price is above 0, got {value!r}")
    if kind == "quantity" and not 0 <= number < 10**18:
        raise Refused(f"{name}: a quantity is from 0 and below 10**10, got {value!r}")
    return number


def _need(record: dict[str, Any], *names: str) -> None:
    for name in names:
        if record[name] is None:
            raise Refused(f"{name}: missing")


def _above_zero(record: dict[str, Any], *names: str) -> None:
    for name in names:
        if record[name] is not None and record[name] <= 0:
            raise Refused(f"{name}: must be above 0")


def record_of(kind: str, raw: Any) -> dict[str, Any]:
    """The sound record in a decoded JSON object (all known fields, None where absent); else `Refused`."""
    if not isinstance(raw, dict):
        raise Refused(f"expected an object, got {type(raw).__name__}")
    record: dict[str, Any] = {"kind": kind}
    for name, rule in FIELDS[kind].items():
        value = raw.get(name)
        record[name] = None if value is None else _value(name, rule, value)
    _need(record, "instrument", "seq", "ts")
    if kind == "quotes":
        for side in ("bid", "ask"):
            if (record[f"{side}_px"] is None) != (record[f"{side}_size"] is None):
                raise Refused(f"{side}_px, {side}_size: both or neither")
            _above_zero(record, f"{side}_size")
        return record
    _need(record, "exec_type")
    exec_type = record["exec_type"]
    if kind == "trades":
        if exec_type == "trade":
            _need(record, "trade_id", "price", "qty")
        else:
            _need(record, "orig_trade_id")
        _above_zero(record, "qty")
        return record
    if exec_type.startswith("mm_protection"):
        _need(record, "account")
        return record
    _need(record, "order_id")
    if exec_type in ("new", "restated"):
        _need(record, "side")
        if exec_type == "new" or record["leaves_qty"] is None:
            _need(record, "order_qty")
        ord_type = record["ord_type"] or "limit"
        if ord_type in ("limit", "stop_limit"):
            _need(record, "price")
        if ord_type in ("stop", "stop_limit"):
            _need(record, "stop_px")
    if exec_type in ("new", "replaced"):
        _above_zero(record, "order_qty")
    return record


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _lines(folder: Path, kind: str) -> list[bytes]:
    found = [p for p in (folder / f"{kind}.jsonl{end}" for end in ("", ".gz", ".zst")) if p.exists()]
    if len(found) > 1:
        raise ValueError(
            f"{folder}: expected one file of {kind}, found {[p.name for p in found]}; remove all but one"
        )
    if not found:
        return []
    data = found[0].read_bytes()
    if found[0].suffix == ".gz":
        data = gzip.decompress(data)
    elif found[0].suffix == ".zst":
        import zstandard

        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def content(record: dict[str, Any]) -> dict[str, Any]:
    """What two records with one seq are compared by."""
    return {name: value for name, value in record.items() if name != "place"}


def load(folder: str | Path) -> Recording:
    """Read the recording in `folder`. Of equal seqs the first is kept: orders, trades, quotes, line."""
    folder = Path(folder)
    recording = Recording(load_reference(folder))
    sound: dict[str, dict[int, dict[str, Any]]] = {}
    for kind in KINDS:
        for number, line in enumerate(_lines(folder, kind), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                recording.refused.append(
                    {
                        "file": kind,
                        "line": number,
                        "index": 0,
                        "instrument": None,
                        "seq": None,
                        "ts": None,
                        "reason": f"not JSON: {error}",
                    }
                )
                continue
            for index, raw in enumerate(value if isinstance(value, list) else [value]):
                try:
                    record = record_of(kind, raw)
                except Refused as error:
                    recording.refused.append(
                        {"file": kind, "line": number, "index": index, **_seen(raw), "reason": str(error)}
                    )
                    continue
                record["place"] = (kind, number, index)
                name = record["instrument"]
                first = sound.setdefault(name, {}).setdefault(record["seq"], record)
                if first is not record:
                    same = content(first) == content(record)
                    (recording.duplicates if same else recording.conflicts).setdefault(name, []).append(
                        record
                    )
    for name in sorted(sound):
        recording.entries[name] = [sound[name][seq] for seq in sorted(sound[name])]
    recording.end_ts = max((e["ts"] for entries in recording.entries.values() for e in entries), default=0)
    return recording


def _seen(raw: Any) -> dict[str, Any]:
    """What can be read of a refused record, so that it can be counted for its instrument and day."""
    seen: dict[str, Any] = {"instrument": None, "seq": None, "ts": None}
    if isinstance(raw, dict):
        if isinstance(raw.get("instrument"), str):
            seen["instrument"] = raw["instrument"]
        for name in ("seq", "ts"):
            if isinstance(raw.get(name), int) and not isinstance(raw.get(name), bool):
                seen[name] = raw[name]
    return seen
