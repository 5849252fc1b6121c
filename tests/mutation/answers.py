"""The cases, read once: `make mutation` forks a process for each mutant, and each inherits them."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

from scenario import Prepared, cases, prepare

LONG = 1_000  # outputs: days of idle minutes, seconds a run


@lru_cache
def prepared_cases(rule: str) -> list[Prepared]:
    """Return the cases of a rule that are not long, as journal entries, quickest first."""
    found = [case for case in cases() if case.rule == rule and not case.data.get("xfail")]
    with tempfile.TemporaryDirectory() as folder:
        ready = [prepare(case, Path(folder) / str(number)) for number, case in enumerate(found)]
    cost = {one.case.name: len(one.run().outputs) for one in ready}
    return sorted((one for one in ready if cost[one.case.name] < LONG), key=lambda one: len(one.entries))
