"""A rule that has changed has a new version, or somebody has said that its answers have not changed."""

from __future__ import annotations

import pytest
import rule_versions
from rule_versions import HINT, computes_with, hashes, normalised, read, source_of, versions, written, wrong

from detectors.registry import RULES

SELF_TRADE = "detectors.fairness.self_trade"


def test_no_rule_has_changed_under_an_old_version() -> None:
    now = hashes()
    print(f"compared {len(now)} modules of {len(RULES)} rules with {rule_versions.LOCK.name}")
    assert len(now) > len(RULES)
    lines = wrong(now, read())
    assert not lines, "\n".join([*lines, HINT])


def changed(module: str) -> dict[str, str]:
    """Return the hashes as they would be with a change in one module."""
    return {**hashes(), module: "other"}


def test_a_change_of_a_rule_is_seen_and_says_what_to_do() -> None:
    [line] = wrong(changed(SELF_TRADE), read())
    print(f"{line}: {HINT}")
    assert (
        line == f"self_trade is still version {RULES['self_trade'].version}, and has changed in {SELF_TRADE}"
    )
    assert "make versions" in HINT


def test_a_change_of_what_all_compute_with_is_seen_for_all() -> None:
    for module in ("detectors.book", "detectors.market", "detectors.runner", "schemas.decimals"):
        lines = wrong(changed(module), read())
        print(f"{module}: {len(lines)} rules")
        assert len(lines) == len(RULES)


def test_a_raised_version_is_enough_once_it_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = RULES["self_trade"].version + 1
    monkeypatch.setattr(RULES["self_trade"], "version", raised)
    lock = read()
    [line] = wrong(changed(SELF_TRADE), lock)
    assert line == f"self_trade has its new version {raised}: `make versions` writes it down"
    lock["versions"]["self_trade"], lock["modules"][SELF_TRADE] = raised, "other"
    assert not wrong(changed(SELF_TRADE), lock)


def test_a_new_rule_and_one_that_is_gone_are_seen() -> None:
    lock = read()
    del lock["versions"]["self_trade"]
    lock["versions"]["old"] = 3
    lines = wrong(hashes(), lock)
    assert [line.split(" is ")[0] for line in lines] == ["self_trade", "old"]


def test_every_rule_computes_with_its_modules_and_the_engine() -> None:
    found = computes_with("client_priority")
    print(f"client_priority computes with {len(found)} modules")
    assert {"detectors.priority.disadvantage", "detectors.ledger", "detectors.control"} <= found
    assert not found & {SELF_TRADE, "detectors.registry"}
    assert {RULES[rule].__module__ for rule in RULES} <= hashes().keys()


def test_comments_docstrings_and_layout_do_not_count() -> None:
    one = 'def f(a):\n    """Say."""\n    return a + 1  # one\n'
    other = "def f(\n    a,\n):\n    return (a + 1)\n"
    assert normalised(one) == normalised(other)
    assert normalised(one) != normalised(one.replace("+ 1", "+ 2"))


def test_the_file_is_written_as_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(hashes()) == rule_versions.LOCK.read_text(encoding="utf-8")
    assert set(read()["versions"]) == set(versions())
    assert source_of(SELF_TRADE).startswith('"""')


def test_writing_it_down_is_refused_while_a_version_is_to_be_decided(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rule_versions, "hashes", lambda: changed(SELF_TRADE))
    before = rule_versions.LOCK.read_text(encoding="utf-8")
    assert rule_versions.main(same_answers=False) == 1
    assert rule_versions.LOCK.read_text(encoding="utf-8") == before
    assert HINT in capsys.readouterr().err
