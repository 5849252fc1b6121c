"""Makers under agreement at work: their quotes in each market, and the diary from which labels are settled.

What a maker quotes changes only when its style says so: after a fill it tops up at the same nanosecond,
which has no weight. So its diary (from when it quoted in which manner) is the whole truth about its presence,
and no record has to be judged for a label.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import count, pairwise
from random import Random

from schemas.events import Side, Topic
from streams.sources.matching_engine import MatchingEngine
from streams.sources.simulator_config import Record, SimulatorConfig
from streams.sources.simulator_labels import Label, trading_day
from streams.sources.simulator_market import OTHER
from streams.sources.simulator_participants import MAKERS, Population
from streams.sources.simulator_presence import Presence
from streams.sources.simulator_quoting import (
    FILLS,
    HORIZON,
    Levels,
    Manner,
    Obligation,
    QuotingMarket,
    Stretch,
    at_open,
    quoting_markets,
)
from streams.sources.simulator_records import Order

ACTS_A_DAY = 30  # of clients, and of makers that enter the same quotes anew
ALLOWED_BPS = 1  # by which an affiliate's 60 s realised spread may exceed other makers' (the rulebook)
BPS = 20_000  # 1e4 bps, and twice since the mid is half of a + b


@dataclass(slots=True, eq=False)
class Quoter:
    """One maker in one market: its orders by (side, rank), and its diary of (ts, manner)."""

    duty: Obligation
    diary: list[tuple[int, Manner]] = field(default_factory=list)
    orders: dict[tuple[Side, int], Order] = field(default_factory=dict)
    frozen: bool = False


class QuotingDay:
    """The records of one market of makers under agreement; then what is true of each of its days."""

    def __init__(self, market: QuotingMarket, config: SimulatorConfig, people: Population) -> None:
        self.market = market
        self.quoters = [Quoter(duty) for duty in market.obligations]
        self._people = people
        self._rng = Random(f"{config.seed} {market.spec.symbol} day")
        self._out: list[tuple[Topic, Record]] = []
        self._engine = MatchingEngine(market.spec.symbol, self._out, people.groups, config.fill_records)
        self._mid = market.spec.start_price // market.spec.tick_size
        self._clients: list[Order] = []
        self._orders = 0
        self._dearer: list[Fraction] = []
        self._numbers = count()
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []

    def records(self) -> Iterator[tuple[Topic, Record]]:
        """(topic, record) in order of time."""
        self._plan()
        while self._agenda:
            ts, _, act = heapq.heappop(self._agenda)
            act(ts)
            yield from self._out
            self._out.clear()

    def presence(self) -> list[Presence]:
        """What is true of each agreement and trading day with records. Final only when they are over."""
        days = [day for day in self.market.days() if day[1] > self.market.first]
        return [self._settle(quoter, *day) for quoter in self.quoters for day in days]

    def dearer(self) -> list[Label]:
        """L2's alert where the affiliate kept more from clients, often enough, than the other maker."""
        if len(self._dearer) < FILLS or min(self._dearer) <= ALLOWED_BPS:
            return []
        start, end = self.market.days()[0]
        anchor = {"account": MAKERS[0], "trading_day": trading_day(start), "kind": "realised"}
        return [Label("spread_quality", "spread_quality", "dearer", self.market.spec.symbol, 0, end, anchor)]

    # What will be done

    def _at(self, ts: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._agenda, (ts, next(self._numbers), act))

    def _plan(self) -> None:
        market = self.market
        self._at(market.first, self._rest)
        for _, begin, until in market.closed:
            if market.start < begin and until < market.end:
                for quoter in self.quoters:
                    if self._rng.random() < 0.5:
                        self._at(begin, partial(self._pull, quoter))
        for day, end in market.days():
            start = min(max(day, market.first), end)
            open_ = market.open(start, end)
            for quoter in self.quoters:
                self._plan_quotes(quoter, start, open_)
            for _ in range(0 if market.sweeps or start == end else ACTS_A_DAY):
                ts = self._rng.randrange(start, end)
                trading = any(begin <= ts < until for begin, until in open_)
                acts = (self._take, self._take, self._rest, self._renew) if trading else ()
                self._at(ts, self._rng.choice((*acts, self._withdraw)))
        in_time = min(market.days()[0][1], market.end - HORIZON)  # for the horizon to be over by the end
        for _ in range(market.sweeps):
            self._at(self._rng.randrange(market.first, in_time), self._sweep)
        self._at(market.end, self._rest)

    def _plan_quotes(self, quoter: Quoter, start: int, open_: list[Stretch]) -> None:
        obliged = sum(until - begin for begin, until in open_)
        if not obliged:
            self._at(start, partial(self._quote, quoter, quoter.duty.usual))
        elapsed = 0
        for length, manner in quoter.duty.spells(obliged, self._rng) if obliged else ():
            self._at(at_open(open_, elapsed), partial(self._quote, quoter, manner))
            elapsed += length

    # What makers do

    def _quote(self, quoter: Quoter, manner: Manner, ts: int) -> None:
        """Go over to a manner, and write it into the diary."""
        quoter.diary.append((ts, manner))
        flag = self._people.flag(quoter.duty.account)
        if manner.frozen != quoter.frozen:
            self._engine.protect(ts, quoter.duty.account, manner.frozen, flag)
            quoter.frozen = manner.frozen
        self._show(quoter, ts, "mm_protection" if manner.frozen else "user")

    def _show(self, quoter: Quoter, ts: int, reason: str = "user") -> None:
        """Bring the orders in line with the manner of the diary's last line."""
        manner = quoter.diary[-1][1]
        if quoter.duty.style.quotes:
            self._report(quoter, ts)
            return
        sides: tuple[tuple[Side, Levels], ...] = (("buy", manner.bids), ("sell", manner.asks))
        for side, levels in sides:
            for rank in range(2):
                self._place(quoter, ts, side, rank, levels[rank] if rank < len(levels) else None, reason)

    def _place(
        self, quoter: Quoter, ts: int, side: Side, rank: int, level: tuple[int, int] | None, reason: str
    ) -> None:
        order = quoter.orders.get((side, rank))
        if level is None:
            if order is not None and order.live:
                self._engine.cancel(order, ts, reason)
            return
        price, quantity = self._price(side, level[0]), level[1] * self.market.spec.lot_size
        if order is None or not order.live:
            quoter.orders[side, rank] = self._send(
                quoter.duty.account, side, price, quantity, ts, post_only=True
            )  # fmt: skip
        elif (order.price, order.leaves) != (price, quantity):
            self._orders += 1
            self._engine.replace(order, ts, f"{order.account}-{self._orders}", price, quantity)

    def _report(self, quoter: Quoter, ts: int) -> None:
        """Send the manner as a quote: nobody can trade with it here."""
        duty, manner, lot = quoter.duty, quoter.diary[-1][1], self.market.spec.lot_size
        bid, ask = (0, 0), (0, 0)
        if manner.bids:
            bid = self._price("buy", manner.bids[0][0]), manner.bids[0][1] * lot
        if manner.asks:
            ask = self._price("sell", manner.asks[0][0]), manner.asks[0][1] * lot
        self._engine.report_quote(ts, duty.account, bid, ask, self._people.flag(duty.account))

    def _pull(self, quoter: Quoter, ts: int) -> None:
        """Trading is closed: cancel, and be back when it opens, if not before."""
        for order in quoter.orders.values():
            if order.live:
                self._engine.cancel(order, ts)
        opens = min(until for _, begin, until in self.market.closed if begin == ts)
        self._at(opens, partial(self._show, quoter))

    def _renew(self, ts: int) -> None:
        """A maker enters the same quotes anew: no time passes without them."""
        quoter = self._rng.choice(self.quoters)
        for order in quoter.orders.values():
            if order.live:
                self._engine.cancel(order, ts)
        self._show(quoter, ts)

    # What clients do

    def _take(self, ts: int) -> None:
        """A client takes some of the best quote; makers that it hit top up at once."""
        side: Side = self._rng.choice(("buy", "sell"))
        best = self._engine.opposite(side).best()
        if best is not None:
            lots = self._rng.randint(1, best.shown // self.market.spec.lot_size)
            self._send(
                self._client(), side, best.price, lots * self.market.spec.lot_size, ts, time_in_force="ioc"
            )  # fmt: skip
            for quoter in self.quoters:
                self._show(quoter, ts)

    def _sweep(self, ts: int) -> None:
        """A client takes all of the nearer maker and some of the dearer one; both top up at once."""
        side: Side = self._rng.choice(("buy", "sell"))
        (near, all_of_it), (far, lots) = sorted(quoter.diary[-1][1].asks[0] for quoter in self.quoters)
        quantity = (all_of_it + self._rng.randint(1, lots)) * self.market.spec.lot_size
        price = self._price(OTHER[side], far)
        self._send(self._client(), side, price, quantity, ts, time_in_force="ioc")
        for quoter in self.quoters:
            self._show(quoter, ts)
        self._dearer.append(Fraction(BPS * (far - near), self._mid))  # bps: the mid stays where it is

    def _rest(self, ts: int) -> None:
        """A client's order further away than any maker's."""
        side: Side = self._rng.choice(("buy", "sell"))
        away = self._mid // 100 + self._rng.randrange(10)
        lots = self._rng.randint(1, 2 * self.market.spec.usual_lots)
        price, quantity = self._price(side, away), lots * self.market.spec.lot_size
        self._clients.append(self._send(self._client(), side, price, quantity, ts, post_only=True))

    def _withdraw(self, ts: int) -> None:
        """A client cancels, if one has an order."""
        live = [order for order in self._clients if order.live]
        if live:
            self._engine.cancel(self._rng.choice(live), ts)

    def _client(self) -> str:
        return self._rng.choice(self._people.clients)

    def _send(
        self, account: str, side: Side, price: int, quantity: int, ts: int,
        *, post_only: bool = False, time_in_force: str = "gtc",
    ) -> Order:  # fmt: skip
        self._orders += 1
        client = self._people.role(account) == "client"
        order = Order(
            order_id=f"{self.market.spec.symbol}-O{self._orders}",
            account=account,
            side=side,
            price=price,
            order_qty=quantity,
            cl_ord_id=f"{account}-{self._orders}",
            time_in_force="ioc" if time_in_force == "ioc" else "gtc",
            post_only=post_only,
            mm_flag=self._people.flag(account),
            order_capacity="agency" if client else "principal",
        )
        self._engine.submit(order, ts)
        return order

    def _price(self, side: Side, ticks: int) -> int:
        return (self._mid + (-ticks if side == "buy" else ticks)) * self.market.spec.tick_size

    # What was done

    def _settle(self, quoter: Quoter, start: int, end: int) -> Presence:
        """Sum the diary up over one trading day."""
        market, duty = self.market, quoter.duty
        required = Fraction(duty.presence_pct)
        spells = self._spells(quoter, max(start, market.first), end)
        freezes = sum(span for _, manner, span in spells if manner.frozen and duty.exempts_protection)
        exempt = market.exempt(start, end) | ({"protection": freezes} if freezes else {})
        session = end - start
        # So many ns without quotes are allowed; the least moment at which they were more is the warning's.
        allowance = (100 - required) * (session - sum(exempt.values())) // 100
        compliant, lapsed, excess, warned = 0, 0, Fraction(0), None
        for begin, manner, span in spells:
            if manner.kept:
                compliant += span
            elif not (manner.frozen and duty.exempts_protection):
                if lapsed <= allowance < lapsed + span:
                    warned = begin + int(allowance) + 1 - lapsed
                lapsed += span
            if manner.bids and manner.asks:
                ask, bid = self._mid + manner.asks[0][0], self._mid - manner.bids[0][0]
                excess += (Fraction(BPS * (ask - bid), ask + bid) - duty.max_spread_bps) * span
        return Presence(
            agreement=duty.id,
            account=duty.account,
            instrument=duty.instrument,
            style=duty.style.name,
            trading_day=trading_day(start),
            end=end,
            session=session,
            exempt=exempt,
            unknown=sum(until - begin for begin, until in market.open(start, min(end, market.first))),
            compliant=compliant,
            required=required,
            warned=warned,
            too_wide=excess > 0,
        )

    def _spells(self, quoter: Quoter, start: int, end: int) -> list[tuple[int, Manner, int]]:
        """The diary within [start, end) where trading was open, as (from, manner, ns)."""
        lines = [*quoter.diary, (end, Manner())]
        return [
            (begin, manner, until - begin)
            for (since, manner), (then, _) in pairwise(lines)
            for begin, until in self.market.open(max(since, start), min(then, end))
        ]


class QuotingDays:
    """All markets of makers under agreement of a run."""

    def __init__(self, config: SimulatorConfig, people: Population) -> None:
        self._people = people
        self._days = [QuotingDay(market, config, people) for market in quoting_markets(config)]

    def records(self) -> Iterator[tuple[Topic, Record]]:
        """(topic, record) of all markets in order of time."""
        return heapq.merge(*(day.records() for day in self._days), key=time_of)

    @property
    def instruments(self) -> frozenset[str]:
        """Their symbols."""
        return frozenset(day.market.spec.symbol for day in self._days)

    @property
    def total(self) -> int:
        """Records to expect, about: four or five an act, nine a sweep."""
        markets = [day.market for day in self._days]
        acts = sum(ACTS_A_DAY * len(market.days()) for market in markets if not market.sweeps)
        return acts * 9 // 2 + sum(9 * market.sweeps for market in markets)

    @property
    def presence(self) -> list[Presence]:
        """What is true of each agreement and trading day. Final only when the run is over."""
        return [presence for day in self._days for presence in day.presence()]

    @property
    def labels(self) -> list[Label]:
        """The alerts that follow from it."""
        return [
            label
            for presence in self.presence
            for label in presence.alerts(self._people.role(presence.account) == "affiliated_mm")
        ] + [label for day in self._days for label in day.dearer()]


def time_of(item: tuple[Topic, Record]) -> int:
    """The `ts` of a record with its topic."""
    return int(str(item[1]["ts"]))
