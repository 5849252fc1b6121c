"""Whose account is it: owners, control groups and roles at a moment. SPEC.md section 2.4.

Two passes: without hindsight a fact is used for time t iff it is valid at t and was recorded at or before t;
with hindsight all facts are known. Among facts of one key valid at t and known, the latest recorded wins, and
a withdrawn one leaves nothing; to shorten a fact's validity, withdraw it for the rest of its time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from schemas.decimals import parse
from schemas.reference import (
    Account,
    Affiliation,
    Defaults,
    Entity,
    Fact,
    Instrument,
    MmAgreement,
    MmRegistration,
    Phase,
    Role,
    TradingPhase,
    fact_key,
)

CONTROL = parse("50")
WATCHED = parse("20")
NEVER = -(1 << 62)


class Party(NamedTuple):
    """Role, owner (owning entity) and control group of an account at a moment; None where unknown."""

    role: Role
    owner: str | None
    grp: str | None


UNKNOWN = Party("unknown", None, None)


class Directory:
    """Look-ups over all facts added so far; cached between the moments at which any answer can change."""

    def __init__(self, facts: Iterable[Fact] = (), *, hindsight: bool = False) -> None:
        self.hindsight = hindsight
        self._by_key: dict[tuple[str, ...], list[Fact]] = {}
        self._registrations: dict[str, set[tuple[str, ...]]] = {}
        self._moments: set[int] = set()
        self._breaks: list[int] = []
        self._parties: dict[tuple[str, str, int], Party] = {}
        self._groups: dict[int, dict[str, str]] = {}
        self._phase_breaks: dict[str, list[int]] = {}
        self._edges: dict[tuple[str, ...], None] = {}
        for fact in facts:
            self._store(fact)
        self._breaks = sorted(self._moments)

    def add(self, fact: Fact) -> None:
        """Learn a fact; what was answered before stays answered."""
        self._store(fact)
        self._breaks = sorted(self._moments)
        self._parties.clear()
        self._groups.clear()

    def _store(self, fact: Fact) -> None:
        key = fact_key(fact)
        self._by_key.setdefault(key, []).append(fact)
        moments = [moment for moment in (fact.valid_from, fact.valid_to) if moment is not None]
        if fact.recorded_at is not None and not self.hindsight:
            moments.append(fact.recorded_at)
        if isinstance(fact, TradingPhase):
            breaks = self._phase_breaks.setdefault(fact.instrument, [])
            self._phase_breaks[fact.instrument] = sorted({*breaks, *moments})
        else:
            self._moments.update(moments)
        if isinstance(fact, MmRegistration):
            self._registrations.setdefault(fact.account, set()).add(key)
        elif isinstance(fact, Affiliation | Entity):
            self._edges[key] = None

    # ---- facts at a moment --------------------------------------------------------------------------

    def _known(self, fact: Fact, ts: int) -> bool:
        return self.hindsight or fact.recorded_at is None or fact.recorded_at <= ts

    def _at(self, key: tuple[str, ...], ts: int) -> list[Fact]:
        """Return the facts of a key in force at `ts` as known then: one, several recorded together, or none."""
        latest = NEVER
        chosen: list[Fact] = []
        for fact in self._by_key.get(key, ()):
            if (fact.valid_from is not None and ts < fact.valid_from) or (
                fact.valid_to is not None and ts >= fact.valid_to
            ):
                continue
            if not self._known(fact, ts):
                continue
            recorded = NEVER if fact.recorded_at is None else fact.recorded_at
            if recorded > latest:
                latest, chosen = recorded, [fact]
            elif recorded == latest:
                chosen.append(fact)
        return [fact for fact in chosen if not fact.withdrawn]

    # ---- parties ------------------------------------------------------------------------------------

    def party(self, account: str | None, instrument: str, ts: int) -> Party:
        """Return role, owner and group of an account for an instrument at `ts`."""
        if account is None:
            return UNKNOWN
        era = bisect_right(self._breaks, ts)
        key = (account, instrument, era)
        party = self._parties.get(key)
        if party is None:
            if len(self._parties) > 500_000:
                self._parties.clear()
            party = self._parties[key] = self._find_party(account, instrument, ts, era)
        return party

    def role(self, account: str | None, instrument: str, ts: int) -> Role:
        """Return the role of an account for an instrument at `ts`."""
        return self.party(account, instrument, ts).role

    def owner(self, account: str, ts: int) -> str | None:
        """Return the owning entity of an account at `ts`, None if it is unknown."""
        for fact in self._at(("accounts", account), ts):
            assert isinstance(fact, Account)
            return fact.entity
        listed = any(self._known(fact, ts) for fact in self._by_key.get(("accounts", account), ()))
        if listed or self._unlisted(ts) == "unknown":
            return None
        return f"account:{account}"

    def _unlisted(self, ts: int) -> str:
        for fact in self._at(("defaults",), ts):
            assert isinstance(fact, Defaults)
            return fact.unlisted_accounts
        return "unknown"

    def _find_party(self, account: str, instrument: str, ts: int, era: int) -> Party:
        owner = self.owner(account, ts)
        if owner is None:
            return UNKNOWN
        grp = self._group(owner, ts, era)
        registration = self._registration(account, instrument, ts)
        operator = self._operator(ts)
        if operator is not None and grp == self._group(operator, ts, era):
            return Party("affiliated_mm" if registration == "affiliated" else "affiliate", owner, grp)
        return Party("market_maker" if registration else "client", owner, grp)

    def _registration(self, account: str, instrument: str, ts: int) -> str | None:
        found: str | None = None
        for key in self._registrations.get(account, ()):
            for fact in self._at(key, ts):
                assert isinstance(fact, MmRegistration)
                if "*" in fact.instruments or instrument in fact.instruments:
                    if fact.affiliated:
                        return "affiliated"
                    found = "independent"
        return found

    def registered(self, account: str, instrument: str, ts: int) -> bool:
        """Return True if any registration, affiliated or independent, is in force."""
        return self._registration(account, instrument, ts) is not None

    def priority_waiver(self, account: str | None, ts: int) -> bool:
        """Return True if the client has waived priority."""
        facts = self._at(("accounts", account), ts) if account is not None else []
        return any(isinstance(fact, Account) and fact.priority_waiver for fact in facts)

    # ---- groups -------------------------------------------------------------------------------------

    def _operator(self, ts: int) -> str | None:
        operators = [
            fact.id
            for key in self._edges
            if key[0] == "entities"
            for fact in self._at(key, ts)
            if isinstance(fact, Entity) and fact.operator
        ]
        return min(operators) if operators else None

    def group(self, entity: str, ts: int) -> str:
        """Return the control group of an entity: the operator's id, or else the smallest member's."""
        return self._group(entity, ts, bisect_right(self._breaks, ts))

    def _group(self, entity: str, ts: int, era: int) -> str:
        groups = self._groups.get(era)
        if groups is None:
            groups = self._groups[era] = self._closure(ts)
        return groups.get(entity, entity)

    def _closure(self, ts: int) -> dict[str, str]:
        """Join entities over control edges in force, through any number of steps and across cycles."""
        root: dict[str, str] = {}

        def find(entity: str) -> str:
            while root.setdefault(entity, entity) != entity:
                root[entity] = entity = root[root[entity]]
            return entity

        for fact in self._holdings(ts):
            if fact.control or (fact.control_pct is not None and parse(fact.control_pct) > CONTROL):
                root[find(fact.parent)] = find(fact.child)
        members: dict[str, list[str]] = {}
        for entity in list(root):
            members.setdefault(find(entity), []).append(entity)
        operator = self._operator(ts)
        return {
            entity: operator if operator is not None and operator in group else min(group)
            for group in members.values()
            for entity in group
        }

    def _holdings(self, ts: int) -> list[Affiliation]:
        return [
            fact
            for key in self._edges
            if key[0] == "affiliations"
            for fact in self._at(key, ts)
            if isinstance(fact, Affiliation)
        ]

    def watched_entities(self, ts: int) -> list[str]:
        """Return entities held at 20 to 50 % by a member of the operator's group, without control."""
        operator = self._operator(ts)
        return sorted(
            fact.child
            for fact in self._holdings(ts)
            if operator is not None
            and self.group(fact.parent, ts) == self.group(operator, ts)
            and not fact.control
            and fact.control_pct is not None
            and WATCHED <= parse(fact.control_pct) <= CONTROL
        )

    # ---- instruments, phases, the rest --------------------------------------------------------------

    def instrument(self, symbol: str, ts: int) -> Instrument | None:
        """Return the instrument as listed at `ts`, or None."""
        for fact in self._at(("instruments", symbol), ts):
            assert isinstance(fact, Instrument)
            return fact
        return None

    def tick_size(self, symbol: str, ts: int) -> int | None:
        """Return the tick size scaled by 10**8, or None if it is unknown."""
        listed = self.instrument(symbol, ts)
        return parse(listed.tick_size) if listed is not None and listed.tick_size is not None else None

    def phase(self, instrument: str, ts: int) -> Phase:
        """Return the trading phase; continuous where no fact says otherwise."""
        if instrument not in self._phase_breaks:
            return "continuous"
        for fact in self._at(("trading_phases", instrument), ts):
            assert isinstance(fact, TradingPhase)
            return fact.phase
        return "continuous"

    def next_phase_change(self, instrument: str, after_ts: int) -> int | None:
        """Return the first moment after `after_ts` at which the phase may change, or None."""
        breaks = self._phase_breaks.get(instrument)
        if not breaks:
            return None
        at = bisect_right(breaks, after_ts)
        return breaks[at] if at < len(breaks) else None

    def agreements(self, instrument: str) -> list[MmAgreement]:
        """Return every agreement on the instrument, whenever in force."""
        return [
            fact
            for facts in self._by_key.values()
            for fact in facts
            if isinstance(fact, MmAgreement) and fact.instrument == instrument
        ]

    def latest_recorded_at(self) -> int:
        """Return the latest `recorded_at` of any fact, 0 if none has one."""
        return max(
            (fact.recorded_at or 0 for facts in self._by_key.values() for fact in facts), default=0
        )
