"""The alerts of one instrument: one breach, one alert; every change of it is the next revision."""

from __future__ import annotations

from bisect import insort
from itertools import takewhile

import msgspec

from detectors.bounded import oldest_beyond
from schemas.alerts import Alert, Evidence

MAX_ALERTS = 100_000  # breaches that can still change, an instrument


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
    rests_on: dict[str, str] = {}  # breach -> the trade id it rests on
    sound: list[tuple[int, str]] = []  # alerts not degraded, as (greatest seq in evidence, breach), ascending
    faults: list[DataFault] = []

    def degraded(self, evidence: tuple[Evidence, ...]) -> bool:
        """Return True if the evidence touches data that is not sound."""
        return any(fault.touches(evidence) for fault in self.faults)

    def put(self, alert: Alert) -> None:
        """Keep the latest revision of a breach."""
        before = self.alerts.get(alert.breach_id)
        self.alerts[alert.breach_id] = alert
        if not alert.dq_degraded:
            item = (_reach(alert), alert.breach_id)
            if before is None or before.dq_degraded or (_reach(before), before.breach_id) != item:
                insort(self.sound, item)
        for breach in oldest_beyond(self.alerts, MAX_ALERTS):
            self._drop(breach)
        if len(self.sound) > 2 * len(self.alerts) + 64:  # one breach can be said again and again
            self.sound = [
                item
                for item in self.sound
                if (kept := self.alerts.get(item[1])) is not None and _reach(kept) == item[0]
            ]

    def rest(self, breach: str, trade_id: str) -> None:
        """The breach rests on a fill: a bust of that fill retracts it."""
        if self.rests_on.get(breach) == trade_id:
            return
        self.rests_on[breach] = trade_id
        self.by_trade.setdefault(trade_id, []).append(breach)

    def busted(self, trade_id: str) -> list[Alert]:
        """Return, once, the alerts that rest on a fill and stand."""
        breaches = [name for name in self.by_trade.pop(trade_id, []) if self.rests_on.get(name) == trade_id]
        for breach in breaches:
            del self.rests_on[breach]
        found = (self.alerts[breach] for breach in breaches)
        return [alert for alert in found if alert.status != "retracted"]

    def after(self, seq: int) -> list[Alert]:
        """Return, once, the alerts with evidence beyond `seq` that are not marked as degraded yet."""
        found: dict[str, Alert] = {}
        while self.sound and self.sound[-1][0] > seq:
            reach, breach = self.sound.pop()
            alert = self.alerts.get(breach)
            if alert is not None and not alert.dq_degraded and _reach(alert) == reach:
                found[breach] = alert
        return list(found.values())

    def touched(self, fault: DataFault) -> list[Alert]:
        """Return the alerts not marked as degraded yet whose evidence touches a fault."""
        found: dict[str, Alert] = {}
        for reach, breach in reversed(self.sound):
            if reach < fault.first_seq:
                break
            alert = self.alerts.get(breach)
            if alert is not None and not alert.dq_degraded and fault.touches(alert.evidence):
                found[breach] = alert
        return list(found.values())

    def forget(self, before_ts: int) -> None:
        """Drop what no bust can reach any more: breaches older than `before_ts` that come first."""
        old = takewhile(lambda item: item[1].ts < before_ts, self.alerts.items())
        for breach in [breach for breach, _alert in old]:
            self._drop(breach)

    def _drop(self, breach: str) -> None:
        del self.alerts[breach]
        trade_id = self.rests_on.pop(breach, None)
        if trade_id is not None:
            self.by_trade[trade_id].remove(breach)
            if not self.by_trade[trade_id]:
                del self.by_trade[trade_id]


def _reach(alert: Alert) -> int:
    return max((item.seq for item in alert.evidence), default=0)
