"""Recordings of makers who quote well, badly, and at the limits, from a seed: what L1 is compared on.

Prices and quantities are few, so that spreads, sizes and imbalances often lie exactly at their limits. Time
steps go from a nanosecond to hours; agreements begin, end, change and become known at records' moments or a
nanosecond beside them.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from presence import SECOND, write

HOUR = 3600 * SECOND
PLACES = (
    (1_772_467_200 * SECOND, "Asia/Hong_Kong"),  # midnight there, 2026-03-03
    (1_774_746_000 * SECOND, "Europe/Berlin"),  # 2026-03-29T01:00Z: the clock goes forward
    (1_792_890_000 * SECOND, "Europe/Berlin"),  # 2026-10-25T01:00Z: back
    (1_772_953_200 * SECOND, "America/New_York"),  # 2026-03-08T07:00Z: forward
    (1_772_409_600 * SECOND, "Asia/Kolkata"),
    (1_775_311_200 * SECOND, "Australia/Lord_Howe"),  # 2026-04-04T14:00Z: half an hour, near midnight
)
OWNERS = {"MM-1": "maker", "MM-2": "maker", "MM-3": "rival", "C-1": "client"}
PRICES = {"buy": ("9985", "9990", "9995", "10000"), "sell": ("10000", "10005", "10010", "10015")}
SIZES = ("0.5", "1", "1", "1.5", "2", "3", "0.99999999", "1.50000001")


class Makers:
    """One recording in the making."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.place, self.zone = random.choice(PLACES)
        self.pace = random.choice((SECOND, 60 * SECOND, HOUR))
        self.ts = self.place - random.choice((0, 1, 5, 20)) * self.pace
        self.seq = random.choice((0, 0, 0, 0, 4))
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.live: dict[str, tuple[str, str, str, str]] = {}  # id -> account, side, price, quantity
        self.count = 0

    def put(self, topic: str, **fields: Any) -> None:
        """Append a record; sometimes its predecessor has been lost."""
        self.seq += 2 if self.random.random() < 0.03 else 1
        kept = {name: value for name, value in fields.items() if value is not None}
        self.records.append((topic, {"seq": self.seq, "ts": self.ts, **kept}))

    def run(self, steps: int) -> None:
        """Append `steps` doings, time passing between them."""
        actions = (self.enter,) * 5 + (self.cancel,) * 3 + (
            self.replace, self.replace, self.hit, self.quote, self.quote, self.protect, self.pause,
        )  # fmt: skip
        if self.seq:
            for _ in range(self.random.choice((0, 2))):
                self.enter("restated")
        for account in self.random.sample(("MM-1", "MM-2", "MM-3"), 2):
            for side in ("buy", "sell"):
                self.enter("new", account, side)
        for _ in range(steps):
            self.random.choice(actions)()
            step = self.random.choice((0, 0, 1, 2, self.pace, self.pace, self.pace + 1, 7 * self.pace))
            self.ts += step if self.random.random() > 0.02 else -1

    def enter(self, kind: str = "new", account: str | None = None, side: str | None = None) -> None:
        """A limit order, sometimes an iceberg or a hidden one."""
        account = account or self.random.choice(("MM-1", "MM-1", "MM-1", "MM-2", "MM-3", "C-1"))
        side = side or self.random.choice(("buy", "sell"))
        price, quantity = (
            self.random.choice(PRICES[side][:3] if side == "buy" else PRICES[side][1:]),
            self.size(),
        )
        self.count += 1
        name = f"O{self.count}"
        display = self.random.choice((None,) * 6 + ("0", "0.5", "1"))
        self.live[name] = (account, side, price, quantity)
        self.put(
            "orders", exec_type=kind, order_id=name, account=account, side=side, ord_type="limit",
            price=price, order_qty=quantity, leaves_qty=quantity, display_qty=display,
        )  # fmt: skip

    def size(self) -> str:
        return self.random.choice(SIZES)

    def _pick(self) -> tuple[str, tuple[str, str, str, str]] | None:
        return self.random.choice(sorted(self.live.items())) if self.live else None

    def cancel(self) -> None:
        """An order is withdrawn."""
        found = self._pick()
        if found is not None:
            del self.live[found[0]]
            self.put("orders", exec_type="canceled", order_id=found[0], account=found[1][0], reason="user")

    def replace(self) -> None:
        """An order changes price or quantity, or its account's quote is moved; it never crosses."""
        found = self._pick()
        if found is not None:
            name, (account, side, price, _quantity) = found
            if self.random.random() < 0.5:
                price = self.random.choice(PRICES[side][:3] if side == "buy" else PRICES[side][1:])
            quantity = self.size()
            self.live[name] = (account, side, price, quantity)
            self.put(
                "orders", exec_type="replaced", order_id=name, account=account, side=side, price=price,
                order_qty=quantity, leaves_qty=quantity,
            )  # fmt: skip

    def hit(self) -> None:
        """A client's IOC order takes part or all of an order."""
        found = self._pick()
        if found is None:
            return
        name, (account, side, price, quantity) = found
        takes = self.random.choice((quantity, "0.25", "0.5"))
        taker, other = f"T{len(self.records)}", "sell" if side == "buy" else "buy"
        self.put(
            "orders", exec_type="new", order_id=taker, account="C-1", side=other, ord_type="limit",
            time_in_force="ioc", price=price, order_qty=takes, leaves_qty=takes,
        )  # fmt: skip
        self.put(
            "trades", exec_type="trade", trade_id=f"F{len(self.records)}", price=price, qty=takes,
            aggressor=other, **{
                f"{side}_order_id": name, f"{side}_account": account,
                f"{other}_order_id": taker, f"{other}_account": "C-1",
            },
        )  # fmt: skip
        if takes == quantity:
            del self.live[name]

    def quote(self) -> None:
        """A maker's quote, of two sides, one or none."""
        account = self.random.choice(("MM-1", "MM-1", "MM-2", "MM-3"))
        fields: dict[str, Any] = {}
        for side, name in (("buy", "bid"), ("sell", "ask")):
            if self.random.random() < 0.85:
                fields |= {f"{name}_px": self.random.choice(PRICES[side]), f"{name}_size": self.size()}
        self.put("quotes", account=account, **fields)

    def protect(self) -> None:
        """Protection begins or ends, now and then out of order."""
        kind = self.random.choice(("start", "end"))
        account = self.random.choice(("MM-1", "MM-2"))
        self.put("orders", exec_type=f"mm_protection_{kind}", account=account)

    def pause(self) -> None:
        """An order is suspended or resumed."""
        found = self._pick()
        if found is not None:
            kind = self.random.choice(("suspended", "resumed"))
            self.put("orders", exec_type=kind, order_id=found[0], account=found[1][0])


class Papers:
    """Reference data around a recording's moments."""

    def __init__(self, random: Random, makers: Makers) -> None:
        self.random = random
        self.zone = makers.zone
        self.moments = sorted({record["ts"] for _topic, record in makers.records})
        self.two_passes = random.random() < 0.4
        self.used: set[int] = set()
        self.rows: list[str] = []

    def moment(self) -> int:
        """A record's moment, or a nanosecond beside it; never the same twice."""
        while True:
            moment = self.random.choice(self.moments) + self.random.choice((-1, 0, 0, 1, 7 * SECOND))
            moment += len(self.used) // 50
            if moment not in self.used or self.random.random() < 0.01:
                self.used.add(moment)
                return moment

    def late(self) -> int | None:
        """When a fact became known: at a moment of its own, or always."""
        return self.moment() if self.two_passes and self.random.random() < 0.6 else None

    def row(self, table: str, **fields: Any) -> None:
        """Append a fact."""
        said = "\n".join(f"{k} = {json.dumps(v)}" for k, v in fields.items() if v is not None)
        self.rows.append(f"[[{table}]]\n{said}\n")

    def write(self) -> str:
        """Return reference.toml."""
        self.row("entities", id="client", operator=True)
        for account, entity in OWNERS.items():
            if account == "MM-2" and self.random.random() < 0.4:
                cut = self.moment()
                self.row("accounts", account=account, entity=entity, valid_to=cut)
                self.row("accounts", account=account, entity="rival", valid_from=cut, recorded_at=self.late())
            else:
                self.row("accounts", account=account, entity=entity)
        for number in range(self.random.choice((1, 2, 3))):
            self.agreement(f"A{number}")
        cuts = sorted({self.moment() for _ in range(self.random.choice((0, 0, 2, 4, 6)))})
        for start, end in zip(cuts[::2], cuts[1::2], strict=False):
            phase = self.random.choice(("auction", "halt", "exceptional", "continuous"))
            self.row(
                "trading_phases", instrument="X", phase=phase, valid_from=start, valid_to=end,
                recorded_at=self.late(),
            )  # fmt: skip
        return "\n".join(self.rows)

    def agreement(self, name: str) -> None:
        """One agreement: its terms, and perhaps later or other ones, or an end."""
        dates: dict[str, Any] = {}
        if self.random.random() < 0.6:
            first, last = sorted((self.moment(), self.moment()))
            dates = {"valid_from": first, "valid_to": last} if first < last else {}
        terms = self.terms(name)
        self.row("mm_agreements", **terms, **dates, recorded_at=self.late())
        if dates and self.random.random() < 0.5:
            changed = {**self.terms(name), "zone": terms.get("zone")}
            self.row("mm_agreements", **changed, valid_from=dates["valid_to"], recorded_at=self.late())
        if self.two_passes and self.random.random() < 0.3:
            changed = {**terms, "max_spread_bps": "10"}
            withdrawn = self.random.choice((None, True))
            self.row("mm_agreements", **changed, **dates, recorded_at=self.moment() + 3, withdrawn=withdrawn)

    def terms(self, name: str) -> dict[str, Any]:
        """Terms at whose limits the records often lie."""
        choice = self.random.choice
        whom = choice(({"account": "MM-1"}, {"account": "MM-2"}, {"entity": "maker"}, {"entity": "rival"}))
        hours = choice(
            (("00:00", "24:00"),) * 4
            + (
                ("22:00", "02:30"),
                ("02:30", "01:00"),
                ("01:45", "03:15"),
                ("09:00", "09:00"),
                ("02:30", "03:10"),
            )
        )
        return {
            "id": name, "instrument": "X", **whom,
            "max_spread_bps": choice(("10", "20", "20", "20.01", "30", None)),
            "min_qty": choice(("0.5", "1", "1", "1.5", "2", None)),
            "presence_pct": choice(("0", "5", "33.33333333", "50", "70", "95", "100", None)),
            "session_start": hours[0], "session_end": hours[1],
            "zone": choice((self.zone, self.zone, None, "UTC")),
            "size_at": choice(("best", "depth", None)),
            "source": choice(("orders", "orders", "orders", "quotes", None)),
            "protection_exempt": choice((True, False, None)),
        }  # fmt: skip


def maker_market(seed: int, folder: Path) -> Path:
    """Write the recording of a seed and return its folder."""
    random = Random(f"makers {seed}")
    return drawn_makers(random, random.choice((5, 15, 30, 60)), folder)


def drawn_makers(random: Random, steps: int, folder: Path) -> Path:
    """Write the recording that chance makes and return its folder."""
    makers = Makers(random)
    makers.run(steps)
    return write(folder, Papers(random, makers).write(), makers.records)
