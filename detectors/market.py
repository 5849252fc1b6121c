"""One instrument: its book, time, rules' states and alerts; what every rule sees as `market`.

`Market.apply` takes journal entries in their order. Time is event time (SPEC.md 2.5): what is due at T is
decided before an entry with a greater `ts` is applied, and by a clock entry of T.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence as Items
from typing import TYPE_CHECKING, Any

import msgspec

from detectors.affiliation import Party
from detectors.base import Rule
from detectors.book import Book, Order, Turn
from detectors.busts import Busts, KeptTrade
from detectors.history import History
from detectors.ledger import DataFault, Ledger
from detectors.sequence import Sequence, Verdict
from detectors.trading_day import day_bounds, trading_day
from detectors.transitions import Transitions
from schemas import codec
from schemas.alerts import Alert, Anchor, Evidence, Measure, Severity, Status, alert_id, breach_id, retracted
from schemas.events import Side
from schemas.journal import EventEntry, OrderEntry, QuoteEntry, TradeEntry
from schemas.metrics import Metric

if TYPE_CHECKING:
    from detectors.context import Context

Timer = tuple[int, str, str, str]  # due, breach id or nothing, instance, key
PREVENTION = ("self_trade_prevention", "mm_protection")
# findings that do not make the record in doubt
SOUND = ("duplicate", "no_accounts", "stale_reference", "not_price_time", "assigned_sequence")
MAX_FAULTS = 1_000
HOUR = 3_600_000_000_000


class MarketState(msgspec.Struct):
    """Everything a Market remembers, as it is written to a snapshot."""

    instrument: str
    sequence: Sequence
    time: int
    own_time: int | None
    start_known: bool
    orders: list[Order]
    dead: list[Order]
    turn: Turn | None
    in_turn: list[str]
    pending: list[QuoteEntry]
    timers: list[Timer]
    trades: dict[str, KeptTrade]
    history: History
    renamed: dict[str, str]
    match_ids: dict[str, int]
    ledger: Ledger
    flags: dict[str, int]
    rules: dict[str, msgspec.Raw]


class Market:
    """The state of one instrument and the services that rules call."""

    def __init__(self, instrument: str, context: Context) -> None:
        self.instrument = instrument
        self.context = context
        self.book = Book()
        self.sequence = Sequence()
        self.ledger = Ledger()
        self.time = 0  # greatest ts of own entries and clocks
        self.own_time: int | None = None  # greatest ts of own entries
        self.now = 0  # what a decision is stamped: own time at a record, T of what was due at T
        self.timers: list[Timer] = []
        self.match_ids: dict[str, int] = {}  # match id -> seq of the match's first trade; bounded memory
        self.matching: Turn | None = None  # the turn that the entry in hand goes on with
        self.in_turn: list[str] = []  # orders that took part in the open turn's trades
        self.pending: list[QuoteEntry] = []  # venue quotes that may lie in mid-turn
        self.flags: dict[str, int] = {}  # latches of data quality
        self.seq = 0  # of the entry being applied
        self.late = False
        self.correcting: KeptTrade | None = None  # what the fill in hand corrects: judged, but not new
        self.past: Book | None = None  # just before the seq of the fill in hand, where that is corrected
        self.history = History()
        self.cache: dict[str, Any] = {}  # derived values, never part of a snapshot
        self.out: list[Alert | Metric] = []
        self.states: dict[str, Any] = {}
        self.use_rules()
        self.transitions = Transitions(self)
        self.busts = Busts(self)
        self.open()

    def open(self) -> None:
        """Let rules set up what they derive: of a market that is new, restored, or knows new facts."""
        self.changes = self.context.changes
        self.book.watchers.clear()
        self.tell("on_open")

    # ---- services for rules -------------------------------------------------------------------------

    def party(self, account: str | None, ts: int) -> Party:
        """Return role, owner and group of an account at `ts`, as known in this pass."""
        return self.context.directory.party(account, self.instrument, ts)

    def account(self, trade: TradeEntry, side: Side) -> str | None:
        """Return the account on a side of a trade: the trade's own word, or else its order's."""
        account = trade.buy_account if side == "buy" else trade.sell_account
        if account is not None:
            return account
        order = self.view.find(trade.buy_order_id if side == "buy" else trade.sell_order_id)
        return order.account if order is not None else None

    @property
    def view(self) -> Book:
        """The book just before the fill in hand: as it is, or for a corrected fill as it was then."""
        return self.past if self.past is not None else self.book

    def day(self, ts: int) -> str:
        """Return the trading day (ISO date, the rulebook's zone) of `ts`."""
        return trading_day(ts, self.context.zone)

    def phase(self, ts: int) -> str:
        """Return the trading phase at `ts`; continuous where none is listed."""
        return self.context.directory.phase(self.instrument, ts)

    def wake(self, rule: Rule, due: int, key: str, anchor: Anchor | None = None) -> None:
        """Ask for `rule.on_timer(market, state, due, key)` once all events with ts <= due are in.

        `anchor`: of the breach that it decides: what is due at one time goes in the order of breach ids.
        """
        name = rule.instance.name
        breach = "" if anchor is None else breach_id(rule.name, name, self.instrument, anchor)
        heapq.heappush(self.timers, (due, breach, name, key))

    def publish(self, row: Metric) -> None:
        """Emit a metrics row; its knowledge is the pass's."""
        self.out.append(msgspec.structs.replace(row, knowledge=self.context.knowledge))

    def alert(
        self,
        rule: Rule,
        anchor: Anchor,
        *,
        ts: int,
        parameter_hash: str,
        severity: Severity,
        narrative: str,
        evidence: Items[Evidence],
        status: Status = "confirmed",
        reason: str | None = None,
        accounts: Items[str | None] = (),
        grps: Items[str | None] = (),
        measures: dict[str, Measure] | None = None,
        units: dict[str, str] | None = None,
        harm_qty: str | None = None,
        harm_notional: str | None = None,
        trade_id: str | None = None,
    ) -> Alert | None:
        """Emit the next revision of the breach at `anchor`, or nothing if it would say what is said already.

        `severity`: unless the rulebook says another. `trade_id`: the fill it rests on; a bust of that fill
        retracts it.
        """
        spec = rule.instance
        breach = breach_id(rule.name, spec.name, self.instrument, anchor)
        before = self.ledger.alerts.get(breach)
        proof = tuple(evidence)
        alert = Alert(
            alert_id=alert_id(breach, rule.version, parameter_hash),
            breach_id=breach,
            knowledge=self.context.knowledge,
            revision=before.revision + 1 if before else 0,
            status=status,
            status_reason=reason,
            rule=rule.name,
            instance=spec.name,
            version=rule.version,
            parameter_hash=parameter_hash,
            reference=spec.reference,
            provenance=spec.provenance,
            severity=spec.severity or severity,
            ts=ts,
            decided_ts=max(self.now, ts),
            instrument=self.instrument,
            accounts=_distinct(accounts),
            grps=_distinct(grps),
            evidence=proof,
            measures=measures or {},
            units=units or {},
            harm_qty=harm_qty,
            harm_notional=harm_notional,
            narrative=narrative,
            dq_degraded=self.late
            or (before is not None and before.dq_degraded)
            or self.ledger.degraded(proof),
            late_reference=False,
        )
        if before is not None and _same(before, alert):
            return None
        if trade_id is not None:
            self.ledger.rest(breach, trade_id)
        self._emit(alert)
        return alert

    def known(self, rule: Rule, anchor: Anchor) -> Alert | None:
        """Return the latest revision of the breach, or None if there is none yet."""
        return self.ledger.alerts.get(breach_id(rule.name, rule.instance.name, self.instrument, anchor))

    def restate(self, alert: Alert, **changes: Any) -> None:
        """Emit the next revision of an alert with some fields changed."""
        self._emit(
            msgspec.structs.replace(
                alert, revision=alert.revision + 1, decided_ts=max(self.now, alert.ts), **changes
            )
        )

    def retract(self, alert: Alert | None, reason: str) -> None:
        """Take an alert back, unless there is none or it has been taken back."""
        if alert is not None and alert.status != "retracted":
            self.restate(alert, **retracted(alert, reason))

    def _emit(self, alert: Alert) -> None:
        self.ledger.put(alert)
        self.out.append(alert)

    def fault(
        self, kind: str, first_seq: int, last_seq: int, ts: int, detail: str, *, missing: bool = False
    ) -> None:
        """Record a data-quality finding and mark what rests on it. `missing`: the seqs never came."""
        if kind not in SOUND:
            fault = DataFault(first_seq, last_seq, missing)
            self.ledger.faults.append(fault)
            del self.ledger.faults[:-MAX_FAULTS]
            # what came first, the alert or the fault, decides nothing
            for alert in self.ledger.touched(fault):
                if alert.rule != self.context.integrity.name:
                    self.restate(alert, dq_degraded=True)
        self.context.integrity.report(self, kind, first_seq, last_seq, ts, detail)

    def use_rules(self) -> None:
        """Begin with the context's rules, or go on with another rulebook's: what belongs to none is dropped.

        No snapshot could be restored with it.
        """
        before, self.states = self.states, {}
        for rule in self.context.rules:
            name = rule.instance.name
            state = before.get(name)
            self.states[name] = state if type(state) is rule.State else rule.State()
        kept = {name for name, state in self.states.items() if state is before.get(name)}
        self.timers = sorted(timer for timer in self.timers if timer[2] in kept)

    # ---- applying the journal -----------------------------------------------------------------------

    def apply(self, entry: EventEntry) -> None:
        """Apply one event by the journal rule; outputs are appended to `out`."""
        if self.changes != self.context.changes:
            self.open()
        first = not self.sequence.started
        verdict = self.sequence.classify(entry.seq)
        if verdict is Verdict.REPEAT:
            return
        if verdict is Verdict.EVICTED:
            self.fault(
                "late", entry.seq, entry.seq, entry.ts, "came after its gap was forgotten: not applied"
            )
            return
        self.late = verdict is Verdict.LATE
        if first:
            self._begin(entry)
        skipped = self.sequence.skipped if not self.late else None
        if skipped is not None:
            self.flags["gap"] = skipped[0]
        before = self.own_time if self.own_time is not None else entry.ts
        self._before(entry)
        self.seq = entry.seq
        if skipped is not None:
            self.fault(
                "sequence_gap", skipped[0], skipped[1], before,
                f"seqs {skipped[0]} to {skipped[1]} have not come", missing=True,
            )  # fmt: skip
        if self.late:
            self.fault("late", entry.seq, entry.seq, entry.ts, "came after its gap was given up")
            for alert in self.ledger.after(entry.seq):
                self.restate(alert, dq_degraded=True)
        self.transitions.check_time(entry)
        if entry.ts >= self.flags.get("reference_due", 0):
            self._check_reference(entry)
        if isinstance(entry, OrderEntry):
            self._order(entry)
        elif isinstance(entry, TradeEntry):
            self._trade(entry)
        else:
            self._quote(entry)
        if self.book.turn is None:
            self.transitions.watch_cross(entry.seq)
        self.late = False

    def _begin(self, entry: EventEntry) -> None:
        """Seq 1 finds the book empty, unless the record tells no orders."""
        directory = self.context.directory
        from_orders = directory.book_source(self.instrument, entry.ts) == "orders"
        self.book.start_known = entry.seq == 1 and from_orders
        listed = directory.instrument(self.instrument, entry.ts)
        if listed is not None and listed.sequence == "adapter":
            self.fault(
                "assigned_sequence", entry.seq, entry.seq, entry.ts,
                "the venue numbers no records of it: order and completeness are the source adapter's word",
            )  # fmt: skip

    def _check_reference(self, entry: EventEntry) -> None:
        """By a trading day's first record: is the instrument listed, where reference data lists any?"""
        if isinstance(entry, OrderEntry) and entry.exec_type == "restated":
            return  # its ts is of a day gone by
        directory = self.context.directory
        self.flags["reference_due"] = day_bounds(self.day(entry.ts), self.context.zone)[1]
        if directory.lists_instruments and directory.instrument(self.instrument, entry.ts) is None:
            self.fault(
                "stale_reference", entry.seq, entry.seq, entry.ts,
                f"reference data lists instruments, and not {self.instrument} at this time: no tick size, "
                "no word on its matching",
            )  # fmt: skip

    def clock(self, ts: int, end: bool) -> None:
        """No event with ts <= `ts` is still to come: decide what is due."""
        if self.changes != self.context.changes:
            self.open()
        if self.book.turn is not None and self.book.turn.ts <= ts:
            self.settle()
        if self.own_time is not None and self.own_time <= ts:
            self.transitions.check_crossed(self.own_time, max(ts, self.own_time + 1))
            self.tell("on_due", self.own_time, ts, self.time_known, False)
        self._fire(ts + 1)
        self.now = ts
        self.time = max(self.time, ts)
        self.tell("on_clock", ts, end)
        self.now = self.own_time or 0

    def settle(self) -> None:
        """End the open turn, then compare the venue's quotes that came meanwhile with the book."""
        turn = self.book.turn
        if turn is not None:
            self.history.change(self.book, turn.order_id, None)
            self.book.end_turn()
            self.in_turn.clear()
            self.transitions.watch_cross(turn.begin_seq)
            self.tell("on_turn_end", turn)
        if self.pending:
            quotes, self.pending = self.pending, []
            for quote in quotes:
                self.transitions.check_quote(quote)

    def _before(self, entry: EventEntry) -> None:
        turn = self.matching = self.book.turn
        if turn is not None and not self._continues(turn, entry):
            self.matching = None
            if not self.late or entry.seq > turn.begin_seq:  # an entry below the turn's is no later one
                self.settle()
        own = self.own_time
        ts = entry.ts
        counts = not (
            isinstance(entry, OrderEntry) and entry.exec_type == "restated" and self.context.restated_is_old
        )
        if own is None:
            if counts:
                self.own_time = ts
                self.time = max(self.time, ts)
        elif ts > own and counts:
            self.transitions.check_crossed(own, ts)
            self.tell("on_due", own, ts, self.time_known, True)
            self._fire(ts)
            self.tell("on_time", own, ts, self.time_known)
            if ts // HOUR != own // HOUR:
                self.busts.forget(ts - self.context.bust_horizon)
            self.own_time = ts
            self.time = max(self.time, ts)
        elif counts:
            self._fire(ts)
        if counts and not self.late:
            self.flags.pop("gap", None)
            if self.book.start_known:
                self.flags["started"] = 1
        self.now = self.own_time or 0

    def _continues(self, turn: Turn, entry: EventEntry) -> bool:
        if entry.ts > turn.ts:
            return False
        if isinstance(entry, TradeEntry):
            taker = entry.buy_order_id if entry.aggressor == "buy" else entry.sell_order_id
            return entry.exec_type == "trade" and entry.aggressor != "none" and taker == turn.order_id
        if isinstance(entry, OrderEntry):
            if entry.exec_type == "fill":
                return entry.order_id in self.in_turn
            return (
                entry.exec_type == "canceled"
                and entry.reason in PREVENTION
                and entry.order_id != turn.order_id
            )
        return entry.account is None and entry.ts == turn.ts

    @property
    def time_known(self) -> bool:
        """False before the book's start is known and in a data gap.

        Known time begins at the first record that is not `restated`, at or after seq 1 or the first
        `restated` one; a gap lasts from the time before the missing seqs to the next such record.
        """
        return "started" in self.flags and "gap" not in self.flags

    def _order(self, entry: OrderEntry) -> None:
        first = entry.order_id is not None and self.book.find(entry.order_id) is None
        self.tell("on_order", entry, first)
        if entry.order_id is not None:
            self.history.change(self.book, entry.order_id, entry)
        self.transitions.order(entry)

    def _trade(self, entry: TradeEntry) -> None:
        if entry.exec_type == "trade":
            self.transitions.check_trade(entry)
            self.tell("on_trade", entry)
            match = self.matching.begin_seq if self.matching is not None else entry.seq
            self.busts.remember(KeptTrade(entry, match))
            self.history.mark(entry.seq)
            for order_id in (entry.buy_order_id, entry.sell_order_id):
                if order_id is not None:
                    self.history.change(self.book, order_id, entry)
            self.transitions.trade(entry)
            return
        self.busts.apply(entry)

    def _quote(self, entry: QuoteEntry) -> None:
        self.tell("on_quote", entry)
        if entry.account is None:
            if self.book.turn is not None:
                self.pending.append(entry)
            else:
                self.transitions.check_quote(entry)

    def _fire(self, before: int) -> None:
        """Decide what is due at T < `before`, in the order of T, then breach."""
        timers = self.timers
        while timers and timers[0][0] < before:
            due, _breach, name, key = heapq.heappop(timers)
            rule = self.context.by_name[name]
            self.now = due
            self.time = max(self.time, due)
            self._guard(rule, rule.on_timer, self.states[name], due, key)

    def tell(self, hook: str, *arguments: Any) -> None:
        """Call a hook of every rule that has it."""
        for rule in self.context.hooked[hook]:
            self._guard(rule, getattr(rule, hook), self.states[rule.instance.name], *arguments)

    def _guard(self, rule: Rule, hook: Any, *arguments: Any) -> None:
        """Call a hook; an exception becomes a finding and never loses the event."""
        try:
            hook(self, *arguments)
        except Exception as error:
            self.fault(
                "rule_error", self.seq, self.seq, self.time,
                f"{rule.instance.name} failed in {hook.__name__}: {type(error).__name__}: {error}",
            )  # fmt: skip
            if self.context.strict:
                raise

    # ---- snapshots ----------------------------------------------------------------------------------

    def dump(self) -> MarketState:
        """Return everything remembered, ready to encode."""
        book = self.book
        return MarketState(
            instrument=self.instrument,
            sequence=self.sequence,
            time=self.time,
            own_time=self.own_time,
            start_known=book.start_known,
            orders=list(book.orders.values()),
            dead=list(book.dead.values()),
            turn=book.turn,
            in_turn=self.in_turn,
            pending=self.pending,
            timers=sorted(self.timers),
            trades=self.busts.trades,
            history=self.history,
            renamed=self.busts.renamed,
            match_ids=self.match_ids,
            ledger=self.ledger,
            flags=self.flags,
            rules={name: msgspec.Raw(codec.encode(state)) for name, state in sorted(self.states.items())},
        )

    @classmethod
    def load(cls, data: MarketState, context: Context) -> Market:
        """Return the Market that `dump` described."""
        market = cls(data.instrument, context)
        book = market.book
        market.sequence, market.time, market.own_time = data.sequence, data.time, data.own_time
        market.in_turn, market.pending, market.timers = data.in_turn, data.pending, list(data.timers)
        market.busts.trades, market.busts.renamed = data.trades, data.renamed
        market.ledger, market.flags = data.ledger, data.flags
        market.match_ids, market.history = data.match_ids, data.history
        market.now = data.own_time or 0
        book.start_known, book.turn = data.start_known, data.turn
        book.orders = {order.order_id: order for order in data.orders}
        book.aside = {order.order_id: order for order in data.orders if not order.resting}
        book.dead = {order.order_id: order for order in data.dead}
        for order in (order for order in data.orders if order.resting):
            book.place(order)
        for name, raw in data.rules.items():
            rule = context.by_name[name]
            market.states[name] = codec.decode(raw, type=rule.State)
        market.open()
        return market


def _distinct(items: Items[str | None]) -> tuple[str, ...]:
    return tuple(sorted({item for item in items if item is not None}))


def _same(before: Alert, after: Alert) -> bool:
    return msgspec.structs.replace(after, revision=before.revision, decided_ts=before.decided_ts) == before
