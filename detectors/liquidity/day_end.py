"""L2's two alerts at the end of a trading day: quotes wider than agreed, and a dearer maker than others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.base import Rule
from detectors.liquidity.agreed_spread import Agreements, Over, Width, Widths
from detectors.liquidity.makers_compared import RESAMPLES, Comparison, compare
from detectors.liquidity.trade_measures import LAST, OTHERS, Fill, Trades
from detectors.trading_day import day_bounds
from schemas.alerts import Anchor, Evidence, Measure, alert_id, breach_id
from schemas.decimals import divide_half_even, text

if TYPE_CHECKING:
    from detectors.market import Market


def count_quotes(
    rule: Rule, market: Market, widths: Widths, start: int, end: int, *, known: bool, certain: bool
) -> None:
    """Add the makers' quotes as they stand; days that are over by `end` are decided at their end."""
    agreements: Agreements = market.cache[rule.instance.name]
    for agreement in agreements.facts:
        opened = widths.open.get(agreement, [])
        run = agreements.run(agreement, opened if certain else _copied(opened), start, end, known)
        for over in run.over:
            key = f"spread {over.width.trading_day} {agreement}"
            if widths.told.get(key) != over.width:
                widths.due[key] = over
                market.wake(rule, max(over.ts, start), key, _spread_anchor(over))
            if certain:
                widths.told.pop(key, None)
            else:
                widths.told[key] = over.width
        if certain:
            widths.open[agreement] = run.open


def judge_open_days(rule: Rule, market: Market, widths: Widths, start: int, end: int, *, known: bool) -> None:
    """A recording ends: decide the days that are not over with what is known."""
    agreements: Agreements = market.cache[rule.instance.name]
    found: list[Over] = []
    for agreement in agreements.facts:
        opened = _copied(widths.open.get(agreement, []))
        found += agreements.run(agreement, opened, start, end, known).now
    for over in sorted(found, key=lambda over: _breach(rule, market, _spread_anchor(over))):
        judge_spread(rule, market, over)


def _copied(opened: list[Width]) -> list[Width]:
    return [msgspec.structs.replace(width) for width in opened]


def _spread_anchor(over: Over) -> Anchor:
    return over.agreement, over.width.trading_day, "spread"


def _breach(rule: Rule, market: Market, anchor: Anchor) -> str:
    return breach_id(rule.name, rule.instance.name, market.instrument, anchor)


def judge_spread(rule: Rule, market: Market, over: Over) -> None:
    """Alert if a maker's own quotes were wider than agreed, or take it back."""
    width, anchor = over.width, _spread_anchor(over)
    found = rule.parameters(over.start)
    if not width.exceeds or found is None:
        _take_back(rule, market, anchor)
        return
    mean, agreed = divide_half_even(width.spread, width.two_sided), width.agreed
    agreed_text = text(divide_half_even(agreed, 100 * width.two_sided), 6)
    measures: dict[str, Measure] = {
        "check": "spread",
        "agreement": over.agreement,
        "trading_day": width.trading_day,
        "tw_spread_bps": text(mean, 6),
        "agreed_spread_bps": agreed_text,
        "widest_spread_bps": text(width.widest, 6),
        "two_sided_ns": width.two_sided,
    }
    market.alert(
        rule,
        anchor,
        ts=over.ts,
        parameter_hash=found[1],
        severity="medium",
        accounts=over.accounts,
        grps=[market.party(account, over.start).grp for account in over.accounts],
        evidence=[width.evidence] if width.evidence is not None else [],
        measures=measures,
        units={
            **dict.fromkeys((name for name in measures if name.endswith("bps")), "bps"),
            "two_sided_ns": "ns",
        },
        narrative=(
            f"Agreement {over.agreement} in {market.instrument} on {width.trading_day}: over "
            f"{text(width.two_sided, 9)} s of two-sided quotes their time-weighted spread was "
            f"{text(mean, 6)} bps where {agreed_text} bps are agreed; for review."
        ),
    )


def judge_makers(rule: Rule, market: Market, trades: Trades, day: str, ts: int) -> None:
    """Alert on each affiliated maker whose 60 s realised spread from clients is above other makers'."""
    makers = trades.makers.get(day, {})
    found = rule.parameters(day_bounds(day, market.context.zone)[0])
    others = makers.get(OTHERS, {})
    anchors: dict[str, Anchor] = {
        maker: (maker.removeprefix("account "), day, "realised") for maker in makers if maker != OTHERS
    }
    for maker in sorted(anchors, key=lambda maker: _breach(rule, market, anchors[maker])):
        anchor = anchors[maker]
        compared: Comparison | None = None
        if found is not None:
            compared = compare(
                makers[maker],
                others,
                excess=found[0].realised_excess_bps,
                min_fills=found[0].min_fills,
                min_blocks=found[0].min_blocks,
                seed=alert_id(_breach(rule, market, anchor), rule.version, found[1]),
            )
        if compared is None or not compared.exceeds or found is None:
            _take_back(rule, market, anchor)
            continue
        _alert_maker(rule, market, trades, anchor, compared, found[1], day, ts, maker)


def _alert_maker(
    rule: Rule,
    market: Market,
    trades: Trades,
    anchor: Anchor,
    compared: Comparison,
    parameter_hash: str,
    day: str,
    ts: int,
    maker: str,
) -> None:
    account = str(anchor[0])
    by = text(compared.mean - compared.other_mean, 6)
    measures: dict[str, Measure] = {
        "check": "realised",
        "trading_day": day,
        "fills": compared.fills,
        "other_fills": compared.other_fills,
        "realised_60s_bps": text(compared.mean, 6),
        "other_realised_60s_bps": text(compared.other_mean, 6),
        "lower_99_bps": text(compared.lower or 0, 6),
        "blocks": compared.blocks,
        "resamples": RESAMPLES,
    }
    market.alert(
        rule,
        anchor,
        ts=ts,
        parameter_hash=parameter_hash,
        severity="medium",
        accounts=[account],
        grps=[market.party(account, ts).grp],
        evidence=_ends(market, trades, maker, day),
        measures=measures,
        units={
            **{name: "bps" for name in measures if name.endswith("bps")},
            **dict.fromkeys(("fills", "other_fills", "blocks"), "count"),
        },
        narrative=(
            f"{account} in {market.instrument} on {day}: {compared.fills} fills from clients kept "
            f"{measures['realised_60s_bps']} bps of the spread after 60 s, {compared.other_fills} of other "
            f"makers {measures['other_realised_60s_bps']} bps: {by} bps more (above "
            f"{measures['lower_99_bps']} bps with 99 % confidence, by {compared.blocks} blocks); for review."
        ),
    )


def _ends(market: Market, trades: Trades, maker: str, day: str) -> list[Evidence]:
    """Return the first and last of the maker's fills that are remembered."""
    fills = [
        Evidence("trade", trade_id, fill.seq)
        for trade_id, seq in trades.by_id.items()
        if (fill := trades.fills.get(seq)) is not None and _counts(market, fill, maker, day)
    ]
    fills.sort(key=lambda item: item.seq)
    return [*fills[:1], *fills[1:][-1:]]


def _counts(market: Market, fill: Fill, maker: str, day: str) -> bool:
    return fill.maker == maker and bool(fill.mids[LAST]) and market.day(fill.minute) == day


def _take_back(rule: Rule, market: Market, anchor: Anchor) -> None:
    """What a clock let be decided, and a gap leaves without ground, is retracted."""
    market.retract(market.known(rule, anchor), "unknown_time")
