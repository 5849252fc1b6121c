"""Makers under agreement: each manner is what it says, each style does what it says, and labels follow."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from schemas.events import RECORD_TYPES, Topic
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml, simulate
from streams.sources.simulator_faults import Faults, FaultyStream
from streams.sources.simulator_quoting import STYLES, Levels, Manner, manners, quoting_markets

Rows = list[tuple[Topic, dict[str, Any]]]

ALMOST_MIDNIGHT = (1_772_413_200 + 53_997) * 10**9 + 7  # three seconds before midnight in Hong Kong


def run(**fields: Any) -> tuple[Simulation, Rows]:
    simulation = simulate(SimulatorConfig(**{"seconds": 10, "rate": 20, "quoting": "all", **fields}))
    return simulation, list(simulation)


def under_agreement(rows: Rows) -> Rows:
    return [row for row in rows if row[1]["instrument"].startswith("OBL-")]


def ordinary(rows: Rows) -> Rows:
    return [row for row in rows if not row[1]["instrument"].startswith("OBL-")]


def conditions(manner: Manner, half: int, least: int, depth: bool) -> list[str]:
    """Name the conditions of SPEC.md L1 that quotes around a mid of 1,000 * 2 * half ticks do not meet."""
    mid = 2_000 * half  # 2 * half ticks are 1/1,000 of it: 10 bps

    def side(levels: Levels) -> tuple[int, int] | None:
        shown = 0
        for ticks, lots in levels:
            shown += lots
            if not depth or shown >= least:
                return ticks, shown
        return None

    bid, ask = side(manner.bids), side(manner.asks)
    if bid is None or ask is None:
        enough = not depth or all(sum(lots for _, lots in s) >= least for s in (manner.bids, manner.asks))
        return ["sides" if enough or not (manner.bids and manner.asks) else "size"]
    missed = []
    spread = Fraction(bid[0] + ask[0]) * 2 / (mid + ask[0] + mid - bid[0])
    if spread > Fraction(1, 1_000):
        missed.append("spread")
    if min(bid[1], ask[1]) < least:
        missed.append("size")
    if Fraction(abs(bid[1] - ask[1]), min(bid[1], ask[1])) > Fraction(1, 2):
        missed.append("imbalance")
    return missed


def test_each_manner_breaks_the_one_condition_that_it_should_and_others_none() -> None:
    broken = {
        "a tick wider": ["spread"], "wide": ["spread"], "deep, a tick wider": ["spread"],
        "a lot smaller": ["size"], "deep, a lot smaller": ["size"], "a lot more uneven": ["imbalance"],
        "one side": ["sides"], "away": ["sides"], "frozen": ["sides"],
    }  # fmt: skip
    compared = 0
    for half in (2, 4, 40):
        for least in (10, 20, 50):
            for name, manner in manners(half, least).items():
                missed = conditions(manner, half, least, name.startswith("deep"))
                assert missed == broken.get(name, []), (name, half, least)
                assert manner.kept == (not missed)
                compared += 1
    print(f"judged {compared} manners")
    assert compared > 0


@pytest.mark.parametrize("start", [1_772_413_200 * 10**9, ALMOST_MIDNIGHT], ids=["morning", "over-midnight"])
def test_each_style_has_the_verdict_that_it_should(start: int) -> None:
    simulation, _ = run(start=start)
    facts = tomllib.loads(reference_toml(simulation.config))
    required = {fact["id"]: Fraction(fact["presence_pct"]) for fact in facts["mm_agreements"]}
    seen: Counter[tuple[str, str]] = Counter()
    styles = {style.name: style for style in STYLES}
    for row in simulation.presence:
        label: Any = row
        symbol, style = label["instrument"], styles[label["style"]]
        seen[style.name, label["verdict"]] += 1
        left = label["session_ns"] - label["exempt_ns"]
        assert label["warning"] == (label["verdict"] == "breach") == (label["warning_ts"] is not None)
        if symbol == "OBL-HALTED":
            assert label["verdict"] == "exempt" and label["exempt"] == {"halt": label["session_ns"]}
            continue
        if symbol == "OBL-LATE" and label["unknown_ns"]:
            assert label["verdict"] == ("breach" if style.name == "absent" else "inconclusive")
            continue
        assert label["unknown_ns"] == 0
        assert ("protection" in label["exempt"]) == style.freeze
        share = Fraction(100 * label["compliant_ns"], left)
        needed = required[label["agreement"]]
        match style.share:
            case "all":
                assert (label["verdict"], share) == ("met", 100)
            case "none":
                assert (label["verdict"], share) == ("breach", 0)
            case "exact":
                assert label["verdict"] == "met" and share >= needed
                assert Fraction(100 * (label["compliant_ns"] - 1), left) < needed
            case "short":
                assert label["verdict"] == "breach" and share < needed
                assert Fraction(100 * (label["compliant_ns"] + 1), left) >= needed
    print(f"checked {seen.total()} agreements' days: {dict(seen)}")
    assert {name for name, _ in seen} == set(styles)
    # A late feed leaves the first maker a nanosecond short of certainty.
    late: list[Any] = [row for row in simulation.presence if row["verdict"] == "inconclusive"]
    assert [(row["agreement"], row["trading_day"]) for row in late] == [("MM-1/OBL-LATE", "2026-03-02")]
    for row in late:
        assert Fraction(100 * (row["compliant_ns"] + 1), row["session_ns"]) >= 70


def test_labels_of_alerts_follow_from_presence_and_width() -> None:
    simulation, _ = run(seed=2)
    labels: list[Any] = simulation.labels
    kinds = Counter((label["rule"], label["anchor"]["kind"]) for label in labels)
    breaches = sum(row["verdict"] == "breach" for row in simulation.presence)
    wide = {(label["kind"], label["anchor"]["agreement"].split("/")[0]) for label in labels
            if label["rule"] == "spread_quality"}  # fmt: skip
    print(f"{breaches} breaches among {len(simulation.presence)}: {dict(kinds)}")
    assert kinds == {
        ("quoting_obligation", "breach"): breaches, ("quoting_obligation", "warning"): breaches,
        ("spread_quality", "spread"): 3,
    }  # fmt: skip
    # Only an affiliate's spread is L2's; as wide as agreed on average is no finding, a nanosecond more is.
    assert wide == {(n, "MM-1") for n in ("spread_a_tick_over", "wide_too_long", "wide_on_average")}


def test_kept_agreements_and_days_without_them_have_no_labels() -> None:
    kept, _ = run(quoting="kept")
    off, rows = run(quoting="off")
    assert kept.labels == [] and len(kept.presence) > 20
    assert off.presence == [] and off.spared == frozenset() and under_agreement(rows) == []
    assert "mm_agreements" not in reference_toml(off.config)


def test_the_same_configuration_gives_the_same_day_and_the_ordinary_markets_do_not_change() -> None:
    first, rows = run(seed=3, violations=Violations.each(1), rate=200)
    again, same = run(seed=3, violations=Violations.each(1), rate=200)
    other, _ = run(seed=4)
    off, alone = run(seed=3, violations=Violations.each(1), rate=200, quoting="off")
    assert rows == same and first.labels == again.labels and first.presence == again.presence
    assert first.presence != other.presence
    assert ordinary(rows) == alone and len(alone) > 1_000
    assert [row for row in first.labels if row["rule"] in {r["rule"] for r in off.labels}] == off.labels
    assert 0.8 * len(rows) < first.total < 1.2 * len(rows)


def test_every_record_is_valid_and_numbered_without_a_gap_in_order_of_time() -> None:
    _, rows = run(seed=5, start=ALMOST_MIDNIGHT, fill_records=True)
    last: Counter[str] = Counter()
    previous = 0
    for topic, record in rows:
        msgspec.convert(record, RECORD_TYPES[topic], strict=True)
        assert record["seq"] == last[record["instrument"]] + 1
        assert record["ts"] >= previous
        last[record["instrument"]], previous = record["seq"], record["ts"]
    print(f"checked {len(rows)} records of {len(last)} instruments")
    assert len(last) == len(STYLES) + 2 + 4


def test_protection_pulls_the_quotes_at_once_and_keeps_them_away() -> None:
    _, rows = run(seed=6)
    frozen: dict[tuple[str, str], int] = {}
    live: dict[tuple[str, str], set[str]] = {}
    freezes = pulled = 0
    for topic, record in under_agreement(rows):
        if topic != "orders":
            continue
        key, kind = (record["instrument"], record["account"]), record["exec_type"]
        orders = live.setdefault(key, set())
        if kind == "mm_protection_start":
            assert key not in frozen
            frozen[key] = record["ts"]
            freezes += 1
        elif kind == "mm_protection_end":
            assert not orders and frozen.pop(key) < record["ts"]
        elif kind == "canceled":
            orders.discard(record["order_id"])
            if record["reason"] == "mm_protection":
                assert frozen[key] == record["ts"]
                pulled += 1
        elif kind == "new" and record["time_in_force"] == "gtc":
            assert key not in frozen
            orders.add(record["order_id"])
    print(f"{freezes} freezes, {pulled} orders pulled")
    assert freezes > 8 and pulled > freezes


def test_nobody_trades_while_trading_is_closed() -> None:
    simulation, rows = run(seed=7)
    closed = {market.spec.symbol: market.closed for market in quoting_markets(simulation.config)}
    facts = tomllib.loads(reference_toml(simulation.config))["trading_phases"]
    assert Counter(fact["phase"] for fact in facts).keys() == {"halt", "auction", "exceptional"}
    inside: Counter[str] = Counter()
    trades = 0
    for topic, record in under_agreement(rows):
        trades += topic == "trades"
        if any(begin <= record["ts"] < until for _, begin, until in closed[record["instrument"]]):
            inside[topic if topic != "orders" else record["exec_type"]] += 1
    print(f"{trades} trades; while closed: {dict(inside)}")
    assert trades > 100 and inside["canceled"] > 10 and inside["trades"] == 0


def test_makers_keep_to_their_agreements_while_clients_trade_with_them() -> None:
    _, rows = run(seed=8)
    hit = Counter(account for topic, record in under_agreement(rows) if topic == "trades"
                  for account in parties(record) if account in ("MM-1", "IMM-1"))  # fmt: skip
    print(f"fills: {dict(hit)}")
    assert min(hit["MM-1"], hit["IMM-1"]) > 20


def test_a_dearer_maker_is_labelled_if_it_is_hit_often_enough_and_dear_enough() -> None:
    simulation, rows = run(seconds=80, rate=20)
    end = simulation.config.start + 20 * 10**9  # a minute before the end
    taken: dict[str, Counter[tuple[str, str]]] = {}
    for topic, record in rows:
        if topic == "trades" and record["instrument"].startswith("OBL-DEAR"):
            assert record["ts"] < end
            maker = next(account for account in parties(record) if account in ("MM-1", "IMM-1"))
            taken.setdefault(record["instrument"], Counter())[maker, record["price"]] += 1
    fills = {symbol: Counter(maker for maker, _ in counts.elements()) for symbol, counts in taken.items()}
    labels = [label for label in simulation.labels if label["kind"] == "dearer"]
    print(f"fills: {fills}; {len(labels)} label")
    assert {symbol: set(counts.values()) for symbol, counts in fills.items()} == {
        "OBL-DEAR": {200}, "OBL-DEAR-AS-ALLOWED": {200}, "OBL-DEAR-SELDOM": {199},
    }  # fmt: skip
    # Around 8 with ticks of 0.0001: 25 ticks are 6.25 bps of spread and 20 are 5; 24 are 6, just 1 more.
    assert set(taken["OBL-DEAR"]) == {
        ("MM-1", "7.9975"), ("MM-1", "8.0025"), ("IMM-1", "7.998"), ("IMM-1", "8.002"),
    }  # fmt: skip
    assert {price for account, price in taken["OBL-DEAR-AS-ALLOWED"] if account == "MM-1"} == {
        "7.9976", "8.0024",
    }  # fmt: skip
    assert [label["anchor"] for label in labels] == [
        {"account": "MM-1", "trading_day": "2026-03-02", "kind": "realised"}
    ]
    assert labels[0]["instrument"] == "OBL-DEAR"


def parties(record: dict[str, Any]) -> Iterable[str]:
    return (record["buy_account"], record["sell_account"])


def test_faults_spare_the_markets_under_agreement() -> None:
    simulation = simulate(SimulatorConfig(seed=9, seconds=10, rate=200, quoting="all"))
    stream = FaultyStream(simulation, Faults.each(5), simulation.total, 1, simulation.spared)
    sent = list(stream)
    spoilt = {label.get("instrument") for label in stream.labels}
    assert len(sent) > 2_000 and len(stream.labels) == 30 and stream.unplanted == []
    assert not spoilt & simulation.spared and len(simulation.spared) == len(STYLES) + 2


def test_nonsense_is_refused_with_what_was_expected() -> None:
    wrong: Any = "some"
    with pytest.raises(ValueError, match=r'quoting must be "off", "kept" or "all", not "some"'):
        SimulatorConfig(quoting=wrong)
    with pytest.raises(ValueError, match=r"must last a second: 1000 events, not 999"):
        SimulatorConfig(quoting="all", events=999)
