"""Recordings of takers who hit two-sided books, from a seed: what L2's trade measures are compared on.

Entries lie exactly at horizons of earlier trades, a nanosecond beside them, and at the turn of minutes and of
a trading day; orders sweep, move and are prevented; fills are busted and corrected at any time after.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from maker_markets import drawn_makers
from presence import SECOND, write

MIDNIGHT = 1_772_467_200 * SECOND  # in Hong Kong, 2026-03-03
ACCOUNTS = ("MM-1", "MM-2", "IMM-1", "HOUSE-1", "C-1", "C-2", "C-3", "NOBODY")
REFERENCE = """
[[entities]]
id = "venue"
operator = true
[[affiliations]]
parent = "venue"
child = "maker"
control_pct = "75"
[[accounts]]
account = "MM-1"
entity = "maker"
[[accounts]]
account = "MM-2"
entity = "maker"
[[accounts]]
account = "HOUSE-1"
entity = "venue"
[[accounts]]
account = "IMM-1"
entity = "rival"
[[accounts]]
account = "C-1"
entity = "alice"
[[accounts]]
account = "C-2"
entity = "bob"
[[accounts]]
account = "C-3"
entity = "carol"
[[mm_registrations]]
account = "MM-1"
instruments = ["*"]
affiliated = true
[[mm_registrations]]
account = "IMM-1"
instruments = ["X"]
[[mm_agreements]]
id = "A"
account = "MM-1"
instrument = "X"
max_spread_bps = "150"
presence_pct = "1"
"""


class Takers:
    """One recording in the making."""

    resting, taking, taken = ACCOUNTS, ACCOUNTS, (1, 2, 5, 9)

    def __init__(self, random: Random) -> None:
        self.random = random
        self.ts = MIDNIGHT - random.choice((5, 65, 200)) * SECOND
        self.seq = random.choice((0, 0, 0, 0, 7))
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.live: dict[str, list[Any]] = {}  # id -> account, side, price in cents, lots
        self.trades: list[str] = []
        self.moments: list[int] = []  # of trades
        self.count = 0

    def put(self, topic: str, **fields: Any) -> None:
        """Append a record; sometimes its predecessor has been lost."""
        self.seq += 2 if self.random.random() < 0.02 else 1
        kept = {name: value for name, value in fields.items() if value is not None}
        self.records.append((topic, {"seq": self.seq, "ts": self.ts, **kept}))

    def run(self, steps: int) -> None:
        """Append `steps` doings, time passing between them."""
        if self.seq and self.random.random() < 0.7:
            self.rest("restated")
        for _ in range(6):
            self.rest()
        for _ in range(steps):
            self.random.choice(self.doings())()
            self.wait()

    def doings(self) -> tuple[Callable[[], None], ...]:
        """What happens, each as often as it is named."""
        return (self.rest,) * 5 + (self.take,) * 6 + (
            self.move, self.cancel, self.cancel, self.prevented, self.off_book, self.bust, self.correct,
        )  # fmt: skip

    def wait(self) -> None:
        """Go on to a horizon of an earlier trade, or beside it, or a little, or back."""
        choice = self.random.random()
        later = [
            moment + seconds * SECOND + beside
            for moment in self.moments[-6:]
            for seconds in (1, 10, 60)
            for beside in (-1, 0, 0, 1)
        ]
        later = [moment for moment in later if moment > self.ts]
        if later and choice < 0.5:
            self.ts = self.random.choice(later)
        elif choice < 0.98:
            self.ts += self.random.choice((0, 1, SECOND // 10, SECOND, 7 * SECOND))
        else:
            self.ts -= self.random.choice((1, SECOND // 2, 2 * SECOND))

    def rest(self, kind: str = "new") -> None:
        """An order that rests: a bid at 97 to 99.9, or an offer at 100.1 to 103; some are hidden."""
        side = self.random.choice(("buy", "sell"))
        account = self.random.choice(self.resting)
        away = self.away(account)
        price = 10_000 - away if side == "buy" else 10_000 + away
        self.count += 1
        name, lots = f"O{self.count}", self.random.choice((1, 2, 3, 7))
        self.live[name] = [account, side, price, lots]
        self.put(
            "orders", exec_type=kind, order_id=name, account=account, side=side, price=f"{price / 100:.2f}",
            order_qty=str(lots), leaves_qty=str(lots), display_qty=self.random.choice((None,) * 8 + ("0",)),
        )  # fmt: skip

    def away(self, _account: str) -> int:
        """Cents from 100 at which an account's order rests."""
        return self.random.randint(10, 300)

    def take(self) -> None:
        """An order takes one to many lots, from the best price on."""
        self.count += 1
        name, side = f"T{self.count}", self.random.choice(("buy", "sell"))
        account = self.random.choice(self.taking)
        self.put(
            "orders", exec_type="new", order_id=name, account=account, side=side, ord_type="market",
            time_in_force="ioc", order_qty="9",
        )  # fmt: skip
        self.fills(name, account, side, self.random.choice(self.taken))

    def fills(self, taker: str, account: str, side: str, lots: int) -> None:
        """Trades of an order that takes; a venue's quote may lie between them."""
        sign = 1 if side == "buy" else -1
        others = sorted((o[2] * sign, name) for name, o in self.live.items() if o[1] != side)
        for _, name in others:
            maker = self.live[name]
            filled = min(lots, maker[3])
            if not filled:
                return
            self.trade(taker, account, name, maker[0], side, filled, maker[2])
            lots, maker[3] = lots - filled, maker[3] - filled
            if not maker[3]:
                del self.live[name]

    def trade(
        self, taker: str | None, account: str, maker: str | None, other: str, side: str, lots: int,
        price: int, kind: str | None = None,
    ) -> None:  # fmt: skip
        """One trade."""
        name = f"F{len(self.trades)}"
        self.trades.append(name)
        self.moments.append(self.ts)
        passive = "sell" if side == "buy" else "buy"
        known = self.random.random() < 0.9
        self.put(
            "trades", exec_type="trade", trade_id=name, price=f"{price / 100:.2f}", qty=str(lots),
            aggressor=side if self.random.random() < 0.95 else "none", match_type=kind,
            **{f"{side}_order_id": taker, f"{side}_account": account if known else None},
            **{f"{passive}_order_id": maker, f"{passive}_account": other if known else None},
        )  # fmt: skip

    def off_book(self) -> None:
        """A trade without orders."""
        kind = self.random.choice(("block", "auction", "rfq", "liquidation", "book", "book"))
        one, two = self.random.sample(ACCOUNTS, 2)
        self.trade(None, one, None, two, self.random.choice(("buy", "sell")), 4, 10_000, kind)

    def move(self) -> None:
        """A resting order takes, by a new price; what is left of it is withdrawn."""
        if self.live:
            name = self.random.choice(sorted(self.live))
            account, side, _price, lots = self.live.pop(name)
            price = "103.5" if side == "buy" else "96.5"
            self.put("orders", exec_type="replaced", order_id=name, account=account, price=price)
            self.fills(name, account, side, lots)
            self.put("orders", exec_type="canceled", order_id=name, account=account)

    def cancel(self, reason: str = "user") -> None:
        """An order is withdrawn."""
        if self.live:
            name = self.random.choice(sorted(self.live))
            account = self.live.pop(name)[0]
            self.put("orders", exec_type="canceled", order_id=name, account=account, reason=reason)

    def prevented(self) -> None:
        """Another's order is cancelled in mid-turn, before the trades."""
        self.count += 1
        name, side = f"T{self.count}", self.random.choice(("buy", "sell"))
        self.put(
            "orders", exec_type="new", order_id=name, account="C-1", side=side, order_qty="3",
            price="103.5" if side == "buy" else "96.5", time_in_force="ioc",
        )  # fmt: skip
        self.cancel("self_trade_prevention")
        self.fills(name, "C-1", side, 3)

    def bust(self) -> None:
        """A fill is busted."""
        if self.trades:
            self.put("trades", exec_type="trade_cancel", orig_trade_id=self.random.choice(self.trades))

    def correct(self) -> None:
        """A fill is corrected."""
        if self.trades:
            self.put(
                "trades", exec_type="trade_correct", orig_trade_id=self.random.choice(self.trades),
                price=self.random.choice((None, "99.99", "101.5")), qty=self.random.choice((None, "2")),
                aggressor=self.random.choice((None, None, "buy", "sell")),
                match_type=self.random.choice((None, None, "block")),
                trade_id=self.random.choice((None, f"R{len(self.records)}")),
                buy_account=self.random.choice((None, None, "MM-1")),
            )  # fmt: skip


def trade_market(seed: int, folder: Path) -> Path:
    """Write the recording of a seed and return its folder."""
    random = Random(seed)
    return drawn_takers(random, random.choice((10, 25, 40)), folder)


def drawn_takers(random: Random, steps: int, folder: Path) -> Path:
    """Write the recording that chance makes and return its folder."""
    takers = Takers(random)
    takers.run(steps)
    reference = REFERENCE
    if random.random() < 0.4:
        start = random.choice(takers.moments or [takers.ts]) + random.choice((0, 1, 10)) * SECOND
        phase = random.choice(("halt", "auction"))
        end = start + random.choice((1, SECOND, 20 * SECOND))
        reference += f'[[trading_phases]]\ninstrument = "X"\nphase = "{phase}"\nfrom = {start}\nto = {end}\n'
        if random.random() < 0.3:
            reference += f"recorded_at = {start + random.choice((-SECOND, 5 * SECOND))}\n"
    return write(folder, reference, takers.records)


class Dear(Takers):
    """Clients who take from makers, over a longer time: what makers keep is compared."""

    resting, taking = ("MM-1", "MM-1", "MM-2", "IMM-1", "IMM-1"), ("C-1", "C-2", "C-3")
    taken = (1, 1, 2, 5)

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.ts = MIDNIGHT - random.choice((30, 65, 700, 2_000)) * SECOND
        self.seq = 0

    def doings(self) -> tuple[Callable[[], None], ...]:
        """Mostly makers who rest on both sides, and clients who take a little."""
        return (self.rest,) * 7 + (self.take,) * 6 + (self.bust, self.correct, self.cancel)

    def away(self, account: str) -> int:
        """The independent maker is mostly nearer."""
        return self.random.randint(10, 60) if account == "IMM-1" else self.random.randint(50, 300)

    def wait(self) -> None:
        """Now and then go on to another block of time, or to the day's last horizon, or beside it."""
        last = MIDNIGHT + 60 * SECOND + self.random.choice((-1, 0, 1))
        if self.ts < MIDNIGHT and self.random.random() < 0.03:
            self.ts = last
        elif self.random.random() < 0.1:
            self.ts += self.random.choice((100, 290, 300)) * SECOND
        else:
            super().wait()


def drawn_dear(random: Random, steps: int, folder: Path) -> Path:
    """Write the recording that chance makes and return its folder."""
    dear = Dear(random)
    dear.run(steps)
    return write(folder, REFERENCE, dear.records)


OPERATED = """
[[affiliations]]
parent = "client"
child = "maker"
control_pct = "100"
[[affiliations]]
parent = "client"
child = "rival"
control_pct = "75"
valid_from = {start}
[[mm_registrations]]
account = "MM-1"
instruments = ["*"]
affiliated = true
[[mm_registrations]]
account = "MM-3"
instruments = ["X"]
affiliated = true
recorded_at = {start}
"""


def affiliated_market(seed: int, folder: Path) -> Path:
    """Write a market of `maker_markets` whose makers belong to the operator, for own spreads."""
    random = Random(f"affiliated {seed}")
    return drawn_affiliates(random, random.choice((5, 15, 30, 60)), folder)


def drawn_affiliates(random: Random, steps: int, folder: Path) -> Path:
    """Write the recording that chance makes and return its folder."""
    written = drawn_makers(random, steps, folder) / "reference.toml"
    start = random.choice((0, 1_772_953_200, 1_774_746_000, 1_772_409_600)) * SECOND
    written.write_text(written.read_text(encoding="utf-8") + OPERATED.format(start=start), encoding="utf-8")
    return folder
