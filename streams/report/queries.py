"""The report's queries: data, not code. What a query returns is shown as it is; column names carry the units.

`{day}`, `{zone}`, `{from_ns}`, `{to_ns}` (the trading day, half-open), `{and_instrument}` are filled in by
`Scope.fill`, so that the text under a table can be run as it stands (`fairbook sql`).
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from detectors.trading_day import day_bounds

PER_KIND = 20  # narratives shown of an instance and code


class Query(NamedTuple):
    """`needs`: relations or `relation.column`s that a lake may not have. `note` explains the columns."""

    key: str
    title: str
    sql: str
    note: str = ""
    needs: tuple[str, ...] = ()


class Section(NamedTuple):
    """A heading, what it says, and its queries in order."""

    key: str
    title: str
    intro: str
    queries: tuple[Query, ...]


class Scope(NamedTuple):
    """What is reported on: a trading day (ISO date) in the venue's zone, of one instrument or of all."""

    day: str
    zone: str
    instrument: str | None = None

    def fill(self, sql: str) -> str:
        """Return a query's text for this scope."""
        start, end = day_bounds(self.day, self.zone)
        only = "" if self.instrument is None else f" and instrument = {_quoted(self.instrument)}"
        values = {
            "day": _quoted(self.day),
            "zone": _quoted(self.zone),
            "from_ns": str(start),
            "to_ns": str(end),
            "and_instrument": only,
        }
        for name, value in values.items():  # not str.format: SQL has braces of its own
            sql = sql.replace(f"{{{name}}}", value)
        return sql.strip()


def _quoted(text: str) -> str:
    """Return a text as SQL that can be shown: a name comes from outside and may move a cursor."""
    sql = []
    for printable, run in groupby(text, str.isprintable):
        part = "".join(run)
        sql += ["'" + part.replace("'", "''") + "'"] if printable else [f"chr({ord(c)})" for c in part]
    return f"({' || '.join(sql)})" if len(sql) > 1 else "".join(sql) or "''"


def seconds(column: str) -> str:
    """Return SQL that turns ns into seconds exactly: a decimal, never a double."""
    return f"{column} * 0.000000001"


_ON_THE_DAY = "ts_ns >= {from_ns} and ts_ns < {to_ns}{and_instrument}"
_ALERTS_OF_THE_DAY = (
    "coalesce(measures ->> 'trading_day' = {day}, ts_ns >= {from_ns} and ts_ns < {to_ns}){and_instrument}"
)
_THE_DAY = "trading_day = {day}{and_instrument}"
SHORT_NS = "ceil(required_pct * (session_ns - exempt_ns) * 0.01 - (compliant_ns + unknown_ns))::bigint"
_AGREEMENT = "agreement || if(instance = 'quoting_obligation', '', ' (' || instance || ')') as agreement"

RULEBOOKS = Query(
    "rulebooks",
    "Rulebook",
    """
select distinct payload::json ->> 0 as "rulebook digest"
from journal_marks where kind = 'rulebook' order by all
""",
    "Every rulebook that this lake's journal has had in force.",
)
HELD = Query(
    "held",
    "Days that the lake holds",
    """
select min(trading_day)::varchar as "first day", max(trading_day)::varchar as "last day",
  count(distinct trading_day) as days, count(distinct instrument) as instruments
from coverage_days where true{and_instrument}
""",
)

COVERAGE = Query(
    "coverage",
    "Records",
    f"""
select instrument, first_seq as "first seq", last_seq as "last seq", received, landed,
  quarantined, duplicates, missing_seqs as "missing seqs", {seconds("dq_ns")} as "unsound, s"
from coverage_days where {_THE_DAY} order by instrument
""",
    "received = landed + quarantined + duplicates; unsound: time within gaps of the record.",
)
REFUSED = Query(
    "refused",
    "Refused records, kept with their bytes",
    """
select topic, reason, count(*) filter (ts_ns is not null) as "of this day",
  count(*) filter (ts_ns is null) as "of no readable time"
from quarantine
where (ts_ns is null or (ts_ns >= {from_ns} and ts_ns < {to_ns})){and_instrument} group by all order by all
""",
    "A record whose time cannot be read belongs to no day; those of the whole lake are counted beside it.",
)
FINDINGS = Query(
    "findings",
    "What is wrong with the venue's own record",
    f"""
select measures ->> 'kind' as kind, instrument, count(*) as findings,
  arg_min(narrative, ts_ns) as "first of them"
from alerts where rule = 'data_quality' and status <> 'retracted' and {_ALERTS_OF_THE_DAY}
group by all order by all
""",
)

PRESENCE = Query(
    "presence",
    "Presence and verdict",
    f"""
select {_AGREEMENT},
  instrument, verdict, required_pct as "required, %", presence_pct_low as "low, %",
  presence_pct as "presence, %", presence_pct_high as "high, %",
  if(verdict = 'breach', {seconds(SHORT_NS)}, null) as "short by, s"
from presence_days where {_THE_DAY} order by instrument, agreement
""",
    "presence = compliant / (session - exempt - unknown); low takes all unknown time as not compliant, high "
    "as compliant. Verdict: met if low reaches what is required, breach if high does not, else inconclusive. "
    "Short by: the time that high lacks, to the nanosecond; percentages are rounded.",
    ("presence_days",),
)
PRESENCE_TIME = Query(
    "presence_time",
    "How the session was spent",
    f"""
select {_AGREEMENT},
  instrument, {seconds("session_ns")} as "session, s",
  {seconds("compliant_ns")} as "compliant, s",
  {seconds("(session_ns - exempt_ns - unknown_ns - compliant_ns)")} as "not compliant, s",
  {seconds("unknown_ns")} as "unknown, s", {seconds("exempt_ns")} as "exempt, s"
from presence_days where {_THE_DAY} order by instrument, agreement
""",
    "Every nanosecond of the agreed hours is one of the four.",
    ("presence_days",),
)
EXEMPTIONS = Query(
    "exemptions",
    "Exemptions by reason",
    f"""
select {_AGREEMENT},
  instrument, key as reason, {seconds("(value::bigint)")} as "exempt, s"
from presence_days, json_each(exempt) where {_THE_DAY} order by all
""",
    needs=("presence_days",),
)
AGREEMENTS = Query(
    "agreements",
    "What was agreed",
    """
with facts as (
  select payload::json as fact, payload::json ->> 'instrument' as instrument from journal_marks
  where kind = 'reference' and payload::json ->> 'fact' = 'mm_agreements'
)
select distinct fact ->> 'id' as agreement, coalesce(fact ->> 'account', fact ->> 'entity') as maker,
  instrument,
  (fact ->> 'max_spread_bps')::decimal(28, 8) as "widest spread, bps",
  (fact ->> 'min_qty')::decimal(28, 8) as "least quantity, base",
  (fact ->> 'presence_pct')::decimal(28, 8) as "presence, %",
  coalesce(fact ->> 'session_start', '00:00') || ' - ' || coalesce(fact ->> 'session_end', '24:00') as hours,
  coalesce(fact ->> 'zone', {zone}) as zone
from facts where true{and_instrument} order by all
""",
    "As the venue's reference data states it; where it states no presence, the rulebook's applies.",
)

_AFFILIATES_NOTE = (
    "Without: the same book with the affiliates' orders struck out and nothing else changed. Compared over "
    "the time in which both books are two-sided."
)
BENEFIT = Query(
    "benefit",
    "Time-weighted quoted spread of the day",
    f"""
select instrument, {seconds("common_ns")} as "compared, s", tw_spread_bps_common as "with affiliates, bps",
  tw_spread_bps_common_without_affiliates as "without, bps", benefit_bps as "without - with, bps",
  {seconds("two_sided_only_with_affiliates_ns")} as "two-sided only with them, s",
  case when two_sided_ns = 0 then 'no two-sided book' when bid_depth_25bps_base is null then 'venue''s quotes'
    else 'orders' end as "known from"
from spread_days where {_THE_DAY} order by instrument
""",
    f"{_AFFILIATES_NOTE} Of the venue's quotes it is not known whose orders they are made of.",
)
OWN_TIME = Query(
    "own_time",
    "The same, each over its own two-sided time",
    f"""
select instrument, {seconds("two_sided_ns")} as "two-sided, s", tw_spread_bps as "with affiliates, bps",
  {seconds("two_sided_without_affiliates_ns")} as "two-sided without, s",
  tw_spread_bps_without_affiliates as "without, bps"
from spread_days where {_THE_DAY} order by instrument
""",
)
BOOK_TIME = Query(
    "book_time",
    "How the day was spent",
    f"""
select instrument, {seconds("two_sided_ns")} as "two-sided, s", {seconds("one_sided_ns")} as "one-sided, s",
  {seconds("crossed_ns")} as "crossed, s", {seconds("excluded_ns")} as "excluded, s",
  {seconds("unknown_ns")} as "unknown, s"
from spread_days where {_THE_DAY} order by instrument
""",
    "excluded: phases that are not continuous trading; unknown: gaps, and before the book is known.",
)
DEPTH = Query(
    "depth",
    "Time-weighted displayed depth of the day, in quote currency",
    "\nunion all\n".join(
        f"""select instrument, {band} as "within, bps",
  bid_depth_{band}bps_quote::decimal(38, 2) as "bid with", bid_depth_{band}bps_quote_without_affiliates\
::decimal(38, 2) as "bid without",
  ask_depth_{band}bps_quote::decimal(38, 2) as "ask with", ask_depth_{band}bps_quote_without_affiliates\
::decimal(38, 2) as "ask without"
from spread_days where {_THE_DAY}"""
        for band in (10, 25, 50)
    )
    + "\norder by all",
    "Within so many basis points of the full book's mid; rounded to 0.01.",
)
RANGE = Query(
    "range",
    "Minutes in the charts",
    """
select instrument, count(*) as minutes, count(tw_spread_bps_common) as "compared",
  min(tw_spread_bps_common) as "least with, bps", max(tw_spread_bps_common) as "greatest with, bps",
  min(tw_spread_bps_common_without_affiliates) as "least without, bps",
  max(tw_spread_bps_common_without_affiliates) as "greatest without, bps"
from spread_minutes where minute_ns >= {from_ns} and minute_ns < {to_ns}{and_instrument}
group by instrument order by instrument
""",
    "Of the time-weighted spreads of single minutes.",
)
MINUTES = Query(
    "minutes",
    "The day's minutes",
    f"""
select strftime(minute at time zone {{zone}}, '%H:%M') as "minute", minute_ns,
  tw_spread_bps as "spread of the whole book, bps", tw_spread_bps_common as "spread with, bps",
  tw_spread_bps_common_without_affiliates as "spread without, bps",
  bid_depth_25bps_quote + ask_depth_25bps_quote as "depth with",
  bid_depth_25bps_quote_without_affiliates + ask_depth_25bps_quote_without_affiliates as "depth without",
  {seconds("common_ns")} as "two-sided in both, s",
  if(bid_depth_25bps_base is null, 0, {seconds("(two_sided_ns - common_ns)")})
    as "two-sided only with them, s",
  if(bid_depth_25bps_base is null, {seconds("two_sided_ns")}, 0) as "two-sided, not known whose, s",
  {seconds("one_sided_ns")} as "one-sided, s", {seconds("crossed_ns")} as "crossed, s",
  {seconds("excluded_ns")} as "excluded, s", {seconds("unknown_ns")} as "unknown, s"
from spread_minutes where minute_ns >= {{from_ns}} and minute_ns < {{to_ns}}{{and_instrument}}
order by minute_ns
""",
)

EFFECTIVE = Query(
    "effective",
    "Effective spread and price improvement",
    f"""
select instrument, effective_n as "trades measured", effective_bps as "effective spread, bps",
  improvement_bps as "improvement, bps"
from spread_days where {_THE_DAY} order by instrument
""",
    "Quantity-weighted means of 2 D (P - M0)/M0 and D (far touch - P)/M0; improvement is negative when an "
    "order sweeps through several prices.",
    ("spread_days.effective_bps", "spread_days.improvement_bps", "spread_days.effective_n"),
)
REALISED = Query(
    "realised",
    "Realised spread and impact",
    "\nunion all\n".join(
        f"""select instrument, {h} as "after, s", realised_{h}s_n as "trades measured",
  realised_{h}s_bps as "realised spread, bps", impact_{h}s_bps as "impact, bps"
from spread_days where {_THE_DAY}"""
        for h in (1, 10, 60)
    )
    + "\norder by all",
    "What the side that provided liquidity kept after so many seconds, and how far the mid moved; for the "
    "same trades, effective = realised + impact.",
    tuple(f"spread_days.{name}" for h in (1, 10, 60)
          for name in (f"realised_{h}s_bps", f"impact_{h}s_bps", f"realised_{h}s_n")),
)  # fmt: skip


def _mean(measure: str, of: str) -> str:
    return f"mean_bps(sum({measure}_sum), sum({of}_qty))"


def _by_role(side: str, heading: str) -> str:
    return f"""
select instrument, {side}_role as "{heading}", sum(effective_n)::bigint as "trades measured",
  sum(effective_qty) as "quantity, base", {_mean("effective", "effective")} as "effective spread, bps",
  {_mean("improvement", "effective")} as "improvement, bps",
  {", ".join(f'{_mean(f"realised_{h}s", f"realised_{h}s")} as "realised {h} s, bps"' for h in (1, 10, 60))},
  {_mean("impact_60s", "realised_60s")} as "impact 60 s, bps"
from execution_days where {_THE_DAY} group by all order by all
"""


TAKERS = Query(
    "takers",
    "What the side that aggressed paid, by its role",
    _by_role("taker", "aggressor"),
    "The exact sums of execution_days put together anew: means of all its trades, by quantity.",
    ("execution_days",),
)
MAKERS = Query(
    "makers",
    "What the side that rested kept, by its role",
    _by_role("maker", "liquidity from"),
    "Realised spread is what it kept of the effective one after so many seconds; impact, what it lost.",
    ("execution_days",),
)
PAIRS = Query(
    "pairs",
    "Realised spread and impact by both roles",
    "\nunion all\n".join(
        f"""select instrument, taker_role as aggressor, maker_role as "liquidity from", {h} as "after, s",
  realised_{h}s_n as "trades measured", realised_{h}s_qty as "quantity, base",
  realised_{h}s_bps as "realised spread, bps", impact_{h}s_bps as "impact, bps"
from execution_days where {_THE_DAY}"""
        for h in (1, 10, 60)
    )
    + "\norder by all",
    "Not of trades without a mid after so many seconds: no two-sided book, a halt, a gap, the end.",
    ("execution_days",),
)
UNMEASURED = Query(
    "unmeasured",
    "Trades that were not measured, by reason",
    f"""
select instrument, key as reason, value::bigint as trades
from spread_days, json_each(excluded) where {_THE_DAY} order by all
""",
    needs=("spread_days.excluded",),
)
ROLES = Query(
    "roles",
    "Who traded with whom",
    f"""
with sides as (
  select instrument, qty, price * qty as notional, match_type = 'book' as book,
    case aggressor when 'buy' then buy_role when 'sell' then sell_role end as taker,
    case aggressor when 'buy' then sell_role when 'sell' then buy_role end as maker,
    case aggressor when 'buy' then buy_fee when 'sell' then sell_fee end as taker_fee,
    case aggressor when 'buy' then sell_fee when 'sell' then buy_fee end as maker_fee
  from trades where exec_type = 'trade' and {_ON_THE_DAY}
)
select instrument, coalesce(taker, 'nobody aggressed') as taker, coalesce(maker, '') as maker,
  count(*) as trades, sum(qty::decimal(38, 8)) as "quantity, base",
  sum(notional::decimal(38, 8)) as "notional, quote", sum(taker_fee::decimal(38, 8)) as "taker's fees, quote",
  sum(maker_fee::decimal(38, 8)) as "maker's fees, quote"
from sides group by all order by all
""",
    "All trades of the day as reported, busted ones among them.",
)
VOLUME = Query(
    "volume",
    "The affiliated maker's part of the volume",
    f"""
select instrument, volume as "volume, base", afmm_maker_volume as "affiliate made, base",
  afmm_taker_volume as "affiliate took, base", afmm_client_volume as "affiliate with clients, base"
from spread_days where {_THE_DAY} order by instrument
""",
)

JUDGED = Query(
    "judged",
    "What was judged: fills of the group's accounts against waiting client orders",
    f"""
select instance, instrument, fills_judged as "fills judged", fills_with_harm as "clients ahead",
  pairs_with_harm as "fill and client pairs", harm_left as "harm left, base",
  undecided_qty as "undecided, base"
from client_priority_days where {_THE_DAY} order by all
""",
    "client_first only counts for trades in the book: a correct engine has such fills.",
)
BREACHES = Query(
    "breaches",
    "Alerts by rule",
    f"""
select instance, coalesce(measures ->> 'code', measures ->> 'class', measures ->> 'check',
    measures ->> 'kind', '') as code,
  severity, count(*) filter (status = 'confirmed') as confirmed,
  count(*) filter (status = 'provisional') as provisional,
  count(*) filter (status = 'retracted') as retracted,
  count(*) filter (dq_degraded) as "on unsound data"
from alerts where rule <> 'data_quality' and {_ALERTS_OF_THE_DAY} group by all order by all
""",
    "Retracted: what it rested on was cured, busted, corrected or learnt late.",
)
NARRATIVES = Query(
    "narratives",
    "Each in a sentence",
    f"""
select strftime(ts at time zone {{zone}}, '%H:%M:%S') as "time", instance, status, severity, narrative,
  left(alert_id, 12) as alert
from alerts where rule <> 'data_quality' and status <> 'retracted' and {_ALERTS_OF_THE_DAY}
qualify row_number() over (
  partition by instance, measures ->> 'code', measures ->> 'class', measures ->> 'check', measures ->> 'kind'
  order by severity = 'high' desc, severity = 'medium' desc, alerts.ts_ns, alert_id) <= {PER_KIND}
order by instance, alerts.ts_ns, alert_id
""",
    f"Not those retracted; at most {PER_KIND} of a kind. `fairbook alerts list` has all of them, `fairbook "
    "alerts show ALERT` the records each rests on.",
)

SECTIONS = (
    Section(
        "coverage",
        "Coverage: was everything seen?",
        "What is missing or refused bounds everything below.",
        (COVERAGE, REFUSED, FINDINGS),
    ),
    Section(
        "presence",
        "Presence: were quotes there as agreed?",
        "Two-sided quotes of the makers under an agreement, with bounds where data is missing.",
        (PRESENCE, PRESENCE_TIME, EXEMPTIONS, AGREEMENTS),
    ),
    Section(
        "spread",
        "Spread and depth, with and without affiliates",
        "A static comparison of two books: others would have quoted differently without the affiliates.",
        (BENEFIT, OWN_TIME, BOOK_TIME, DEPTH, RANGE),
    ),
    Section(
        "execution",
        "Execution quality and volume by role",
        "Trades in the book in continuous trading are measured, all together and by the roles of both sides; "
        "volume and fees are of all trades.",
        (EFFECTIVE, REALISED, TAKERS, MAKERS, PAIRS, UNMEASURED, VOLUME, ROLES),
    ),
    Section(
        "breaches",
        "Alerts",
        "Each describes arithmetic on records and asks for review; none says that anybody meant it.",
        (JUDGED, BREACHES, NARRATIVES),
    ),
)
