"""`fairbook report`: a trading day for those who were not there."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from streams.commands.options import Lake, State, lake_of
from streams.kafka_properties import SettingsError
from streams.text_table import console

report = typer.Typer(help="A trading day on paper, every number with its SQL.", no_args_is_help=True)


@report.command("day")
def report_day(
    day: Annotated[str, typer.Argument(metavar="DATE", help="YYYY-MM-DD, in the venue's zone.")],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML file instead of printing.")
    ] = None,
    instrument: Annotated[str | None, typer.Option(help="Only this instrument.")] = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the query under each table.")] = False,
    lake: Lake = None,
    state: State = None,
) -> None:
    """Report a day: coverage, presence, spread and depth, execution, alerts. Exit status 1 without data."""
    wanted = _date(day)
    from streams.report import day as page
    from streams.report import results

    found = results.collect(lake_of(lake, state), wanted, instrument)
    if html is None:
        page.show(found, console(), sql=sql)
    else:
        html.write_text(page.html(found), encoding="utf-8")
        print(f"{found.empty or page.title(found)}\nwritten to {html}")
    raise typer.Exit(1 if found.empty else 0)


def _date(text: str) -> str:
    """Return an ISO date. Raises SettingsError for anything else."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise SettingsError(f"date {text!r}: expected YYYY-MM-DD, for instance 2026-03-02")
