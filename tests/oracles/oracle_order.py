"""One order of the brute-force market: what its records and fills do to it (oracle_market, B2-B7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Order:
    """One order as the oracle knows it. Prices and quantities int * 10**8."""

    order_id: str
    account: str | None
    side: str
    ord_type: str
    time_in_force: str
    price: int | None
    leaves: int
    filled: int
    display: int | None
    shown: int
    min_qty: int
    capacity: str | None
    exec_inst: list[str]
    accepted_ts: int
    stamp: int
    event_seq: int
    turn_seq: int | None
    dead: bool = False
    untriggered: bool = False
    suspended: bool = False

    @property
    def is_market(self) -> bool:
        """A market order now (a stop becomes one when triggered)."""
        return self.ord_type == "market" or (self.ord_type == "stop" and not self.untriggered)

    @property
    def displayed(self) -> int:
        """Displayed quantity."""
        return self.leaves if self.display is None else self.shown

    def replace(self, entry: dict[str, Any]) -> bool:
        """Apply a `replaced` record; True where the stamp is kept."""
        price_before, leaves_before, shown_before = self.price, self.leaves, self.displayed
        if entry["price"] is not None and self.ord_type not in ("market", "stop"):
            self.price = entry["price"]
        if entry["leaves_qty"] is not None:
            self.leaves = entry["leaves_qty"]
        elif entry["order_qty"] is not None:
            self.leaves = max(0, entry["order_qty"] - self.filled)
        self.display = self.display if entry["display_qty"] is None else entry["display_qty"]
        self.min_qty = self.min_qty if entry["min_qty"] is None else entry["min_qty"]
        self.exec_inst = self.exec_inst if entry["exec_inst"] is None else entry["exec_inst"]
        self.time_in_force = entry["time_in_force"] or self.time_in_force
        lost = self.price != price_before or self.leaves > leaves_before
        if lost:
            self.stamp = entry["seq"]
        if self.price != price_before:
            self.event_seq = entry["seq"]
        if self.display is None:
            self.shown = self.leaves
        else:
            # display_qty 0 is never shown, not even what a kept tranche had left
            self.shown = min(self.display if lost or self.display == 0 else shown_before, self.leaves)
        return not lost

    def fill(self, entry: dict[str, Any], own_turn: bool) -> None:
        """Apply a trade: leaves, tranche and stamp."""
        x = min(entry["qty"], self.leaves)
        self.leaves -= x
        self.filled += x
        if self.display is None:
            self.shown = self.leaves
        elif not own_turn and x > 0 and self.display > 0:
            if x < self.shown:
                self.shown -= x
            else:
                self.shown = min(self.display - ((x - self.shown) % self.display), self.leaves)
                self.stamp = entry["seq"]


def accepted(entry: dict[str, Any]) -> Order:
    """The order that a `new` or `restated` record makes."""
    seq, ord_type, display = entry["seq"], entry["ord_type"] or "limit", entry["display_qty"]
    leaves = entry["leaves_qty"] if entry["leaves_qty"] is not None else entry["order_qty"]
    return Order(
        order_id=entry["order_id"],
        account=entry["account"],
        side=entry["side"],
        ord_type=ord_type,
        time_in_force=entry["time_in_force"] or "gtc",
        price=None if ord_type in ("market", "stop") else entry["price"],
        leaves=leaves,
        filled=0 if entry["order_qty"] is None else max(0, entry["order_qty"] - leaves),
        display=display,
        shown=leaves if display is None else min(display, leaves),
        min_qty=entry["min_qty"] or 0,
        capacity=entry["order_capacity"],
        exec_inst=entry["exec_inst"] or [],
        accepted_ts=entry["ts"],
        stamp=seq,
        event_seq=seq,
        turn_seq=None,
        untriggered=ord_type in ("stop", "stop_limit"),
    )
