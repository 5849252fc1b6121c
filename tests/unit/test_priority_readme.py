"""detectors/priority/README.md: each example comes out as it says, and so do the base rates."""

from __future__ import annotations

import re
import shlex
from importlib import resources
from pathlib import Path

import pytest
from scenario import Comparison, load, record, run
from typer.testing import CliRunner

from schemas.alerts import Alert
from streams.cli import app

TEXT = resources.files("detectors.priority").joinpath("README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^### \d+\. (.*?)\n(.*?)```toml\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("title", "prose", "case"), EXAMPLES, ids=[title for title, _, _ in EXAMPLES])
def test_an_example_comes_out_as_it_says(title: str, prose: str, case: str, tmp_path: Path) -> None:
    path = tmp_path / "client_priority" / "example.toml"
    path.parent.mkdir()
    path.write_text(case, encoding="utf-8")
    example = load(path)
    record(example, tmp_path / "day")
    outcome = run(example, tmp_path / "day")
    comparison = Comparison(example, outcome)
    assert comparison.compared > 0
    assert comparison.differences == []
    said = {alert.narrative for alert in outcome.alerts() if isinstance(alert, Alert)}
    quoted = {" ".join(line.split()) for line in re.findall(r"^> (.*)$", prose, re.MULTILINE)}
    latest = {alert.alert_id: alert.narrative for alert in outcome.alerts()}
    print(f"{title}: compared {comparison.compared} things and {len(quoted)} sentences with {len(said)}")
    assert quoted == set(latest.values())


def test_there_are_examples_of_both_modes_and_of_an_exemption() -> None:
    assert len(EXAMPLES) >= 7
    assert {"client_priority.price_time", "client_priority.client_first"} <= set(
        re.findall(r'alert = "([^"]+)"', TEXT)
    )
    assert "same_owner_as_counterparty = 1" in TEXT


def test_the_base_rates_are_what_the_commands_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands, answers = re.findall(r"```(?:sh|csv)\n(.*?)```", TEXT, re.DOTALL)
    said = ""
    for command in re.split(r"\n(?=fairbook )", commands.strip()):
        result = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        if " sql " in command:
            said += result.stdout
    print(said)
    assert said.split() == answers.split()
    counts = dict(re.findall(r"client_priority\.(\w+),\d+,(\d+)", said))
    assert counts["price_time"] == "0" and int(counts["client_first"]) > 0
