"""Every check of the battery for every registered rule; and each check sees a violation that is planted.

Start here to see what is asked of a rule. The checks are in battery.py, the rules that break them in
planted_rules.py, what is asked of a rule's version in rule_versions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import battery
import planted_rules
import pytest
from battery import CHECKS, MARKETS, OF_MARKETS, Material, material, planted
from scenario import cases, rulebooks_read_once
from stages import detecting

from detectors.base import Rule
from detectors.registry import RULES
from detectors.sequence import Sequence, Verdict
from streams.detect_worker import DetectPartition

# Of every rule. A bust is shown for those that rest on no fill, too: that it changes nothing.
KINDS = ("hit buy", "hit sell", "quiet", "late", "bad input", "bust")


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Read each rulebook once."""
    with rulebooks_read_once():
        yield


def said(name: str, rule: str, compared: int) -> None:
    """Print what a check compared; nothing is a failure."""
    print(f"{rule}, {name}: compared {compared:,}")
    assert compared > 0


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_passes_every_check(rule: str, name: str) -> None:
    said(name, rule, CHECKS[name](material(rule)))


@pytest.mark.parametrize("check", OF_MARKETS, ids=lambda check: check.__name__)
def test_so_do_generated_markets(check: Callable[[Material], int]) -> None:
    said(check.__name__, MARKETS, check(material(MARKETS)))


# ---- scenarios of each kind -------------------------------------------------------------------------------


def required() -> list[tuple[str, str]]:
    """Return the kinds of case each registered rule must have: those of all, and a near miss a parameter."""
    found = []
    for name, rule in sorted(RULES.items()):
        kinds = [*KINDS, *(f"near {parameter}" for parameter in rule.Parameters.__struct_fields__)]
        found += [(name, kind) for kind in kinds]
    return found


def missing() -> list[tuple[str, str]]:
    """Return the kinds of case that are required and not there."""
    there = {(case.rule, kind) for case in cases() for kind in case.kinds}
    return [one for one in required() if one not in there]


def test_each_rule_has_each_kind_of_case() -> None:
    print(f"{len(required())} kinds of {len(RULES)} rules required")
    assert len(required()) >= len(KINDS) * len(RULES) > 0
    assert not missing(), "expected under tests/scenarios/<rule>/ a case of each of these kinds"


def test_a_rule_without_cases_is_seen() -> None:
    with planted(planted_rules.TakesAnyParameter):
        assert missing() == [("planted", kind) for kind in (*KINDS, "near window")]


# ---- planted violations -----------------------------------------------------------------------------------

PLANTED: list[tuple[Callable[[Material], int], type[Rule]]] = [
    (battery.input_is_not_changed, planted_rules.ChangesItsInput),
    (battery.state_survives_at_every_event, planted_rules.RemembersOutsideItsState),
    (battery.crashes_lose_and_invent_nothing, planted_rules.RemembersOutsideItsState),
    (battery.instruments_are_independent, planted_rules.RemembersOutsideItsState),
    (battery.instances_are_independent, planted_rules.SharesWhatItKnows),
    (battery.hash_seeds_change_nothing, planted_rules.DependsOnHashes),
    (battery.partition_counts_change_nothing, planted_rules.RemembersOutsideItsState),
    (battery.unknown_parameters_are_refused, planted_rules.TakesAnyParameter),
    (battery.evidence_is_input, planted_rules.InventsEvidence),
    (battery.state_is_bounded, planted_rules.RemembersAll),
]


@pytest.mark.parametrize(("check", "rule"), PLANTED, ids=lambda one: one.__name__)
def test_a_planted_rule_is_caught(check: Callable[[Material], int], rule: type[Rule]) -> None:
    with planted(rule) as bad, pytest.raises(AssertionError) as caught:
        check(bad)
    print(f"{check.__name__} says: {caught.value}")


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_rule_is_not_caught(name: str) -> None:
    with planted(planted_rules.Good) as good:
        said(name, "planted", CHECKS[name](good))


def test_duplicates_that_count_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    classify = Sequence.classify

    def late(sequence: Sequence, seq: int) -> Verdict:
        verdict = classify(sequence, seq)
        return Verdict.LATE if verdict is Verdict.REPEAT else verdict

    monkeypatch.setattr(Sequence, "classify", late)
    with pytest.raises(AssertionError, match="duplicates count"):
        battery.duplicates_are_ignored(material("self_trade"))


@pytest.mark.parametrize("lost", ["alerts", "state", "what was said"])
def test_a_stage_that_loses_in_a_crash_is_caught(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    restored = DetectPartition.restored.__func__

    def forgetful(cls: type[DetectPartition], number: int, data: bytes) -> DetectPartition:
        part = restored(cls, number, data)
        if lost == "state":
            part.runner._markets.clear()
        elif lost == "what was said":
            part.ends = dict.fromkeys(part.ends, 1 << 40)
        return part

    monkeypatch.setattr(DetectPartition, "restored", classmethod(forgetful))
    if lost == "alerts":  # the snapshot is written before they are sent
        monkeypatch.setattr(battery, "detecting", partial(detecting, forgetful=True))
    with pytest.raises(AssertionError):
        battery.crashes_lose_and_invent_nothing(material("self_trade"))
