"""The lake's tables: an explicit Arrow schema each. Times come twice: `x` (TIMESTAMPTZ) and exact `x_ns`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal[
    "text", "int", "bool", "time", "price", "quantity", "notional", "bps", "pct", "texts", "evidence",
    "bytes", "json", "executions",
]  # fmt: skip


class Column(NamedTuple):
    """A column: name and kind. Scaled integers come in: prices, quantities by 10**8, notionals by 10**16."""

    name: str
    kind: Kind = "text"


_HORIZONS = (("effective", "improvement"), *((f"realised_{h}s", f"impact_{h}s") for h in (1, 10, 60)))
EXECUTIONS = pa.list_(
    pa.struct(
        [("taker_role", pa.string()), ("maker_role", pa.string())]
        + [
            field
            for first, second in _HORIZONS
            for field in (
                (f"{first}_n", pa.int64()),
                (f"{first}_qty", pa.decimal128(28, 8)),
                (f"{first}_sum", pa.decimal128(38, 0)),
                (f"{second}_sum", pa.decimal128(38, 0)),
            )
        ]
    )
)
EVIDENCE = pa.list_(pa.struct([("kind", pa.string()), ("id", pa.string()), ("seq", pa.int64())]))
ARROW: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "price": pa.decimal128(28, 8),
    "quantity": pa.decimal128(18, 8),
    "notional": pa.decimal128(38, 16),
    "bps": pa.decimal128(18, 6),
    "pct": pa.decimal128(9, 6),
    "texts": pa.list_(pa.string()),
    "evidence": EVIDENCE,
    "bytes": pa.binary(),
    "json": pa.string(),  # DuckDB's type JSON in the catalog
    "executions": EXECUTIONS,
}
EXACT = Context(prec=76)  # the default one would round a notional to 28 digits
SCALES: dict[Kind, int] = {"price": 8, "quantity": 8, "notional": 16, "bps": 6, "pct": 6}


def _columns(spec: str) -> tuple[Column, ...]:
    """Read `name:kind` words; a word without a kind is text."""
    found = []
    for word in spec.split():
        name, _, kind = word.partition(":")
        found.append(Column(name, kind or "text"))  # type: ignore[arg-type]
    return tuple(found)


_PLACE = "partition:int offset:int index:int src_topic src_partition:int src_offset:int src_index:int"
_ALERT = (
    "alert_id breach_id knowledge:int revision:int status status_reason rule instance version:int "
    "parameter_hash "
    "reference provenance severity ts:time decided_ts:time instrument accounts:texts grps:texts "
    "evidence:evidence "
    "measures:json units:json harm_qty:quantity harm_notional:notional narrative dq_degraded:bool "
    "late_reference:bool "
    "ce_id run fairbook_version fairbook_build partition:int offset:int index:int"
)
_DEPTH = " ".join(
    f"{side}_depth_{band}bps_base{suffix}:price {side}_depth_{band}bps_quote{suffix}:notional"
    for suffix in ("", "_without_affiliates")
    for side in ("bid", "ask")
    for band in (10, 25, 50)
)
_SPREAD = (
    "two_sided_ns:int two_sided_without_affiliates_ns:int common_ns:int one_sided_ns:int crossed_ns:int "
    "excluded_ns:int unknown_ns:int tw_spread_bps:bps tw_spread_bps_without_affiliates:bps "
    f"tw_spread_bps_common:bps tw_spread_bps_common_without_affiliates:bps {_DEPTH} volume:price "
    "afmm_maker_volume:price afmm_taker_volume:price afmm_client_volume:price "
    "effective_bps:bps improvement_bps:bps effective_n:int "
    + " ".join(f"realised_{h}s_bps:bps impact_{h}s_bps:bps realised_{h}s_n:int" for h in (1, 10, 60))
)
_REVISION = "knowledge:int revision:int partition:int offset:int index:int run"

TABLES: dict[str, tuple[Column, ...]] = {
    "orders": _columns(
        "instrument seq:int ts:time exec_type order_id cl_ord_id orig_cl_ord_id account side "
        "ord_type time_in_force "
        "post_only:bool exec_inst:texts order_capacity price:price stop_px:price order_qty:quantity "
        "leaves_qty:quantity display_qty:quantity min_qty:quantity mm_flag:bool reason "
        "ts_gateway:time ts_ack:time "
        f"ts_published:time session access_tier role owner grp dq extra {_PLACE}"
    ),
    "trades": _columns(
        "instrument seq:int ts:time exec_type trade_id orig_trade_id price:price qty:quantity aggressor "
        "buy_order_id buy_account buy_mm_flag:bool buy_fee:price sell_order_id sell_account "
        "sell_mm_flag:bool "
        "sell_fee:price match_type match_id buy_role buy_owner buy_grp sell_role sell_owner "
        "sell_grp dq extra " + _PLACE
    ),
    "quotes": _columns(
        "instrument seq:int ts:time quote_id bid_px:price bid_size:quantity ask_px:price "
        "ask_size:quantity account "
        f"mm_flag:bool role owner grp dq extra {_PLACE}"
    ),
    "journal_marks": _columns(
        "kind instrument first_seq:int last_seq:int from:time to:time ts:time payload partition:int "
        "offset:int index:int"
    ),
    "refused": _columns(f"reason detail place instrument seq:int ts:time raw:bytes {_PLACE}"),
    "alert_revisions": _columns(_ALERT),
    "client_priority_harm_revisions": _columns(
        "instance instrument ts:time seq:int trade_id side order_id account alert_id outcome "
        "harm_at_fill:quantity "
        f"cured_qty:quantity harm_left:quantity withdrawn:bool {_REVISION}"
    ),
    "client_priority_days_revisions": _columns(
        "instance instrument trading_day fills_judged:int fills_with_harm:int pairs_with_harm:int "
        "harm_left:price "
        f"undecided_qty:price gateway_overtakes:int exempt:json {_REVISION}"
    ),
    "spread_minutes_revisions": _columns(f"instrument minute:time {_SPREAD} {_REVISION}"),
    "spread_days_revisions": _columns(
        "instrument trading_day benefit_bps:bps two_sided_only_with_affiliates_ns:int "
        f"{_SPREAD} excluded:json by_role:executions {_REVISION}"
    ),
    "presence_days_revisions": _columns(
        "instance agreement instrument trading_day session_ns:int exempt_ns:int unknown_ns:int "
        "compliant_ns:int presence_pct:pct presence_pct_low:pct presence_pct_high:pct required_pct:pct "
        f"verdict exempt:json {_REVISION}"
    ),
}


def schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table; `"time"` columns are followed by their exact `_ns` twin."""
    fields: list[pa.Field] = []
    for column in TABLES[table]:
        fields.append(pa.field(column.name, ARROW[column.kind]))
        if column.kind == "time":
            fields.append(pa.field(f"{column.name}_ns", pa.int64()))
    return pa.schema(fields)


def to_arrow(table: str, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return rows (in the order of `TABLES[table]`, scaled integers for decimals) as an Arrow table."""
    arrays: list[pa.Array] = []
    columns = TABLES[table]
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    for column, items in zip(columns, values, strict=True):
        if column.kind == "time":
            exact = pa.array(items, pa.int64())
            arrays += [_microseconds(exact), exact]
        elif column.kind in SCALES:
            arrays.append(_decimals(items, column.kind))
        else:
            arrays.append(pa.array(items, ARROW[column.kind]))
    return pa.Table.from_arrays(arrays, schema=schema(table))


def _microseconds(exact: pa.Array) -> pa.Array:
    """Return times in ns as timestamps, rounded down."""
    below = pc.less(exact, 0)  # division rounds to zero
    shifted = pc.if_else(below, pc.subtract(exact, 999), exact)
    return pc.divide(shifted, 1_000).cast(ARROW["time"])


def _decimals(items: Sequence[int | None], kind: Kind) -> pa.Array:
    scale, target = SCALES[kind], ARROW[kind]
    integers = None if kind == "notional" else _small(items)
    if integers is None:
        return pa.array(
            [None if item is None else Decimal(item).scaleb(-scale, EXACT) for item in items], target
        )
    exact = pa.Array.from_buffers(pa.decimal64(18, scale), len(integers), integers.buffers())
    return exact.cast(target)


def _small(items: Sequence[int | None]) -> pa.Array | None:
    """Return numbers as an array if none has more than 18 digits."""
    try:
        integers = pa.array(items, pa.int64())
    except (OverflowError, pa.ArrowInvalid):
        return None
    least, most = pc.min_max(integers).as_py().values()
    return integers if least is None or (least > -(10**18) and most < 10**18) else None
