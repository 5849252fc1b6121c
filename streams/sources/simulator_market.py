"""The simulated market as its participants see it: the clock, one book per instrument, orders to send."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from schemas.events import ExecInst, MatchType, OrderCapacity, OrdType, Side, TimeInForce, Topic
from streams.sources.matching_engine import MatchingEngine
from streams.sources.simulator_config import SECOND, InstrumentSpec, Record, SimulatorConfig
from streams.sources.simulator_labels import trading_day
from streams.sources.simulator_ledger import Ledger
from streams.sources.simulator_participants import INDEPENDENT_MAKER, MAKERS, Population
from streams.sources.simulator_records import Flag, Order

SAME_TIME_PERCENT = 2
OTHER: dict[Side, Side] = {"buy": "sell", "sell": "buy"}


@dataclass(slots=True, eq=False)
class Book:
    """One instrument: its engine, its fair value in ticks, clients' orders, makers' quotes, recent trades."""

    spec: InstrumentSpec
    engine: MatchingEngine
    fair: int
    day: str
    client_orders: list[Order] = field(default_factory=list)
    quotes: dict[tuple[str, Side, int], Order] = field(default_factory=dict)
    recent_trades: list[str] = field(default_factory=list)
    permitted: set[str] = field(default_factory=set)  # orders that may trade with their group in an uncross
    correctable: tuple[str, int] | None = None  # the last trade of others than affiliates, and its quantity

    def lots(self, quantity: int) -> int:
        """A quantity in whole lots."""
        return quantity // self.spec.lot_size


class Market:
    """Shared state of a run. Everything random comes from `rng`, everything timed from `now` (ns UTC)."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.rng = Random(config.seed)
        self.people = Population(config)
        self.ledger = Ledger(self.people, config)
        self.out: list[tuple[Topic, Record]] = []
        self.emitted = 0
        self.now = config.start
        self.gap = max(1, SECOND // config.rate)
        self.books = [self._open(spec) for spec in config.instruments]
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._fixed: int | None = None
        self._summoned = False
        self._counter = 0
        self._paced = 0
        self._must_advance = True

    def drain(self) -> list[tuple[Topic, Record]]:
        """Take the records written since the last call."""
        records = self.out[:]
        self.out.clear()
        self.emitted += len(records)
        return records

    def time(self) -> int:
        """The time of the next turn: on average one mean gap later per record written since the last one."""
        written = self.emitted + len(self.out)
        step = self.rng.expovariate(1.0) * (written - self._paced) * self.gap
        self._paced = written
        if self._fixed is not None:
            return self._fixed
        if self._agenda and self.now + step >= self._agenda[0][0]:
            self._summoned = True  # time goes on by nanoseconds until the appointment is kept
            self.now = min(self.now + 1, self._agenda[0][0] - 1)
            return self.now
        if self._must_advance or self.rng.randrange(100) >= SAME_TIME_PERCENT:
            self.now += max(1, int(step))
        self._must_advance = False
        return self.now

    def appoint(self, ts: int, action: Callable[[int], None]) -> None:
        """Do something at exactly `ts`, between two other acts."""
        self._counter += 1
        heapq.heappush(self._agenda, (ts, self._counter, action))

    def keep_appointments(self) -> None:
        """Do what was appointed for the time that has come."""
        while self._agenda and (self._summoned or self._agenda[0][0] <= self.now):
            ts, _, action = heapq.heappop(self._agenda)
            self.now = self._fixed = max(ts, self.now)
            action(ts)
            self._fixed, self._summoned = None, False

    def wait_until(self, ts: int, action: Callable[[], None]) -> None:
        """Let time pass in which nothing happens, and do something at exactly `ts`."""
        self.now = self._fixed = ts
        action()
        self._fixed = None
        self.separate()

    def is_free_until(self, ts: int) -> bool:
        """Whether nothing is appointed before or at `ts`."""
        return not self._agenda or self._agenda[0][0] > ts

    def separate(self) -> None:
        """The next turn must be at a later time than the last."""
        self._must_advance = True

    def later(self, action: Callable[[], None]) -> None:
        """Do something soon, after some tens of other records on average."""
        self._counter += 1
        heapq.heappush(self._due, (self.now + self.rng.randrange(1, 200) * self.gap, self._counter, action))

    def run_due(self, everything: bool = False) -> None:
        """Do what was put off and is due by now, or all of it."""
        while self._due and (everything or self._due[0][0] <= self.now):
            heapq.heappop(self._due)[2]()

    def day_is_far_from_over(self) -> bool:
        """Whether an action put off now surely still falls on the same trading day."""
        return trading_day(self.now) == trading_day(self.now + 1_000 * self.gap + 5 * SECOND)

    def order(
        self,
        book: Book,
        account: str,
        side: Side,
        price: int,
        quantity: int,
        *,
        ord_type: OrdType = "limit",
        time_in_force: TimeInForce = "gtc",
        stop_px: int = 0,
        display_qty: int = 0,
        post_only: bool = False,
        mm_flag: Flag | None = None,
        tampered: bool = False,
        exec_inst: tuple[ExecInst, ...] = (),
        min_qty: int = 0,
        capacity: OrderCapacity | None = None,
    ) -> Order:
        """A new order of an account with the flag it rightly carries, or with `mm_flag` where `tampered`."""
        self._counter += 1
        person = self.people.participants.get(account)
        proprietary = person is None or person.role != "client"
        return Order(
            order_id=f"{book.spec.symbol}-O{self._counter}",
            account=account,
            side=side,
            price=price,
            order_qty=quantity,
            cl_ord_id=f"{account}-{self._counter}",
            ord_type=ord_type,
            time_in_force=time_in_force,
            stop_px=stop_px,
            display_qty=display_qty,
            post_only=post_only,
            mm_flag=mm_flag if tampered else self.people.flag(account),
            order_capacity=capacity or ("principal" if proprietary else "agency"),
            tampered=tampered,
            exec_inst=exec_inst,
            min_qty=min_qty,
        )

    def send(
        self,
        book: Book,
        order: Order,
        favoured: Order | None = None,
        permitted: Order | None = None,
        match_type: MatchType = "book",
    ) -> Record:
        """Submit an order now; returns its first record."""
        begin = len(self.out)
        book.engine.submit(order, self.time(), favoured, permitted, match_type)
        return self.out[begin][1]

    def cancel(self, book: Book, order: Order) -> None:
        """Cancel an order if it is still live."""
        if order.live:
            book.engine.cancel(order, self.time())

    def replace(self, book: Book, order: Order, price: int, leaves: int) -> bool:
        """Replace a live order now."""
        self._counter += 1
        return book.engine.replace(order, self.time(), f"{order.account}-{self._counter}", price, leaves)

    def quantity(self, book: Book, factor: float = 1.0) -> int:
        """A random order size: exponential around the instrument's usual one, at least a lot."""
        mean = 1.0 / (book.spec.usual_lots * factor)
        return book.spec.lot_size * (1 + int(self.rng.expovariate(mean)))

    def end_day(self, book: Book) -> None:
        """Where the trading day has changed: expire what was good for the day."""
        day = trading_day(self.now)
        if day != book.day:
            book.day = day
            for order in book.client_orders:
                if order.live and order.time_in_force == "day":
                    book.engine.expire(order, self.now)

    def report(
        self, book: Book, match_type: MatchType, side: Side, price: int, quantity: int,
        account: str, other: str, flags: dict[str, Flag] | None = None,
    ) -> Record:  # fmt: skip
        """Report a fill of `account` on `side` with `other`, agreed off the book; flags as they should be."""
        said = {name: self.people.flag(name) for name in (account, other)} | (flags or {})
        sides = {side: (account, said[account]), OTHER[side]: (other, said[other])}
        self.separate()
        record = book.engine.report(self.time(), match_type, price, quantity, sides["buy"], sides["sell"])
        self.separate()
        return record

    def correct(self, book: Book, trade_id: str, changes: Record) -> Record:
        """Correct a trade; what rests on it is taken back and judged anew."""
        self.separate()
        record = book.engine.correct(self.time(), trade_id, changes)
        self.ledger.on_bust(trade_id)
        return record

    def bust(self, book: Book, trade_id: str) -> None:
        """Take a trade back, if SPEC says what that does to its findings."""
        if self.ledger.may_be_busted(trade_id):
            self.separate()
            book.engine.bust(self.time(), trade_id)
            self.ledger.on_bust(trade_id)

    def _open(self, spec: InstrumentSpec) -> Book:
        engine = MatchingEngine(spec.symbol, self.out, self.people.groups, self.config.fill_records)
        book = Book(spec, engine, spec.start_price // spec.tick_size, trading_day(self.config.start))

        def listen(record: Record, price: int, quantity: int, buyer: Order, seller: Order) -> None:
            self.ledger.on_trade(record, price, quantity, buyer, seller)
            book.recent_trades.append(str(record["trade_id"]))
            if quantity > spec.lot_size and not {buyer.account, seller.account} & self.people.watched:
                book.correctable = str(record["trade_id"]), quantity
            if len(book.recent_trades) > 40:
                del book.recent_trades[:20]

        engine.listen(listen)
        engine.protected = {MAKERS[0]: 3, INDEPENDENT_MAKER: 2}
        return book
