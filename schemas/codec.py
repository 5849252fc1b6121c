"""The only module that names JSON: records, frames, alerts and metrics, in and out."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from schemas.alerts import Alert, Measure
from schemas.events import RECORD_TYPES, Record
from schemas.journal import Entry, EventEntry
from schemas.metrics import Metric
from schemas.reference import Fact


class Peek(msgspec.Struct):
    """What tells a record's place, read without judging the rest."""

    instrument: str | None = None
    seq: int | None = None
    ts: int | None = None


DecodeError = msgspec.DecodeError
ValidationError = msgspec.ValidationError

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")
_frame_decoder = msgspec.json.Decoder(Entry)
_alert_decoder = msgspec.json.Decoder(Alert)
_metric_decoder = msgspec.json.Decoder(Metric)
_fact_decoder = msgspec.json.Decoder(Fact)

encode = _encoder.encode
decode = msgspec.json.decode


def canonical(value: Any) -> bytes:
    """Return `value` as JSON with sorted keys: equal values give equal bytes."""
    return _canonical.encode(value)


def encode_frame(entries: list[Entry]) -> bytes:
    """Return journal entries as one frame: JSON Lines."""
    return _encoder.encode_lines(entries)


def decode_frame(frame: bytes) -> list[Entry]:
    """Return the entries of a frame. Raises DecodeError if it is not one of ours."""
    return _frame_decoder.decode_lines(frame)


def encode_alert(alert: Alert) -> bytes:
    """Return the alert's content: keys sorted, so the same alert is the same bytes everywhere."""
    return _canonical.encode(alert)


def decode_alert(data: bytes) -> Alert:
    """Return the alert of `encode_alert`'s bytes."""
    return _alert_decoder.decode(data)


def encode_metric(row: Metric) -> bytes:
    """Return a metrics row as canonical JSON."""
    return _canonical.encode(row)


def decode_metric(data: bytes) -> Metric:
    """Return the metrics row of `encode_metric`'s bytes."""
    return _metric_decoder.decode(data)  # type: ignore[no-any-return]


def decode_fact(data: bytes) -> Fact:
    """Return a reference fact from its JSON."""
    return _fact_decoder.decode(data)  # type: ignore[no-any-return]


def measures(values: dict[str, Measure]) -> str:
    """Return measures as the JSON text of the lake's column `measures`."""
    return _canonical.encode(values).decode()


def json_schema(kind: Any) -> str:
    """Return the JSON Schema of a type, keys sorted, to read."""
    return msgspec.json.format(canonical(msgspec.json.schema(kind)), indent=2).decode()


RECORD_DECODERS: dict[str, Any] = {
    topic: msgspec.json.Decoder(record) for topic, record in RECORD_TYPES.items()
}
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_peek = msgspec.json.Decoder(Peek)


def decode_record(topic: str, data: bytes | msgspec.Raw) -> Record:
    """Return one source record, strictly typed. Raises ValidationError or DecodeError."""
    return RECORD_DECODERS[topic].decode(data)  # type: ignore[no-any-return]


def split_array(value: bytes) -> list[bytes]:
    """Return the elements of a JSON array, each with its own bytes."""
    return [bytes(raw) for raw in _raws.decode(value)]


def peek(data: bytes) -> Peek:
    """Return what can be read of a record's place, or an empty Peek."""
    try:
        return _peek.decode(data)
    except msgspec.MsgspecError:
        return Peek()


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what bytes from outside can raise


def place_of(data: bytes) -> Peek:
    """Return what can be read of a record's place; never raises. Numbers beyond 64 bits count as unread."""
    try:
        seen = _peek.decode(data)
    except UNREADABLE:
        seen = _each(data)
    fits = range(-(1 << 63), 1 << 63)
    return Peek(
        seen.instrument,
        seen.seq if seen.seq is None or seen.seq in fits else None,
        seen.ts if seen.ts is None or seen.ts in fits else None,
    )


def _each(data: bytes) -> Peek:
    """Return the fields of a place that can be read, each alone: one of a wrong type hides no other."""
    try:
        said = msgspec.json.decode(data)
    except UNREADABLE:
        return Peek()
    if not isinstance(said, dict):
        return Peek()
    instrument, seq, ts = said.get("instrument"), said.get("seq"), said.get("ts")
    return Peek(
        instrument if isinstance(instrument, str) else None,
        seq if isinstance(seq, int) and not isinstance(seq, bool) else None,
        ts if isinstance(ts, int) and not isinstance(ts, bool) else None,
    )


def content_hash(entry: EventEntry) -> int:
    """Return 64 bits over what the venue said: equal content, equal hash, wherever it came from."""
    said = [getattr(entry, name) for name in entry.__struct_fields__ if name not in _NOT_SAID]
    return int.from_bytes(hashlib.blake2b(_encoder.encode(said), digest_size=8).digest(), "big", signed=True)


_NOT_SAID = frozenset(
    (
        "src",
        "start",
        "extra",
        "role",
        "owner",
        "grp",
        "buy_role",
        "buy_owner",
        "buy_grp",
        "sell_role",
        "sell_owner",
        "sell_grp",
    )
)

_lenient: dict[str, Any] = {
    topic: msgspec.json.Decoder(
        msgspec.defstruct(
            record.__name__,
            [],
            bases=(record,),
            kw_only=True,
            omit_defaults=True,
            forbid_unknown_fields=False,
        )
    )
    for topic, record in RECORD_TYPES.items()
}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode_beside(topic: str, data: bytes) -> tuple[Record, str]:
    """Return a record that has fields nobody knows, and those fields as JSON, to be kept aside."""
    record = _lenient[topic].decode(data)
    known = set(RECORD_TYPES[topic].__struct_fields__)  # type: ignore[index]
    extra = {name: raw for name, raw in _fields.decode(data).items() if name not in known}
    return record, _canonical.encode(extra).decode()
