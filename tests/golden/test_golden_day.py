"""A day that is kept with its answers: whatever changes in the code, these stay as they are, to the byte.

A change that is meant to change answers renews them (`renew.py`) and shows in the diff what it changes.
"""

from __future__ import annotations

from pathlib import Path

from renew import ALERTS, METRICS, STATE, Answers, Landing, answers

from detectors.runner import Runner
from schemas.alerts import Alert
from streams import history
from streams.lake import landed

KEPT = Answers(ALERTS.read_bytes(), METRICS.read_bytes(), STATE.read_bytes())


def same(found: Answers, kept: Answers = KEPT) -> int:
    """Compare alerts and metrics line by line and the state; return how many were compared."""
    for what, ours, theirs in zip(Answers._fields, found, kept, strict=True):
        for number, (one, other) in enumerate(zip(ours.splitlines(), theirs.splitlines(), strict=True)):
            assert one == other, f"{what}, line {number + 1}"
    count = len(kept.alerts.splitlines()) + len(kept.metrics.splitlines()) + 1
    print(f"{count} answers compared, byte for byte")
    return count


def test_the_answers_are_the_kept_ones_and_a_replay_of_the_landed_journal_gives_them_again(
    tmp_path: Path,
) -> None:
    assert same(answers(tmp_path / "lake")) > 100
    sink, runner = Landing(), Runner(strict=True)
    for position, entry in landed.entries(tmp_path / "lake", 0):
        for output in runner.apply(entry):
            sink.output(position, output)
    assert same(sink.answers(runner)) > 100
    checked = history.check(tmp_path / "lake", tmp_path / "scratch")
    assert all(not (one.only_landed or one.only_replayed or one.ahead) for one in checked)
    assert min(one.same for one in checked) > 0, checked


def test_every_rule_has_an_answer_in_it(tmp_path: Path) -> None:
    found = [output for _, output in history.outputs(_landed(tmp_path)) if isinstance(output, Alert)]
    rules = {alert.rule for alert in found}
    print(f"{len(found)} alert revisions of {sorted(rules)}")
    runner = Runner()
    runner._use((ALERTS.parent / "rulebook.toml").read_text(encoding="utf-8"))
    assert runner._context is not None
    assert rules == {rule.name for rule in runner._context.rules}


def _landed(folder: Path) -> Path:
    answers(folder / "lake")
    return folder / "lake"
