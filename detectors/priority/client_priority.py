"""P1 client-order priority: did the affiliate trade ahead of a client who was entitled to the fill?"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from detectors.base import Rule
from detectors.book import Turn
from detectors.bounded import oldest_beyond
from detectors.priority.disadvantage import OFF_BOOK, Fill, candidates, late_exemption
from detectors.rulebook import Unit
from detectors.trading_day import day_bounds
from schemas.alerts import Evidence, Status
from schemas.decimals import text
from schemas.events import Side
from schemas.journal import OrderEntry, TradeEntry
from schemas.metrics import ClientPriorityDay, ClientPriorityHarm, HarmOutcome
from schemas.reference import Role

if TYPE_CHECKING:
    from detectors.market import Market


Mode = Literal["price_time", "client_first"]
MAX_JUDGED = 20_000  # fills with harm whose cures a bust can still take back, an instrument
MAX_TOTALS = 100_000  # client orders a day whose harm by fills no longer kept is added up each for itself


class Harmed(msgspec.Struct):
    """One client order C and what it lost to F; `cures`: its later fills by trade id."""

    order_id: str
    account: str | None
    evidence_seq: int
    harm: int
    peak: int
    cures: dict[str, int] = {}
    cure_seqs: dict[str, int] = {}
    withdrawn: bool = False
    revision: int = 0

    @property
    def cured(self) -> int:
        """Quantity made good, at most the harm."""
        return min(self.harm, sum(self.cures.values()))

    @property
    def left(self) -> int:
        """Harm that is not made good."""
        return self.harm - self.cured


class Judged(msgspec.Struct):
    """One fill F with harm, for as long as a bust can reach it."""

    trade_id: str
    side: Side
    seq: int
    ts: int
    price: int
    qty: int
    match_type: str
    mode: Mode
    account: str | None
    order_id: str | None
    order_seq: int | None
    grp: str | None
    match: int  # seq of the record that began the match's turn, or F's own
    window_end: int
    parameter_hash: str
    alerts: bool
    undecided: int
    harmed: list[Harmed]
    state: Literal["match", "window", "closed"] = "match"
    closed_seq: int = 0  # of the last record in its window, once that is closed
    busted: bool = False  # its window goes on, for the record

    @property
    def left(self) -> int:
        """Harm left over all client orders."""
        return sum(pair.left for pair in self.harmed)


class Day(msgspec.Struct):
    """Counts of one trading day."""

    fills_judged: int = 0
    undecided_qty: int = 0
    gateway_overtakes: int = 0
    exempt: dict[str, int] = {}
    revision: int = 0
    # of fills no longer kept: how many, their pairs, and by client order harm left and greatest quantity;
    # `settled`: the totals of the orders that were the first of too many
    fills: int = 0
    pairs: int = 0
    settled: int = 0
    left: dict[str, int] = {}
    peak: dict[str, int] = {}


class ClientPriorityState(msgspec.Struct):
    """What the rule remembers of an instrument. Keys of `judged` are trade id and side.

    `open`: those whose window is; `matching`: of them, whose match is; `by_order`: of them, by client order.
    `cured_by`: trade id -> keys that it cures.
    """

    judged: dict[str, Judged] = {}
    open: dict[str, bool] = {}
    matching: list[str] = []
    by_order: dict[str, list[str]] = {}
    cured_by: dict[str, list[str]] = {}
    days: dict[str, Day] = {}
    gateway: dict[str, int] = {}  # side -> latest gateway time of a watched order accepted so far
    told_off: bool = False


class ClientPriority(Rule):
    """P1: a client order C is disadvantaged by a fill F (price p, seq s) of a watched account's order A.

    C: role in `protected_roles` at F, same instrument and side, live just before s, its last acceptance,
    reprice, trigger or resume below the record that began the aggressor's turn, and for a buy (mirrored for
    a sell) in mode `price_time`: `C.price > p`, or `C.price == p` with an earlier stamp than A's; in mode
    `client_first`, and for block and rfq fills in both: `p < C.price + min_price_improvement`. A live market
    order always. Exemptions, counted once per (F, C): same_owner_as_counterparty, not_continuous,
    untriggered, suspended, all_or_none, not_held, min_qty, priority_waiver, agency, liquidation.
    Harm is allocated best price then stamp; cured by later fills of C no worse than p in the match or within
    `cure_window`. One alert per (F, side) while harm is left.

    >>> ClientPriority.Parameters().mode
    'price_time'

    Choices where the text is silent. A fill outside any turn is a match of its own. `min_qty` is tested
    against what is left when C's turn to be allocated comes. `undecided_qty` is what is left of q, at most
    the equal-price quantity that could not be compared because A's stamp is unknown; such orders are not
    counted as exempt either. An untriggered stop without a limit is no market order: neither harmed nor
    exempt. A retraction by cure is said at the cure; if that cure is busted, the alert returns. A corrected
    fill is judged with the book just before its old seq, cured by what has come since, and degraded where
    that book is no longer known (2,000 changes back). A day's total of a client order is exact within 100,000
    such orders: one harmed again after so many others may count beyond its size. A fill without an account
    has its order's. Without a tick size the smallest price step (1e-8) stands for it. An auction match is
    `not_continuous`.

    Misses: auctions; orders still at a gateway (counted as `gateway_overtakes`); exposure in another
    instrument; engines that are not price-time (the mode switches itself off and says so); an affiliate that
    aggresses in an uncrossed book. Source: FINRA 5320 and .06 (secondary); SFC dark-pool consultation 2014.
    """

    name = "client_priority"
    version = 2
    State = ClientPriorityState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """`alert_book_fills`: False only counts fills in the book of a price-time engine."""

        mode: Mode = "price_time"
        cure_window: Annotated[int, Unit("duration")] = 0
        min_price_improvement: Annotated[int, Unit("ticks")] = 1
        watched_roles: tuple[Role, ...] = ("affiliated_mm", "affiliate")
        protected_roles: tuple[Role, ...] = ("client",)
        alert_book_fills: bool = True

    # ---- hooks --------------------------------------------------------------------------------------

    def on_trade(self, market: Market, state: ClientPriorityState, trade: TradeEntry) -> None:
        """Judge both sides, then let the trade cure earlier fills."""
        corrects = market.correcting
        turn = market.matching
        match = turn.begin_seq if turn is not None else trade.seq
        if corrects is not None:
            match = corrects.match
        found = self.parameters(trade.ts)
        judged: list[Judged] = []
        if found is not None:
            for side in ("buy", "sell"):
                one = self._judge(market, state, trade, side, match, *found)
                judged += [one] if one is not None else []
        if corrects is not None:
            self._cure_of_old(market, state, trade, match)
            for one in judged:
                self._follow(market, state, one)
            return
        if state.open:
            self._cure(market, state, trade, match)
        if turn is None:
            self._match_ended(market, state, match)

    def on_turn_end(self, market: Market, state: ClientPriorityState, turn: Turn) -> None:
        """The match is complete: say what it left."""
        if state.matching:
            self._match_ended(market, state, turn.begin_seq)

    def on_timer(self, market: Market, state: ClientPriorityState, due: int, key: str) -> None:
        """A cure window or a trading day has ended."""
        if key.startswith("day "):
            self._publish_day(market, state, key[4:])
            return
        judged = state.judged.get(key)
        if judged is not None and judged.state == "window":
            self._close(market, state, judged)

    def on_clock(self, market: Market, state: ClientPriorityState, ts: int, end: bool) -> None:
        """At a recording's end: windows are decided with what is known, and the days so far published."""
        horizon = market.time - market.context.bust_horizon
        for day in list(state.days):
            if day_bounds(day, market.context.zone)[1] >= horizon:
                break
            del state.days[day]
        old = takewhile(lambda item: item[1].ts < horizon and item[0] not in state.open, state.judged.items())
        for key in [key for key, _judged in old]:
            self._forget(market, state, key)
        if not end:
            return
        for key in list(state.open):
            self._close(market, state, state.judged[key])
        for day in list(state.days):
            self._publish_day(market, state, day)

    def on_order(self, market: Market, state: ClientPriorityState, entry: OrderEntry, first: bool) -> None:
        """Mark withdrawals of harmed orders; count clients whom a watched order overtook at the gateway."""
        if entry.exec_type in ("canceled", "replaced"):
            self._withdraw(state, entry)
        if entry.exec_type == "new" and entry.ts_gateway is not None and entry.side is not None:
            self._count_overtakes(market, state, entry, entry.side, entry.ts_gateway)

    def on_bust(self, market: Market, state: ClientPriorityState, trade_id: str, entry: TradeEntry) -> None:
        """Retract what rests on the fill, and take back what it cured."""
        touched = set()
        for key in (f"{trade_id} buy", f"{trade_id} sell", *state.cured_by.get(trade_id, ())):
            judged = state.judged.get(key)
            touched |= {market.day(judged.ts)} if judged is not None else set()
        for side in ("buy", "sell"):
            judged = state.judged.get(f"{trade_id} {side}")
            if judged is not None and not judged.busted:
                judged.busted = True
                self._rows(market, judged, None)
                market.retract(market.known(self, (trade_id, judged.side)), "busted")
        for key in state.cured_by.pop(trade_id, ()):
            judged = state.judged[key]
            for pair in judged.harmed:
                if pair.cures.pop(trade_id, None) is not None:
                    del pair.cure_seqs[trade_id]
            self._say(market, judged)
        for day, count in state.days.items():
            if count.revision and day in touched:
                self._publish_day(market, state, day)

    def _forget(self, market: Market, state: ClientPriorityState, key: str) -> None:
        """Drop a fill that is decided; the day's totals keep what they need of it."""
        judged = state.judged.pop(key)
        self._uncure(state, key, judged)
        day = state.days.get(market.day(judged.ts))
        if day is not None and not judged.busted:
            day.fills += 1
            day.pairs += len(judged.harmed)
            for pair in judged.harmed:
                day.left[pair.order_id] = day.left.get(pair.order_id, 0) + pair.left
                day.peak[pair.order_id] = max(day.peak.get(pair.order_id, 0), pair.peak)
            for order_id in oldest_beyond(day.left, MAX_TOTALS):
                day.settled += min(day.left.pop(order_id), day.peak.pop(order_id))

    def _uncure(self, state: ClientPriorityState, key: str, judged: Judged) -> None:
        """No fill's bust is asked any more whether it cured this one."""
        for trade_id in {trade_id for pair in judged.harmed for trade_id in pair.cures}:
            state.cured_by[trade_id].remove(key)
            if not state.cured_by[trade_id]:
                del state.cured_by[trade_id]

    # ---- judging ------------------------------------------------------------------------------------

    def _judge(
        self,
        market: Market,
        state: ClientPriorityState,
        trade: TradeEntry,
        side: Side,
        match: int,
        parameters: Parameters,
        parameter_hash: str,
    ) -> Judged | None:
        """Return the fill's judgement, or None where it has no harm or is none of ours."""
        account = market.account(trade, side)
        party = market.party(account, trade.ts)
        if party.role not in parameters.watched_roles:
            return None
        off_book = trade.match_type in OFF_BOOK
        price_time_engine = self._price_time_engine(market, trade)
        if parameters.mode == "price_time" and not price_time_engine:
            self._switch_off(market, state, trade)
            return None
        order_id = trade.buy_order_id if side == "buy" else trade.sell_order_id
        tick = market.context.directory.tick_size(market.instrument, trade.ts)
        fill = Fill(
            trade=trade,
            side=side,
            order_id=order_id,
            order=market.view.find(order_id),
            client_first=off_book or parameters.mode == "client_first",
            improvement=parameters.min_price_improvement * (tick or 1),
            protected_roles=parameters.protected_roles,
        )
        day = self._day(market, state, trade.ts)
        day.fills_judged += 1
        key = f"{trade.trade_id} {side}"
        before = state.judged.get(key)  # of a fill that is corrected under its own id
        said = {pair.order_id: pair.revision for pair in before.harmed} if before is not None else {}
        rest, undecided = trade.qty or 0, 0
        harmed: list[Harmed] = []
        for candidate in candidates(market, fill):
            order = candidate.order
            exempt = candidate.exempt or late_exemption(market, fill, order, rest)
            if exempt is not None:
                if candidate.compared:
                    day.exempt[exempt] = day.exempt.get(exempt, 0) + 1
                continue
            entitled = max(
                0, candidate.counting - self._owed(market, state, match, side, order.order_id, trade.seq)
            )
            if not candidate.compared:
                undecided += entitled
                continue
            harm = min(rest, entitled)
            if harm > 0:
                rest -= harm
                harmed.append(
                    Harmed(
                        order.order_id,
                        order.account,
                        order.active_seq,
                        harm,
                        order.peak,
                        revision=said.get(order.order_id, 0),
                    )
                )
        undecided = min(undecided, rest)
        day.undecided_qty += undecided
        if not harmed:
            return None
        if before is not None:
            self._unlink(state, key, before)
            self._uncure(state, key, before)
        judged = state.judged[key] = Judged(
            trade_id=trade.trade_id,
            side=side,
            seq=trade.seq,
            ts=trade.ts,
            price=trade.price or 0,
            qty=trade.qty or 0,
            match_type=trade.match_type,
            mode=parameters.mode,
            account=account,
            order_id=order_id,
            order_seq=fill.order.accepted_seq if fill.order is not None else None,
            grp=party.grp,
            match=match,
            window_end=trade.ts + parameters.cure_window,
            parameter_hash=parameter_hash,
            alerts=off_book or parameters.alert_book_fills or not price_time_engine,
            undecided=undecided,
            harmed=harmed,
        )
        for gone in oldest_beyond(state.judged, MAX_JUDGED):
            if gone not in state.open:
                self._forget(market, state, gone)
        state.open[key] = True
        state.matching.append(key)
        for pair in harmed:
            state.by_order.setdefault(pair.order_id, []).append(key)
        return judged

    def _unlink(self, state: ClientPriorityState, key: str, judged: Judged) -> None:
        """The window is closed: nothing that comes looks at the fill any more."""
        if state.open.pop(key, None) is None:
            return
        if key in state.matching:
            state.matching.remove(key)
        for pair in judged.harmed:
            keys = state.by_order[pair.order_id]
            keys.remove(key)
            if not keys:
                del state.by_order[pair.order_id]

    def _owed(
        self, market: Market, state: ClientPriorityState, match: int, side: Side, order_id: str, seq: int
    ) -> int:
        """Return what earlier fills of the match took from C and had not been given back before `seq`."""
        among = state.by_order.get(order_id, ()) if market.correcting is None else state.judged
        return sum(
            pair.harm
            - min(pair.harm, sum(q for trade, q in pair.cures.items() if pair.cure_seqs[trade] < seq))
            for key in among
            if (judged := state.judged[key]).match == match and judged.side == side and judged.seq < seq
            if not judged.busted
            for pair in judged.harmed
            if pair.order_id == order_id
        )

    def _price_time_engine(self, market: Market, trade: TradeEntry) -> bool:
        instrument = market.context.directory.instrument(market.instrument, trade.ts)
        return instrument is None or instrument.matching == "price_time"

    def _switch_off(self, market: Market, state: ClientPriorityState, trade: TradeEntry) -> None:
        if not state.told_off:
            state.told_off = True
            market.fault(
                "not_price_time", trade.seq, trade.seq, trade.ts,
                f"{self.instance.name} is off: the engine does not match by price and time",
            )  # fmt: skip

    # ---- cure, withdrawal ---------------------------------------------------------------------------

    def _cure(self, market: Market, state: ClientPriorityState, trade: TradeEntry, match: int) -> None:
        """A fill cures every earlier fill whose match or window it lies in."""
        for side, order_id in _sides(trade):
            for key in tuple(state.by_order.get(order_id or "", ())):
                judged = state.judged[key]
                if (
                    judged.busted
                    or trade.seq <= judged.seq
                    or not self._reaches(market, judged, trade.ts, match)
                ):
                    continue
                changed = self._make_good(state, key, judged, side, order_id, trade)
                if changed and judged.state == "window" and judged.left == 0:
                    self._say(market, judged)

    def _make_good(
        self,
        state: ClientPriorityState,
        key: str,
        judged: Judged,
        side: Side,
        order_id: str | None,
        trade: TradeEntry,
    ) -> bool:
        """Note that C's fill is a cure, if its price is no worse than F's; return True if it is."""
        price = trade.price or 0
        worse = price > judged.price if side == "buy" else price < judged.price
        if side != judged.side or worse:
            return False
        changed = False
        for pair in judged.harmed:
            if pair.order_id == order_id:
                pair.cures[trade.trade_id] = trade.qty or 0
                pair.cure_seqs[trade.trade_id] = trade.seq
                changed = True
        if changed and key not in (keys := state.cured_by.setdefault(trade.trade_id, [])):
            keys.append(key)
        return changed

    def _reaches(self, market: Market, judged: Judged, ts: int, match: int) -> bool:
        if judged.match == match and judged.state == "match":
            return True
        return max(ts, market.time) <= judged.window_end and judged.window_end > judged.ts

    def _cure_of_old(self, market: Market, state: ClientPriorityState, trade: TradeEntry, match: int) -> None:
        """A corrected fill cures, at its old seq, what it would have cured there."""
        for side, order_id in _sides(trade):
            for key, judged in state.judged.items():
                if judged.busted or trade.seq <= judged.seq:
                    continue
                in_window = judged.window_end > judged.ts and trade.ts <= judged.window_end
                if judged.closed_seq and trade.seq > judged.closed_seq:
                    in_window = False
                if judged.match != match and not in_window:
                    continue
                if self._make_good(state, key, judged, side, order_id, trade):
                    self._say(market, judged)

    def _follow(self, market: Market, state: ClientPriorityState, judged: Judged) -> None:
        """What came between a corrected fill's old seq and now: cures, withdrawals, its window's end."""
        key = f"{judged.trade_id} {judged.side}"
        for kept in reversed(market.busts.trades.values()):
            trade = kept.trade
            if trade.seq <= judged.seq and not kept.corrected:
                break
            if kept.busted or trade.seq <= judged.seq:
                continue
            in_window = judged.window_end > judged.ts and trade.ts <= judged.window_end
            if kept.match == judged.match or in_window:
                for side, order_id in _sides(trade):
                    self._make_good(state, key, judged, side, order_id, trade)
        for change in market.history.since(judged.seq) or ():
            if change.ts is not None and change.ts > judged.window_end:
                break
            if change.cancelled or (change.price is not None and _worse(change.price, judged)):
                for pair in judged.harmed:
                    pair.withdrawn = pair.withdrawn or pair.order_id == change.order_id
        state.matching.remove(key)
        if market.time > judged.window_end:
            self._close(market, state, judged)
            return
        judged.state = "window"
        self._say(market, judged)
        market.wake(self, judged.window_end, key, (judged.trade_id, judged.side))

    def _withdraw(self, state: ClientPriorityState, entry: OrderEntry) -> None:
        for key in state.by_order.get(entry.order_id or "", ()):
            judged = state.judged[key]
            if judged.state == "window" and entry.ts > judged.window_end:
                continue
            if entry.exec_type == "canceled":
                gone = entry.reason in (None, "user")
            else:
                gone = entry.price is not None and _worse(entry.price, judged)
            for pair in judged.harmed:
                if gone and pair.order_id == entry.order_id:
                    pair.withdrawn = True

    # ---- saying it ----------------------------------------------------------------------------------

    def _match_ended(self, market: Market, state: ClientPriorityState, match: int) -> None:
        for key in tuple(state.matching):
            judged = state.judged[key]
            if judged.match != match:
                continue
            state.matching.remove(key)
            judged.state = "window"
            self._say(market, judged)
            market.wake(self, judged.window_end, key, (judged.trade_id, judged.side))

    def _close(self, market: Market, state: ClientPriorityState, judged: Judged) -> None:
        judged.state, judged.closed_seq = "closed", market.seq
        self._unlink(state, f"{judged.trade_id} {judged.side}", judged)
        self._say(market, judged)

    def _say(self, market: Market, judged: Judged) -> None:
        """Publish the rows, and the alert's next revision if it is due and has changed."""
        alert_id = None
        left = judged.left
        if (
            judged.alerts
            and not judged.busted
            and (left > 0 or market.known(self, (judged.trade_id, judged.side)) is not None)
        ):
            alert_id = self._alert(market, judged, left)
        self._rows(market, judged, alert_id)

    def _rows(self, market: Market, judged: Judged, alert_id: str | None) -> None:
        if alert_id is None and judged.alerts:
            alert = market.known(self, (judged.trade_id, judged.side))
            alert_id = alert.alert_id if alert is not None else None
        busted = judged.busted
        for pair in judged.harmed:
            outcome: HarmOutcome = "open"
            if busted:
                outcome = "busted"
            elif pair.left == 0:
                outcome = "cured"
            elif judged.state == "closed":
                outcome = "harmed"
            market.publish(
                ClientPriorityHarm(
                    revision=pair.revision,
                    instance=self.instance.name,
                    instrument=market.instrument,
                    ts=judged.ts,
                    seq=judged.seq,
                    trade_id=judged.trade_id,
                    side=judged.side,
                    order_id=pair.order_id,
                    account=pair.account,
                    alert_id=alert_id,
                    outcome=outcome,
                    harm_at_fill=pair.harm,
                    cured_qty=pair.cured,
                    harm_left=0 if busted else pair.left,
                    withdrawn=pair.withdrawn,
                )
            )
            pair.revision += 1

    def _alert(self, market: Market, judged: Judged, left: int) -> str | None:
        status: Status = "confirmed" if judged.state == "closed" else "provisional"
        if left == 0:
            status = "retracted"
        harm = sum(pair.harm for pair in judged.harmed)
        cured = harm - left
        orders = len(judged.harmed)
        evidence = [Evidence("trade", judged.trade_id, judged.seq)]
        if judged.order_id is not None and judged.order_seq is not None:
            evidence.append(Evidence("order", judged.order_id, judged.order_seq))
        for pair in judged.harmed:
            evidence.append(Evidence("order", pair.order_id, pair.evidence_seq))
            evidence.extend(Evidence("trade", trade, seq) for trade, seq in sorted(pair.cure_seqs.items()))
        verb = "bought" if judged.side == "buy" else "sold"
        market.alert(
            self,
            (judged.trade_id, judged.side),
            ts=judged.ts,
            parameter_hash=judged.parameter_hash,
            status=status,
            reason="cured" if status == "retracted" else None,
            severity="high" if judged.mode == "price_time" else "medium",
            accounts=[judged.account, *(pair.account for pair in judged.harmed)],
            grps=[judged.grp],
            evidence=evidence,
            measures={
                "mode": judged.mode,
                "trade_id": judged.trade_id,
                "side": judged.side,
                "match_type": judged.match_type,
                "price": text(judged.price),
                "qty": text(judged.qty),
                "client_orders": orders,
                "harm_at_fill": text(harm),
                "cured_qty": text(cured),
                "harm_left": text(left),
                "undecided_qty": text(judged.undecided),
            },
            units={
                "price": "quote", "qty": "base", "harm_at_fill": "base", "cured_qty": "base",
                "harm_left": "base", "undecided_qty": "base", "client_orders": "count",
            },
            harm_qty=text(left),
            harm_notional=text(left * judged.price, 16),
            narrative=(
                f"{judged.account} {verb} {text(judged.qty)} {market.instrument} at {text(judged.price)} "
                f"(trade {judged.trade_id}, seq {judged.seq}) while {orders} client "
                f"order{'s' if orders > 1 else ''} stood ahead: {text(harm)} passed over - {text(cured)} "
                f"cured = {text(left)} left, for review."
            ),
        )  # fmt: skip
        known = market.known(self, (judged.trade_id, judged.side))
        return known.alert_id if known is not None else None

    # ---- days ---------------------------------------------------------------------------------------

    def _day(self, market: Market, state: ClientPriorityState, ts: int) -> Day:
        day = market.day(ts)
        if day not in state.days:
            state.days[day] = Day()
            market.wake(self, day_bounds(day, market.context.zone)[1], f"day {day}")
        return state.days[day]

    def _count_overtakes(
        self, market: Market, state: ClientPriorityState, entry: OrderEntry, side: Side, gateway: int
    ) -> None:
        found = self.parameters(entry.ts)
        if found is None:
            return
        role = market.party(entry.account, entry.ts).role
        if role in found[0].watched_roles:
            state.gateway[side] = max(gateway, state.gateway.get(side, 0))
        elif role in found[0].protected_roles and gateway < state.gateway.get(side, 0):
            self._day(market, state, entry.ts).gateway_overtakes += 1

    def _publish_day(self, market: Market, state: ClientPriorityState, day: str) -> None:
        count = state.days[day]
        fills = [
            judged for judged in state.judged.values() if not judged.busted and market.day(judged.ts) == day
        ]
        left, peak = dict(count.left), dict(count.peak)
        for judged in fills:
            for pair in judged.harmed:
                left[pair.order_id] = left.get(pair.order_id, 0) + pair.left
                order = market.book.find(pair.order_id)  # raised since, perhaps
                most = max(pair.peak, order.peak if order is not None else 0)
                peak[pair.order_id] = max(peak.get(pair.order_id, 0), most)
        market.publish(
            ClientPriorityDay(
                revision=count.revision,
                instance=self.instance.name,
                instrument=market.instrument,
                trading_day=day,
                fills_judged=count.fills_judged,
                fills_with_harm=count.fills + len(fills),
                pairs_with_harm=count.pairs + sum(len(judged.harmed) for judged in fills),
                harm_left=count.settled + sum(min(total, peak[order_id]) for order_id, total in left.items()),
                undecided_qty=count.undecided_qty,
                gateway_overtakes=count.gateway_overtakes,
                exempt=dict(sorted(count.exempt.items())),
            )
        )
        count.revision += 1


def _sides(trade: TradeEntry) -> tuple[tuple[Side, str | None], ...]:
    return ("buy", trade.buy_order_id), ("sell", trade.sell_order_id)


def _worse(price: int, judged: Judged) -> bool:
    """True if an order of F's side at `price` ranks behind F's price."""
    return price < judged.price if judged.side == "buy" else price > judged.price
