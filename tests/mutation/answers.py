"""What judges a mutant, read once: `make mutation` forks a process for each, and each inherits this."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from markets import market
from scenario import RULEBOOK, Prepared, cases, prepare

from detectors.runner import Runner
from schemas import codec
from schemas.journal import Entry
from streams import reference_data
from streams.replay import journal

LONG = 1_000  # outputs: days of idle minutes, seconds a run; only for what the others let live
EVERYTHING = os.environ.get("FAIRBOOK_MUTATION") == "long"
SEEDS = range(100)  # those of test_agreement.py


@lru_cache
def prepared_cases(rule: str) -> list[Prepared]:
    """Return the cases of a rule as journal entries, quickest first."""
    found = [case for case in cases() if case.rule == rule and not case.data.get("xfail")]
    with tempfile.TemporaryDirectory() as folder:
        ready = [prepare(case, Path(folder) / str(number)) for number, case in enumerate(found)]
    cost = {one.case.name: len(one.run().outputs) for one in ready}
    chosen = [one for one in ready if EVERYTHING or cost[one.case.name] < LONG]
    return sorted(chosen, key=lambda one: (cost[one.case.name] >= LONG, len(one.entries)))


@lru_cache
def markets() -> list[tuple[list[Entry], list[bytes]]]:
    """Return generated markets, and what the rules as they are publish of them: as the oracles say."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for seed in SEEDS:
            place = market(seed, instruments=1 + seed % 2).write(Path(folder) / str(seed))
            facts = reference_data.load(place / "reference.toml")
            found.append(list(journal(place, facts, RULEBOOK)))
    return [(entries, answers(entries)) for entries in found]


def answers(entries: list[Entry]) -> list[bytes]:
    """Return what is published for a journal, in order."""
    runner = Runner(strict=True)
    return [codec.canonical(output) for entry in entries for output in runner.apply(entry)]
