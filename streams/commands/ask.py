"""Ask: SQL, alerts and what they rest on, the rules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from schemas.alerts import Status
from streams.commands.options import Lake, State, lake_of
from streams.commands.publish import Rulebook, rulebook_text
from streams.text_table import console

alerts = typer.Typer(help="The alerts, and what each rests on.", no_args_is_help=True)


def sql(
    query: Annotated[str | None, typer.Argument(help="Queries, with ; between; without, a prompt.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON Lines; decimals as strings.")] = False,
    lake: Lake = None,
    state: State = None,
) -> None:
    """Query the lake. Plain `duckdb` on its catalog.duckdb sees the same, also while landing goes on.

    Needs to read the lake, not to write to it. Queries see no file but the lake's and write none; they may
    make temporary tables, views and macros. Times are UTC, and DuckDB's settings are fixed: ask for
    `ts at time zone 'Asia/Hong_Kong'`.
    """
    from streams import query as lake_query

    if csv and json:
        raise typer.BadParameter("expected --csv or --json, got both")
    place = lake_of(lake, state)
    form: lake_query.Format = "csv" if csv else "json" if json else "table"
    if query is None:
        raise typer.Exit(lake_query.prompt(place, form))
    raise typer.Exit(lake_query.run(place, query, form))


@alerts.command("list")
def alerts_list(
    rule: Annotated[
        str | None, typer.Option(help="Only this rule; `data_quality` is left out unless named.")
    ] = None,
    instrument: Annotated[str | None, typer.Option(help="Only this instrument.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only alerts that stand so now.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 50,
    lake: Lake = None,
    state: State = None,
) -> None:
    """List the alerts as they stand: newest first."""
    from streams import explain

    explain.list_alerts(lake_of(lake, state), console(), rule, instrument, status, limit)


@alerts.command("show")
def alerts_show(
    alert_id: Annotated[str, typer.Argument(help="An alert's id, or its beginning.")],
    lake: Lake = None,
    state: State = None,
) -> None:
    """Show what an alert rests on: the records, the queue at the fill, the arithmetic, the rule's text."""
    from streams import explain

    if not explain.show_alert(lake_of(lake, state), alert_id, console()):
        raise typer.Exit(1)


def summary(lake: Lake = None, state: State = None) -> None:
    """What a lake holds: coverage, flow by role, alerts, spread with and without the affiliate."""
    from streams.commands import summary as of_lake

    place, screen = lake_of(lake, state), console()
    of_lake.show(place, screen)
    of_lake.what_next(place, screen)


def rules(
    rulebook: Rulebook = None,
    at: Annotated[
        datetime | None, typer.Option(help="Only parameters in force at this UTC time.", formats=["%Y-%m-%d"])
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The README's table of rules.")] = False,
) -> None:
    """List the rulebook: instances, parameters with units and dates, provenance, reference."""
    from streams.commands import rules_table

    text = rulebook_text(rulebook)
    if markdown:
        print(rules_table.markdown(text))
    else:
        rules_table.show(text, console(), at)
