"""What a trade cost and what became of it: effective and realised spread, impact, price improvement."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import msgspec

from detectors.bounded import oldest_beyond
from detectors.trading_day import SECOND
from schemas.decimals import divide_half_even
from schemas.metrics import RoleExecution

HORIZONS = (1, 10, 60)  # s
LAST = len(HORIZONS) - 1
TO_MICRO_BPS = 10_000 * 1_000_000
MAX_FILLS = 20_000  # that a bust can still take out, an instrument: as many as a market keeps

# Of each minute, and of each day and pair of roles: number, quantity, and quantity-weighted sums (1e-6 bps)
# of effective spread and improvement; then for each horizon number, quantity, and sums of realised spread and
# impact. The fields of RoleExecution after the roles.
WIDTH = 4
OTHERS = "others"  # independent makers together; an affiliated one is "account NAME"
Vector = list[int]
DayOf = Callable[[int], str]  # the trading day of a moment


def nothing() -> Vector:
    """Return the sums of no trade."""
    return [0] * (WIDTH * (1 + len(HORIZONS)))


def micro_bps(numerator: int, denominator: int) -> int:
    """Return a ratio in 1e-6 bps, rounded half to even.

    >>> micro_bps(1, 100), micro_bps(-1, 30_000)
    (100000000, -333333)
    """
    return divide_half_even(TO_MICRO_BPS * numerator, denominator)


class Best(msgspec.Struct, array_like=True, gc=False):
    """Best displayed prices (0 = none) just before record `seq`; `known`: so is the start of the book."""

    seq: int
    bid: int
    ask: int
    known: bool


class Fill(msgspec.Struct, array_like=True, gc=False):
    """A trade, and what a correction of it needs: `best` at receipt, bid + ask at each horizon (0 = none).

    `sign`: +1 buyer-initiated. `reason`: why it is not measured, "" if it is. `maker`: whose passive fill by
    a client it is, for the comparison of makers; "" = nobody's. `open`: horizons that are not over. `roles`:
    the aggressor's and the other side's, with a space between.
    """

    seq: int
    ts: int
    minute: int
    best: Best
    price: int = 0
    qty: int = 0
    sign: int = 0
    reason: str = ""
    maker: str = ""
    mids: list[int] = []
    open: int = 0
    out: bool = False  # busted
    late: bool = False  # it came after its gap was given up: the state at its receipt is past
    roles: str = ""

    @property
    def effective(self) -> int:
        """2 D (P - M0) / M0 in 1e-6 bps."""
        middle = self.best.bid + self.best.ask
        return micro_bps(2 * self.sign * (2 * self.price - middle), middle)

    @property
    def improvement(self) -> int:
        """D (far touch at M0 - P) / M0 in 1e-6 bps: negative where the order swept beyond it."""
        far = self.best.ask if self.sign > 0 else self.best.bid
        return micro_bps(2 * self.sign * (far - self.price), self.best.bid + self.best.ask)

    def realised(self, horizon: int) -> int | None:
        """2 D (P - M_h) / M0 in 1e-6 bps, or None while M_h is not known, or where there is none."""
        middle = self.mids[horizon]
        if not middle:
            return None
        return micro_bps(2 * self.sign * (2 * self.price - middle), self.best.bid + self.best.ask)

    def add_to(self, sums: Vector, sign: int) -> None:
        """Add (or with -1 take out) what is known of the trade."""
        qty = sign * self.qty
        sums[0] += sign
        sums[1] += qty
        sums[2] += qty * self.effective
        sums[3] += qty * self.improvement
        for horizon in range(len(HORIZONS)):
            self.add_horizon_to(sums, horizon, sign)

    def add_horizon_to(self, sums: Vector, horizon: int, sign: int = 1) -> None:
        """Add (or take out) one horizon, if its mid is known."""
        realised = self.realised(horizon)
        if realised is None:
            return
        at, qty = WIDTH * (1 + horizon), sign * self.qty
        sums[at] += sign
        sums[at + 1] += qty
        sums[at + 2] += qty * realised
        sums[at + 3] += qty * (self.effective - realised)  # of the rounded ones, as they are stated


class Cell(msgspec.Struct, array_like=True):
    """Fills of one maker by clients in one block of time: number, quantity, 60 s realised x quantity."""

    fills: int = 0
    qty: int = 0
    realised: int = 0


class Trades(msgspec.Struct):
    """The trades that matter still. `pending`: a heap of (moment, seq, horizon).

    `minutes`: sums by minute; `days`: by trading day and roles; `excluded`: by day, trades not measured by
    reason; `makers`: by day, maker and block, for the comparison of makers.
    """

    fills: dict[int, Fill] = {}
    by_id: dict[str, int] = {}
    pending: list[tuple[int, int, int]] = []
    receipt: Best | None = None
    minutes: dict[int, Vector] = {}
    days: dict[str, dict[str, Vector]] = {}
    excluded: dict[str, dict[str, int]] = {}
    makers: dict[str, dict[str, dict[int, Cell]]] = {}

    # ---- trades -------------------------------------------------------------------------------------

    def enter(self, fill: Fill, trade_id: str, day: str, now: int) -> None:
        """A trade is made at `now`, the instrument's time; a horizon that is over already stays unknown."""
        fill.mids = [0] * len(HORIZONS)
        for horizon, seconds in enumerate(HORIZONS):
            moment = fill.ts + seconds * SECOND
            if moment >= now:
                heapq.heappush(self.pending, (moment, fill.seq, horizon))
                fill.open += 1
        self.fills[fill.seq] = fill
        self.minutes.setdefault(fill.minute, nothing())
        self.days.setdefault(day, {})
        self.excluded.setdefault(day, {})
        self.makers.setdefault(day, {})
        self.count(fill, trade_id, day)
        for seq in takewhile(lambda seq: not self.fills[seq].open, oldest_beyond(self.fills, MAX_FILLS)):
            self._forget(seq)

    def count(self, fill: Fill, trade_id: str, day: str) -> None:
        """Let a fill, or its correction, count."""
        fill.out = False
        self.by_id[trade_id] = fill.seq
        self._count(fill, day, 1)

    def take_out(self, trade_id: str, day_of: DayOf) -> Fill | None:
        """A bust: the fill counts no more. Return it, or None if it is not kept."""
        fill = self.fills.get(self.by_id.pop(trade_id, 0))
        if fill is None:
            return None
        self._count(fill, day_of(fill.minute), -1)
        fill.out = True
        return fill

    def _count(self, fill: Fill, day: str, sign: int) -> None:
        """Add to or take from what is kept still."""
        if fill.reason:
            counts = self.excluded.get(day)
            if counts is not None:
                counts[fill.reason] = counts.get(fill.reason, 0) + sign
            return
        sums, of_day = self.minutes.get(fill.minute), self.days.get(day)
        if sums is not None:
            fill.add_to(sums, sign)
        if of_day is not None:
            fill.add_to(of_day.setdefault(fill.roles, nothing()), sign)
        self._compare(fill, day, sign)

    def _compare(self, fill: Fill, day: str, sign: int) -> None:
        makers = self.makers.get(day)
        if not fill.maker or makers is None:
            return  # it is not compared, or the day has been decided
        blocks = makers.setdefault(fill.maker, {})  # also a maker of whom nothing is known
        realised = fill.realised(LAST)
        if realised is None:
            return
        cell = blocks.setdefault(block_of(fill.minute), Cell())
        cell.fills += sign
        cell.qty += sign * fill.qty
        cell.realised += sign * fill.qty * realised

    # ---- horizons -----------------------------------------------------------------------------------

    def due(self, before: int) -> bool:
        """Return True if a horizon ends before `before`."""
        return bool(self.pending) and self.pending[0][0] < before

    def resolve(self, middle_at: Callable[[int], int], day_of: DayOf, before: int) -> None:
        """End the horizons that end before `before`; `middle_at(moment)` is bid + ask, or 0."""
        while self.due(before):
            moment, seq, horizon = heapq.heappop(self.pending)
            fill = self.fills[seq]  # none is forgotten before its horizons are over
            fill.open -= 1
            fill.mids[horizon] = middle_at(moment)
            if fill.out or fill.reason:
                continue
            day = day_of(fill.minute)
            fill.add_horizon_to(self.minutes[fill.minute], horizon)
            fill.add_horizon_to(self.days[day][fill.roles], horizon)
            if horizon == LAST:
                self._compare(fill, day, 1)

    def copy(self) -> Trades:
        """Return an independent copy, to look ahead."""
        return msgspec.structs.replace(
            self,
            fills={
                **self.fills,
                **{
                    seq: msgspec.structs.replace(self.fills[seq], mids=list(self.fills[seq].mids))
                    for seq in {seq for _, seq, _ in self.pending}
                },
            },
            pending=list(self.pending),
            minutes={minute: list(sums) for minute, sums in self.minutes.items()},
            days={
                day: {roles: list(sums) for roles, sums in of_day.items()}
                for day, of_day in self.days.items()
            },
            makers={
                day: {
                    maker: {block: msgspec.structs.replace(cell) for block, cell in blocks.items()}
                    for maker, blocks in makers.items()
                }
                for day, makers in self.makers.items()
            },
        )

    def day_columns(self, day: str, *, with_realised: bool) -> dict[str, Any]:
        """Return a day's columns: of all trades measured, by pair of roles, and how many were not."""
        of_day = self.days.get(day, {})
        total = [sum(column) for column in zip(*of_day.values(), strict=True)]
        return {
            **columns(total, with_realised=with_realised),
            "by_role": by_role(of_day, with_realised=with_realised),
            "excluded": self._excluded_on(day),
        }

    def _excluded_on(self, day: str) -> dict[str, int]:
        """Return how many trades of a day were not measured, by reason."""
        return {reason: count for reason, count in sorted(self.excluded.get(day, {}).items()) if count}

    # ---- memory -------------------------------------------------------------------------------------

    def forget_before(self, minute: int) -> None:
        """Drop fills that no bust can reach."""
        for seq in list(takewhile(lambda seq: self.fills[seq].minute < minute, self.fills)):
            self._forget(seq)
        self.by_id = {name: seq for name, seq in self.by_id.items() if seq in self.fills}

    def forget_day(self, day: str) -> None:
        """Drop a day's sums: no row of it will be published again."""
        self.days.pop(day, None)
        self.excluded.pop(day, None)

    def _forget(self, seq: int) -> None:
        del self.fills[seq]
        if len(self.by_id) > 2 * len(self.fills) + 64:
            self.by_id = {name: seq for name, seq in self.by_id.items() if seq in self.fills}


BLOCK = 5 * 60 * SECOND


def block_of(minute: int) -> int:
    """Return the start of the block of time that a minute lies in."""
    return minute - minute % BLOCK


def columns(sums: Vector | None, *, with_realised: bool) -> dict[str, Any]:
    """Return the means, quantity-weighted and rounded half to even, and numbers; None without trades."""
    sums = sums or nothing()

    def mean(total: int, weight: int) -> int | None:
        return divide_half_even(total, weight) if weight else None

    number, qty, effective, improvement = sums[:WIDTH]
    found: dict[str, Any] = {
        "effective_bps": mean(effective, qty),
        "improvement_bps": mean(improvement, qty),
        "effective_n": number,
    }
    for at, seconds in enumerate(HORIZONS, 1):
        number, qty, realised, impact = sums[WIDTH * at : WIDTH * (at + 1)] if with_realised else [0] * WIDTH
        found[f"realised_{seconds}s_bps"] = mean(realised, qty)
        found[f"impact_{seconds}s_bps"] = mean(impact, qty)
        found[f"realised_{seconds}s_n"] = number
    return found


def by_role(of_day: dict[str, Vector], *, with_realised: bool) -> tuple[RoleExecution, ...]:
    """Return the sums of each pair of roles that has a trade, the aggressor's role first.

    >>> by_role({"client market_maker": [1, 5, 10, 0] + [0] * 12}, with_realised=True)[0].effective_sum
    10
    """
    later = 0 if with_realised else WIDTH * len(HORIZONS)
    found = []
    for roles, sums in sorted(of_day.items()):
        if sums[0]:
            taker, _, maker = roles.partition(" ")
            found.append(RoleExecution(taker, maker, *sums[: len(sums) - later], *[0] * later))
    return tuple(found)
