"""The check of conditions itself; and no condition of the smallest rule is without a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conditions import changes, explained, prepared_cases, rulebooks_read_once, source_of, survivors
from scenario import cases

SELF_TRADE = "detectors.fairness.self_trade"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Read each rulebook once."""
    with rulebooks_read_once():
        yield


# The larger rules: `make conditions`.
@pytest.mark.parametrize("rule", ["self_trade"])
def test_no_condition_is_without_a_scenario(rule: str, tmp_path: Path) -> None:
    count, left = survivors(rule, prepared_cases(rule, cases(), tmp_path))
    unexplained = [str(change) for change in left if change.key not in explained()]
    print(f"{rule}: changed {count} conditions, {len(left)} survive, {len(unexplained)} unexplained")
    assert count > 20
    assert not unexplained, "\n".join(unexplained)


def test_a_planted_condition_without_a_scenario_is_seen(tmp_path: Path) -> None:
    source = source_of(SELF_TRADE)
    planted = source.replace("if kind is None:", "if kind is None or trade.qty == 777:")
    assert planted != source
    _, left = survivors("self_trade", prepared_cases("self_trade", cases(), tmp_path), {SELF_TRADE: planted})
    assert any("777" in change.before for change in left)


def test_a_condition_is_changed_in_each_way() -> None:
    source = """
def f(a, b):
    if a < b and not a:
        return min(a, b)
    return [x for x in b if x] if a else (a or 0)
"""
    said = {(change.before, change.after) for change in changes("m", source)}
    assert said == {
        ("a < b", "a <= b"),
        ("a < b", "a >= b"),
        ("a < b and (not a)", "True and (not a)"),
        ("a < b and (not a)", "a < b and True"),
        ("a < b and (not a)", "True"),
        ("a < b and (not a)", "False"),
        ("min(a, b)", "min([a])"),
        ("min(a, b)", "min([b])"),
        ("x", "True"),
        ("a", "True"),
        ("a", "False"),
    }
