"""What a lake holds, for people: coverage first, then who traded, what was found, what the maker added."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import duckdb
from rich.console import Console

from streams import text_table
from streams.lake import catalog
from streams.query import show as show_table

COVERAGE = """
select instrument, count(*) as days, max(trading_day) as last_day,
  sum(received)::bigint as received, sum(landed)::bigint as landed, sum(quarantined)::bigint as quarantined,
  sum(duplicates)::bigint as duplicates, sum(missing_seqs)::bigint as missing,
  max(last_seq) as last_seq, (sum(dq_ns) / 1e9)::decimal(12, 3) as unsound_s
from coverage_days group by instrument order by instrument
"""
REFUSED = "select topic, reason, count(*) as records from quarantine group by all order by all"
FLOW = """
with sides as (
  select buy_role as role, buy_account as account, aggressor = 'buy' as took from trades
  where exec_type = 'trade'
  union all
  select sell_role, sell_account, aggressor = 'sell' from trades where exec_type = 'trade'
),
fills as (
  select role, count(*) as fills, count(distinct account) as accounts, count(*) filter (took) as took
  from sides group by role
),
entered as (
  select role, count(*) as orders, count(distinct account) as accounts from orders
  where exec_type in ('new', 'rejected', 'restated') group by role
)
select role, coalesce(entered.accounts, fills.accounts) as accounts, coalesce(orders, 0) as orders,
  coalesce(fills, 0) as fills, coalesce(took, 0) as as_taker,
  coalesce(100 * fills / nullif(sum(fills) over (), 0), 0)::decimal(5, 1) as pct_of_fills
from entered full join fills using (role)
order by role
"""
ALERTS = """
select instance, coalesce(measures ->> 'code', measures ->> 'class', '') as code, status, count(*) as alerts,
  arg_max(narrative, (severity = 'high', ts_ns)) as example
from alerts where rule <> 'data_quality' group by all order by all
"""
FINDINGS = """
select kind, count(*) as findings,
  arg_min(instrument || ' seq ' || first_seq || ': ' || reason, ts_ns) as first
from data_quality where place is null group by kind order by kind
"""
COUNTED = """
select instance, sum(fills_judged)::bigint as fills_judged, sum(fills_with_harm)::bigint as clients_ahead,
  count(distinct instrument) as instruments, count(distinct trading_day) as days
from client_priority_days group by all order by all
"""
SPREAD = """
select instrument, trading_day as day, (common_ns / 1e9)::decimal(12, 3) as seconds,
  tw_spread_bps_common as "with", tw_spread_bps_common_without_affiliates as without,
  benefit_bps as benefit, (two_sided_only_with_affiliates_ns / 1e9)::decimal(12, 3) as only_s
from spread_days order by instrument, trading_day
"""


def show(lake: Path, console: Console) -> None:
    """Print the summary of a lake."""
    with catalog.connect(lake) as connection:
        sections(connection, console)


def what_next(lake: Path, console: Console) -> None:
    """Print three commands to try on a lake, as they can be typed here."""
    place = "" if lake == Path(".fairbook/lake") else f" --lake {shlex.quote(str(lake))}"
    fairbook = "fairbook" if shutil.which("fairbook") else shlex.quote(sys.argv[0])
    console.rule("What to try next", align="left")
    for command in (
        f"{fairbook} alerts list{place}",
        f"{fairbook} alerts show{place} {_an_alert(lake)}",
        f'{fairbook} sql{place} "select instrument, minute, tw_spread_bps from spread_minutes"',
    ):
        console.print(command, highlight=False, markup=False, soft_wrap=True)


def sections(connection: duckdb.DuckDBPyConnection, console: Console) -> None:
    """Print coverage, flow, alerts, spread."""
    console.rule("Did it see everything?", align="left")
    show_table(console, connection.sql(COVERAGE))
    if connection.sql(REFUSED).fetchall():
        show_table(console, connection.sql(REFUSED), "Refused, and kept with their bytes", keys=2)
    console.rule("Whose flow was it?", align="left")
    show_table(console, connection.sql(FLOW))
    console.rule("Did clients come first? Was everything flagged?", align="left")
    console.print(
        "Each alert describes arithmetic on records and asks for review; none says that anybody meant it.\n",
        style="dim",
    )
    _alerts(connection, console)
    show_table(
        console, connection.sql(COUNTED), "Fills of the group's accounts that were judged, by instance"
    )
    if connection.sql(FINDINGS).fetchall():
        show_table(console, connection.sql(FINDINGS), "What is wrong with the venue's own record")
    console.rule("What did the affiliated maker do to the spread?", align="left")
    show_table(console, connection.sql(SPREAD), keys=2)
    console.print(
        "Quoted spread in basis points, time-weighted over the seconds in which the book is two-sided both "
        "with and without the affiliates' orders; benefit = without - with; only_s: seconds in which only "
        "they made it two-sided. A static comparison: others would have quoted differently without them.",
        style="dim",
        highlight=False,
    )


def _alerts(connection: duckdb.DuckDBPyConnection, console: Console) -> None:
    rows = connection.sql(ALERTS).fetchall()
    if not rows:
        console.print("No alerts.\n")
        return
    for instance, code, status, count, example in rows:
        what = f"{instance} {code}".strip()
        console.print(f"[bold]{count:>4}  {what}[/bold], {status}", highlight=False)
        text_table.say(console, f"      e.g. {example}", "dim")
    console.print()


def _an_alert(lake: Path) -> str:
    """Return the beginning of the id of an alert worth showing."""
    query = """
        select left(alert_id, 12) from alerts where rule <> 'data_quality'
        order by rule <> 'client_priority', status <> 'confirmed', alert_id limit 1
    """
    with catalog.connect(lake) as connection:
        found = connection.sql(query).fetchall()
    return str(found[0][0]) if found else "ALERT_ID"
