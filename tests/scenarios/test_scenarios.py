"""Every case, in every arrangement of its input, gives exactly the answers it says; every rule has its cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenario import ARRANGEMENTS, Case, CaseError, Comparison, cases, load, record, run, same

from detectors.base import overridden
from detectors.registry import RULES

CASES = cases()
# A bust takes something back, or a rule says why not: these have no fill in their answers.
NO_BUST: dict[str, str] = {}
# No `bust` hook and nothing that rests on a fill, but a bust must be shown to change nothing all the same.


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """Each case; one that waits for a correction of the code must fail until it comes."""
    if reason := request.param.data.get("xfail"):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    yield request.param


def test_it_comes_out_as_written(case: Case, tmp_path: Path) -> None:
    record(case, tmp_path)
    comparison = Comparison(case, run(case, tmp_path))
    print(f"{case.name}: compared {comparison.compared} things")
    assert comparison.compared > 0
    assert not comparison.differences, "\n".join(comparison.differences)


def test_arrival_order_and_arrays_change_nothing(tmp_path: Path) -> None:
    compared = Counter[str]()
    for number, case in enumerate(CASES):
        if not case.orderly:
            continue
        record(case, tmp_path / f"{number}")
        expected = run(case, tmp_path / f"{number}")
        for name, arrange in ARRANGEMENTS.items():
            folder = tmp_path / f"{number} {name}"
            record(case, folder, arrange)
            assert same(expected, run(case, folder)), f"{case.name}: {name}"
            compared[name] += len(expected.outputs)
    print(f"compared outputs: {dict(compared)}")
    assert compared.keys() == ARRANGEMENTS.keys() and all(compared.values())


def required() -> list[tuple[str, str]]:
    """Return the kinds of case each registered rule must have."""
    found = []
    for name, rule in sorted(RULES.items()):
        kinds = ["hit buy", "hit sell", "quiet", "late", "bad input", "bust"]
        kinds += [f"near {parameter}" for parameter in rule.Parameters.__struct_fields__]
        found += [(name, kind) for kind in kinds]
    return found


@pytest.mark.parametrize(("rule", "kind"), required())
def test_each_rule_has_each_kind_of_case(rule: str, kind: str) -> None:
    found = [case.name for case in CASES if case.rule == rule and kind in case.kinds]
    print(f"{rule}, {kind}: {len(found)} cases")
    assert found, f"expected a case of kind {kind!r} under tests/scenarios/{rule}/"


def test_a_rule_without_cases_would_be_seen() -> None:
    rules = {case.rule for case in CASES}
    assert rules == RULES.keys()
    assert len(required()) > 6 * len(RULES)


# ---- the comparison itself sees what is wrong -------------------------------------------------------------

HIT = "client_priority/hit_buy"


def planted(tmp_path: Path, old: str, new: str) -> Comparison:
    """Run the hit with one thing in its expectation changed."""
    source = next(case for case in CASES if case.name == HIT).path.read_text(encoding="utf-8")
    assert old in source
    path = tmp_path / "client_priority" / "planted.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source.replace(old, new, 1), encoding="utf-8")
    changed = load(path)
    record(changed, tmp_path / "recording")
    return Comparison(changed, run(changed, tmp_path / "recording"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('harm = "2", evidence', 'harm = "1", evidence'),
        ("evidence = [1, 2, 4]", "evidence = [1, 4]"),
        ('status = ["provisional", "confirmed"]', 'status = ["confirmed"]'),
        ("harm = [", "harm = []\nignored = ["),
        ("then = [", "then = []\nignored = ["),
        ('outcome = "harmed"', 'outcome = "cured"'),
    ],
)
def test_a_wrong_expectation_is_seen(tmp_path: Path, old: str, new: str) -> None:
    if "ignored" in new:
        with pytest.raises(CaseError, match="unknown keys"):
            planted(tmp_path, old, new)
        new = new.replace("ignored", "[unused]\nrows") if False else new
        return
    assert planted(tmp_path, old, new).differences


def test_hooks_are_looked_at() -> None:
    rules = [rule for rule in RULES.values() if rule.on_trade is not None]
    assert rules and callable(overridden)
