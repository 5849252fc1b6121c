"""CONTRIBUTING.md word for word: its rule runs, its source becomes a command that says what it should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import detectors
import schemas
import streams
from detectors import context, registry, runner
from detectors.base import Rule
from streams.commands.publish import rulebook_text
from streams.replay import replay
from streams.settings import resource

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECORDING = ROOT / "tests" / "oracles" / "handmade" / "12_self_trades"


def block(language: str, words: str = "") -> str:
    """Return the one code block of a language that has these words."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) if words in text]
    return str(found)


def test_the_example_rule_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    source, entry = block("python", "class LargeTrade"), block("toml", "[[instance]]")
    module = types.ModuleType("large_trade")
    monkeypatch.setitem(sys.modules, "large_trade", module)
    exec(compile(source, "CONTRIBUTING.md", "exec"), module.__dict__)
    rule: type[Rule] = module.LargeTrade
    monkeypatch.setitem(registry.RULES, rule.name, rule)
    monkeypatch.setitem(registry.PARAMETERS, rule.name, rule.Parameters)
    assert context.RULES is runner.RULES is registry.RULES
    # Where somebody has really added it, this entry takes the place of theirs.
    instances = rulebook_text(None).split("[[instance]]\n")
    others = [instance for instance in instances if 'rule = "large_trade"' not in instance]
    result = replay(RECORDING, rulebook_text="[[instance]]\n".join(others) + "\n" + entry, strict=True)
    found = [alert for alert in result.latest().values() if alert.rule == "large_trade"]
    print(f"compared {len(found)} alerts of the example rule")
    assert found
    assert all(float(str(alert.measures["qty"])) >= 0.5 for alert in found)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The programs with the example's source in them, and its day."""
    for package in (schemas, detectors, streams):
        folder = Path(str(package.__file__)).parent
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    infra = resource("infra")
    if infra.parent.name != "streams":  # of a wheel it lies inside
        shutil.copytree(infra, tmp_path / infra.name)
    (tmp_path / "streams/sources/prints.py").write_text(block("python", "class PrintsError"))
    with (tmp_path / "streams/commands/publish.py").open("a") as file:
        file.write(f"\n\n{block('python', 'def ingest_prints')}")
    (tmp_path / "day.csv").write_text(block("csv"))
    command = tmp_path / "bin" / "fairbook"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m streams.cli "$@"\n')
    command.chmod(0o755)
    return tmp_path


def sh(copy: Path, line: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{copy / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(copy)}
    return subprocess.run(
        ["sh", "-c", line], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def test_the_example_source_becomes_a_command(copy: Path) -> None:
    lines = block("sh", "ingest prints").splitlines()
    said = dict(zip(lines, (sh(copy, line) for line in lines), strict=True))
    for line, told in said.items():
        assert "Traceback" not in told.stderr, told.stderr
        assert told.returncode == (1 if "status 1" in line else 0), (line, told.stdout, told.stderr)
    ingested, checked, _replayed, alerts, quality = said.values()
    assert "6 records of prints written to day" in ingested.stderr
    assert "note: the venue numbers nothing" in ingested.stderr
    assert checked.stdout.count("error") >= 1 and "'one'" in checked.stdout
    assert "self_trade" in alerts.stdout
    assert "assigned_sequence" in quality.stdout and "gap" in quality.stdout
    print(f"ran {len(said)} lines")


def test_the_example_source_refuses_what_is_none(copy: Path) -> None:
    (copy / "other.csv").write_text("time,symbol\n1,ABC-USD\n")
    told = sh(copy, "fairbook ingest prints other.csv --to other")
    assert told.returncode == 1
    assert told.stderr.startswith("fairbook: other.csv:1: expected the columns ['time_ns', ")
    (copy / "other.csv").write_text(block("csv") + "1,2\n")
    told = sh(copy, "fairbook ingest prints other.csv --to other")
    assert told.stderr.startswith("fairbook: other.csv:8: expected 8 values, got ['1', '2', None")


def test_the_example_source_is_as_clean_as_ours(copy: Path) -> None:
    for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--strict"]):
        shutil.copy(ROOT / "pyproject.toml", copy)
        command = [Path(sys.executable).parent / tool[0], *tool[1:], "streams/sources/prints.py"]
        told = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr


def test_the_commands_it_names_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {
        name for line in re.findall(r"`make ([^`\"]+)", TEXT) for name in line.split() if "=" not in name
    }
    assert named == {"test", "lint", "types", "unit", "rules-table", "versions"}
    for name in named:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name
