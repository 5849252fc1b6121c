"""What was planted: the labels of a simulated run, settled by the run itself and read by no worker.

A label is made where the violation is committed, from what the simulator knows it did, never by judging its
own records afterwards. What happens later is followed up: a fill that cures, a bust that takes a fill back.

Two readings of SPEC section 4 are in here. "Fills block, rfq: as client_first" is taken to hold in every
instance of `client_priority`, so a block is labelled for both (`SimulatorConfig.block_instances` changes
that). A cure made inside the match and busted later revives the breach.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from schemas.decimals import text
from schemas.events import Side
from streams.sources.simulator_config import SECOND, Record, SimulatorConfig
from streams.sources.simulator_participants import Population
from streams.sources.simulator_records import Order

BLOCK_CURE_WINDOW = SECOND
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
    """One expected breach. `as_record` is its line in `labels.jsonl`."""

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

    @property
    def harm_left(self) -> int:
        """Harm after cure, scaled by 10**8."""
        return sum(order.harm - order.cured for order in self.harmed)

    @property
    def alerts(self) -> bool:
        """False for what its own match cured, unless a bust took that back while the fill stood."""
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


@dataclass(slots=True)
class _Watch:
    """Fills that would cure one harmed order: price no worse than the fill's, in its match or window."""

    harmed: HarmedOrder
    side: Side
    price: int
    match_id: str | None
    until: int


@dataclass(frozen=True, slots=True)
class PlannedFill:
    """The next book trade will be a fill out of turn of `account`, ahead of `harmed`."""

    kind: str
    account: str
    harmed: list[HarmedOrder]


class Ledger:
    """Collects labels while the market runs. `near`: cured in their own match, so no alert, no label."""

    def __init__(self, population: Population, config: SimulatorConfig) -> None:
        self.planned_fill: PlannedFill | None = None
        self.planned_self_trade: str | None = None
        self._people = population
        self._config = config
        self._priority: list[Label] = []
        self._others: list[Label] = []
        self._flags: dict[tuple[str, ...], Label] = {}
        self._watches: dict[str, list[_Watch]] = {}
        self._by_trade: dict[str, list[Label]] = {}
        self._cured_by: dict[str, list[HarmedOrder]] = {}
        self._flag_trades: set[str] = set()
        self._busted: set[str] = set()

    @property
    def labels(self) -> list[Label]:
        """The expected alerts so far, in the order in which they were committed."""
        alerting = [*self._others, *(label for label in self._priority if label.alerts)]
        return sorted(alerting, key=lambda label: (label.ts, label.instrument, label.seq, label.instance))

    @property
    def near(self) -> list[Label]:
        """Fills out of turn that were cured in their own match and therefore never alert."""
        return [label for label in self._priority if not label.alerts]

    def may_be_busted(self, trade_id: str) -> bool:
        """Once, and not if a flag was wrong on it: what a bust does to those, SPEC leaves open."""
        return trade_id not in self._flag_trades and trade_id not in self._busted

    def on_flagged_order(self, code: str, kind: str, record: Record) -> None:
        """First record with a wrong flag (`untagged`, `false_tag`), a later one that differs (`mutated`)."""
        anchor = {"code": code, "order_id": str(record["order_id"])}
        if code != "mutated":
            anchor = {"code": code, "target": "order", "order_id": str(record["order_id"])}
        self._flag(kind, record, anchor)

    def on_activity(self, account: str, record: Record) -> None:
        """An order or fill of an account that should not be there: one finding a trading day."""
        role = self._people.role(account)
        if role in ("affiliate", "unknown"):
            code = "unregistered_affiliate" if role == "affiliate" else "unknown_account"
            day = trading_day(int(str(record["ts"])))
            self._flag(code, record, {"code": code, "account": account, "trading_day": day})

    def on_trade(self, record: Record, price: int, quantity: int, buyer: Order, seller: Order) -> None:
        """Every book trade, just after it happened."""
        if self.planned_fill is not None:
            plan, self.planned_fill = self.planned_fill, None
            side: Side = "buy" if buyer.account == plan.account else "sell"
            self._passed_over(plan.kind, "client_priority.price_time", record, side, price, plan.harmed)
        elif self._watches:
            self._cure(record, price, quantity, buyer, seller)
        if self._people.group(buyer.account) == self._people.group(seller.account):
            self._self_trade(record, buyer.account, seller.account)
        for side, order in (("buy", buyer), ("sell", seller)):
            if order.tampered:
                self._tampered_fill(record, side, order)
            self.on_activity(order.account, record)

    def on_block(
        self, kind: str, record: Record, side: Side, price: int, harmed: Iterable[HarmedOrder]
    ) -> None:
        """A block of a maker account on `side`; `harmed` as they are just before it (may be empty)."""
        claims = list(harmed)
        for instance in self._config.block_instances if claims else ():
            own = [HarmedOrder(claim.order_id, claim.account, claim.harm) for claim in claims]
            self._passed_over(kind, instance, record, side, price, own)

    def on_bust(self, trade_id: str) -> None:
        """A trade is taken back: what rests on it is retracted, what it cured is open again."""
        self._busted.add(trade_id)
        for label in self._by_trade.get(trade_id, ()):
            label.harmed_until_bust = label.harm_left > 0
            label.busted = True
        for harmed in self._cured_by.get(trade_id, ()):
            harmed.cures.pop(trade_id, None)

    def _flag(self, kind: str, record: Record, anchor: dict[str, str]) -> None:
        key = (str(record["instrument"]), *anchor.values())
        label = self._label("affiliate_flag", "affiliate_flag", kind, record, anchor)
        first = self._flags.setdefault(key, label)
        if first is label:
            self._others.append(label)
        elif label.seq < first.seq:  # an order is reported here after the fills of its own turn
            first.seq, first.ts = label.seq, label.ts

    @staticmethod
    def _label(rule: str, instance: str, kind: str, record: Record, anchor: dict[str, str]) -> Label:
        seq, ts = record["seq"], record["ts"]
        assert isinstance(seq, int) and isinstance(ts, int)
        return Label(rule, instance, kind, str(record["instrument"]), seq, ts, anchor)

    def _tampered_fill(self, record: Record, side: str, order: Order) -> None:
        trade_id = str(record["trade_id"])
        flagged, role = order.mm_flag is True, self._people.role(order.account)
        code = ""
        if role == "affiliated_mm" and not flagged:
            code = "untagged"
        elif flagged and role not in ("affiliated_mm", "market_maker"):
            code = "false_tag"
        if code:
            self._flag_trades.add(trade_id)
            self._flag(f"{code}_fill", record, {
                "code": code, "target": "trade", "trade_id": trade_id, "side": side})  # fmt: skip
        if flagged != (order.first_flag is True):
            self._flag_trades.add(trade_id)
            self._flag("mutated_fill", record, {"code": "mutated", "order_id": order.order_id})

    def _self_trade(self, record: Record, buyer: str, seller: str) -> None:
        if self.planned_self_trade is None:
            raise RuntimeError(f"self-trade that nobody planted: {record}")
        kind, self.planned_self_trade = self.planned_self_trade, None
        trade_id = str(record["trade_id"])
        label = self._label("self_trade", "self_trade", kind, record, {"trade_id": trade_id})
        if buyer == seller:
            label.measures["class"] = "same_account"
        elif self._people.owner(buyer) == self._people.owner(seller):
            label.measures["class"] = "same_owner"
        elif "affiliated_mm" in (self._people.role(buyer), self._people.role(seller)):
            label.measures["class"] = "afmm_own_group"
        else:
            label.measures["class"] = "same_group"
        self._others.append(label)
        self._by_trade.setdefault(trade_id, []).append(label)

    def _passed_over(
        self, kind: str, instance: str, record: Record, side: Side, price: int, harmed: list[HarmedOrder]
    ) -> None:
        trade_id = str(record["trade_id"])
        label = self._label("client_priority", instance, kind, record, {"trade_id": trade_id, "side": side})
        label.harmed = harmed
        self._priority.append(label)
        self._by_trade.setdefault(trade_id, []).append(label)
        match_id = record.get("match_id")
        window = BLOCK_CURE_WINDOW if instance == "client_priority.client_first" else 0
        for order in harmed:
            self._watches.setdefault(order.order_id, []).append(_Watch(
                order, side, price, str(match_id) if match_id else None, label.ts + window if window else -1
            ))  # fmt: skip

    def _cure(self, record: Record, price: int, quantity: int, buyer: Order, seller: Order) -> None:
        trade_id, ts = str(record["trade_id"]), record["ts"]
        assert isinstance(ts, int)
        for order in (buyer, seller):
            for watch in self._watches.get(order.order_id, ()):
                no_worse = price <= watch.price if watch.side == "buy" else price >= watch.price
                in_time = ts <= watch.until or (
                    watch.match_id is not None and watch.match_id == record["match_id"]
                )
                if no_worse and in_time and not watch.harmed.cures.get(trade_id):
                    watch.harmed.cures[trade_id] = quantity
                    self._cured_by.setdefault(trade_id, []).append(watch.harmed)
