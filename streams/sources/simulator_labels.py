"""What was planted: one label a breach, or a near one, with what must come of it.

Two readings of SPEC section 4 are in here. "Fills block, rfq: as client_first" is taken to hold in every
instance of `client_priority`, so a block is labelled for both (`SimulatorConfig.block_instances` changes
that). A cure made inside the match and busted later revives the breach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from schemas.decimals import text
from streams.sources.simulator_config import SECOND, Record

HONG_KONG = 8 * 3_600 * SECOND


def trading_day(ts: int) -> str:
    """The day in Asia/Hong_Kong (eight hours ahead, no daylight saving) of a time in ns, as 2026-03-02."""
    return datetime.fromtimestamp((ts + HONG_KONG) // SECOND, UTC).date().isoformat()


@dataclass(slots=True)
class HarmedOrder:
    """A client order that was passed over: the harm at the fill, and the fills that made it good."""

    order_id: str
    account: str
    harm: int
    cures: dict[str, int] = field(default_factory=dict)  # trade id -> quantity

    @property
    def cured(self) -> int:
        """Quantity made good, at most the harm."""
        return min(self.harm, sum(self.cures.values()))


@dataclass(slots=True)
class Label:
    """One expected breach, or (`quiet`) one that must not be said. `as_record`: a line of `labels.jsonl`."""

    rule: str
    instance: str
    kind: str
    instrument: str
    seq: int
    ts: int
    anchor: dict[str, str]
    measures: dict[str, str] = field(default_factory=dict)
    harmed: list[HarmedOrder] = field(default_factory=list)
    busted: bool = False
    harmed_until_bust: bool = False
    quiet: bool = False

    @property
    def harm_left(self) -> int:
        """Harm after cure, scaled by 10**8."""
        return sum(order.harm - order.cured for order in self.harmed)

    @property
    def alerts(self) -> bool:
        """False for what its own match cured, unless a bust took that back while the fill stood."""
        if self.quiet:
            return False
        if self.instance != "client_priority.price_time":
            return True
        return self.harmed_until_bust if self.busted else self.harm_left > 0

    def outcome(self) -> tuple[Literal["confirmed", "retracted"], str | None]:
        """The alert's final status and, where retracted, why."""
        if self.busted:
            return "retracted", "busted"
        if self.harmed and not self.harm_left:
            return "retracted", "cured"
        return "confirmed", None

    def as_record(self) -> Record:
        """The label as plain values."""
        status, reason = self.outcome()
        record: Record = {
            "rule": self.rule,
            "instance": self.instance,
            "kind": self.kind,
            "instrument": self.instrument,
            "seq": self.seq,
            "ts": self.ts,
            "anchor": self.anchor,
            "status": status,
            "status_reason": reason,
            "measures": self.measures,
        }
        if self.harmed:
            record["harm_qty"] = text(self.harm_left)
            record["orders"] = [
                {
                    "order_id": order.order_id,
                    "account": order.account,
                    "harm_at_fill": text(order.harm),
                    "cured_qty": text(order.cured),
                    "harm_left": text(order.harm - order.cured),
                }
                for order in self.harmed
            ]
        return record
