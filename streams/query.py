"""SQL over the lake for people: one query, or a prompt; an aligned table, CSV or JSON."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
from rich.console import Console

from schemas import codec
from schemas.tables import EXACT
from streams import text_table
from streams.lake import catalog
from streams.text_table import Content, console, is_number, shown

Format = Literal["table", "csv", "json"]
CHUNK = 10_000  # rows
MOST = 1_000  # rows of a table
PARTS = 3  # a wider result is printed sideways
WRITING = (  # or what could hide it
    duckdb.StatementType.COPY,
    duckdb.StatementType.EXPORT,
    duckdb.StatementType.PREPARE,
    duckdb.StatementType.EXECUTE,
)
_HIDDEN = re.compile(r"\b(copy|export|prepare|execute)\b", re.IGNORECASE)
_JSON = re.compile(r'("(?:[^"\\]|\\.)*")|,')


def show(
    console: Console, relation: duckdb.DuckDBPyRelation, title: str = "", keys: int = 1, most: int = MOST
) -> None:
    """Print a query's result as a table; `keys`: leading columns that are repeated where it is in parts."""
    text_table.show(console, table(relation, title, keys, most))


def table(relation: duckdb.DuckDBPyRelation, title: str = "", keys: int = 1, most: int = MOST) -> Content:
    """Return a query's result as a table of at most `most` rows; it says so where there are more."""
    rows = relation.limit(most + 1).fetchall()
    content = _content(relation.columns, relation.types, rows, most)
    return content._replace(title=title, keys=keys)


def _content(
    names: Iterable[str], kinds: Sequence[object], rows: Sequence[tuple[Any, ...]], most: int
) -> Content:
    json = [str(kind) == "JSON" for kind in kinds]
    cells = [
        [shown(_spaced(_text(value)) if at else _text(value)) for value, at in zip(row, json, strict=True)]
        for row in rows[:most]
    ]
    note = f"These are the first {most:,} rows; there are more." if len(rows) > most else ""
    return Content([shown(name) for name in names], [is_number(kind) for kind in kinds], cells, note=note)


def run(lake: Path, query: str, form: Format) -> int:
    """Run the statements of `query` on the lake and print each one's result. Returns an exit status."""
    try:
        connection = catalog.connect(lake)
    except FileNotFoundError as error:
        print(f"fairbook sql: {error}", file=sys.stderr)
        return 1
    with connection:
        _confine(connection, lake)
        return _all(connection, query, form, console())


def prompt(lake: Path, form: Format = "table") -> int:
    """Read queries until end of input. From a pipe they are one script: the first error ends it, status 1."""
    if not sys.stdin.isatty():
        return run(lake, sys.stdin.read(), form)
    screen = console()
    with catalog.connect(lake) as connection:
        _confine(connection, lake)
        screen.print(
            "SQL on the lake; end a query with ; and leave with Ctrl-D. Tables: [bold]show tables;[/bold]"
        )
        return _prompt(connection, form, screen)


def _confine(connection: duckdb.DuckDBPyConnection, lake: Path) -> None:
    """Let queries read the lake's files and no others. Nothing of it can be taken back by a query.

    Of what may be read DuckDB lets a query write, too: see `_refuse_to_write`. Settings are locked: one of
    them says where a log is written.
    """
    if connection.sql("select current_setting('lock_configuration')").fetchall() == [(True,)]:
        return  # connections of one process to one lake share their settings
    folder = str(lake.resolve()).replace("'", "''")
    connection.execute(f"set allowed_directories = ['{folder}/']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def _refuse_to_write(statement: duckdb.Statement) -> None:
    """Raise PermissionException for a statement that could write a file. Other tables than temporary ones
    cannot be made: the catalog is open to be read."""
    explained = statement.type == duckdb.StatementType.EXPLAIN  # `explain analyze` runs it
    if statement.type in WRITING or (explained and _HIDDEN.search(statement.query)):
        raise duckdb.PermissionException(
            "Permission Error: expected queries that write no file; COPY, EXPORT, PREPARE and EXECUTE are "
            "refused: --csv or --json prints a result to be kept"
        )


def _prompt(connection: duckdb.DuckDBPyConnection, form: Format, console: Console) -> int:
    lines: list[str] = []
    while True:
        try:
            lines.append(input("fairbook> " if not lines else "       -> "))
        except (EOFError, KeyboardInterrupt) as end:
            console.print()
            if isinstance(end, EOFError):
                _all(connection, "\n".join(lines), form, console)
            return 0
        if lines[-1].rstrip().endswith(";"):
            _all(connection, "\n".join(lines), form, console)
            lines = []


def _all(connection: duckdb.DuckDBPyConnection, query: str, form: Format, console: Console) -> int:
    """Run statements in their order; the first that fails is the last, since what follows may rest on it."""
    try:
        for statement in connection.extract_statements(query):
            _refuse_to_write(statement)
            result = connection.execute(statement)
            if duckdb.ExpectedResultType.QUERY_RESULT in statement.expected_result_type:
                _one(result, form, console)
    except duckdb.Error as error:
        print(f"fairbook sql: {error}", file=sys.stderr)
        return 1
    return 0


def _one(result: duckdb.DuckDBPyConnection, form: Format, console: Console) -> None:
    description = result.description or ()
    names = [str(column[0]) for column in description]
    if form == "table":
        rows = result.fetchmany(MOST + 1)
        if names == ["explain_key", "explain_value"]:  # a drawing
            print("\n".join(str(drawn) for _key, drawn in rows))
        elif names:
            content = _content(names, [column[1] for column in description], rows, MOST)
            text_table.show(console, content._replace(parts=PARTS))
            if content.note:
                console.print("`--csv` and `--json` print all of them.", style="dim")
        return
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


def _spaced(json: str) -> str:
    """Return JSON with a space after each comma between values, where a line may break."""
    return _JSON.sub(lambda found: found[1] or ", ", json)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, list):
        return ", ".join(map(_inner, value))
    if isinstance(value, dict):
        return " ".join(map(_inner, value.values()))
    if isinstance(value, Decimal):  # without the zeros that its type adds, and with every other digit
        return f"{value.normalize(EXACT):f}"
    return str(value)


def _inner(value: Any) -> str:
    """Return a value of a list or struct: a time has no space, at which it could fold."""
    return value.isoformat() if isinstance(value, datetime) else _text(value)
