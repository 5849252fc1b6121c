"""`fairbook report day`: one trading day, for the terminal and as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata, resources
from typing import NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from streams import text_table
from streams.report import queries
from streams.report.results import NONE, Day, Minutes, Result
from streams.text_table import shown

LONG = ("narrative", "first of them")  # columns of sentences
CAUTION = (
    "A static comparison: without the affiliates others would have quoted differently, so it states no cause."
)
HONESTY = (
    "The operative paragraphs of the Hong Kong SFC's circular 26EC6 of 11 February 2026 could not be read. "
    "Nothing here says that a paragraph of it requires a value.",
    "No SFC number is known for spread, size, uptime or time windows: every threshold is a parameter of the "
    "rulebook, dated, with the source it was borrowed from and whether that was read (`fairbook rules`).",
    "An alert describes arithmetic on evidence and asks for review. It never says that anybody manipulated "
    "anything.",
    '"Without affiliates" is the book with their orders struck out and nothing else changed. ' + CAUTION,
    "Fairbook stands beside the venue's independent surveillance vendor; it does not replace one.",
)
BLOCKS = " ▁▂▃▄▅▆▇█"


class Chart(NamedTuple):
    """A chart on the page."""

    instrument: str
    description: str
    svg: str
    result: Result


def title(day: Day) -> str:
    """Return the report's title."""
    return f"Affiliated market maker: report of {day.scope.day}"


def instruments(day: Day) -> str:
    """Return which instruments the report is of."""
    return "all that the lake holds" if day.scope.instrument is None else shown(day.scope.instrument)


def software() -> str:
    """Return what made the report."""
    return f"fairbook {metadata.version('fairbook')}"


def statements(day: Day) -> list[str]:
    """Return the day's benefit in words, a sentence or two an instrument; every number is the query's."""
    benefit = day.result(queries.BENEFIT)
    if not benefit.rows:
        return ["The lake holds no spread of this day (it is written when the day has ended)."]
    differences = benefit.column("without - with, bps")
    said, unseen = [], []
    for row, difference in zip(benefit.records(), differences, strict=True):
        if row["known from"] == "no two-sided book":
            unseen.append(row["instrument"])
        else:
            said.append(_statement(row, difference))
    if unseen:
        said.append(f"At no time is the book known to be two-sided: {', '.join(unseen)}.")
    return said


def _statement(row: dict[str, str], difference: int | None) -> str:
    if row["known from"] == "venue's quotes":
        return (
            f"{row['instrument']}: the record has the venue's quotes only. It is not known whose orders they "
            "are made of, so there is nothing to compare."
        )
    alone = row["two-sided only with them, s"]
    more = (
        " At no time was the book two-sided only with their orders."
        if alone == "0"
        else f" In another {alone} s the book was two-sided only with their orders."
    )
    if difference is None:
        return (
            f"{row['instrument']}: at no time was the book two-sided both with and without the affiliates' "
            f"orders, so there is nothing to compare.{more}"
        )
    how = "narrower with them" if difference > 0 else "wider with them" if difference < 0 else "no difference"
    return (
        f"{row['instrument']}: over the {row['compared, s']} s in which the book was two-sided both with and "
        f"without the affiliates' orders, the time-weighted quoted spread was {row['with affiliates, bps']} "
        f"bps with them and {row['without, bps']} bps with them struck out: without - with = "
        f"{row['without - with, bps']} bps, {how}.{more}"
    )


def html(day: Day) -> str:
    """Return the report as one HTML document: no script, nothing from elsewhere, equal for equal lakes."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from streams.report import charts

    drawn = [
        Chart(
            shown(minutes.instrument),
            charts.description(minutes),
            Markup(charts.svg(minutes, day.scope, f"chart{number}")),  # ours; its texts are escaped in it
            minutes.result,
        )
        for number, minutes in enumerate(day.minutes)
        if minutes.result.rows
    ]
    template = resources.files("streams.report").joinpath("day.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        day=day, title=title(day), instruments=instruments(day), software=software(),
        statements=statements(day), charts=drawn,
        benefit=day.result(queries.BENEFIT), not_drawn=[shown(name) for name in day.not_drawn],
        caution=CAUTION, honesty=HONESTY, NONE=NONE, long=LONG,
    )  # fmt: skip


def show(day: Day, console: Console, *, sql: bool = False) -> None:
    """Print the report; `sql`: with the query under each table."""
    console.print(Text(title(day), style="bold"))
    digests = ", ".join(row[0] for row in day.rulebooks.cells()) or "none in this lake"
    about = Table.grid(padding=(0, 2))
    for name, value in (
        ("Trading day", f"{day.scope.day}, {day.scope.zone}"),
        ("Instruments", instruments(day)),
        ("Lake", day.lake),
        ("Rulebook", digests),
        ("Software", software()),
    ):
        about.add_row(Text(name, style="dim"), Text(value))
    console.print(about)
    _sql(console, day.rulebooks, sql)
    if day.empty:
        console.print(Text(f"\n{day.empty}", style="bold red"))
        _sql(console, day.held, sql)
        if not day.result(queries.PRESENCE).rows:  # an agreement's day goes by without records, too
            return
    console.print()
    console.rule("The day in words", align="left")
    for sentence in statements(day):
        console.print(Text(f"{sentence}\n"))
    console.print(Text(CAUTION, style="dim"))
    _sql(console, day.result(queries.BENEFIT), sql)
    for section, results in day.sections:
        console.print()
        console.rule(Text(section.title), align="left")
        console.print(Text(section.intro, style="dim"))
        if section.key == "spread":
            for minutes in day.minutes:
                _lines(console, minutes)
                _sql(console, minutes.result, sql)
        for result in results:
            console.print(Text(f"\n{result.query.title}", style="bold"))
            if result.rows:
                _rows(console, result)
            else:
                console.print(Text(result.nothing, style="dim italic"))
            if result.query.note and result.rows:
                console.print(Text(result.query.note, style="dim"))
            _sql(console, result, sql)
    console.print()
    console.rule("What this is, and is not", align="left")
    for rule in HONESTY:
        console.print(Text(f"- {rule}", style="dim"))


def _rows(console: Console, result: Result) -> None:
    """Print a table, each part of it with the columns before the first number; sentences as a list."""
    cells = result.cells()
    if any(name in LONG for name in result.columns):
        _sentences(console, result, cells)
        return
    keys = next((at for at, numeric in enumerate(result.numeric) if numeric), len(result.numeric))
    text_table.show(
        console, text_table.Content(result.headings(), list(result.numeric), cells, keys=max(1, keys))
    )


def _sentences(console: Console, result: Result, cells: list[list[str]]) -> None:
    console.print()
    for row in cells:
        about = [
            f"{name} {cell}" if numeric else cell
            for name, numeric, cell in zip(result.columns, result.numeric, row, strict=True)
            if name not in LONG
        ]
        console.print(Text("  ".join(about)))
        for name, cell in zip(result.columns, row, strict=True):
            if name in LONG:
                console.print(Padding(Text(cell, style="dim"), (0, 0, 0, 4)))


def _sql(console: Console, result: Result, wanted: bool) -> None:
    if wanted:
        console.print(
            Syntax(result.sql, "sql", word_wrap=True, background_color="default", theme="ansi_light")
        )


def _lines(console: Console, minutes: Minutes) -> None:
    """Print spread with and without as two lines of blocks on one scale, from 0 to the greatest."""
    names = {"with": "spread with, bps", "without": "spread without, bps"}
    if minutes.of_whole_book:
        names = {"whole": "spread of the whole book, bps"}
    values = [
        [None if value is None else float(value) for value in minutes.result.column(name)]
        for name in names.values()
    ]
    known = [value for line in values for value in line if value is not None]
    if not known:
        return
    clock = minutes.result.column("minute")
    console.print(
        Text(f"\n{shown(minutes.instrument)}, spread by minute, {clock[0]} to {clock[-1]}", style="bold")
    )
    width = min(max(10, console.width - 10), len(clock))
    for label, line in zip(names, values, strict=True):
        console.print(Text(f"{label:<8} " + "".join(_blocks(line, width, max(known)))))


def _blocks(values: list[float | None], width: int, top: float) -> Iterator[str]:
    """Return `width` characters: the greatest value of each stretch, a blank where it has none."""
    for at in range(width):
        stretch = values[
            at * len(values) // width : max((at + 1) * len(values) // width, at * len(values) // width + 1)
        ]
        found = [value for value in stretch if value is not None]
        yield BLOCKS[max(1, round(max(found) / top * 8))] if found and top else " "
