"""Journal entries, alerts and metrics as rows of the lake's tables."""

from __future__ import annotations

from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from schemas import codec
from schemas.alerts import Alert
from schemas.decimals import parse
from schemas.journal import OrderEntry, Position, QuoteEntry, RefusedEntry, Source, TradeEntry
from schemas.metrics import (
    ClientPriorityDay,
    ClientPriorityHarm,
    Depth,
    Metric,
    PresenceDay,
    RoleExecution,
    SpreadDay,
    SpreadMinute,
)
from schemas.tables import EXACT, TABLES

_DERIVED = {
    "dq",
    "extra",
    "partition",
    "offset",
    "index",
    "src_topic",
    "src_partition",
    "src_offset",
    "src_index",
}
_FIELDS = {
    table: tuple(column.name for column in TABLES[table] if column.name not in _DERIVED)
    for table in ("orders", "trades", "quotes")
}
TABLE_OF = {OrderEntry: "orders", TradeEntry: "trades", QuoteEntry: "quotes"}
_VALUES = {kind: attrgetter(*_FIELDS[table]) for kind, table in TABLE_OF.items()}


def _place(position: Position, src: Source) -> tuple[Any, ...]:
    return (
        position.partition, position.offset, position.index, src.topic, src.partition, src.offset, src.index,
    )  # fmt: skip


def event(entry: OrderEntry | TradeEntry | QuoteEntry, position: Position, late: bool) -> tuple[Any, ...]:
    """Return an event as a row of its table."""
    values = _VALUES[type(entry)](entry)
    return (*values, "late" if late else None, entry.extra, *_place(position, entry.src))


def refused(entry: RefusedEntry, position: Position) -> tuple[Any, ...]:
    """Return a refused record as a row of `refused`."""
    src = entry.src
    place = f"{src.topic}:{src.partition}:{src.offset}" + (f":{src.index}" if src.index else "")
    return (
        entry.reason, entry.detail, place, entry.instrument, entry.seq, entry.ts, entry.raw,
        *_place(position, src),
    )  # fmt: skip


def alert(
    alert: Alert, position: Position, run: str, version: str | None, build: str | None
) -> tuple[Any, ...]:
    """Return an alert's revision as a row of `alert_revisions`; version and build: of Fairbook."""
    return (
        alert.alert_id, alert.breach_id, alert.knowledge, alert.revision, alert.status, alert.status_reason,
        alert.rule, alert.instance, alert.version, alert.parameter_hash, alert.reference, alert.provenance,
        alert.severity, alert.ts, alert.decided_ts, alert.instrument, list(alert.accounts), list(alert.grps),
        [{"kind": item.kind, "id": item.id, "seq": item.seq} for item in alert.evidence],
        codec.canonical(alert.measures).decode(), codec.canonical(alert.units).decode(),
        None if alert.harm_qty is None else parse(alert.harm_qty),
        None if alert.harm_notional is None else _notional(alert.harm_notional),
        alert.narrative, alert.dq_degraded, alert.late_reference, alert.ce_id, run,
        version, build, position.partition, position.offset, position.index,
    )  # fmt: skip


def _notional(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(16, "0"))


def metric(row: Metric, position: Position, run: str) -> tuple[str, tuple[Any, ...]]:
    """Return a metrics row's table and values."""
    tail = (row.knowledge, row.revision, position.partition, position.offset, position.index, run)
    match row:
        case ClientPriorityHarm():
            return "client_priority_harm_revisions", (
                row.instance, row.instrument, row.ts, row.seq, row.trade_id, row.side, row.order_id,
                row.account, row.alert_id, row.outcome, row.harm_at_fill, row.cured_qty, row.harm_left,
                row.withdrawn, *tail,
            )  # fmt: skip
        case ClientPriorityDay():
            return "client_priority_days_revisions", (
                row.instance, row.instrument, row.trading_day, row.fills_judged, row.fills_with_harm,
                row.pairs_with_harm, row.harm_left, row.undecided_qty, row.gateway_overtakes,
                codec.canonical(row.exempt).decode(), *tail,
            )  # fmt: skip
        case SpreadMinute():
            return "spread_minutes_revisions", (row.instrument, row.minute, *_spread(row), *tail)
        case SpreadDay():
            return "spread_days_revisions", (
                row.instrument, row.trading_day, row.benefit_bps, row.two_sided_only_with_affiliates_ns,
                *_spread(row), codec.canonical(row.excluded).decode(),
                [_execution(pair) for pair in row.by_role], *tail,
            )  # fmt: skip
        case PresenceDay():
            return "presence_days_revisions", (
                row.instance, row.agreement, row.instrument, row.trading_day, row.session_ns, row.exempt_ns,
                row.unknown_ns, row.compliant_ns, row.presence_pct, row.presence_pct_low,
                row.presence_pct_high, row.required_pct, row.verdict, codec.canonical(row.exempt).decode(),
                *tail,
            )  # fmt: skip


def _execution(pair: RoleExecution) -> dict[str, Any]:
    return {
        name: Decimal(value).scaleb(-8, EXACT) if name.endswith("_qty") else value
        for name, value in msgspec.structs.asdict(pair).items()
    }


def _spread(row: SpreadMinute | SpreadDay) -> tuple[Any, ...]:
    depth: list[int | None] = []
    bands: list[Depth] = [row.depth[f"{side}_{band}bps"] for side in ("bid", "ask") for band in (10, 25, 50)]
    for item in bands:
        depth += (item.base, item.quote)
    for item in bands:
        depth += (item.base_without_affiliates, item.quote_without_affiliates)
    return (
        row.two_sided_ns, row.two_sided_without_affiliates_ns, row.common_ns, row.one_sided_ns,
        row.crossed_ns, row.excluded_ns, row.unknown_ns, row.tw_spread_bps,
        row.tw_spread_bps_without_affiliates, row.tw_spread_bps_common,
        row.tw_spread_bps_common_without_affiliates, *depth, row.volume,
        row.afmm_maker_volume, row.afmm_taker_volume, row.afmm_client_volume,
        row.effective_bps, row.improvement_bps, row.effective_n,
        row.realised_1s_bps, row.impact_1s_bps, row.realised_1s_n,
        row.realised_10s_bps, row.impact_10s_bps, row.realised_10s_n,
        row.realised_60s_bps, row.impact_60s_bps, row.realised_60s_n,
    )  # fmt: skip
