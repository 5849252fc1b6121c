"""Every case gives exactly the answers it says, however its input is arranged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import scenario
from scenario import (
    ARRANGEMENTS,
    SHARED,
    Case,
    CaseError,
    Comparison,
    Row,
    cases,
    load,
    record,
    rulebooks_read_once,
    run,
    same,
)

from detectors.registry import RULES

CASES = cases()


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


@rulebooks_read_once()
def test_arrival_order_and_arrays_change_nothing(tmp_path: Path) -> None:
    compared = Counter[str]()
    for number, case in enumerate(CASES):
        if not case.orderly:
            continue
        record(case, tmp_path / f"{number}")
        expected = run(case, tmp_path / f"{number}")
        if len(expected.outputs) > 1_000:  # days of idle minutes: seconds a run, and nothing to arrange
            continue
        for name, arrange in ARRANGEMENTS.items():
            folder = tmp_path / f"{number} {name}"
            record(case, folder, arrange)
            assert same(expected, run(case, folder)), f"{case.name}: {name}"
            compared[name] += len(expected.outputs)
    print(f"compared outputs: {dict(compared)}")
    assert compared.keys() == ARRANGEMENTS.keys() and all(compared.values())


def test_every_case_is_of_a_registered_rule() -> None:
    rules = Counter(case.rule for case in CASES)
    print(f"cases: {dict(rules)}")
    assert rules.keys() == RULES.keys()


def test_an_instance_of_a_new_rule_runs_in_its_own_cases_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = "[[instance.parameters]]\nvalid_from = 2026-02-11T00:00:00Z\n"
    entry = f'[[instance]]\nrule = "new"\nname = "new"\n{parameters}'
    before = {case.name: scenario.rulebook_toml(case) for case in CASES if case.rule in SHARED}
    monkeypatch.setattr(scenario, "RULEBOOK", f"{scenario.RULEBOOK}\n{entry}")
    assert {case.name: scenario.rulebook_toml(case) for case in CASES if case.rule in SHARED} == before
    own = replace(CASES[0], path=CASES[0].path.parents[1] / "new" / "case.toml")
    print(f"compared the rulebooks of {len(before)} cases")
    assert before
    assert 'name = "new"\n[[instance.parameters]]\nvalid_from = 2026' in scenario.rulebook_toml(own)


# ---- the comparison itself sees what is wrong -----------------------------------------------------------

HIT = "client_priority/hit_buy"
PRICE_TIME = "client_priority.price_time"
PLANTED: list[tuple[str, Callable[[Row], object]]] = [
    ("a quantity", lambda data: data["then"][0].update(harm="1")),
    ("a measure", lambda data: data["then"][0].update(price="101")),
    ("evidence", lambda data: data["then"][0].update(evidence=[1, 4])),
    ("a status", lambda data: data["then"][0].update(status=["confirmed"])),
    ("a decision's time", lambda data: data["then"][0].update(decided=["2 ms", "3 ms"])),
    ("degraded", lambda data: data["then"][0].update(degraded=True)),
    ("an alert too many", lambda data: data["then"].clear()),
    ("an alert too few", lambda data: data["then"].append(dict(data["then"][0], trade_id="T9"))),
    ("an alert twice", lambda data: data["then"].append(dict(data["then"][0]))),
    ("an outcome", lambda data: data["harm"][0].update(outcome="cured")),
    ("a row too many", lambda data: data["harm"].clear()),
    ("a row too few", lambda data: data["harm"].append(dict(data["harm"][0], order="C9"))),
    ("a day", lambda data: data.update(days=[])),
    ("a minute", lambda data: data.update(minutes=[])),
    ("a refusal", lambda data: data.update(refused={"not_json": 1})),
    ("the rulebook", lambda data: data.update(parameters={PRICE_TIME: {"watched_roles": ["client"]}})),
]


@pytest.mark.parametrize(("what", "change"), PLANTED, ids=[what for what, _ in PLANTED])
def test_a_planted_difference_is_seen(what: str, change: Callable[[Row], object], tmp_path: Path) -> None:
    hit = next(case for case in CASES if case.name == HIT)
    planted = replace(hit, data=deepcopy(hit.data))
    change(planted.data)
    record(planted, tmp_path)
    assert Comparison(planted, run(planted, tmp_path)).differences, what


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('shows = ""\ntests = ""\nkind = ""\ngiven = []', "then"),
        ('shows = ""\ntests = ""\nkind = ""\ngiven = []\nthen = []\nthan = []', "than"),
        ('shows = ""\ntests = ""\nkind = ""\ngiven = [{ at = "1 s" }]\nthen = []', "expected one of"),
        (
            'shows = ""\ntests = ""\nkind = ""\ngiven = [{ new = "C1", at = "1 sec" }]\nthen = []',
            "a time like",
        ),
        ("shows = ", "Invalid value"),
    ],
)
def test_a_case_that_is_not_well_written_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaseError, match=said):
        load(path)
