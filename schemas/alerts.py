"""Alerts: their content, their identity, and the CloudEvents envelope they travel in. SPEC.md section 3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Status = Literal["provisional", "confirmed", "retracted"]
Severity = Literal["info", "low", "medium", "high"]
Provenance = Literal["verified", "secondary", "assumed"]
Measure = str | int | bool | None
Anchor = tuple[str | int, ...]


class Evidence(msgspec.Struct, frozen=True, order=True):
    """One record an alert rests on: kind `order`, `trade` or `quote`, its id, and its seq."""

    kind: str
    id: str
    seq: int


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of an alert: byte-identical live and replayed.

    `ts` is the event time of the breach, `decided_ts` the instrument's time at which this revision was
    decided. `harm_qty` and `harm_notional` (decimal strings, base and quote) are what is left after cure;
    None where the rule has no harm. `measures` hold decimals as strings, `units` the unit of each measure.
    """

    alert_id: str
    breach_id: str
    knowledge: int
    revision: int
    status: Status
    status_reason: str | None
    rule: str
    instance: str
    version: int
    parameter_hash: str
    reference: str
    provenance: Provenance
    severity: Severity
    ts: int
    decided_ts: int
    instrument: str
    accounts: tuple[str, ...]
    grps: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    measures: dict[str, Measure]
    units: dict[str, str]
    harm_qty: str | None
    harm_notional: str | None
    narrative: str
    dq_degraded: bool
    late_reference: bool

    @property
    def ce_id(self) -> str:
        """The CloudEvents id, of this revision; consumers upsert by `alert_id`."""
        return f"{self.alert_id}.{self.knowledge}.{self.revision}"


TAKEN_BACK = {
    "busted": "what it rests on was busted",
    "unknown_time": "data that turned out to be missing leaves it open",
    "late_reference": "it does not hold with all reference data that is known now",
}


def retracted(alert: Alert, reason: str) -> dict[str, Any]:
    """Return the fields that change when an alert is taken back: no harm is left, its sentence says why."""
    narrative = f"{alert.narrative} Taken back: {TAKEN_BACK[reason]}."
    changes = {"status": "retracted", "status_reason": reason, "narrative": narrative}
    if alert.harm_qty is not None:
        changes |= {"harm_qty": "0", "harm_notional": "0"}
    return changes


def digest(parts: Iterable[str | int]) -> str:
    """Return 32 hex digits (BLAKE2b-128) over the parts, each with its type and length: no two runs collide.

    >>> digest(["a", 1]) == digest(["a", "1"])
    False
    """
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = str(part).encode()
        h.update(f"{'i' if isinstance(part, int) else 's'}{len(data)}:".encode())
        h.update(data)
    return h.hexdigest()


def breach_id(rule: str, instance: str, instrument: str, anchor: Anchor) -> str:
    """Return the identity of a breach: the same on a retry, a replay, another worker, other parameters."""
    return digest((rule, instance, instrument, *anchor))


def alert_id(breach: str, version: int, parameter_hash: str) -> str:
    """Return the identity of an alert: a breach as seen by one rule version with one set of parameters."""
    return digest((breach, version, parameter_hash))


def timestamp(ns: int) -> str:
    """Return ns since 1970 as RFC 3339, to the nanosecond."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
