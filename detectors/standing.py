"""Which of several facts counts at a moment, for one who knows what was recorded by then. SPEC.md 2.4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from schemas.reference import (
    Account,
    Affiliation,
    Defaults,
    Entity,
    FeeSchedule,
    Instrument,
    MmAgreement,
    MmRegistration,
    TradingPhase,
    fact_id,
)

NEVER = -(1 << 63)  # before every time a fact or a record can have
ALWAYS = 1 << 63  # after every such time

F = TypeVar(
    "F",
    Account,
    Affiliation,
    Defaults,
    Entity,
    FeeSchedule,
    Instrument,
    MmAgreement,
    MmRegistration,
    TradingPhase,
)


def standing(facts: Iterable[F], ts: int, knowledge: int) -> list[F]:
    """Return which facts of one key stand at `ts` for one who knows what was recorded up to `knowledge` (ns).

    None, one, or several if they were recorded together.
    """
    latest = NEVER
    found: list[F] = []
    for fact in facts:
        if fact.valid_from is not None and ts < fact.valid_from:
            continue
        if fact.valid_to is not None and ts >= fact.valid_to:
            continue
        recorded = NEVER if fact.recorded_at is None else fact.recorded_at
        if recorded > knowledge or recorded < latest:
            continue
        if recorded > latest:
            latest, found = recorded, []
        found.append(fact)
    return [fact for fact in found if not fact.withdrawn]


def one(facts: Sequence[F]) -> F:
    """Return the fact that counts of those recorded together: the smallest id."""
    return facts[0] if len(facts) == 1 else min(facts, key=fact_id)
