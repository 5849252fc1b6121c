"""SQL over the lake for people: one query, or a prompt; an aligned table, CSV or JSON."""

from __future__ import annotations

import csv
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas import codec
from streams.lake import catalog

Format = Literal["table", "csv", "json"]
SHORT = 18  # characters
CHUNK = 10_000  # rows
NUMBERS = ("INTEGER", "BIGINT", "HUGEINT", "DOUBLE", "DECIMAL", "UBIGINT")


def console() -> Console:
    """Return where tables are printed; where that is no terminal, wide enough for most of them."""
    return Console() if sys.stdout.isatty() else Console(width=110)


def rich_table(relation: duckdb.DuckDBPyRelation, title: str | None = None, limit: int = 1_000) -> Table:
    """Return a result as an aligned table: numbers to the right, what is short never broken."""
    table = Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, collapse_padding=True
    )
    rows = [
        ["" if value is None else _text(value) for value in row] for row in relation.limit(limit).fetchall()
    ]
    for at, (name, kind) in enumerate(zip(relation.columns, relation.types, strict=True)):
        longest = max((len(row[at]) for row in rows), default=0)
        number = str(kind).startswith(NUMBERS)
        table.add_column(
            escape(name), justify="right" if number else "left", overflow="fold", no_wrap=longest <= SHORT
        )
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def run(lake: Path, query: str, form: Format, console: Console | None = None) -> int:
    """Run one query on the lake and print its result. Returns a process's exit code."""
    try:
        connection = catalog.connect(lake)
    except FileNotFoundError as error:
        print(f"fairbook sql: {error}", file=sys.stderr)
        return 1
    with connection:
        return _one(connection, query, form, console or Console())


def prompt(lake: Path) -> int:
    """Read queries until end of input."""
    console = Console()
    with catalog.connect(lake) as connection:
        console.print(
            "SQL on the lake; end a query with ; and leave with Ctrl-D. Tables: [bold]show tables;[/bold]"
        )
        return _prompt(connection, console)


def _prompt(connection: duckdb.DuckDBPyConnection, console: Console) -> int:
    lines: list[str] = []
    while True:
        try:
            lines.append(input("fairbook> " if not lines else "       -> "))
        except (EOFError, KeyboardInterrupt):
            console.print()
            return 0
        if lines[-1].rstrip().endswith(";"):
            _one(connection, "\n".join(lines), "table", console)
            lines = []


def _one(connection: duckdb.DuckDBPyConnection, query: str, form: Format, console: Console) -> int:
    try:
        if form == "table":
            relation = connection.sql(query)
            if relation is not None:
                shown = console if console.is_terminal else Console(width=10_000)
                shown.print(rich_table(relation))
            return 0
        result = connection.execute(query)
        names = [column[0] for column in result.description or ()]
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if form == "csv":
            writer.writerow(names)
        while rows := result.fetchmany(CHUNK):
            for row in rows:
                if form == "csv":
                    writer.writerow(map(_flat, row))
                else:
                    values = {name: _plain(value) for name, value in zip(names, row, strict=True)}
                    print(codec.encode(values).decode())
    except duckdb.Error as error:
        print(f"fairbook sql: {error}", file=sys.stderr)
        return 1
    return 0


def _flat(value: Any) -> Any:
    """Return a value for CSV: lists and structs as JSON."""
    plain = _plain(value)
    return codec.encode(plain).decode() if isinstance(plain, list | dict) else plain


def _plain(value: Any) -> Any:
    """Return a value for JSON; a decimal keeps all the digits of its type."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, dict):
        return " ".join(_text(item) for item in value.values())
    if isinstance(value, Decimal):  # without the zeros that its type adds
        return f"{value.normalize():f}"
    return str(value)
