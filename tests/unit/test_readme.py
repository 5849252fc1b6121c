"""The README's table of rules is the rulebook's, and its example rule runs."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest

from detectors import context, registry, runner
from detectors.base import Rule
from streams.commands.publish import rulebook_text
from streams.commands.rules_table import markdown
from streams.replay import replay

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECORDING = ROOT / "tests" / "oracles" / "handmade" / "12_self_trades"


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_table_of_rules_is_generated() -> None:
    shown = re.search(r"<!-- rules -->\n(.*?)<!-- /rules -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == markdown(rulebook_text(None)), "make rules-table writes it"


def test_the_example_rule_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = [block for block in blocks("python") if "class LargeTrade" in block]
    (entry,) = [block for block in blocks("toml") if "[[instance]]" in block]
    module = types.ModuleType("large_trade")
    monkeypatch.setitem(__import__("sys").modules, "large_trade", module)
    exec(compile(source, "README.md", "exec"), module.__dict__)
    rule: type[Rule] = module.LargeTrade
    monkeypatch.setitem(registry.RULES, rule.name, rule)
    monkeypatch.setitem(registry.PARAMETERS, rule.name, rule.Parameters)
    assert context.RULES is runner.RULES is registry.RULES
    # Where somebody has really added it, the README's entry takes the place of theirs.
    instances = rulebook_text(None).split("[[instance]]\n")
    others = [instance for instance in instances if 'rule = "large_trade"' not in instance]
    result = replay(RECORDING, rulebook_text="[[instance]]\n".join(others) + "\n" + entry, strict=True)
    found = [alert for alert in result.latest().values() if alert.rule == "large_trade"]
    print(f"compared {len(found)} alerts of the example rule")
    assert found
    assert all(float(str(alert.measures["qty"])) >= 0.5 for alert in found)


@pytest.mark.parametrize("target", ["demo", "test", "clean", "rules-table"])
def test_the_commands_it_names_are_there(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
