"""Whose account is it: owners, control groups and roles at a moment. SPEC.md section 2.4.

Two passes: without hindsight a fact is used for time t iff it is valid at t and was recorded at or before t;
with hindsight all facts are known. Among facts of one key valid at t and known, the latest recorded wins, and
a withdrawn one leaves nothing; to shorten a fact's validity, withdraw it for the rest of its time. Facts of
one key recorded together are an error of `reference check`: of registrations affiliated wins, of others the
one with the smallest id, so that the order in which facts arrive decides nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from detectors.control import control_groups, watched
from detectors.standing import ALWAYS, NEVER, F, one, standing
from schemas.decimals import parse
from schemas.reference import (
    Account,
    Affiliation,
    BookSource,
    Defaults,
    Entity,
    Fact,
    FeeSchedule,
    Instrument,
    MmAgreement,
    MmRegistration,
    Phase,
    Role,
    TradingPhase,
    fact_id,
)

KEPT_ANSWERS = 1_000_000
KEPT_GROUPS = 64

Registration = Literal["affiliated", "independent"]


class Party(NamedTuple):
    """Role, owner (owning entity) and control group of an account at a moment; None where unknown."""

    role: Role
    owner: str | None
    grp: str | None


class _Answer(NamedTuple):
    """What is true of an account in an instrument for start <= t < end."""

    start: int
    end: int
    party: Party
    registration: Registration | None


class _Groups(NamedTuple):
    """Control for start <= t < end: entity -> group, and the groups that have an operator."""

    start: int
    end: int
    groups: dict[str, str]
    operators: frozenset[str]


UNKNOWN = Party("unknown", None, None)


class Directory:
    """Look-ups over all facts added so far: pure, and the same whatever the order of the facts.

    An answer is kept with the stretch of time in which it cannot change, so most look-ups are one dictionary
    hit. Dates of an account bound only its own stretches; those of operators and holdings everybody's.
    Not for several threads: `add` belongs to the thread that asks.
    """

    def __init__(self, facts: Iterable[Fact] = (), *, hindsight: bool = False) -> None:
        self.hindsight = hindsight
        self._accounts: dict[str, list[Account]] = {}
        self._registrations: dict[str, list[MmRegistration]] = {}
        self._entities: dict[str, list[Entity]] = {}  # those that are the operator at any time
        self._holdings: dict[tuple[str, str], list[Affiliation]] = {}
        self._defaults: list[Defaults] = []
        self._instruments: dict[str, list[Instrument]] = {}
        self._without_orders: set[str] = set()  # instruments whose book is at any time not told by orders
        self._phases: dict[str, dict[TradingPhase, None]] = {}  # in order; they can be many
        self._agreements: dict[str, list[MmAgreement]] = {}
        self._other_entities: dict[str, list[Entity]] = {}
        self._latest = 0
        self._forget_control()
        self._forget_phases()
        for fact in facts:
            self._store(fact)

    def add(self, fact: Fact) -> None:
        """Learn a fact; the same fact again changes nothing."""
        self._store(fact)
        if isinstance(fact, TradingPhase):
            self._forget_phases()
        elif isinstance(fact, Account | MmRegistration):
            for instrument in self._asked:
                self._answers.pop((fact.account, instrument), None)
        elif isinstance(fact, Affiliation | Entity | Defaults):
            self._forget_control()

    def _forget_control(self) -> None:
        self._answers: dict[tuple[str, str], _Answer] = {}
        self._asked: set[str] = set()  # the instruments in them: never walked where order would matter
        self._control: dict[int, _Groups] = {}
        self._control_breaks: list[int] | None = None

    def _forget_phases(self) -> None:
        self._phase_answers: dict[str, tuple[int, int, Phase]] = {}
        self._phase_breaks: dict[str, list[int]] = {}

    def _store(self, fact: Fact) -> None:
        match fact:
            case Account():
                _append(self._accounts.setdefault(fact.account, []), fact)
            case MmRegistration():
                _append(self._registrations.setdefault(fact.account, []), fact)
            case Affiliation():
                _append(self._holdings.setdefault((fact.parent, fact.child), []), fact)
            case Entity():
                if fact.operator and fact.id not in self._entities:
                    self._entities[fact.id] = self._other_entities.pop(fact.id, [])
                table = self._entities if fact.id in self._entities else self._other_entities
                _append(table.setdefault(fact.id, []), fact)
            case Instrument():
                _append(self._instruments.setdefault(fact.symbol, []), fact)
                if fact.book != "orders":
                    self._without_orders.add(fact.symbol)
            case TradingPhase():
                self._phases.setdefault(fact.instrument, {})[fact] = None
            case MmAgreement():
                _append(self._agreements.setdefault(fact.instrument, []), fact)
            case FeeSchedule():
                pass  # nobody asks yet
            case Defaults():
                _append(self._defaults, fact)
        if fact.recorded_at is not None and fact.recorded_at > self._latest:
            self._latest = fact.recorded_at

    # ---- facts at a moment --------------------------------------------------------------------------

    def _standing(self, facts: Iterable[F], ts: int) -> list[F]:
        """Return which of the facts of one key stand at `ts`, as known in this pass."""
        return standing(facts, ts, ALWAYS if self.hindsight else ts)

    def _moments(self, facts: Iterable[Fact]) -> list[int]:
        """Return the moments at which what stands may change, ascending."""
        moments: set[int | None] = set()
        for fact in facts:
            moments.add(fact.valid_from)
            moments.add(fact.valid_to)
            if not self.hindsight:
                moments.add(fact.recorded_at)
        return sorted(moment for moment in moments if moment is not None)

    # ---- parties ------------------------------------------------------------------------------------

    def party(self, account: str | None, instrument: str, ts: int) -> Party:
        """Return role, owner and group of an account for an instrument at `ts` (ns)."""
        if account is None:
            return UNKNOWN
        answer = self._answers.get((account, instrument))
        if answer is None or not answer.start <= ts < answer.end:
            answer = self._answer(account, instrument, ts)
        return answer.party

    def role(self, account: str | None, instrument: str, ts: int) -> Role:
        """Return the role of an account for an instrument at `ts`."""
        return self.party(account, instrument, ts).role

    def registered(self, account: str | None, instrument: str, ts: int) -> bool:
        """Return True if any registration, affiliated or independent, is in force."""
        if account is None:
            return False
        answer = self._answers.get((account, instrument))
        if answer is None or not answer.start <= ts < answer.end:
            answer = self._answer(account, instrument, ts)
        return answer.registration is not None

    def owner(self, account: str | None, ts: int) -> str | None:
        """Return the owning entity of an account at `ts`, None if it is unknown."""
        if account is None:
            return None
        facts = self._accounts.get(account, [])
        found = self._standing(facts, ts)
        if found:
            return one(found).entity
        if self._unlisted(ts) == "unknown" or self._listed(facts, ts):
            return None
        return f"account:{account}"

    def priority_waiver(self, account: str | None, ts: int) -> bool:
        """Return True if the client has waived priority."""
        found = self._standing(self._accounts.get(account, []), ts) if account is not None else []
        return bool(found) and one(found).priority_waiver

    def _unlisted(self, ts: int) -> str:
        found = self._standing(self._defaults, ts)
        return one(found).unlisted_accounts if found else "unknown"

    def _listed(self, facts: Sequence[Account], ts: int) -> bool:
        """Return True if an account has an owner at any time at all, as known at `ts`."""
        knowledge = ALWAYS if self.hindsight else ts
        starts = {NEVER, *(fact.valid_from for fact in facts), *(fact.valid_to for fact in facts)} - {None}
        return any(standing(facts, start, knowledge) for start in starts if start is not None)

    def _answer(self, account: str, instrument: str, ts: int) -> _Answer:
        """Find, and keep, what is true of an account in an instrument at `ts`, and for how long."""
        control = self._control_at(ts)
        start, end = control.start, control.end
        own = (*self._accounts.get(account, ()), *self._registrations.get(account, ()))
        if own:
            breaks = self._moments(own)
            at = bisect_right(breaks, ts)
            start = max(start, breaks[at - 1]) if at else start
            end = min(end, breaks[at]) if at < len(breaks) else end
        registration = self._registration(account, instrument, ts)
        party = self._party(self.owner(account, ts), registration, control)
        if len(self._answers) >= KEPT_ANSWERS:
            self._answers = {}
            self._asked = set()
        self._asked.add(instrument)
        answer = self._answers[account, instrument] = _Answer(start, end, party, registration)
        return answer

    def _party(self, owner: str | None, registration: Registration | None, control: _Groups) -> Party:
        if owner is None:
            return UNKNOWN
        grp = control.groups.get(owner, owner)
        if grp in control.operators:
            return Party("affiliated_mm" if registration == "affiliated" else "affiliate", owner, grp)
        return Party("market_maker" if registration is not None else "client", owner, grp)

    def _registration(self, account: str, instrument: str, ts: int) -> Registration | None:
        facts = self._registrations.get(account)
        if facts is None:
            return None
        found = [
            fact
            for name in (instrument, "*")
            for fact in self._standing([fact for fact in facts if name in fact.instruments], ts)
        ]
        if not found:
            return None
        return "affiliated" if any(fact.affiliated for fact in found) else "independent"

    # ---- groups -------------------------------------------------------------------------------------

    def _control_at(self, ts: int) -> _Groups:
        """Return control at `ts`. Its stretch ends where entities, holdings or defaults may change."""
        breaks = self._control_breaks
        if breaks is None:
            facts: list[Fact] = list(self._defaults)
            for operators in self._entities.values():
                facts += operators
            for holdings in self._holdings.values():
                facts += holdings
            breaks = self._control_breaks = self._moments(facts)
        at = bisect_right(breaks, ts)
        control = self._control.get(at)
        if control is None:
            ids = self._operators(ts)
            groups = control_groups(self._held(ts), ids)
            if len(self._control) >= KEPT_GROUPS:
                self._control = {}
            control = self._control[at] = _Groups(
                breaks[at - 1] if at else NEVER,
                breaks[at] if at < len(breaks) else ALWAYS,
                groups,
                frozenset(groups.get(entity, entity) for entity in ids),
            )
        return control

    def _operators(self, ts: int) -> list[str]:
        found = (self._standing(facts, ts) for facts in self._entities.values())
        return [fact.id for fact in map(one, filter(None, found)) if fact.operator]

    def _held(self, ts: int) -> list[Affiliation]:
        found = (self._standing(facts, ts) for facts in self._holdings.values())
        return [one(facts) for facts in filter(None, found)]

    def group(self, entity: str, ts: int) -> str:
        """Return the control group of an entity: the operator's id, or else its smallest member's."""
        return self._control_at(ts).groups.get(entity, entity)

    def watched_entities(self, ts: int) -> list[str]:
        """Return the entities outside the operator's group of which a member holds 20 to 50 %, ascending."""
        control = self._control_at(ts)
        return sorted(
            {
                holding.child
                for holding in self._held(ts)
                if watched(holding)
                and control.groups.get(holding.parent, holding.parent) in control.operators
                and control.groups.get(holding.child, holding.child) not in control.operators
            }
        )

    # ---- instruments, phases, agreements ------------------------------------------------------------

    @property
    def lists_instruments(self) -> bool:
        """True if any instrument is listed at any time."""
        return bool(self._instruments)

    def instrument(self, symbol: str, ts: int) -> Instrument | None:
        """Return the instrument as listed at `ts`, or None."""
        found = self._standing(self._instruments.get(symbol, []), ts)
        return one(found) if found else None

    def book_source(self, symbol: str, ts: int) -> BookSource:
        """Return what the record tells of an instrument's book; orders where no fact says otherwise."""
        if symbol not in self._without_orders:
            return "orders"
        listed = self.instrument(symbol, ts)
        return listed.book if listed is not None else "orders"

    def tick_size(self, symbol: str, ts: int) -> int | None:
        """Return the tick size scaled by 10**8, or None if it is unknown."""
        listed = self.instrument(symbol, ts)
        return parse(listed.tick_size) if listed is not None and listed.tick_size is not None else None

    def phase(self, instrument: str, ts: int) -> Phase:
        """Return the trading phase; continuous where no fact says otherwise."""
        facts = self._phases.get(instrument)
        if facts is None:
            return "continuous"
        answer = self._phase_answers.get(instrument)
        if answer is None or not answer[0] <= ts < answer[1]:
            breaks = self._breaks_of_phases(instrument)
            at = bisect_right(breaks, ts)
            start = breaks[at - 1] if at else NEVER
            end = breaks[at] if at < len(breaks) else ALWAYS
            found = self._standing(facts, ts)
            answer = self._phase_answers[instrument] = (
                start,
                end,
                one(found).phase if found else "continuous",
            )
        return answer[2]

    def next_phase_change(self, instrument: str, after_ts: int) -> int | None:
        """Return the first moment after `after_ts` at which the phase may change, or None."""
        if instrument not in self._phases:
            return None
        breaks = self._breaks_of_phases(instrument)
        at = bisect_right(breaks, after_ts)
        return breaks[at] if at < len(breaks) else None

    def _breaks_of_phases(self, instrument: str) -> list[int]:
        breaks = self._phase_breaks.get(instrument)
        if breaks is None:
            breaks = self._phase_breaks[instrument] = self._moments(self._phases[instrument])
        return breaks

    def agreements(self, instrument: str) -> list[MmAgreement]:
        """Return every agreement on the instrument, whenever in force, by id."""
        return sorted(self._agreements.get(instrument, ()), key=lambda fact: (fact.id, fact_id(fact)))

    def agreement_versions(self, instrument: str) -> dict[str, list[MmAgreement]]:
        """Return, by id, all facts on each agreement that ever names the instrument."""
        ids = sorted({fact.id for fact in self._agreements.get(instrument, ())})
        return {
            name: [fact for facts in self._agreements.values() for fact in facts if fact.id == name]
            for name in ids
        }

    def phases(self, instrument: str) -> list[TradingPhase]:
        """Return every fact on the instrument's phases, whenever valid."""
        return list(self._phases.get(instrument, ()))

    def accounts_of(self, entity: str) -> dict[str, list[Account]]:
        """Return the accounts that an entity may own at some time, with all facts on them."""
        found = {
            account: facts
            for account, facts in self._accounts.items()
            if any(fact.entity == entity for fact in facts)
        }
        own = entity.removeprefix("account:")  # unlisted accounts may own themselves
        if own != entity:
            found.setdefault(own, self._accounts.get(own, []))
        return found

    def moments(self, facts: Iterable[Fact]) -> list[int]:
        """Return the moments at which what stands of the facts may change in this pass, ascending."""
        return self._moments(facts)

    def latest_recorded_at(self) -> int:
        """Return the latest `recorded_at` of any fact, 0 if none has one."""
        return self._latest


def _append(facts: list[F], fact: F) -> None:
    if fact not in facts:
        facts.append(fact)
