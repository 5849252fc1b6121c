"""What is true of a maker's agreement on one trading day: the label of a quoting market."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from streams.sources.simulator_config import Record
from streams.sources.simulator_labels import Label


@dataclass(frozen=True, slots=True)
class Presence:
    """What is true of one agreement's trading day, in ns. `warned`: when it could no longer be met."""

    agreement: str
    account: str
    instrument: str
    style: str
    trading_day: str
    end: int
    session: int
    exempt: dict[str, int]
    unknown: int
    compliant: int
    required: Fraction
    warned: int | None
    too_wide: bool

    @property
    def verdict(self) -> str:
        """SPEC.md L1's, as a percentage of what is left of the session."""
        obliged = self.session - sum(self.exempt.values())
        left = self.required * obliged / 100
        if not obliged:
            return "exempt"
        if self.compliant >= left:
            return "met"
        return "breach" if self.compliant + self.unknown < left else "inconclusive"

    def as_record(self) -> Record:
        """The label as plain values."""
        return {
            "agreement": self.agreement,
            "instrument": self.instrument,
            "trading_day": self.trading_day,
            "style": self.style,
            "verdict": self.verdict,
            "session_ns": self.session,
            "exempt_ns": sum(self.exempt.values()),
            "exempt": self.exempt,
            "unknown_ns": self.unknown,
            "compliant_ns": self.compliant,
            "warning": self.warned is not None,
            "warning_ts": self.warned,
        }

    def alerts(self, affiliated: bool) -> list[Label]:
        """The alerts that follow: L1's breach and warning, and L2's of an affiliate wider than agreed."""
        kinds = [("breach", self.end)] if self.verdict == "breach" else []
        kinds += [("warning", self.warned)] if self.warned is not None else []
        labels = [self._label("quoting_obligation", kind, ts) for kind, ts in kinds]
        if affiliated and self.too_wide:
            labels.append(self._label("spread_quality", "spread", self.end))
        return labels

    def _label(self, rule: str, kind: str, ts: int) -> Label:
        """Of no record in particular, hence seq 0."""
        anchor = {"agreement": self.agreement, "trading_day": self.trading_day, "kind": kind}
        return Label(rule, rule, self.style, self.instrument, 0, ts, anchor)
