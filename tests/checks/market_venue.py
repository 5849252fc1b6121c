"""One instrument of a venue that mostly keeps the rules: its records, from a random source.

Prices lie on five ticks and quantities are small, so that orders meet, queue and pass each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from schemas.events import Topic

SECOND = 1_000_000_000
CLIENTS = ("C-1", "C-2", "C-3", "C-4", "C-5")
OTHERS = ("MM-1", "MM-1", "MM-1", "MM-1", "MM-2", "MM-2", "HOUSE-1", "HOUSE-1", "IMM-1", "X-9")
STEPS = (0, 0, 0, 0, 1, 1_000, 3_000_000, 300_000_000, 300_000_000, SECOND, SECOND + 1, 61 * SECOND)
TRADE_PLACE = ("seq", "ts", "instrument", "trade_id", "orig_trade_id", "exec_type")


@dataclass
class Live:
    """What the generator remembers of an order."""

    order_id: str
    account: str | None
    side: str
    price: int | None
    leaves: int
    flag: bool | None


class Venue:
    """One instrument's records, `clean` ones or with faults."""

    def __init__(self, random: Random, instrument: str, start: int, level: float) -> None:
        self.random, self.instrument, self.ts, self.level = random, instrument, start, level
        self.seq = 0
        self.live: dict[str, Live] = {}
        self.stops: dict[str, Live] = {}
        self.dead: list[str] = []
        self.trades: list[dict[str, Any]] = []
        self.out: list[tuple[Topic, dict[str, Any]]] = []
        self.count = 0
        self.named = random.random() > 0.05  # else no record has an account
        self.flags = random.choice((1.0, 1.0, 0.9, 0.5))  # how well flags are kept

    def chance(self, part: float) -> bool:
        """Return True in `part` of all cases."""
        return self.random.random() < part

    def fault(self, part: float) -> bool:
        """Return True in `part` of all cases, if this recording is one with faults."""
        return self.random.random() < part * self.level

    # ---- records ------------------------------------------------------------------------------------

    def put(self, topic: Topic, **fields: Any) -> dict[str, Any]:
        """Add a record with the next seq and the present time."""
        self.seq += 1
        record = {"instrument": self.instrument, "seq": self.seq, "ts": self.ts, **fields}
        record = {name: value for name, value in record.items() if value is not None}
        self.out.append((topic, record))
        return record

    def step(self) -> None:
        """Let time pass, or not; with faults it may go back."""
        self.ts += self.random.choice(STEPS)
        if self.fault(0.03):
            self.ts -= self.random.choice((1, 900_000, 1_000_000, 1_000_001, 5_000_000, SECOND))
        if self.chance(0.01):
            self.ts += 3 * 60 * SECOND

    def account(self) -> str | None:
        """Return somebody."""
        if not self.named or self.fault(0.02):
            return None
        return self.random.choice(CLIENTS if self.chance(0.55) else OTHERS)

    def flag_of(self, account: str | None) -> bool | None:
        """Return the flag an account's records carry, mostly."""
        right = account is not None and "MM-" in account
        if self.chance(self.flags):
            return True if right else self.random.choice((None, None, False))
        return self.random.choice((None, False, True))

    def qty(self) -> str:
        """Return a small quantity."""
        return self.random.choice(("1", "2", "3", "5", "0.5", "1.0", "7"))

    def price(self) -> str:
        """Return a price on the grid."""
        return str(self.random.choice((98, 99, 100, 100, 101, 102)))

    def stamps(self) -> dict[str, int]:
        """Return gateway, ack and publication times, now and then."""
        if not self.chance(0.15):
            return {}
        gateway = self.ts - self.random.choice((0, 1, 500, 2_000_000))
        return {"ts_gateway": gateway, "ts_published": self.ts + self.random.choice((0, 400, 3_000_000))}

    def terms(self, kind: str) -> dict[str, Any]:
        """Return the rarer terms of an order that rests."""
        terms: dict[str, Any] = {}
        if self.chance(0.2):
            terms["display_qty"] = self.random.choice(("0", "1", "2", "10", "0.5"))
        if self.chance(0.06):
            terms["exec_inst"] = self.random.choice((["all_or_none"], ["not_held"], ["pegged"], []))
        if self.chance(0.06):
            terms["min_qty"] = self.random.choice(("0", "1", "2", "4"))
        if self.chance(0.1):
            terms["order_capacity"] = self.random.choice(("agency", "principal", "riskless_principal"))
        if kind == "new" and self.chance(0.05):
            terms["time_in_force"] = self.random.choice(("gtc", "day"))
        if self.chance(0.03):
            terms["leaves_qty"] = self.random.choice(("1", "2", "0", "4"))
        return terms

    # ---- what happens -------------------------------------------------------------------------------

    def restate(self) -> None:
        """Say what rests: with its original time."""
        account, side = self.account(), self.random.choice(("buy", "sell"))
        again = self.random.choice(sorted(self.live) or ["?"]) if self.chance(0.3) else "?"
        if again != "?":
            account, side = self.live[again].account, self.live[again].side
        else:
            self.count += 1
        order_id = again if again != "?" else f"R{self.count}"
        qty = self.qty()
        amounts = self.random.choice(
            ({"order_qty": qty}, {"leaves_qty": qty}, {"order_qty": "9", "leaves_qty": qty})
        )
        price = self.price() if not self.chance(0.05) else None
        ts = self.ts - self.random.choice((0, 1, 10 * SECOND, 3_600 * SECOND, 90_000 * SECOND))
        flag = self.flag_of(account)
        record = self.put(
            "orders",
            exec_type="restated",
            order_id=order_id,
            account=account,
            side=side,
            price=price,
            ord_type=None if price is not None else "market",
            mm_flag=flag,
            **(self.terms("restated") | amounts),
        )
        record["ts"] = ts
        leaves = record.get("leaves_qty") or record.get("order_qty")
        self.live[order_id] = Live(order_id, account, side, _int(price), _hundredths(leaves), flag)

    def rest(self) -> None:
        """Accept a limit order that is meant to rest."""
        account, side = self.account(), self.random.choice(("buy", "sell"))
        price = str(self.random.choice((98, 99, 99, 100) if side == "buy" else (100, 101, 101, 102)))
        self.accept(account, side, price, self.terms("new"))

    def accept(
        self, account: str | None, side: str, price: str | None, terms: dict[str, Any], qty: str | None = None
    ) -> Live:
        """Put a `new` record."""
        self.count += 1
        order_id, flag, qty = f"O{self.count}", self.flag_of(account), qty or self.qty()
        record = self.put(
            "orders",
            exec_type="new",
            order_id=order_id,
            account=account,
            side=side,
            price=price,
            order_qty=qty,
            mm_flag=flag,
            **terms,
            **self.stamps(),
        )
        leaves = _hundredths(record.get("leaves_qty") or qty)
        order = Live(order_id, account, side, _int(price), leaves, flag)
        if leaves:
            self.live[order_id] = order
        else:
            self.dead.append(order_id)
        return order

    def aggress(self) -> None:
        """An order comes in and takes others, in or out of turn."""
        account, side = self.account(), self.random.choice(("buy", "sell"))
        kind = self.random.choice(("limit", "limit", "ioc", "fok", "market"))
        price = (
            None
            if kind == "market"
            else str(self.random.choice((100, 101, 102) if side == "buy" else (98, 99, 100)))
        )
        terms: dict[str, Any] = {"ord_type": "market"} if kind == "market" else {}
        if kind in ("ioc", "fok"):
            terms["time_in_force"] = kind
        if kind == "limit" and self.chance(0.3):
            terms |= self.terms("new")
        order = self.accept(account, side, price, terms, self.random.choice(("1", "2", "4", "8", "20")))
        self.sweep(order)
        if kind != "limit" and order.order_id in self.live:
            del self.live[order.order_id]
            self.dead.append(order.order_id)
            if not self.chance(0.3):
                if self.chance(0.2):
                    self.step()
                self.put(
                    "orders",
                    exec_type="canceled",
                    order_id=order.order_id,
                    account=account,
                    reason="expiry",
                    mm_flag=order.flag,
                    leaves_qty=self.random.choice((None, "0")),
                )

    def sweep(self, taker: Live) -> None:
        """Several fills of one match, with what may come in mid-turn."""
        match_id = self.random.choice((None, None, f"m{self.seq}"))
        other = "sell" if taker.side == "buy" else "buy"
        for _ in range(self.random.choice((0, 1, 2, 3, 4, 6))):
            resting = [
                order
                for order in self.live.values()
                if order.side == other
                and order is not taker
                and order.price is not None
                and (
                    taker.price is None
                    or order.price == taker.price
                    or (order.price < taker.price) == (taker.side == "buy")
                )
            ]
            if not resting or not taker.leaves:
                return
            best = min(resting, key=lambda order: (order.price or 0) * (1 if other == "sell" else -1))
            touch = [order for order in resting if order.price == best.price]
            maker = self.random.choice(touch if self.chance(0.7) else resting)
            self.interrupt(other)
            qty = min(taker.leaves, maker.leaves) if self.chance(0.7) else 50
            qty = max(1, min(qty, taker.leaves, maker.leaves))
            if self.fault(0.05):
                qty += 100
            price = maker.price if not self.fault(0.1) else (maker.price or 0) + self.random.choice((-1, 1))
            if self.fault(0.03):
                match_id = f"m{self.random.randrange(3)}"
            self.fill(
                taker,
                maker,
                qty,
                price or 100,
                taker.side if not self.fault(0.05) else "none",
                match_id=match_id,
            )

    def interrupt(self, side: str) -> None:
        """What may come between two fills of one match."""
        if self.chance(0.1) and self.live:
            victim = self.random.choice(sorted(self.live))
            reason = self.random.choice(
                ("self_trade_prevention", "self_trade_prevention", "mm_protection", "user")
            )
            self.cancel(victim, reason)
        if self.chance(0.1):
            self.quote(venue=self.chance(0.8))
        if self.chance(0.05):
            self.step()

    def fill(
        self,
        taker: Live,
        maker: Live,
        qty: int,
        price: int,
        aggressor: str | None,
        *,
        match_type: str | None = None,
        match_id: str | None = None,
        linked: bool = True,
    ) -> None:
        """Put a trade, and perhaps the fill records of its orders."""
        sides = {taker.side: taker, ("sell" if taker.side == "buy" else "buy"): maker}
        names: dict[str, Any] = {}
        for side, order in sides.items():
            names[f"{side}_order_id"] = order.order_id if linked and not self.fault(0.02) else None
            names[f"{side}_account"] = order.account if not self.fault(0.04) else self.account()
            names[f"{side}_mm_flag"] = (
                order.flag if self.chance(self.flags) else self.random.choice((True, False, None))
            )
        record = self.put(
            "trades",
            exec_type="trade",
            trade_id=f"T{self.seq + 1}",
            price=str(price),
            qty=_decimal(qty),
            aggressor=aggressor,
            match_type=match_type,
            match_id=match_id,
            **names,
        )
        self.trades.append(record)
        if not linked:
            return
        for order in (taker, maker):
            order.leaves = max(0, order.leaves - qty)
            if not order.leaves and self.live.pop(order.order_id, None) is not None:
                self.dead.append(order.order_id)
            if self.chance(0.1):
                self.put(
                    "orders",
                    exec_type="fill",
                    order_id=order.order_id,
                    account=order.account,
                    mm_flag=order.flag if self.chance(self.flags) else None,
                    leaves_qty=self.random.choice((None, _decimal(order.leaves)))
                    if not self.fault(0.1)
                    else "3",
                )

    def off_book(self) -> None:
        """A block, rfq, auction or liquidation, with or without orders of the book."""
        if len(self.live) < 2:
            return
        taker, maker = (self.live[name] for name in self.random.sample(sorted(self.live), 2))
        if taker.side == maker.side:
            maker = Live("Z", self.account(), "sell" if taker.side == "buy" else "buy", None, 1_000, None)
        kind = self.random.choice(("block", "rfq", "liquidation", "auction", "book"))
        aggressor = self.random.choice(("none", None, "buy", "sell"))
        price = self.random.choice((98, 99, 100, 101, 102))
        self.fill(
            taker,
            maker,
            self.random.choice((50, 100, 200)),
            price,
            aggressor,
            match_type=kind,
            linked=self.chance(0.5),
        )

    def cancel(self, order_id: str, reason: str | None = None) -> None:
        """End an order."""
        order = self.live.pop(order_id, None) or self.stops.pop(order_id, None)
        self.dead.append(order_id)
        kind = "canceled" if reason is not None or self.chance(0.8) else "expired"
        if kind == "canceled" and reason is None:
            reason = self.random.choice((None, "user", "user", "venue", "kill_switch", "mm_protection"))
        self.put(
            "orders",
            exec_type=kind,
            order_id=order_id,
            account=order.account if order else None,
            reason=reason,
            mm_flag=order.flag if order and self.chance(self.flags) else None,
            side=order.side if order else None,
        )

    def replace(self) -> None:
        """Change an order: some changes keep its priority, some do not."""
        pool = self.live | self.stops
        if not pool:
            return
        order = pool[self.random.choice(sorted(pool))]
        change: dict[str, Any] = {}
        kind = self.random.choice(
            ("price", "same", "less", "more", "leaves", "display", "zero", "terms", "both")
        )
        if kind in ("price", "both") and order.price is not None:
            change["price"] = self.price()
            order.price = int(change["price"])
        elif kind == "same" and order.price is not None:
            change["price"] = str(order.price)
        if kind in ("less", "more", "both"):
            leaves = max(
                1, order.leaves + self.random.choice((-100, -50) if kind == "less" else (50, 100, -50))
            )
            order.leaves = leaves
            change["leaves_qty" if self.chance(0.6) else "order_qty"] = _decimal(leaves)
        elif kind == "leaves":
            change["leaves_qty"] = _decimal(order.leaves)
        elif kind == "display":
            change["display_qty"] = self.random.choice(("0", "1", "2", "6"))
        elif kind == "zero" and self.chance(0.3):
            change["leaves_qty"] = "0"
            order.leaves = 0
        elif kind == "terms":
            change |= self.random.choice(
                (
                    {"exec_inst": ["all_or_none"]},
                    {"exec_inst": []},
                    {"min_qty": "2"},
                    {"min_qty": "0"},
                    {"time_in_force": "ioc"},
                    {"order_capacity": "agency"},
                    {"time_in_force": "gtc"},
                )
            )
        flag = order.flag if self.chance(self.flags) else self.random.choice((None, True))
        self.put(
            "orders",
            exec_type="replaced",
            order_id=order.order_id,
            account=order.account,
            mm_flag=flag,
            side=self.random.choice((None, order.side)),
            **change,
        )
        if change.get("time_in_force") == "ioc" or not order.leaves:
            self.live.pop(order.order_id, None)
        elif order.order_id in self.live and self.chance(0.25):
            self.sweep(order)

    def stop(self) -> None:
        """Accept a stop."""
        account, side = self.account(), self.random.choice(("buy", "sell"))
        limit = self.chance(0.6)
        price = self.price() if limit else None
        terms = self.terms("new") | {"ord_type": "stop_limit" if limit else "stop", "stop_px": "100"}
        order = self.accept(account, side, price, terms)
        if self.live.pop(order.order_id, None) is not None:
            self.stops[order.order_id] = order

    def trigger(self) -> None:
        """Trigger a stop; it may trade at once."""
        if not self.stops:
            return
        order = self.stops.pop(self.random.choice(sorted(self.stops)))
        price = self.price() if order.price is not None and self.chance(0.3) else None
        if price is not None:
            order.price = int(price)
        self.put(
            "orders",
            exec_type="triggered",
            order_id=order.order_id,
            account=order.account,
            mm_flag=order.flag,
            price=price,
        )
        self.live[order.order_id] = order
        if self.chance(0.6):
            self.sweep(order)
        if order.price is None:
            self.live.pop(order.order_id, None)

    def suspend(self) -> None:
        """Suspend an order, or let a suspended one go on."""
        pool = self.live | self.stops
        if pool:
            name = self.random.choice(sorted(pool))
            order = pool[name]
            kind = self.random.choice(("suspended", "resumed"))
            self.put("orders", exec_type=kind, order_id=name, account=order.account, mm_flag=order.flag)

    def quote(self, *, venue: bool) -> None:
        """The venue's best bid and offer, right or wrong, or a maker's quote."""
        account = None if venue else self.random.choice(("MM-1", "MM-2", "HOUSE-1", "IMM-1", "X-9", "C-1"))
        bids = [order for order in self.live.values() if order.side == "buy" and order.price is not None]
        asks = [order for order in self.live.values() if order.side == "sell" and order.price is not None]
        bid = max((order.price or 0 for order in bids), default=None)
        ask = min((order.price or 0 for order in asks), default=None)
        sizes = [
            None if best is None else _decimal(sum(o.leaves for o in orders if o.price == best))
            for best, orders in ((bid, bids), (ask, asks))
        ]
        self.put(
            "quotes",
            quote_id=f"Q{self.seq + 1}",
            account=account,
            bid_px=_text(bid),
            bid_size=sizes[0],
            ask_px=_text(ask),
            ask_size=sizes[1],
            mm_flag=None if venue else self.random.choice((True, True, None)),
        )

    def venue_quote(self) -> None:
        """The venue's best bid and offer."""
        self.quote(venue=True)

    def maker_quote(self) -> None:
        """A maker's two-sided quote."""
        self.quote(venue=False)

    def leave(self) -> None:
        """Somebody's order is cancelled or expires."""
        if self.live:
            self.cancel(self.random.choice(sorted(self.live)))

    def bust(self) -> None:
        """Bust or correct a trade."""
        if not self.trades:
            return
        trade = self.random.choice(self.trades)
        if self.chance(0.5):
            self.put(
                "trades",
                exec_type="trade_cancel",
                orig_trade_id=trade["trade_id"],
                trade_id=self.random.choice((None, f"B{self.seq + 1}", trade["trade_id"])),
            )
            return
        changes = self.random.choice(
            (
                {"price": self.price()},
                {"qty": self.qty()},
                {"price": self.price(), "qty": self.qty()},
                {"buy_account": self.account()},
                {"sell_account": self.account()},
                {"sell_mm_flag": True},
                {},
            )
        )
        if self.chance(0.4):
            changes = {k: v for k, v in trade.items() if k not in TRADE_PLACE} | changes
        corrected = self.put(
            "trades",
            exec_type="trade_correct",
            orig_trade_id=trade["trade_id"],
            trade_id=self.random.choice((None, trade["trade_id"], f"T{self.seq + 1}")),
            **changes,
        )
        if "trade_id" in corrected:
            self.trades.append(corrected)

    def stray(self) -> None:
        """A record of an order that was never seen, is dead, or is there already."""
        name = self.random.choice([*self.dead[-5:], "GHOST", *sorted(self.live)[:2]])
        kind = self.random.choice(
            (
                "canceled",
                "replaced",
                "fill",
                "triggered",
                "resumed",
                "suspended",
                "expired",
                "rejected",
                "new",
            )
        )
        account = self.account()
        fields: dict[str, Any] = {}
        if (kind == "new" and name not in self.live) or (kind == "fill" and name in self.live):
            return  # the text allows two readings: a dead order's id used again, a fill before its trade
        if kind == "new":
            fields = {"side": "buy", "price": "99", "order_qty": "1"}
        elif kind == "replaced":
            fields = {"price": "99", "leaves_qty": "2"}
        elif kind == "rejected":
            name = self.random.choice((name, f"J{self.seq}"))
            fields = {"side": "buy", "price": "99", "order_qty": "1", "reason": "post_only"}
        self.put(
            "orders", exec_type=kind, order_id=name, account=account, mm_flag=self.flag_of(account), **fields
        )

    def ghost_trade(self) -> None:
        """A trade with an order that was never seen."""
        side = self.random.choice(("buy", "sell"))
        ghost = Live(f"G{self.seq}", self.account(), side, 100, 1_000, self.random.choice((True, None)))
        others = [order for order in self.live.values() if order.side != side]
        maker = self.random.choice(others) if others else Live("G", self.account(), "sell", 100, 100, None)
        if maker.side == side:
            return
        self.fill(ghost, maker, 100, maker.price or 100, self.random.choice((side, maker.side, None)))

    def protect(self) -> None:
        """Market-maker protection."""
        self.put(
            "orders",
            exec_type=self.random.choice(("mm_protection_start", "mm_protection_end")),
            account="MM-1",
        )

    def run(self, events: int) -> None:
        """Let about `events` things happen."""
        for _ in range(self.random.choice((0, 0, 0, 1, 4))):
            self.restate()
        if self.chance(0.1):
            self.seq += 4  # begins at another seq than 1
        wild = self.level
        things = (
            (self.rest, 9.0),
            (self.aggress, 6.0),
            (self.replace, 3.0),
            (self.stop, 1.0),
            (self.trigger, 1.0),
            (self.suspend, 0.7),
            (self.venue_quote, 1.0),
            (self.maker_quote, 0.4),
            (self.off_book, 0.8),
            (self.bust, 1.0),
            (self.protect, 0.1),
            (self.restate, 0.3 * wild),
            (self.stray, 0.8 * wild),
            (self.ghost_trade, 0.4 * wild),
            (self.leave, 2.0),
        )
        actions = [action for action, _weight in things]
        weights = [weight for _action, weight in things]
        for action in self.random.choices(actions, weights, k=events):
            self.step()
            action()


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _hundredths(text: Any) -> int:
    return round(float(text) * 100)


def _decimal(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"
