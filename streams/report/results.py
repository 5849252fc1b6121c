"""Run the report's queries, and write their values: the same text in the terminal and in HTML."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from schemas.tables import EXACT
from streams.lake import catalog
from streams.report import queries
from streams.report.queries import Query, Scope, Section
from streams.text_table import is_number, shown

MISSING = "Not computed in this lake."
NONE = "\N{EN DASH}"  # a null
CHARTS = 24  # instruments drawn at most: a page, not a book


class Result(NamedTuple):
    """A query, the text that ran, and what it returned; `missing`: what this lake lacks, nothing ran."""

    query: Query
    sql: str
    columns: tuple[str, ...] = ()
    numeric: tuple[bool, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def nothing(self) -> str:
        """What stands in the place of a table without rows."""
        if not self.missing:
            return "None."
        more = f" and {len(self.missing) - 1} more" if len(self.missing) > 1 else ""
        return f"{MISSING} It has no {self.missing[0]}{more}."

    def cells(self) -> list[list[str]]:
        """Return the rows as text: every digit, and in a column equally many decimals; a null is a dash."""
        places = [max(map(_places, values), default=0) for values in zip(*self.rows, strict=True)]
        return [[_text(value, at) for value, at in zip(row, places, strict=True)] for row in self.rows]

    def column(self, name: str) -> list[Any]:
        """Return a column's values."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def records(self) -> list[dict[str, str]]:
        """Return the rows as text by column name, for sentences: every number with the digits it needs."""
        return [
            {name: _text(value, _places(value)) for name, value in zip(self.columns, row, strict=True)}
            for row in self.rows
        ]

    def headings(self) -> list[str]:
        """Return the columns' names; a unit stays with the word before it."""
        return [name.replace(", ", ",\N{NO-BREAK SPACE}") for name in self.columns]


class Minutes(NamedTuple):
    """What is drawn of an instrument."""

    instrument: str
    result: Result

    @property
    def of_whole_book(self) -> bool:
        """Whether the book without affiliates has no spread to compare, or is not known (venue's quotes)."""
        return not any(value is not None for value in self.result.column("spread with, bps"))


class Day(NamedTuple):
    """A day's results in the report's order. `empty`: the lake holds no record of it, in words."""

    scope: Scope
    lake: str
    rulebooks: Result
    held: Result
    sections: tuple[tuple[Section, tuple[Result, ...]], ...]
    minutes: tuple[Minutes, ...]
    not_drawn: tuple[str, ...]
    empty: str

    def result(self, query: Query) -> Result:
        """Return a query's result."""
        return next(found for _, results in self.sections for found in results if found.query is query)


def collect(lake: Path, day: str, instrument: str | None = None) -> Day:
    """Run every query on the lake for the ISO date `day` in the lake's zone.

    Raises FileNotFoundError without a lake. A query whose relations or columns this lake lacks does not run.
    """
    with catalog.connect(lake) as connection:
        zone = str(connection.sql("select lake_zone()").fetchall()[0][0])
        scope = Scope(day, zone, instrument)
        known = _known(connection)
        sections = tuple(
            (section, tuple(run(connection, query, scope, known) for query in section.queries))
            for section in queries.SECTIONS
        )
        drawn, rest = _drawn(sections)
        minutes = tuple(
            Minutes(name, run(connection, queries.MINUTES, scope._replace(instrument=name), known))
            for name in drawn
        )
        rulebooks = run(connection, queries.RULEBOOKS, scope, known)
        held = run(connection, queries.HELD, scope, known)
    found = Day(scope, str(lake), rulebooks, held, sections, minutes, rest, "")
    return found if found.result(queries.COVERAGE).rows else found._replace(empty=_no_data(found))


def run(connection: duckdb.DuckDBPyConnection, query: Query, scope: Scope, known: set[str]) -> Result:
    """Run one query; `known`: the lake's relations and `relation.column`s."""
    sql = scope.fill(query.sql)
    missing = tuple(name for name in query.needs if name not in known)
    if missing:
        return Result(query, sql, missing=missing)
    relation = connection.sql(sql)
    numeric = tuple(is_number(kind) for kind in relation.types)
    return Result(query, sql, tuple(relation.columns), numeric, tuple(relation.fetchall()))


def _known(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.sql("select table_name, column_name from duckdb_columns()").fetchall()
    return {table for table, _ in rows} | {f"{table}.{column}" for table, column in rows}


def _drawn(sections: tuple[tuple[Section, tuple[Result, ...]], ...]) -> tuple[list[str], tuple[str, ...]]:
    """Return the instruments whose minutes are drawn, and those that were two-sided, too, but are not."""
    results = {result.query.key: result for _, results in sections for result in results}
    own = results["own_time"]
    two_sided = [
        name for name, time in zip(own.column("instrument"), own.column("two-sided, s"), strict=True) if time
    ]
    if not own.rows:  # a day that goes on has minutes, but no row of its own yet
        two_sided = list(results["range"].column("instrument"))
    return two_sided[:CHARTS], tuple(two_sided[CHARTS:])


def _no_data(day: Day) -> str:
    scope = day.scope
    what = "any instrument" if scope.instrument is None else shown(scope.instrument)
    (held,) = day.held.records()
    days = (
        f"Its days are {held['first day']} to {held['last day']}."
        if held["days"] != "0"
        else "It holds no day of it at all."
    )
    return f"No data: this lake holds no record of {what} on {scope.day} ({scope.zone}). {days}"


def _places(value: Any) -> int:
    """Return how many decimals a value needs."""
    if not isinstance(value, Decimal) or not value:
        return 0
    exponent = value.normalize(EXACT).as_tuple().exponent
    return max(0, -int(exponent))


def _text(value: Any, places: int) -> str:
    if value is None:
        return NONE
    if isinstance(value, Decimal):
        return f"{value:,.{places}f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shown(str(value))
