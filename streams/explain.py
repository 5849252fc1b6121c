"""`fairbook alerts`: what an alert rests on, from the lake alone."""

from __future__ import annotations

import inspect
from decimal import Decimal
from pathlib import Path

import duckdb
from rich.console import Console
from rich.markup import escape

from detectors.registry import RULES
from schemas.tables import EXACT
from streams import text_table
from streams.lake import catalog
from streams.query import show, table

CANDIDATES = 10  # alerts shown where an id's beginning is that of several
LISTED = """
left(alert_id, 12) as alert, strftime(ts, '%m-%d %H:%M:%S') as "time", instrument,
  concat_ws(' ', replace(instance, 'client_priority.', 'client_priority '),
    coalesce(measures ->> 'code', measures ->> 'class', measures ->> 'kind')) as rule,
  status, severity, harm_qty, list_aggregate(accounts, 'string_agg', ' ') as accounts
"""
ICEBERGS = (
    "Icebergs: stamp is that of the order's last record; a tranche shown again after a fill has a later "
    "place, as the rule counts it."
)
HEADLINE = """
select alert_id, rule, instance, status, status_reason, severity, instrument, narrative, provenance,
  reference, version, parameter_hash, dq_degraded, late_reference, ts::varchar as ts, measures, units
from alerts where starts_with(alert_id, $1) order by alert_id
"""


def list_alerts(
    lake: Path,
    console: Console,
    rule: str | None = None,
    instrument: str | None = None,
    status: str | None = None,
    limit: int = 50,
) -> None:
    """Print the latest alerts, newest first, but for findings of data quality unless asked for by `rule`."""
    with catalog.connect(lake) as connection:
        relation = connection.sql(
            f"""
            select {LISTED} from alerts
            where (rule = $1 or ($1 is null and rule <> 'data_quality')) and ($2 is null or instrument = $2)
              and ($3 is null or status = $3)
            order by alerts.ts_ns desc, alert_id limit $4
            """,
            params=[rule, instrument, status, limit],
        )
        found = table(relation, most=limit)
    if found.rows:
        text_table.show(console, found)
        return
    asked = {"rule": rule, "instrument": instrument, "status": status}
    only = [f"{name} {value!r}" for name, value in asked.items() if value is not None]
    what = f"the lake has none of {', '.join(only)}" if only else "the lake has none"
    rest = "" if rule else " (findings of data quality are listed with --rule data_quality)"
    text_table.say(console, f"no alerts: {what}{rest}")


def show_alert(lake: Path, alert_id: str, console: Console) -> bool:
    """Print everything one alert rests on. Returns False if no alert, or several, begin with `alert_id`."""
    with catalog.connect(lake) as connection:
        found = connection.execute(HEADLINE, [alert_id]).fetchall()
        if len(found) != 1:
            what = f"{len(found)} alerts begin" if found else "no alert begins"
            where = "" if found else "; `fairbook alerts list` shows them"
            text_table.say(console, f"{what} with {alert_id!r}: expected one{where}")
            if found:
                _candidates(connection, alert_id, len(found), console)
            return False
        alert = dict(zip((column[0] for column in connection.description or []), found[0], strict=True))
        console.rule(escape(str(alert["instance"])), align="left")
        console.print(f"alert {alert['alert_id']}\n{alert['ts']}", markup=False, soft_wrap=True)
        reason = f" ({alert['status_reason']})" if alert["status_reason"] else ""
        text_table.say(console, f"{alert['narrative']}\n", "bold")
        text_table.say(
            console,
            f"status {alert['status']}{reason}, severity {alert['severity']}, {alert['instrument']}\n",
        )
        if alert["dq_degraded"]:
            console.print("[yellow]degraded: its evidence touches data that is not sound[/yellow]")
        if alert["late_reference"]:
            console.print("[yellow]rests on reference data recorded after the event[/yellow]")
        _history(connection, str(alert["alert_id"]), console)
        _evidence(connection, str(alert["alert_id"]), console)
        if alert["rule"] == "client_priority":
            _queue(connection, str(alert["alert_id"]), str(alert["instance"]), console)
        _measures(connection, str(alert["alert_id"]), console)
        rule = RULES.get(str(alert["rule"]))
        console.print(
            f"\n[bold]The rule[/bold] {alert['rule']}, version {alert['version']}, "
            f"parameters {alert['parameter_hash'][:12]}",
        )
        if rule is not None:
            console.print(_without_examples(rule.__doc__ or ""), highlight=False, markup=False)
        console.print(f"Source ({alert['provenance']}): {alert['reference']}", highlight=False, markup=False)
        console.print(
            "This describes arithmetic on records and asks for review; it says nothing about intent."
        )
        return True


def _candidates(connection: duckdb.DuckDBPyConnection, alert_id: str, count: int, console: Console) -> None:
    relation = connection.sql(
        f"select {LISTED} from alerts where starts_with(alert_id, $1) order by alert_id limit {CANDIDATES}",
        params=[alert_id],
    )
    show(console, relation, f"The first {CANDIDATES} of {count}" if count > CANDIDATES else "")


def _without_examples(docstring: str) -> str:
    """Return a rule's text; what only a test runs is left out."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(paragraph for paragraph in paragraphs if not paragraph.startswith(">>>"))


def _history(connection: duckdb.DuckDBPyConnection, alert_id: str, console: Console) -> None:
    relation = connection.sql(
        """
        select distinct knowledge, revision, status, status_reason, decided_ts::varchar as decided, harm_qty
        from alert_revisions where alert_id = $1 order by knowledge, revision
        """,
        params=[alert_id],
    )
    show(console, relation, "History")


def _evidence(connection: duckdb.DuckDBPyConnection, alert_id: str, console: Console) -> None:
    relation = connection.sql(
        """
        with item as (select instrument, unnest(evidence) as e from alerts where alert_id = $1),
        sides as (
          select *, 'buy' as side, buy_account as account, buy_role as role, buy_mm_flag as mm_flag
          from trades
          union all
          select *, 'sell', sell_account, sell_role, sell_mm_flag from trades
        )
        select e.kind, e.seq, e.id, strftime(o.ts, '%H:%M:%S.%f') as "time", o.exec_type as what,
          o.account, o.role, o.side, o.price, coalesce(o.leaves_qty, o.order_qty) as qty,
          coalesce(o.mm_flag::varchar, '-') as mm_flag
        from item join orders o on o.instrument = item.instrument and o.seq = e.seq
        union all
        select e.kind, e.seq, e.id, strftime(t.ts, '%H:%M:%S.%f'),
          case t.aggressor when t.side then 'took' when 'none' then t.match_type else 'made' end,
          t.account, t.role, t.side, t.price, t.qty, coalesce(t.mm_flag::varchar, '-')
        from item join sides t on t.instrument = item.instrument and t.seq = e.seq
        union all
        select e.kind, e.seq, e.id, strftime(q.ts, '%H:%M:%S.%f'), 'quote', q.account, q.role, null, q.bid_px,
          q.bid_size, coalesce(q.mm_flag::varchar, '-')
        from item join quotes q on q.instrument = item.instrument and q.seq = e.seq
        order by 2, 8
        """,
        params=[alert_id],
    )
    show(console, relation, "Evidence: the records", keys=2)


def _queue(connection: duckdb.DuckDBPyConnection, alert_id: str, instance: str, console: Console) -> None:
    """Print the queue at the fill, and who was owed what. A corrected fill's is that of its old seq."""
    instrument, trade_id, side, seq, price, qty = connection.execute(
        """
        select instrument, measures ->> 'trade_id', measures ->> 'side', evidence[1].seq,
          (measures ->> 'price')::decimal(28, 8), (measures ->> 'qty')::decimal(18, 8)
        from alerts where alert_id = $1
        """,
        [alert_id],
    ).fetchall()[0]
    relation = connection.sql(
        """
        select q.stamp, q.order_id, q.account, q.role, q.ord_type, q.price, q.leaves, q.display_qty,
          coalesce(case when q.order_id = case when $2 = 'buy' then t.buy_order_id else t.sell_order_id end
            then '<- filled' end, case when h.order_id is not null then 'passed over' end, '') as note
        from queue_before($1, $2, $3) q
        join trades t on t.instrument = $1 and t.seq = $3
        left join client_priority_harm h
          on h.instance = $4 and h.instrument = $1 and h.trade_id = $5 and h.side = $2
            and h.order_id = q.order_id
        where q.price is null or case when $2 = 'buy' then q.price >= $6 else q.price <= $6 end
        order by q.ord_type <> 'market', q.price * if($2 = 'buy', -1, 1), q.stamp
        """,
        params=[instrument, side, seq, instance, trade_id, price],
    )
    show(
        console,
        relation,
        f"The queue just before seq {seq}: {side} orders at {_decimal(price)} or better, in priority order",
        keys=2,
    )
    if relation.filter("display_qty < leaves").limit(1).fetchall():
        text_table.say(console, ICEBERGS, "dim")
    relation = connection.sql(
        """
        select order_id, account, harm_at_fill, cured_qty, harm_left, outcome, withdrawn
        from client_priority_harm where instance = $1 and instrument = $2 and trade_id = $3 and side = $4
        """,
        params=[instance, instrument, trade_id, side],
    )
    show(console, relation, f"The arithmetic: {_decimal(qty)} were filled; harm at the fill - cured = left")


def _decimal(value: Decimal) -> str:
    """Return every digit but the zeros at the end that the type adds."""
    return f"{value.normalize(EXACT):f}"


def _measures(connection: duckdb.DuckDBPyConnection, alert_id: str, console: Console) -> None:
    relation = connection.sql(
        """
        with a as (select measures::json as m, units::json as u from alerts where alert_id = $1),
        k as (select unnest(json_keys(m)) as measure, m, u from a)
        select measure, m ->> measure as value, u ->> measure as unit from k
        """,
        params=[alert_id],
    )
    show(console, relation, "Measures")
