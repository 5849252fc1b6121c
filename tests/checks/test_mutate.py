"""What judges mutants (`make mutation`): it notices a changed rule, and lets one live that says the same."""

from __future__ import annotations

import inspect
import textwrap

import pytest
from answers import Check, function_of
from mutate import Mutant, Survivor, run
from scenario import Comparison, Prepared, cases, prepare

from detectors.fairness.self_trade import SelfTrade

PATH, FUNCTION = "detectors/fairness/self_trade.py", "SelfTrade.on_trade"
BEFORE = textwrap.dedent(inspect.getsource(SelfTrade.on_trade)).replace("def on_trade(", "def changed(")
CALLS = frozenset({function_of(PATH, FUNCTION)})


def changed(old: str, new: str) -> Mutant:
    """Return the function with another text in the place of one."""
    assert BEFORE.count(old) == 1, old
    return Mutant(PATH, FUNCTION, "changed", BEFORE, BEFORE.replace(old, new))


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> list[Check]:
    """The rule's cases."""
    folder = tmp_path_factory.mktemp("cases")
    ready = [prepare(case, folder / case.path.stem) for case in cases() if case.rule == "self_trade"]

    def holds(prepared: Prepared) -> bool:
        return not Comparison(prepared.case, prepared.run()).differences

    return [Check(one.case.name, lambda one=one: holds(one), CALLS, 0.1) for one in ready]


def test_what_is_noticed_and_what_is_not(checks: list[Check]) -> None:
    mutants = {
        changed("trade.buy_account is None", "trade.buy_account is not None"): True,
        changed("if found is None or", "raise ValueError\n    if found is None or"): True,
        changed("if found is None or", "while True:\n        pass\n    if found is None or"): True,
        changed("if found is None or", "if None is found or"): False,
    }
    said = dict(run(list(mutants), checks, 2))
    print(f"{len(checks)} cases judged {len(said)} changes")
    assert said == mutants


def test_nothing_judges_what_nothing_calls(checks: list[Check]) -> None:
    mutant = changed("trade.buy_account is None", "trade.buy_account is not None")
    assert dict(run([mutant], [check._replace(calls=frozenset()) for check in checks], 1)) == {mutant: False}


def test_a_survivor_is_told_by_its_lines() -> None:
    mutant = changed("if found is None or", "if None is found or")
    line = next(line.strip() for line in BEFORE.splitlines() if "if found is None or" in line)
    expected = Survivor(mutant.of, line, line.replace("found is None", "None is found"))
    assert mutant.survivor() == expected
