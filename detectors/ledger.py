"""The alerts of one instrument: one breach, one alert; every change of it is the next revision."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from schemas.alerts import Alert, Evidence


class DataFault(msgspec.Struct, frozen=True):
    """Seqs whose data is not sound. `missing`: they never came, so what spans them is in doubt."""

    first_seq: int
    last_seq: int
    missing: bool

    def touches(self, evidence: tuple[Evidence, ...]) -> bool:
        """Return True if the evidence spans what is missing, or includes a record that is not sound."""
        seqs = [item.seq for item in evidence]
        if self.missing:
            return bool(seqs) and min(seqs) < self.first_seq and max(seqs) > self.last_seq
        return any(self.first_seq <= seq <= self.last_seq for seq in seqs)


class Ledger(msgspec.Struct):
    """Latest revision of every alert by breach, for as long as a bust can still change it."""

    alerts: dict[str, Alert] = {}
    by_trade: dict[str, list[str]] = {}  # trade id -> breaches that rest on that fill
    faults: list[DataFault] = []

    def degraded(self, evidence: tuple[Evidence, ...]) -> bool:
        """Return True if the evidence touches data that is not sound."""
        return any(fault.touches(evidence) for fault in self.faults)

    def after(self, seq: int) -> Iterator[Alert]:
        """Return the alerts with evidence beyond `seq` that are not marked as degraded yet."""
        for alert in list(self.alerts.values()):
            if not alert.dq_degraded and any(item.seq > seq for item in alert.evidence):
                yield alert

    def forget(self, before_ts: int) -> None:
        """Drop what no bust can reach any more: breaches older than `before_ts`."""
        gone = {breach for breach, alert in self.alerts.items() if alert.ts < before_ts}
        if not gone:
            return
        for breach in gone:
            del self.alerts[breach]
        for trade_id, breaches in list(self.by_trade.items()):
            left = [breach for breach in breaches if breach not in gone]
            if left:
                self.by_trade[trade_id] = left
            else:
                del self.by_trade[trade_id]
