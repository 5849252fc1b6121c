"""`fairbook rules`: the rulebook as a table, for people and for the README."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any, get_type_hints

from rich.console import Console
from rich.table import Table

from detectors.parameters import Unit
from detectors.registry import PARAMETERS, RULES
from detectors.rulebook import Rulebook, Version
from detectors.trading_day import nanoseconds


def show(text: str, console: Console, at: datetime | None = None) -> None:
    """Print every instance with its parameters; `at` (UTC): only those in force then."""
    rulebook = Rulebook.parse(text, PARAMETERS)
    moment = None if at is None else nanoseconds(at.replace(tzinfo=UTC))
    for instance in rulebook.instances:
        off = "" if instance.enabled else " (off)"
        version = RULES[instance.rule].version
        console.print(
            f"[bold]{instance.name}[/bold]{off}  [dim]rule {instance.rule}, version {version}[/dim]"
        )
        grid = Table.grid(padding=(0, 1))
        grid.add_row("  asks", title(instance.rule))
        for dated in instance.versions:
            if moment is None or _holds(dated, moment):
                grid.add_row(
                    f"  {_dates(dated)}", ", ".join(_values(dated.parameters)) or "no parameters: exact"
                )
        grid.add_row(f"  {instance.provenance}", instance.reference)
        console.print(grid, highlight=False)
        console.print()
    console.print(f"venue: {', '.join(_values(rulebook.venue))}", highlight=False)
    console.print(f"rulebook {rulebook.digest}", highlight=False, style="dim")


def title(rule: str) -> str:
    """Return the question a rule answers: the first line of its module."""
    module = inspect.getmodule(RULES[rule])
    return (inspect.getdoc(module) or "").splitlines()[0]


def markdown(text: str) -> str:
    """Return the README's table of rules."""
    lines = ["| instance | what it asks | parameters | provenance |", "|---|---|---|---|"]
    for instance in Rulebook.parse(text, PARAMETERS).instances:
        values = ", ".join(_values(instance.versions[-1].parameters)) or "none: exact"
        lines.append(f"| `{instance.name}` | {title(instance.rule)} | {values} | {instance.provenance} |")
    return "\n".join(lines)


def _values(parameters: Any) -> list[str]:
    hints = get_type_hints(type(parameters), include_extras=True)
    shown = []
    for name in parameters.__struct_fields__:
        value = getattr(parameters, name)
        unit = next((m for m in getattr(hints[name], "__metadata__", ()) if isinstance(m, Unit)), None)
        if unit is not None:
            value = unit.write(value)
        elif isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, tuple):
            value = " ".join(map(str, value))
        shown.append(f"{name} = {value}")
    return shown


def _holds(version: Version, moment: int) -> bool:
    return (version.valid_from is None or version.valid_from <= moment) and (
        version.valid_to is None or moment < version.valid_to
    )


def _dates(version: Version) -> str:
    if version.valid_from is None and version.valid_to is None:
        return "always"
    ends = [
        "" if end is None else f"{datetime.fromtimestamp(end // 1_000_000_000, UTC):%Y-%m-%d %H:%M}"
        for end in (version.valid_from, version.valid_to)
    ]
    return " to ".join(ends).strip()
