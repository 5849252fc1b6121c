"""Brute force over a run's records and reference.toml: what SPEC section 4 says must be found in them.

Written from the text, for small runs only, sharing nothing with the simulator's book-keeping or with the
rules. It knows what the simulator can do: continuous phase, static reference data, no corrections.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from schemas.events import Topic

Key = tuple[str, ...]
Finding = tuple[str, str | None, Decimal | None]  # final status, why retracted, harm left
EVER = 10**30
HONG_KONG = timezone(timedelta(hours=8))


class World:
    """Roles, owners and groups from the text of a reference.toml."""

    def __init__(self, reference: str) -> None:
        facts = tomllib.loads(reference)
        self.tick = {row["symbol"]: Decimal(row["tick_size"]) for row in facts["instruments"]}
        self.owner = {row["account"]: row["entity"] for row in facts["accounts"]}
        self.registered = {row["account"]: row["affiliated"] for row in facts["mm_registrations"]}
        operator = next(row["id"] for row in facts["entities"] if row.get("operator"))
        edges = [
            {row["parent"], row["child"]}
            for row in facts["affiliations"]
            if Decimal(row["control_pct"]) > 50 or row.get("control")
        ]
        self.groups: list[set[str]] = [{row["id"]} for row in facts["entities"]]
        for edge in edges:
            touched = [group for group in self.groups if group & edge]
            self.groups = [group for group in self.groups if not group & edge] + [set().union(*touched)]
        self.operator_group = next(group for group in self.groups if operator in group)

    def group(self, account: str) -> set[str]:
        return next((group for group in self.groups if self.owner.get(account) in group), {f"?{account}"})

    def role(self, account: str) -> str:
        if account not in self.owner:
            return "unknown"
        if self.owner[account] in self.operator_group:
            return "affiliated_mm" if self.registered.get(account) else "affiliate"
        return "market_maker" if account in self.registered else "client"


@dataclass
class Live:
    """An order as the records so far show it."""

    first: dict[str, Any]
    price: Decimal | None
    leaves: Decimal
    shown: Decimal
    accepted: int
    stamp: int
    untriggered: bool
    alive: bool = True


@dataclass
class Fill:
    """One side of one trade, with the clients it passed over in each mode."""

    trade: dict[str, Any]
    side: str
    claims: dict[str, list[tuple[str, Decimal]]] = field(default_factory=dict)


def trading_day(ts: int) -> str:
    return datetime.fromtimestamp(ts // 10**9, HONG_KONG).date().isoformat()


def findings(records: Iterable[tuple[Topic, dict[str, Any]]], reference: str) -> dict[Key, Finding]:
    """Every alert of I1, P1 and F2 by (rule instance, instrument, anchor...)."""
    world = World(reference)
    by_instrument: dict[str, list[tuple[Topic, dict[str, Any]]]] = {}
    for topic, record in records:
        by_instrument.setdefault(record["instrument"], []).append((topic, record))
    found: dict[Key, Finding] = {}
    for instrument, rows in by_instrument.items():
        rows.sort(key=lambda row: row[1]["seq"])
        found.update(
            {(key[0], instrument, *key[1:]): value for key, value in _instrument(rows, world).items()}
        )
    return found


def _instrument(rows: list[tuple[Topic, dict[str, Any]]], world: World) -> dict[Key, Finding]:
    orders: dict[str, Live] = {}
    fills: list[Fill] = []
    trades: list[dict[str, Any]] = []
    busted: dict[str, int] = {}
    flags: dict[Key, str | None] = {}  # key -> trade id that it rests on
    for topic, record in rows:
        if topic == "orders":
            _flags_of_order(record, orders, flags, world)
            _apply_order(record, orders)
        elif topic == "trades" and record["exec_type"] == "trade_cancel":
            busted.setdefault(record["orig_trade_id"], record["seq"])
        elif topic == "trades":
            _flags_of_trade(record, orders, flags, world)
            fills += [_judge(record, side, orders, world) for side in ("buy", "sell")]
            trades.append(record)
            _apply_trade(record, orders)
    result: dict[Key, Finding] = dict.fromkeys(flags, ("confirmed", None, None))
    for trade in trades:
        if world.group(trade["buy_account"]) == world.group(trade["sell_account"]):
            gone = trade["trade_id"] in busted
            result["self_trade", trade["trade_id"]] = (
                "retracted" if gone else "confirmed", "busted" if gone else None, None)  # fmt: skip
    for mode, window in (("price_time", 0), ("client_first", 10**9)):
        result.update(_priority(mode, window, fills, trades, busted))
    return result


def _flags_of_order(
    record: dict[str, Any], orders: dict[str, Live], flags: dict[Key, str | None], world: World
) -> None:
    account, order_id, flag = record["account"], record["order_id"], record.get("mm_flag") is True
    role, day = world.role(account), trading_day(record["ts"])
    if order_id not in orders:
        if role == "affiliated_mm" and not flag:
            flags["affiliate_flag", "untagged", "order", order_id] = None
        if flag and account not in world.registered:
            flags["affiliate_flag", "false_tag", "order", order_id] = None
        if role in ("affiliate", "unknown"):
            code = "unregistered_affiliate" if role == "affiliate" else "unknown_account"
            flags["affiliate_flag", code, account, day] = None
    elif flag != (orders[order_id].first.get("mm_flag") is True):
        flags["affiliate_flag", "mutated", order_id] = None


def _flags_of_trade(
    record: dict[str, Any], orders: dict[str, Live], flags: dict[Key, str | None], world: World
) -> None:
    for side in ("buy", "sell"):
        account, flag = record[f"{side}_account"], record.get(f"{side}_mm_flag") is True
        role, day, trade_id = world.role(account), trading_day(record["ts"]), record["trade_id"]
        if role == "affiliated_mm" and not flag:
            flags["affiliate_flag", "untagged", "trade", trade_id, side] = trade_id
        if flag and account not in world.registered:
            flags["affiliate_flag", "false_tag", "trade", trade_id, side] = trade_id
        if role in ("affiliate", "unknown"):
            code = "unregistered_affiliate" if role == "affiliate" else "unknown_account"
            flags["affiliate_flag", code, account, day] = trade_id
        order = orders.get(record.get(f"{side}_order_id", ""))
        if order is not None and flag != (order.first.get("mm_flag") is True):
            flags["affiliate_flag", "mutated", order.first["order_id"]] = trade_id


def _apply_order(record: dict[str, Any], orders: dict[str, Live]) -> None:
    order_id, seq, kind = record["order_id"], record["seq"], record["exec_type"]
    price = Decimal(record["price"]) if "price" in record else None
    leaves = Decimal(record["leaves_qty"])
    display = Decimal(record["display_qty"]) if "display_qty" in record else None
    shown = leaves if display is None else min(display, leaves)
    if order_id not in orders:
        stop = record["ord_type"] in ("stop", "stop_limit")
        orders[order_id] = Live(record, price, leaves, shown, seq, seq, stop, kind == "new")
        return
    order = orders[order_id]
    if kind == "replaced":
        if price == order.price and leaves <= order.leaves:
            order.shown = leaves if display is None else min(order.shown, leaves)
        else:
            order.stamp, order.shown = seq, shown
        order.price, order.leaves, order.accepted = price, leaves, seq
    elif kind == "triggered":
        order.stamp = order.accepted = seq
        order.untriggered = False
    elif kind in ("canceled", "expired"):
        order.alive = False
    elif kind == "fill":
        assert leaves == order.leaves, f"fill record says {leaves} left, the trades {order.leaves}: {record}"


def _apply_trade(record: dict[str, Any], orders: dict[str, Live]) -> None:
    quantity = Decimal(record["qty"])
    for side in ("buy", "sell"):
        order = orders.get(record.get(f"{side}_order_id", ""))
        if order is None:
            continue
        order.leaves -= quantity
        assert order.leaves >= 0, f"overfilled by {record}"
        display = Decimal(order.first.get("display_qty", "0"))
        if display and quantity >= order.shown:
            order.shown = min(display - (quantity - order.shown) % display, order.leaves)
            order.stamp = record["seq"]
        else:
            order.shown -= quantity
        order.alive = order.alive and order.leaves > 0


def _judge(trade: dict[str, Any], side: str, orders: dict[str, Live], world: World) -> Fill:
    """Whom this side of the trade disadvantaged: (order id, counting quantity), in allocation order."""
    fill = Fill(trade, side)
    if world.role(trade[f"{side}_account"]) not in ("affiliated_mm", "affiliate"):
        return fill
    price, sign = Decimal(trade["price"]), 1 if side == "buy" else -1
    block = trade["match_type"] == "block"
    other = "sell" if side == "buy" else "buy"
    across = world.owner.get(trade[f"{other}_account"])
    begun = trade["seq"]
    if trade["aggressor"] != "none":
        begun = orders[trade[f"{trade['aggressor']}_order_id"]].accepted
    own = orders.get(trade.get(f"{side}_order_id", ""))
    for mode in ("price_time", "client_first"):
        rows = []
        for order_id, order in orders.items():
            account = order.first["account"]
            if not order.alive or order.first["side"] != side or order.accepted >= begun or order.untriggered:
                continue
            if world.role(account) != "client" or world.owner[account] == across:
                continue
            assert order.price is not None
            if mode == "client_first" or block:
                bad = sign * (order.price - price) > -world.tick[trade["instrument"]]
                counting = order.leaves
            else:
                better = sign * (order.price - price) > 0
                assert own is not None
                bad = better or (order.price == price and order.stamp < own.stamp)
                counting = order.leaves if better else order.shown
            if bad:
                rows.append((-sign * order.price, order.stamp, order_id, counting))
        fill.claims[mode] = [(order_id, counting) for _, _, order_id, counting in sorted(rows)]
    return fill


def _priority(
    mode: str, window: int, fills: list[Fill], trades: list[dict[str, Any]], busted: dict[str, int]
) -> dict[Key, Finding]:
    by_order: dict[str, list[dict[str, Any]]] = {}
    for trade in trades:
        for side in ("buy", "sell"):
            by_order.setdefault(trade.get(f"{side}_order_id", ""), []).append(trade)
    result: dict[Key, Finding] = {}
    earlier: dict[Key, list[tuple[Fill, Decimal]]] = {}

    def cured(fill: Fill, order_id: str, before: int, busts_before: int) -> Decimal:
        sign, trade = (1 if fill.side == "buy" else -1), fill.trade
        total = Decimal(0)
        for cure in by_order.get(order_id, []):
            same_match = "match_id" in trade and cure.get("match_id") == trade["match_id"]
            in_time = same_match or (window > 0 and cure["ts"] <= trade["ts"] + window)
            no_worse = sign * (Decimal(cure["price"]) - Decimal(trade["price"])) <= 0
            if cure["seq"] > trade["seq"] and cure["seq"] < before and in_time and no_worse:
                if busted.get(cure["trade_id"], EVER) < busts_before:
                    continue
                total += Decimal(cure["qty"])
        return total

    for fill in fills:
        trade = fill.trade
        if mode == "client_first" and trade["match_type"] == "book":
            continue  # counted, never alerted on
        rest, left, left_at_bust, harmed = Decimal(trade["qty"]), Decimal(0), Decimal(0), False
        for order_id, counting in fill.claims.get(mode, []):
            key = (trade.get("match_id", trade["trade_id"]), fill.side, order_id)
            taken = sum(
                (harm - min(harm, cured(previous, order_id, trade["seq"], 0))
                 for previous, harm in earlier.get(key, [])), Decimal(0),
            )  # fmt: skip
            harm = min(rest, max(Decimal(0), counting - taken))
            earlier.setdefault(key, []).append((fill, harm))
            rest -= harm
            left += harm - min(harm, cured(fill, order_id, EVER, EVER))
            gone = busted.get(trade["trade_id"], EVER)
            left_at_bust += harm - min(harm, cured(fill, order_id, EVER, gone))
            harmed = harmed or harm > 0
        if harmed:
            name = ("client_priority." + mode, trade["trade_id"], fill.side)
            if trade["trade_id"] in busted and (left_at_bust or mode == "client_first"):
                result[name] = ("retracted", "busted", left)
            elif left and trade["trade_id"] not in busted:
                result[name] = ("confirmed", None, left)
            elif mode == "client_first":
                result[name] = ("retracted", "cured", left)
    return result
