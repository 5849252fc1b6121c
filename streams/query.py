"""SQL over the lake for people: one query, or a prompt; an aligned table, CSV or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table

from schemas import codec
from streams.lake import catalog

Format = Literal["table", "csv", "json"]
NUMBERS = ("INTEGER", "BIGINT", "HUGEINT", "DOUBLE", "DECIMAL", "UBIGINT")


def console() -> Console:
    """Return where tables are printed; where that is no terminal, wide enough for most of them."""
    return Console() if sys.stdout.isatty() else Console(width=110)


def rich_table(relation: duckdb.DuckDBPyRelation, title: str | None = None, limit: int = 1_000) -> Table:
    """Return a result as an aligned table, numbers to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name, kind in zip(relation.columns, relation.types, strict=True):
        number, whole = str(kind).startswith(NUMBERS), str(kind) == "DATE"
        table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=whole)
    for row in relation.limit(limit).fetchall():
        table.add_row(*("" if value is None else _text(value) for value in row))
    return table


def run(lake: Path, query: str, form: Format, console: Console | None = None) -> int:
    """Run one query on the lake and print its result. Returns a process's exit code."""
    console = console or Console()
    try:
        connection = catalog.connect(lake)
    except FileNotFoundError as error:
        print(f"fairbook sql: {error}", file=sys.stderr)
        return 1
    with connection:
        return _one(connection, query, form, console)


def prompt(lake: Path) -> int:
    """Read queries until end of input."""
    console = Console()
    console.print(
        "SQL on the lake; end a query with ; and leave with Ctrl-D. Tables: [bold]show tables;[/bold]"
    )
    connection = catalog.connect(lake)
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
        relation = connection.sql(query)
        if relation is None:
            return 0
        if form == "table":
            if console.is_terminal:
                console.print(rich_table(relation))
            else:
                Console(width=10_000).print(rich_table(relation))
        elif form == "csv":
            import csv

            writer = csv.writer(sys.stdout)
            writer.writerow(relation.columns)
            writer.writerows(relation.fetchall())
        else:
            names = relation.columns
            for row in relation.fetchall():
                print(
                    codec.encode(
                        {name: _plain(value) for name, value in zip(names, row, strict=True)}
                    ).decode()
                )
    except duckdb.Error as error:
        print(f"fairbook sql: {error}", file=sys.stderr)
        return 1
    return 0


def _plain(value: Any) -> Any:
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
    return str(value)
