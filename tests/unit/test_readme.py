"""The README's table of rules is the rulebook's, and the commands that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.commands.publish import rulebook_text
from streams.commands.rules_table import markdown

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_rules_is_generated() -> None:
    shown = re.search(r"<!-- rules -->\n(.*?)<!-- /rules -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == markdown(rulebook_text(None)), "make rules-table writes it"


@pytest.mark.parametrize("target", ["demo", "test", "clean"])
def test_the_commands_it_names_are_there(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
