"""The only module that names JSON: records, frames, alerts and metrics, in and out."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.alerts import Alert, Measure
from schemas.decimals import text
from schemas.journal import Entry
from schemas.metrics import Metric
from schemas.reference import Fact

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
    return _metric_decoder.decode(data)


def decode_fact(data: bytes) -> Fact:
    """Return a reference fact from its JSON."""
    return _fact_decoder.decode(data)


def measures(values: dict[str, Measure]) -> str:
    """Return measures as the JSON text of the lake's column `measures`."""
    return _canonical.encode(values).decode()


def decimal(value: int | None, scale: int = 8) -> str | None:
    """Return a scaled integer as a decimal string, None as None."""
    return None if value is None else text(value, scale)
