"""Reference data as the venue keeps it: reference.toml, large tables as CSV beside it."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from detectors.affiliation import CONTROL, NEVER, Directory
from schemas.decimals import DecimalError, parse
from schemas.reference import (
    FACT_TYPES,
    Account,
    Affiliation,
    Defaults,
    Entity,
    Fact,
    MmRegistration,
    fact_key,
)

DATES = ("valid_from", "valid_to", "recorded_at")
DECIMALS = ("tick_size", "lot_size", "control_pct", "max_spread_bps", "min_qty", "presence_pct", "maker_bps", "taker_bps")
LISTS = ("instruments",)


class Problem(NamedTuple):
    """Something wrong with reference data: where, what was expected, what came."""

    severity: Literal["error", "warning"]
    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.reason}"


class ReferenceDataError(ValueError):
    """Reference data that cannot be loaded; `problems` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class _Row(NamedTuple):
    fact: Fact
    file: str
    line: int


def load(path: Path) -> list[Fact]:
    """Return the facts of a reference.toml and its CSV files. Raises ReferenceDataError with every error."""
    rows, problems = _read(path)
    if problems:
        raise ReferenceDataError(problems)
    return [row.fact for row in rows]


def check(path: Path) -> list[Problem]:
    """Return everything wrong with a reference.toml: errors first, then warnings, by line."""
    rows, problems = _read(path)
    problems += list(_doubts(rows, path.name))
    return sorted(problems, key=lambda problem: (problem.severity, problem.file, problem.line))


# ---- reading ----------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[list[_Row], list[Problem]]:
    if not path.is_file():
        return [], [Problem("error", path.name, 1, "expected reference data; the file does not exist")]
    text = path.read_text()
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        return [], [Problem("error", path.name, int(at[1]) if at else 1, f"expected TOML: {error}")]
    lines = _table_lines(text)
    rows: list[_Row] = []
    problems: list[Problem] = []
    for table, value in data.items():
        if table not in FACT_TYPES:
            known = ", ".join(FACT_TYPES)
            place = lines.get((table, 0), 1)
            problems.append(Problem("error", path.name, place, f"unknown table {table!r}; expected one of {known}"))
            continue
        entries = value if isinstance(value, list) else [value]
        for index, entry in enumerate(entries):
            _fact(table, entry, path.name, lines.get((table, index), 1), rows, problems)
    for table in FACT_TYPES:
        beside = path.with_name(f"{table}.csv")
        if beside.is_file():
            with beside.open(newline="") as stream:
                for line, entry in enumerate(csv.DictReader(stream), 2):
                    _fact(table, _from_csv(entry), beside.name, line, rows, problems)
    if not rows and not problems:
        problems.append(Problem("error", path.name, 1, "expected reference data; the file is empty"))
    return rows, problems


def _table_lines(text: str) -> dict[tuple[str, int], int]:
    """Return the line of each table's n-th header, and of top-level keys."""
    found: dict[tuple[str, int], int] = {}
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([A-Za-z_]+)\s*\]+", line) or re.match(r"([A-Za-z_]+)\s*=", line)
        if header:
            index = counts.get(header[1], 0)
            found[header[1], index] = number
            counts[header[1]] = index + 1
    return found


def _from_csv(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a CSV row in the types of TOML: empty = absent, true/false, lists by space, dates."""
    row: dict[str, Any] = {}
    for key, text in entry.items():
        if text in (None, ""):
            continue
        if key in LISTS:
            row[key] = text.split()
        elif text in ("true", "false"):
            row[key] = text == "true"
        elif key in (*DATES, "from", "to"):
            row[key] = int(text) if text.isdigit() else datetime.fromisoformat(text)
        else:
            row[key] = text
    return row


def _fact(
    table: str, entry: object, file: str, line: int, rows: list[_Row], problems: list[Problem]
) -> None:
    if not isinstance(entry, dict):
        problems.append(Problem("error", file, line, f"expected a table [[{table}]], got {entry!r}"))
        return
    values = dict(entry)
    try:
        if table == "trading_phases":
            for short, full in (("from", "valid_from"), ("to", "valid_to")):
                if short in values:
                    values[full] = values.pop(short)
        for key in DATES:
            if key in values:
                values[key] = _moment(key, values[key])
        for key in DECIMALS:
            if key in values:
                _decimal(key, values[key])
        fact: Fact = msgspec.convert({**values, "fact": table}, FACT_TYPES[table])
        if fact.valid_from is not None and fact.valid_to is not None and fact.valid_to <= fact.valid_from:
            raise ValueError("expected valid_to after valid_from")
    except (msgspec.ValidationError, ValueError) as error:
        problems.append(Problem("error", file, line, f"[[{table}]]: {error}"))
        return
    rows.append(_Row(fact, file, line))


def _moment(key: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{key}: expected a date-time with offset like 2026-03-01T00:00:00Z, got {value!r}")
    return int(value.timestamp()) * 1_000_000_000 + value.microsecond * 1_000


def _decimal(key: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f'{key}: expected a decimal string like "0.5", got {value!r}')
    try:
        parse(value)
    except DecimalError as error:
        raise ValueError(f"{key}: {error}") from error


# ---- doubts -----------------------------------------------------------------------------------------


def _doubts(rows: list[_Row], file: str) -> Iterator[Problem]:
    entities = {row.fact.id for row in rows if isinstance(row.fact, Entity)}
    accounts = {row.fact.account for row in rows if isinstance(row.fact, Account)}
    unlisted = any(isinstance(row.fact, Defaults) and row.fact.unlisted_accounts == "client" for row in rows)
    operators = [row for row in rows if isinstance(row.fact, Entity) and row.fact.operator and not row.fact.withdrawn]
    if len({row.fact.id for row in operators if isinstance(row.fact, Entity)}) != 1:
        names = ", ".join(row.fact.id for row in operators if isinstance(row.fact, Entity)) or "none"
        yield Problem("error", file, operators[1].line if len(operators) > 1 else 1, f"expected exactly one operator, got {names}")
    for row in rows:
        yield from _unknown_names(row, entities, accounts, unlisted)
    yield from _overlaps(rows)
    yield from _controllers(rows)
    yield from _registrations(rows)


def _unknown_names(row: _Row, entities: set[str], accounts: set[str], unlisted: bool) -> Iterator[Problem]:
    fact = row.fact
    named: list[tuple[str, str]] = []
    if isinstance(fact, Account):
        named = [("entity", fact.entity)]
    elif isinstance(fact, Affiliation):
        named = [("parent", fact.parent), ("child", fact.child)]
    for key, entity in named:
        if entity not in entities:
            yield Problem("error", row.file, row.line, f"{key} {entity!r} is not listed under [[entities]]")
    if isinstance(fact, MmRegistration) and fact.account not in accounts and not unlisted:
        yield Problem("error", row.file, row.line, f"account {fact.account!r} is not listed under [[accounts]]")


def _overlaps(rows: list[_Row]) -> Iterator[Problem]:
    by_key: dict[tuple[object, ...], list[_Row]] = {}
    for row in rows:
        by_key.setdefault((*fact_key(row.fact), row.fact.recorded_at), []).append(row)
    for same in by_key.values():
        same.sort(key=lambda row: NEVER if row.fact.valid_from is None else row.fact.valid_from)
        for before, after in zip(same, same[1:], strict=False):
            end, start = before.fact.valid_to, after.fact.valid_from
            if end is None or start is None or end > start:
                what = " ".join(fact_key(after.fact)[1:])
                yield Problem(
                    "error", after.file, after.line,
                    f"overlaps the fact of line {before.line} on {what}, with the same recorded_at",
                )  # fmt: skip


def _controllers(rows: list[_Row]) -> Iterator[Problem]:
    parents: dict[str, set[str]] = {}
    for row in rows:
        fact = row.fact
        if not isinstance(fact, Affiliation) or fact.withdrawn:
            continue
        if fact.control or (fact.control_pct is not None and parse(fact.control_pct) > CONTROL):
            held = parents.setdefault(fact.child, set())
            held.add(fact.parent)
            if len(held) == 2:
                names = ", ".join(sorted(held))
                yield Problem("warning", row.file, row.line, f"{fact.child} has two controllers: {names}")


def _registrations(rows: list[_Row]) -> Iterator[Problem]:
    directory = Directory([row.fact for row in rows], hindsight=True)
    for row in rows:
        fact = row.fact
        if not isinstance(fact, MmRegistration) or fact.withdrawn:
            continue
        at = fact.valid_from if fact.valid_from is not None else _some_moment(rows)
        instrument = next((name for name in fact.instruments if name != "*"), "*")
        role = directory.role(fact.account, instrument, at)
        if fact.affiliated and role not in ("affiliated_mm", "affiliate"):
            yield Problem(
                "error", row.file, row.line,
                f"{fact.account} is registered as affiliated but is outside the operator's group (role {role})",
            )  # fmt: skip
        if not fact.affiliated and role == "affiliate":
            yield Problem(
                "warning", row.file, row.line,
                f"{fact.account} is registered as independent but is in the operator's group (role affiliate)",
            )  # fmt: skip


def _some_moment(rows: list[_Row]) -> int:
    """Return a moment at which facts hold that have a beginning."""
    return max((row.fact.valid_from or 0 for row in rows), default=0)
