"""Reference data as the venue keeps it: reference.toml, large tables as CSV beside it. SPEC.md section 2.4.

A CSV file is named after its table (`accounts.csv`), its columns after the fields; empty = absent, `true` and
`false`, several instruments with spaces or semicolons between, times as in TOML.
"""

from __future__ import annotations

from pathlib import Path

from schemas.reference import Fact
from streams.reference_checks import doubts
from streams.reference_rows import Problem, read

__all__ = ["Problem", "ReferenceDataError", "check", "load"]


class ReferenceDataError(ValueError):
    """Reference data that cannot be read; `problems` says where and why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(path: Path) -> list[Fact]:
    """Return the facts of a reference.toml (or its folder) and its CSV files, in their order.

    Raises ReferenceDataError with every error of reading; what is only doubtful is for `check`.
    """
    rows, problems = read(path)
    if problems:
        raise ReferenceDataError(_sorted(problems))
    return [row.fact for row in rows]


def check(path: Path) -> list[Problem]:
    """Return everything wrong with a reference.toml (or its folder): errors first, then warnings, by line."""
    rows, problems = read(path)
    file = path.name if path.suffix else "reference.toml"
    return _sorted([*problems, *(doubts(rows, file) if rows else ())])


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.severity, problem.file, problem.line))
