"""What judges a mutant: every case, as written by hand; and generated markets, as they come out without it.

For `make mutation`; README.md says how. The markets' answers are those of independent oracles, fact by fact:
tests/checks/test_agreement.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from answers import EVERYTHING, answers, markets, prepared_cases
from scenario import Comparison
from test_client_priority_memory import test_a_short_memory_gives_the_same_answers as short_memory

from detectors.registry import RULES


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_case_comes_out_as_written(rule: str) -> None:
    compared = 0
    for prepared in prepared_cases(rule):
        comparison = Comparison(prepared.case, prepared.run())
        assert not comparison.differences, f"{prepared.case.name}: {comparison.differences}"
        compared += comparison.compared
    print(f"{rule}: compared {compared} things")
    assert compared > 0


def test_generated_markets_come_out_as_the_oracles_say() -> None:
    compared = 0
    for entries, expected in markets():
        assert answers(entries) == expected
        compared += len(expected)
    print(f"compared {compared} outputs")
    assert compared > 0


@pytest.mark.skipif(not EVERYTHING, reason="takes seconds: for what all else lets live")
def test_a_short_memory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for totals in (100, 1):
        short_memory(totals, tmp_path / str(totals), monkeypatch)
