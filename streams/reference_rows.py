"""Reading reference.toml and the CSV files beside it into facts, each with the file and line it stands on."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin
from zoneinfo import ZoneInfo

import msgspec

from detectors.toml_lines import Lines, TomlError, read_toml
from detectors.trading_day import nanoseconds
from schemas.decimals import ONE, DecimalError, parse
from schemas.reference import FACT_TYPES, DecimalText, Fact, Time

DATE = "a date-time with offset, like 2026-03-01T00:00:00Z without quotes, or integer nanoseconds since 1970"
FURTHEST = 1 << 62  # ns: records end in 2116, so a bound beyond it is no bound
MORE_THAN_ZERO = ("tick_size", "lot_size", "max_spread_bps", "min_qty")
PERCENTAGES = ("control_pct", "presence_pct")
SHORT = {"from": "valid_from", "to": "valid_to"}  # trading_phases only

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_TOO_FINE = re.compile(r"\.[0-9]{6}[0-9]*[1-9]", re.ASCII)


class Problem(NamedTuple):
    """Something wrong with reference data: where (line from 1), what, and what to do."""

    severity: Literal["error", "warning"]
    file: str
    line: int
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.reason}; {self.remedy}"


class Row(NamedTuple):
    """A fact and where it stands."""

    fact: Fact
    file: str
    line: int


class _Wrong(Exception):
    """A value that cannot be read: its key, the reason, the remedy."""

    def __init__(self, key: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.key = key
        self.reason = reason
        self.remedy = remedy


def read(path: Path) -> tuple[list[Row], list[Problem]]:
    """Return the facts and the errors of `path` (reference.toml or its folder) and of the CSV beside it."""
    path = path / "reference.toml" if path.is_dir() else path
    reader = _Reader()
    if not path.is_file():
        reader.error(
            path.name, 1, f"{path} does not exist", "write it, or name the file or folder that has it"
        )
        return reader.rows, reader.problems
    reader.toml(path)
    for table in FACT_TYPES:
        beside = path.with_name(f"{table}.csv")
        if beside.is_file():
            reader.csv(beside, table)
    if not reader.rows and not reader.problems:
        reader.error(
            path.name, 1, "no facts, the file is empty", "list [[entities]], one of them the operator"
        )
    return reader.rows, reader.problems


class _Reader:
    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.problems: list[Problem] = []

    def error(self, file: str, line: int, reason: str, remedy: str) -> None:
        self.problems.append(Problem("error", file, line, reason, remedy))

    def _text(self, path: Path) -> str | None:
        data = path.read_bytes()
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            self.error(path.name, line, f"not UTF-8: {error.reason}", "save the file as UTF-8")
            return None

    def toml(self, path: Path) -> None:
        text = self._text(path)
        if text is None:
            return
        try:
            data = read_toml(text)
        except TomlError as error:
            self.error(path.name, error.line, f"not TOML: {error.reason}", "correct the syntax")
            return
        lines = Lines(text)
        for line in lines.too_fine:
            self.error(path.name, line, "a time finer than microseconds", "write it as integer nanoseconds")
        for table, value in data.items():
            if table not in FACT_TYPES:
                known = ", ".join(FACT_TYPES)
                self.error(path.name, lines.of(table), f"unknown table {table!r}", f"use one of: {known}")
                continue
            for index, entry in enumerate(value if isinstance(value, list) else [value]):
                place = (table, index) if isinstance(value, list) else (table,)
                self._fact(table, entry, path.name, lambda *key, place=place: lines.of(*place, *key))

    def csv(self, path: Path, table: str) -> None:
        text = self._text(path)
        if text is None:
            return
        for line, entry in self._entries(text, path.name, table):
            self._fact(table, entry, path.name, lambda *_key, line=line: line)

    def _entries(self, text: str, file: str, table: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each row of a CSV text, in the types of TOML, with its first line."""
        header: list[str] | None = None
        types = _types(table)
        before = len(self.problems)
        for line, values in self._csv_rows(text, file):
            if header is None:
                header = values
                for name in sorted({name for name in header if header.count(name) > 1}):
                    self.error(file, line, f"column {name!r} comes twice", "keep one of them")
                for name in header:
                    if name not in types:
                        self.error(file, line, f"unknown column {name!r}", f"use: {', '.join(types)}")
            elif len(values) > len(header):
                remedy = "quote values that have commas"
                self.error(file, line, f"{len(values)} values under {len(header)} columns", remedy)
            else:
                named = zip(header, values, strict=False)
                yield (
                    line,
                    {
                        name: _of_csv(text, types[name])
                        for name, text in named
                        if text != "" and name in types
                    },
                )
        if header is None and len(self.problems) == before:
            self.error(file, 1, "the file is empty", f"give it a header like {','.join(types)}, or remove it")

    def _csv_rows(self, text: str, file: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not empty, with its first line."""
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        line = 1
        try:
            for values in rows:
                if values:
                    yield line, values
                line = rows.line_num + 1
        except csv.Error as error:
            self.error(file, line, f"not CSV: {error}", "use commas, and quotes around a value that has one")

    def _fact(self, table: str, entry: object, file: str, line: Callable[..., int]) -> None:
        if not isinstance(entry, dict):
            self.error(
                file, line(), f"expected a table, got {entry!r}", f"write [[{table}]] and its keys below"
            )
            return
        types = _types(table)
        values: dict[str, Any] = {"fact": table}
        before = len(self.problems)
        for key, value in entry.items():
            name = SHORT[key] if key in SHORT and key in types else str(key)
            try:
                if key not in types:
                    raise _Wrong(key, f"unknown key {key!r} in {table}", f"use one of: {', '.join(types)}")
                if name in values:
                    raise _Wrong(key, f"{key} says {name} a second time", "keep one of them")
                values[name] = _value(name, value, types[name])
            except _Wrong as wrong:
                self.error(file, line(key), wrong.reason, wrong.remedy)
        if len(self.problems) > before:
            return
        try:
            fact: Fact = msgspec.convert(values, FACT_TYPES[table])
        except msgspec.ValidationError as error:
            at = re.search(r" - at `\$\.([a-z_]+)", str(error))
            key = at[1] if at else ""
            named = f"{key}: " if key else ""
            self.error(
                file, line(key), f"{named}{str(error).split(' - at ')[0]}", f"correct this row of {table}"
            )
            return
        if fact.valid_from is not None and fact.valid_to is not None and fact.valid_to <= fact.valid_from:
            at_line = line("to" if "to" in entry else "valid_to")
            self.error(
                file, at_line, "valid_to is not after valid_from", "the end is exclusive: give a later one"
            )
            return
        self.rows.append(Row(fact, file, line()))


_TYPES: dict[str, dict[str, Any]] = {}


def _types(table: str) -> dict[str, Any]:
    """Return the keys a table may have, and their types."""
    types = _TYPES.get(table)
    if types is None:
        types = {field.name: field.type for field in msgspec.structs.fields(FACT_TYPES[table])}
        if table == "trading_phases":
            types |= {short: types[name] for short, name in SHORT.items()}
        _TYPES[table] = types
    return types


def _of_csv(text: str, type_: Any) -> Any:
    """Return a CSV value as TOML would have it; what cannot be is left as text, to be refused by its type."""
    if type_ is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if Time in get_args(type_):
        if _INTEGER.fullmatch(text):
            return int(text)
        try:
            return text if _TOO_FINE.search(text) else datetime.fromisoformat(text)
        except ValueError:
            return text
    if type_ is str or str in get_args(type_) or DecimalText in get_args(type_):
        return text
    return text.replace(";", " ").split() if "tuple" in str(type_) else text


def _value(name: str, value: Any, type_: Any) -> Any:
    """Return a value in the form of the fact's field. Raises _Wrong."""
    if Time in get_args(type_):
        return _time(name, value)
    if DecimalText in get_args(type_):
        return _decimal(name, value)
    if get_origin(type_) is Literal and value not in get_args(type_):
        known = ", ".join(map(str, get_args(type_)))
        raise _Wrong(name, f"{name}: unknown value {value!r}", f"use one of: {known}")
    if name in ("session_start", "session_end") and not (isinstance(value, str) and _CLOCK.fullmatch(value)):
        raise _Wrong(
            name, f"{name}: expected a time of day, got {value!r}", 'write it like "09:30", or "24:00"'
        )
    if name == "zone":
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError, TypeError, AttributeError):
            raise _Wrong(name, f"zone: no such zone: {value!r}", 'write it like "Asia/Hong_Kong"') from None
    return value


def _time(name: str, value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        moment = value
    elif isinstance(value, datetime) and value.tzinfo is not None:
        moment = nanoseconds(value)
    else:
        raise _Wrong(name, f"{name}: expected a moment, got {str(value)!r}", f"write {DATE}")
    if (name == "valid_to" and moment > FURTHEST) or (name != "valid_to" and moment < -FURTHEST):
        return None
    if abs(moment) > FURTHEST:
        raise _Wrong(name, f"{name}: {value} is outside the years 1824 to 2116", "leave it out for always")
    return moment


def _decimal(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(
            name, f"{name}: expected a decimal in quotes, got {value!r}", f'write {name} = "{value}"'
        )
    try:
        number = parse(value)
    except DecimalError as error:
        raise _Wrong(name, f"{name}: {error}", 'write it like "0.5"') from None
    if name in MORE_THAN_ZERO and number <= 0:
        raise _Wrong(name, f"{name}: expected more than 0, got {value}", "leave it out if it is unknown")
    if name in PERCENTAGES and not 0 <= number <= 100 * ONE:
        raise _Wrong(name, f"{name}: expected 0 to 100, got {value}", "write a percentage, without the sign")
    return value
