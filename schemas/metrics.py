"""Rows of the topic `metrics`: measures that are no alert. The latest (knowledge, revision) of a key counts.

Quantities are integers scaled by 10**8, notionals by 10**16, spreads in 1e-6 basis points, times integer
nanoseconds. None where a denominator is 0. Source: SPEC.md section 3.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.events import Side

HarmOutcome = Literal["open", "harmed", "cured", "busted"]
Verdict = Literal["met", "inconclusive", "breach", "exempt"]


class _Row(msgspec.Struct, kw_only=True, frozen=True, tag_field="table"):
    knowledge: int = 0
    revision: int = 0


class ClientPriorityHarm(_Row, frozen=True, tag="client_priority_harm"):
    """What a client order lost to a fill of a watched account. Key: instance, trade_id, side, order_id."""

    instance: str
    instrument: str
    ts: int  # of F
    seq: int  # of F
    trade_id: str
    side: Side
    order_id: str
    account: str | None
    alert_id: str | None
    outcome: HarmOutcome
    harm_at_fill: int
    cured_qty: int
    harm_left: int
    withdrawn: bool


class ClientPriorityDay(_Row, frozen=True, tag="client_priority_days"):
    """Daily totals of one instance in one instrument. Key: instance, instrument, trading_day.

    `exempt` counts (F, C) pairs under the first named exemption that held.
    """

    instance: str
    instrument: str
    trading_day: str
    fills_judged: int
    fills_with_harm: int
    pairs_with_harm: int
    harm_left: int  # sum over client orders of min(harm left, greatest leaves + filled of the day)
    undecided_qty: int
    gateway_overtakes: int
    exempt: dict[str, int]


class Depth(msgspec.Struct, kw_only=True, frozen=True):
    """Time-weighted displayed depth in a band of the full book's mid, one side; quote scaled by 10**16."""

    base: int | None
    quote: int | None
    base_without_affiliates: int | None
    quote_without_affiliates: int | None


class _SpreadRow(_Row, kw_only=True, frozen=True):
    instrument: str
    two_sided_ns: int
    two_sided_without_affiliates_ns: int
    common_ns: int
    one_sided_ns: int
    crossed_ns: int
    excluded_ns: int
    unknown_ns: int
    tw_spread_bps: int | None
    tw_spread_bps_without_affiliates: int | None
    tw_spread_bps_common: int | None
    tw_spread_bps_common_without_affiliates: int | None
    depth: dict[str, Depth]  # bid_10bps, bid_25bps, ... ask_50bps
    volume: int
    afmm_maker_volume: int
    afmm_taker_volume: int
    afmm_client_volume: int
    effective_bps: int | None = None
    improvement_bps: int | None = None
    effective_n: int = 0
    realised_1s_bps: int | None = None
    impact_1s_bps: int | None = None
    realised_1s_n: int = 0
    realised_10s_bps: int | None = None
    impact_10s_bps: int | None = None
    realised_10s_n: int = 0
    realised_60s_bps: int | None = None
    impact_60s_bps: int | None = None
    realised_60s_n: int = 0


class SpreadMinute(_SpreadRow, kw_only=True, frozen=True, tag="spread_minutes"):
    """Quoted and trade measures of one instrument in one UTC minute. Key: instrument, minute.

    Revision 0 comes at the minute's end, its realised spreads and impacts null (n = 0); the next 60 s later
    has them; more follow where a bust, a correction or a gap changes what was said.
    """

    minute: int  # its start, ns


class RoleExecution(msgspec.Struct, frozen=True):
    """What the trades measured on a day cost where one role aggressed and another rested: exact sums.

    A mean is `*_sum` (1e-6 bps x 1e-8 base) / its `*_qty`, rounded half to even; sums of several pairs, days
    or instruments may be added first. Of a horizon: the trades whose mid after it is known.
    """

    taker_role: str
    maker_role: str
    effective_n: int
    effective_qty: int
    effective_sum: int
    improvement_sum: int
    realised_1s_n: int
    realised_1s_qty: int
    realised_1s_sum: int
    impact_1s_sum: int
    realised_10s_n: int
    realised_10s_qty: int
    realised_10s_sum: int
    impact_10s_sum: int
    realised_60s_n: int
    realised_60s_qty: int
    realised_60s_sum: int
    impact_60s_sum: int


class SpreadDay(_SpreadRow, kw_only=True, frozen=True, tag="spread_days"):
    """The same over one trading day, and what the affiliates added. Key: instrument, trading_day.

    `benefit_bps` = without - with over common time (positive when the affiliates narrow the spread), in 1e-6
    bps; `two_sided_only_with_affiliates_ns` = two-sided time that only affiliates made; the two are never
    merged. A static comparison: others would have quoted differently. `excluded`: trades not measured, by
    reason: `auction`, `block`, `rfq`, `liquidation` (match types), `no_aggressor`, `not_continuous`,
    `between_affiliates`, `late`, `start_unknown` (of the book), `no_mid` (one-sided or crossed at receipt).
    `by_role`: the trades measured, by pair of roles (the view `execution_days`).
    """

    trading_day: str
    benefit_bps: int | None
    two_sided_only_with_affiliates_ns: int
    excluded: dict[str, int] = {}
    by_role: tuple[RoleExecution, ...] = ()


class PresenceDay(_Row, frozen=True, tag="presence_days"):
    """A market maker's quotes under one agreement on one trading day. Key: instance, instrument, agreement,
    trading_day. Percentages in 1e-6 %. `exempt`: ns by reason.

    Every nanosecond of the session is one of exempt, unknown, compliant, and the rest: not compliant.
    """

    instance: str
    agreement: str
    instrument: str
    trading_day: str  # in the agreement's zone
    session_ns: int
    exempt_ns: int
    unknown_ns: int
    compliant_ns: int
    presence_pct: int | None
    presence_pct_low: int | None
    presence_pct_high: int | None
    required_pct: int
    verdict: Verdict
    exempt: dict[str, int]


Metric = ClientPriorityHarm | ClientPriorityDay | SpreadMinute | SpreadDay | PresenceDay
