"""L1 quoting obligation: whether a maker quoted as agreed for as much of the session as agreed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from detectors.base import Rule
from detectors.liquidity.agreed_session import Schedule, Segment
from detectors.liquidity.own_quotes import OwnQuotes, compliant, level, together
from detectors.liquidity.presence import Kind, Tally, consumption
from detectors.rulebook import Unit
from detectors.standing import ALWAYS, NEVER
from detectors.trading_day import SECOND, day_bounds, trading_day
from schemas import codec
from schemas.alerts import Anchor, Evidence, Measure, breach_id
from schemas.decimals import divide_half_even, parse, text
from schemas.journal import OrderEntry, QuoteEntry
from schemas.metrics import PresenceDay
from schemas.reference import MmAgreement

if TYPE_CHECKING:
    from detectors.market import Market

KEPT = (
    3 * 86_400 * SECOND
)  # how long a day's row is remembered after its session: later facts do not reopen it
MAX_FREEZES = 20  # named in evidence


class Quote(msgspec.Struct, frozen=True):
    """An account's latest two-sided quote, of the record `seq`."""

    seq: int
    bids: dict[int, int]
    asks: dict[int, int]


class Freeze(msgspec.Struct, frozen=True):
    """Whether market-maker protection holds an account, since the record `seq`."""

    seq: int
    on: bool


class Day(msgspec.Struct):
    """An agreement's trading day, counted up to `upto` (ns); from there on time is of `kind`.

    `warned`: the t of the warning, if before `upto`, and `at_warning` what was counted by then; `told`: the t
    of the alert, which a clock may have made due beyond `upto`. `lapses`: the records after which the quotes
    were no longer as agreed, the first and the latest; `freezes`: the records that began protection.
    """

    agreement: str
    trading_day: str
    upto: int
    kind: Kind = "outside"
    tally: Tally = msgspec.field(default_factory=Tally)
    warned: int | None = None
    at_warning: Tally | None = None
    told: int | None = None
    lapses: list[Evidence] = []
    freezes: list[Evidence] = []

    def copy(self) -> Day:
        """Return an independent copy."""
        return msgspec.structs.replace(self, tally=self.tally.copy())


class Decision(msgspec.Struct, frozen=True):
    """What is to be said at `ts`: of a day's `end`, or a `warning`."""

    kind: Literal["end", "warning"]
    agreement: str
    trading_day: str
    ts: int
    start: int  # of the session: whose parameters govern
    required: int
    tally: Tally
    accounts: list[str]
    evidence: list[Evidence]


class Said(msgspec.Struct):
    """A day's row as it was published, if it was (revision 0 or more), and the end of its session."""

    ends: int
    revision: int = -1
    content: str = ""


class QuotingObligationState(msgspec.Struct):
    """`days`: the open ones; `decisions`: due; by key. `messages`: changes of quotes and freezes so far."""

    days: dict[str, Day] = {}
    decisions: dict[str, Decision] = {}
    said: dict[str, Said] = {}
    quotes: dict[str, Quote] = {}
    frozen: dict[str, Freeze] = {}
    touched: dict[str, Evidence] = {}  # by account: the record that last changed its quotes
    messages: int = 0


class _View:
    """What is derived from reference data and the book: never part of a snapshot.

    `until`: as long as neither quotes nor knowledge of time change, nothing happens before it.
    """

    def __init__(self, agreements: dict[str, list[MmAgreement]], own: OwnQuotes) -> None:
        self.agreements = agreements
        self.own = own
        self.schedules: dict[str, Schedule] = {}
        self.cursors: dict[str, str] = {}  # by agreement: the next date to look at
        self.opening = NEVER  # when it may begin
        self.until = NEVER
        self.mark = (-1, -1)
        self.known = False


class QuotingObligation(Rule):
    """L1: presence of a market maker's two-sided quotes over an agreement's session, a row a trading day.

    compliant(t) iff both sides are present, a > b, 1e4 (a-b)/((a+b)/2) <= max_spread_bps, min(q_b, q_a) >=
    min_qty and |q_b - q_a| / min(q_b, q_a) <= 0.5, of all displayed resting limit orders of the agreement's
    accounts together, flagged or not (`source = "orders"`), or of their latest quotes (`"quotes"`).
    `size_at = "best"`: a, b own best prices, q displayed there; `"depth"`: the own prices at which the
    cumulated displayed quantity first reaches min_qty (never: not compliant), q cumulated to there.

    Every nanosecond of the session is exactly one of exempt (wins: phases other than continuous; market-maker
    protection where the agreement says `protection_exempt`), unknown (before the book's start is known, in
    data gaps, after the instrument's time), compliant, not compliant. presence = compliant / (session -
    exempt - unknown); low and high take unknown time as not compliant and as compliant. Verdict: `exempt`
    (nothing left), `met` (low >= required), `breach` (high < required: an alert), else `inconclusive`. A
    warning at the least t at which the day cannot be met any more, with what is known at t (at the latest at
    the session's end, together with the breach).

    >>> from detectors.liquidity.presence import Tally
    >>> day = Tally(compliant=6 * 3600 * SECOND, not_compliant=7 * 3600 * SECOND, unknown=3600 * SECOND)
    >>> day.verdict(parse("50")), day.low, day.high  # 6 h, 7 h with the unknown one, of 14 h
    ('inconclusive', 42857143, 50000000)
    >>> day.slack(parse("50"), available=0) < 0, day.slack(parse("50.00000001"), available=0) < 0
    (False, True)

    Chosen where SPEC.md is silent:
    - Hours that end not later than they start end on the next day and belong to the day on which they start.
      Wall-clock times that are skipped or come twice: RFC 5545 (see `agreed_session`). An agreement valid
      from or to mid-day shortens the session; terms that change in mid-day are each used for their time, and
      the required percentage and the rulebook's parameters are those of the session's first nanosecond.
    - A row for each trading day (the agreement's zone) whose civil day or session the instrument's time
      touches, from its first record that is not `restated`; a day without a session has none. It is published
      at the session's end, or at a recording's end; and again, as a revision, if a gap shows that a clock had
      promised too much. A warning or breach that is none then is retracted (`unknown_time`).
    - An entity's accounts are those that it owns at t, by 2.4, not those of its group; orders of an account
      that moves in mid-day count for the new owner from then on.
    - Hidden quantity quotes nothing: best prices are the best displayed ones (as in L2).
    - One frozen account freezes the agreement, from `mm_protection_start` to its `mm_protection_end`, not
      beyond the instrument's time; its end is not foreseen, so it is not exempt "known after t".
    - A quote stands until the account's next one, whatever its `quote_id`. Known time is the same for quotes.
    - No max_spread_bps or min_qty: no limit. No presence_pct: parameter `presence` (RTS 8: 50 %; HKEX: 70 %).

    Misses: quotes through accounts that are not the agreement's, requests for quotes, whether a quote could
    have been traded with (that is L3's), and obligations in several instruments together. Source: SPEC.md L1;
    RTS 8 (EU) 2017/578 art. 1; HKEX liquidity provider terms (secondary).
    """

    name = "quoting_obligation"
    version = 3
    State = QuotingObligationState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """`presence` where an agreement names none; `max_imbalance`: |q_b - q_a| / min(q_b, q_a)."""

        presence: Annotated[int, Unit("percent")] = 50_000_000
        max_imbalance: Annotated[int, Unit("ratio")] = 500_000

    # ---- what is told ---------------------------------------------------------------------------------

    def on_open(self, market: Market, state: QuotingObligationState) -> None:
        """Follow the resting orders of every account that any agreement on the instrument may oblige."""
        directory = market.context.directory
        agreements = directory.agreement_versions(market.instrument)
        accounts: set[str] = set()
        for facts in agreements.values():
            for fact in facts:
                if fact.entity is not None:
                    accounts.update(directory.accounts_of(fact.entity))
                elif fact.account is not None:
                    accounts.add(fact.account)

        own = OwnQuotes(market, self.instance.name, accounts, state.touched)
        market.cache[self.instance.name] = _View(agreements, own)

    def on_quote(self, market: Market, state: QuotingObligationState, quote: QuoteEntry) -> None:
        """Remember a maker's latest quote."""
        account = quote.account
        before = state.quotes.get(account or "")
        if account is None or (before is not None and before.seq > quote.seq):
            return
        state.quotes[account] = Quote(
            quote.seq, level(quote.bid_px, quote.bid_size), level(quote.ask_px, quote.ask_size)
        )
        state.touched[account] = Evidence("quote", quote.quote_id or account, quote.seq)
        state.messages += 1

    def on_order(self, market: Market, state: QuotingObligationState, entry: OrderEntry, first: bool) -> None:
        """Remember whether market-maker protection holds an account."""
        if entry.exec_type not in ("mm_protection_start", "mm_protection_end") or entry.account is None:
            return
        before = state.frozen.get(entry.account)
        if before is None or before.seq < entry.seq:
            state.frozen[entry.account] = Freeze(entry.seq, entry.exec_type == "mm_protection_start")
            state.messages += 1

    def on_due(
        self, market: Market, state: QuotingObligationState, start: int, end: int, known: bool, certain: bool
    ) -> None:
        """Count time, unless nothing that matters has changed; find what is due by `end`."""
        view: _View = market.cache[self.instance.name]
        mark = (view.own.version, state.messages)
        quiet = known == view.known and end < view.until + certain
        if quiet and (mark == view.mark or self._as_before(market, state, view, known)):
            view.mark = mark
            return
        self._open_days(market, state, view, start, end)
        if certain:
            view.mark, view.known, view.until = mark, known, view.opening
        for key, day in list(state.days.items()):
            schedule = self._schedule(market, view, day.agreement, day.trading_day)
            counted = day if certain else day.copy()
            self._count(market, state, schedule, counted, start, end, known)
            if not certain or counted.upto >= schedule.end:  # else the next call finds it, as due before
                self._check(schedule, counted)
            self._warn(market, state, schedule, day, counted, end)
            if counted.upto >= schedule.end:
                decision = self._decision("end", schedule, counted, schedule.end, counted.tally)
                self._decide(market, state, key, decision, max(schedule.end, min(start, end)))
                if certain:
                    del state.days[key]
            elif certain:
                view.until = min(view.until, self._until(schedule, day))

    def on_timer(self, market: Market, state: QuotingObligationState, due: int, key: str) -> None:
        """Say what was found to be due."""
        self._say(market, state, state.decisions.pop(key))

    def on_clock(self, market: Market, state: QuotingObligationState, ts: int, end: bool) -> None:
        """At a recording's end publish the days that are not over: what is left of them is unknown."""
        own = market.own_time
        if not end or own is None:
            return
        view: _View = market.cache[self.instance.name]
        decisions: list[Decision] = []
        for day in state.days.values():
            schedule = self._schedule(market, view, day.agreement, day.trading_day)
            counted = day.copy()
            self._count(market, state, schedule, counted, own, max(own, ts), market.time_known)
            self._run(market, state, schedule, counted, schedule.end, None)
            ends = min(schedule.end, max(own, ts))
            decisions.append(self._decision("end", schedule, counted, ends, counted.tally))
        for decision in sorted(decisions, key=lambda decision: self._breach(market, decision)):
            self._say(market, state, decision)

    # ---- days -----------------------------------------------------------------------------------------

    def _schedule(self, market: Market, view: _View, agreement: str, day: str) -> Schedule:
        key = f"{day} {agreement}"
        schedule = view.schedules.get(key)
        if schedule is None:
            context = market.context
            schedule = view.schedules[key] = Schedule(
                context.directory, market.instrument, view.agreements[agreement], day, context.zone
            )
            found = self.parameters(schedule.start) if schedule.segments else None
            if found is not None:
                pct = schedule.segments[0].terms.presence_pct
                schedule.required = parse(pct) if pct is not None else found[0].presence * 100
                schedule.max_imbalance = found[0].max_imbalance
        return schedule

    def _open_days(
        self, market: Market, state: QuotingObligationState, view: _View, start: int, end: int
    ) -> None:
        """Open every day that begins by `end`; what of it lies before `start` was not seen."""
        if end < view.opening:
            return
        view.opening = ALWAYS
        for agreement, facts in view.agreements.items():
            zones = {fact.zone or market.context.zone for fact in facts}
            before = _shift(min(trading_day(start, zone) for zone in zones), -1)  # its hours may go on
            first = view.cursors.get(agreement, before)
            after = _shift(max(trading_day(end, zone) for zone in zones), 1)
            begins = min(day_bounds(after, zone)[0] for zone in zones)
            view.cursors[agreement] = after
            for day in _days(first, after):
                schedule = self._schedule(market, view, agreement, day)
                if schedule.segments and schedule.span[0] > end:
                    begins = schedule.span[0]
                    view.cursors[agreement] = day
                    break
                if schedule.segments:
                    self._open_day(market, state, schedule, agreement, day, start)
            view.opening = min(view.opening, begins)
        view.until = NEVER

    def _open_day(
        self,
        market: Market,
        state: QuotingObligationState,
        schedule: Schedule,
        agreement: str,
        day: str,
        start: int,
    ) -> None:
        key = f"{day} {agreement}"
        if key in state.days or key in state.said or schedule.span[1] <= start:
            return
        if self.parameters(schedule.start) is None:
            return
        opened = state.days[key] = Day(agreement, day, min(start, schedule.start))
        self._run(market, state, schedule, opened, start, None)

    def _as_before(self, market: Market, state: QuotingObligationState, view: _View, known: bool) -> bool:
        """Return True if every open day's quotes have changed and are still as agreed, or still not."""
        for key, day in state.days.items():
            if day.kind != "outside":
                schedule = view.schedules[key]
                segment = schedule.segments[schedule.index(day.upto)]
                if self._kind(market, state, schedule, segment, known) != day.kind:
                    return False
        return True

    # ---- time -----------------------------------------------------------------------------------------

    def _count(
        self,
        market: Market,
        state: QuotingObligationState,
        schedule: Schedule,
        day: Day,
        start: int,
        end: int,
        known: bool,
    ) -> None:
        """Count to `start` as was found before, and to `end` as quotes stand now."""
        if day.upto < (before := min(start, schedule.end)):
            self._piece(schedule, day, before, day.kind)
        self._run(market, state, schedule, day, min(end, schedule.end), known)

    def _check(self, schedule: Schedule, day: Day) -> None:
        """Find the warning if its t is where the count stands."""
        if day.warned is None and day.tally.slack(schedule.required, schedule.available(day.upto)) < 0:
            day.warned, day.at_warning = day.upto, day.tally.copy()

    def _run(
        self,
        market: Market,
        state: QuotingObligationState,
        schedule: Schedule,
        day: Day,
        end: int,
        known: bool | None,
    ) -> None:
        """Count to `end`, segment by segment; `known` None: nobody was there."""
        for segment in schedule.segments[schedule.index(day.upto) :]:
            if day.upto < min(end, segment.start):
                self._piece(schedule, day, min(end, segment.start), "outside")
            if day.upto >= end:
                return
            kind = self._kind(market, state, schedule, segment, known)
            if kind != day.kind:
                self._note(state, day, segment, kind)
            self._piece(schedule, day, min(end, segment.end), kind)

    def _piece(self, schedule: Schedule, day: Day, end: int, kind: Kind) -> None:
        """Count to `end` as one kind, within one segment; find the least t of the warning before `end`."""
        if day.warned is None:
            required = schedule.required
            slack = day.tally.slack(required, schedule.available(day.upto))
            uses = consumption(kind, required)
            moment = day.upto if slack < 0 else day.upto + slack // uses + 1 if uses else end
            if moment < end:
                day.warned, day.at_warning = moment, day.tally.copy()
                day.at_warning.add(kind, moment - day.upto)
        day.tally.add(kind, end - day.upto)
        day.upto, day.kind = end, kind

    def _kind(
        self,
        market: Market,
        state: QuotingObligationState,
        schedule: Schedule,
        segment: Segment,
        known: bool | None,
    ) -> Kind:
        if segment.phase != "continuous":
            return segment.phase
        if known is None:
            return "unknown"
        terms = segment.terms
        if terms.protection_exempt and any(
            freeze.on for account in segment.accounts if (freeze := state.frozen.get(account)) is not None
        ):
            return "protection"
        if not known:
            return "unknown"
        if terms.source == "orders":
            view: _View = market.cache[self.instance.name]
            bids, asks = view.own.levels(segment.accounts)
        else:
            quotes = [state.quotes[account] for account in segment.accounts if account in state.quotes]
            bids, asks = together(q.bids for q in quotes), together(q.asks for q in quotes)
        return "compliant" if compliant(terms, bids, asks, schedule.max_imbalance) else "not_compliant"

    def _note(self, state: QuotingObligationState, day: Day, segment: Segment, kind: Kind) -> None:
        """Keep the record that made time of a kind, as evidence."""
        if kind == "not_compliant":
            records = [state.touched[name] for name in segment.accounts if name in state.touched]
            if records:
                day.lapses = [*day.lapses[:1], max(records, key=lambda record: record.seq)]
        elif kind == "protection":
            frozen = [(name, state.frozen[name]) for name in segment.accounts if name in state.frozen]
            found = [Evidence("order", name, freeze.seq) for name, freeze in frozen if freeze.on]
            day.freezes = [*day.freezes, *found][:MAX_FREEZES]

    def _until(self, schedule: Schedule, day: Day) -> int:
        """Return until when time stays of the day's kind, and nobody need be warned, if no quote changes."""
        segment = schedule.segments[schedule.index(day.upto)]
        if day.upto == segment.start or (day.upto < segment.start and day.kind != "outside"):
            return day.upto  # what comes next is of another kind
        until = segment.end if day.upto > segment.start else segment.start
        uses = consumption(day.kind, schedule.required)
        if day.warned is None and uses:
            slack = day.tally.slack(schedule.required, schedule.available(day.upto))
            until = min(until, day.upto + slack // uses + 1)
        return until

    # ---- what is said ---------------------------------------------------------------------------------

    def _decision(
        self,
        kind: Literal["end", "warning"],
        schedule: Schedule,
        day: Day,
        ts: int,
        tally: Tally,
    ) -> Decision:
        return Decision(
            kind, day.agreement, day.trading_day, ts, schedule.start, schedule.required,
            tally, schedule.accounts(), sorted({*day.lapses, *day.freezes}, key=lambda item: item.seq),
        )  # fmt: skip

    def _warn(
        self,
        market: Market,
        state: QuotingObligationState,
        schedule: Schedule,
        day: Day,
        counted: Day,
        end: int,
    ) -> None:
        """Let the warning be due that was found, or taken back that a gap leaves without ground."""
        key = f"{day.trading_day} {day.agreement}"
        if counted.warned is not None and counted.warned != day.told:
            assert counted.at_warning is not None
            warning = self._decision("warning", schedule, counted, counted.warned, counted.at_warning)
            self._decide(market, state, f"{key} warning", warning, counted.warned)
            day.told = counted.warned
        elif counted.warned is None and day.told is not None and day.told <= end:
            market.retract(market.known(self, (day.agreement, day.trading_day, "warning")), "unknown_time")
            day.told = None

    def _decide(
        self, market: Market, state: QuotingObligationState, key: str, decision: Decision, due: int
    ) -> None:
        if decision.kind == "end":
            said = state.said.setdefault(key, Said(decision.ts))
            if said.content == codec.canonical(self._row(market, decision)).decode():
                return
        state.decisions[key] = decision
        anchor = self._anchor(decision)
        market.wake(self, due, key, anchor)

    def _anchor(self, decision: Decision) -> Anchor:
        return decision.agreement, decision.trading_day, "breach" if decision.kind == "end" else "warning"

    def _breach(self, market: Market, decision: Decision) -> str:
        return breach_id(self.name, self.instance.name, market.instrument, self._anchor(decision))

    def _row(self, market: Market, decision: Decision) -> PresenceDay:
        tally = decision.tally
        return PresenceDay(
            instance=self.instance.name,
            agreement=decision.agreement,
            instrument=market.instrument,
            trading_day=decision.trading_day,
            session_ns=tally.session,
            exempt_ns=tally.exempt_ns,
            unknown_ns=tally.unknown,
            compliant_ns=tally.compliant,
            presence_pct=tally.presence,
            presence_pct_low=tally.low,
            presence_pct_high=tally.high,
            required_pct=divide_half_even(decision.required, 100),
            verdict=tally.verdict(decision.required),
            exempt=dict(sorted(tally.exempt.items())),
        )

    def _say(self, market: Market, state: QuotingObligationState, decision: Decision) -> None:
        if decision.kind == "end":
            self._publish(market, state, decision)
        if decision.tally.verdict(decision.required) == "breach":  # of what has a warning already, too
            self._alert(market, decision)
        else:
            market.retract(market.known(self, self._anchor(decision)), "unknown_time")

    def _publish(self, market: Market, state: QuotingObligationState, decision: Decision) -> None:
        row = self._row(market, decision)
        content = codec.canonical(row).decode()
        said = state.said.setdefault(f"{decision.trading_day} {decision.agreement}", Said(decision.ts))
        if said.content == content:
            return
        said.revision, said.content = said.revision + 1, content
        market.publish(msgspec.structs.replace(row, revision=said.revision))
        for key in [key for key, other in state.said.items() if other.ends < decision.ts - KEPT]:
            del state.said[key]

    def _alert(self, market: Market, decision: Decision) -> None:
        found = self.parameters(decision.start)
        assert found is not None
        tally, breach = decision.tally, decision.kind == "end"
        measures: dict[str, Measure] = {
            "kind": "breach" if breach else "warning",
            "agreement": decision.agreement,
            "trading_day": decision.trading_day,
            "compliant_ns": tally.compliant,
            "not_compliant_ns": tally.not_compliant,
            "unknown_ns": tally.unknown,
            "exempt_ns": tally.exempt_ns,
            "required_pct": text(decision.required),
            **{f"exempt_{reason}_ns": span for reason, span in sorted(tally.exempt.items())},
        }
        names = [name for name in measures if name.endswith("_ns")]
        units = {**dict.fromkeys(names, "ns"), "required_pct": "%"}
        if breach:
            for name, value in (("presence_pct_low", tally.low), ("presence_pct_high", tally.high)):
                measures[name], units[name] = text(value or 0, 6), "%"
        market.alert(
            self,
            self._anchor(decision),
            ts=decision.ts,
            parameter_hash=found[1],
            severity="high" if breach else "medium",
            accounts=decision.accounts,
            grps=[market.party(account, decision.ts).grp for account in decision.accounts],
            evidence=decision.evidence,
            measures=measures,
            units=units,
            narrative=_narrative(market.instrument, decision),
        )


def _narrative(instrument: str, decision: Decision) -> str:
    tally = decision.tally
    spent = (
        f"Agreement {decision.agreement} in {instrument} on {decision.trading_day}: quotes as agreed for "
        f"{text(tally.compliant, 9)} s, not for {text(tally.not_compliant, 9)} s, unknown "
        f"{text(tally.unknown, 9)} s, exempt {text(tally.exempt_ns, 9)} s"
    )
    if decision.kind == "end":
        return (
            f"{spent}: presence of at most {text(tally.high or 0, 6)} % "
            f"where {text(decision.required)} % is agreed; for review."
        )
    return f"{spent} so far: {text(decision.required)} % can no longer be reached; for review."


def _shift(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _days(first: str, after: str) -> list[str]:
    start = date.fromisoformat(first)
    return [_shift(first, days) for days in range((date.fromisoformat(after) - start).days)]
