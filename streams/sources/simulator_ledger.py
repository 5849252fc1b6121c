"""The ledger of a simulated run: every label, settled by the run itself and read by no worker.

A label is made where the act is committed, from what the simulator knows it did, never by judging its own
records afterwards. What happens later is followed up: a fill that cures, a bust that takes a fill back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.events import Side
from streams.sources.simulator_config import SECOND, Record, SimulatorConfig
from streams.sources.simulator_labels import HarmedOrder, Label, trading_day
from streams.sources.simulator_participants import Population
from streams.sources.simulator_records import Order

BLOCK_CURE_WINDOW = SECOND


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
        self._quiet: list[Label] = []
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
        """What came near a violation; also fills out of turn that were cured in their own match."""
        return [*self._quiet, *(label for label in self._priority if not label.alerts)]

    def may_be_busted(self, trade_id: str) -> bool:
        """Once, and not if a flag was wrong on it: what a bust does to those, SPEC leaves open."""
        return trade_id not in self._flag_trades and trade_id not in self._busted

    def may_be_corrected(self, trade_id: str) -> bool:
        """Once, and not if any label rests on it."""
        rests = trade_id in self._by_trade or trade_id in self._cured_by
        return not rests and self.may_be_busted(trade_id)

    def on_flagged_order(self, code: str, kind: str, record: Record) -> None:
        """First record with a wrong flag (`untagged`, `false_tag`), a later one that differs (`mutated`)."""
        anchor = {"code": code, "order_id": str(record["order_id"])}
        if code != "mutated":
            anchor = {"code": code, "target": "order", "order_id": str(record["order_id"])}
        self._flag(kind, record, anchor)

    def on_activity(self, account: str, record: Record, kind: str = "") -> None:
        """An order or fill of an account that should not be there: one finding a trading day."""
        role = self._people.role(account)
        if role in ("affiliate", "unknown"):
            code = "unregistered_affiliate" if role == "affiliate" else "unknown_account"
            day = trading_day(int(str(record["ts"])))
            self._flag(kind or code, record, {"code": code, "account": account, "trading_day": day})

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

    def on_flag(self, kind: str, record: Record, anchor: dict[str, str], *, near: bool) -> None:
        """A finding of I1 at `anchor`, or (`near`) none."""
        if near:
            self.on_near(kind, "affiliate_flag", "affiliate_flag", record, anchor)
        else:
            self._flag(kind, record, anchor)

    def on_flagged_fill(self, code: str, kind: str, record: Record, side: str) -> None:
        """A fill whose flag is wrong on one side."""
        trade_id = str(record["trade_id"])
        self._flag_trades.add(trade_id)
        self._flag(kind, record, {"code": code, "target": "trade", "trade_id": trade_id, "side": side})

    def on_near(self, kind: str, rule: str, instance: str, record: Record, anchor: dict[str, str]) -> None:
        """Something after which nothing may be said at `anchor`."""
        label = self._label(rule, instance, kind, record, anchor)
        label.quiet = True
        self._quiet.append(label)

    def on_near_fill(self, kind: str, record: Record, side: Side) -> None:
        """A fill of P1 after which nothing may be said: out of turn, but exempt, or only nearly so."""
        anchor = {"trade_id": str(record["trade_id"]), "side": side}
        instances = ["client_priority.price_time"]
        if record["match_type"] in ("block", "rfq", "liquidation"):
            instances.append("client_priority.client_first")
        for instance in instances:
            self.on_near(kind, "client_priority", instance, record, anchor)

    def on_off_book(
        self, kind: str, record: Record, side: Side, price: int, harmed: Iterable[HarmedOrder]
    ) -> None:
        """A block or rfq fill of a maker on `side`; `harmed` as they are just before it (may be empty)."""
        claims = list(harmed)
        for instance in self._config.block_instances if claims else ():
            own = [HarmedOrder(claim.order_id, claim.account, claim.harm) for claim in claims]
            self._passed_over(kind, instance, record, side, price, own)

    def on_corrected(
        self, kind: str, corrected: Record, side: Side, price: int, harmed: list[HarmedOrder]
    ) -> None:
        """A correction made a fill (with its new id, at its old seq and ts) one that passes clients over."""
        self._passed_over(kind, "client_priority.price_time", corrected, side, price, harmed)

    def on_self_trade(self, kind: str, record: Record, class_: str) -> None:
        """A trade, also a corrected one, with one owner or group on both sides."""
        trade_id = str(record["trade_id"])
        label = self._label("self_trade", "self_trade", kind, record, {"trade_id": trade_id})
        label.measures["class"] = class_
        self._others.append(label)
        self._by_trade.setdefault(trade_id, []).append(label)

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
            self.on_flagged_fill(code, f"{code}_fill", record, side)
        if flagged != (order.first_flag is True):
            self._flag_trades.add(trade_id)
            self._flag("mutated_fill", record, {"code": "mutated", "order_id": order.order_id})

    def _self_trade(self, record: Record, buyer: str, seller: str) -> None:
        if record["match_type"] == "auction" and buyer == seller:
            self.planned_self_trade = "self_trade_auction"
        if self.planned_self_trade is None:
            raise RuntimeError(f"self-trade that nobody planted: {record}")
        kind, self.planned_self_trade = self.planned_self_trade, None
        self.on_self_trade(kind, record, self._class(buyer, seller))

    def _class(self, buyer: str, seller: str) -> str:
        if buyer == seller:
            return "same_account"
        if self._people.owner(buyer) == self._people.owner(seller):
            return "same_owner"
        if "affiliated_mm" in (self._people.role(buyer), self._people.role(seller)):
            return "afmm_own_group"
        return "same_group"

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
                    watch.match_id is not None and watch.match_id == record.get("match_id")
                )
                if no_worse and in_time and not watch.harmed.cures.get(trade_id):
                    watch.harmed.cures[trade_id] = quantity
                    self._cured_by.setdefault(trade_id, []).append(watch.harmed)
