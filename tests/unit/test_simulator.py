"""The simulated day: well-formed, repeatable, and labelled with exactly what is in it."""

from __future__ import annotations

import tomllib
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from oracle import judge

from schemas.alerts import breach_id
from schemas.decimals import text
from schemas.events import RECORD_TYPES, Topic
from streams.sources import recording
from streams.sources.simulator import (
    NearViolations,
    Simulation,
    SimulatorConfig,
    Violations,
    reference_toml,
    simulate,
)
from streams.sources.simulator_faults import Faults, FaultyStream
from streams.sources.simulator_kinds import OF_INDEPENDENT

Rows = list[tuple[Topic, dict[str, Any]]]

ALMOST_MIDNIGHT = (
    1_772_413_200 * 10**9 + 53_997 * 10**9
)  # 2026-03-02T15:59:57Z, three seconds before midnight in Hong Kong


def run(**fields: Any) -> tuple[Simulation, Rows]:
    simulation = simulate(SimulatorConfig(**fields))
    return simulation, list(simulation)


def labelled(simulation: Simulation) -> dict[str, tuple[Any, ...]]:
    """Labels by breach: status, why retracted, harm left, class; fails if two labels name the same breach."""
    result: dict[str, tuple[Any, ...]] = {}
    for label in simulation.labels:
        row: Any = label
        anchor = tuple(row["anchor"].values())
        breach = breach_id(row["rule"], row["instance"], row["instrument"], anchor)
        harm = row.get("harm_qty") if row["status"] != "retracted" else None
        assert breach not in result
        result[breach] = (row["status"], row["status_reason"], harm, row["measures"].get("class"))
    return result


def oracle(folder: Path, simulation: Simulation, rows: Rows) -> dict[str, tuple[Any, ...]]:
    """What brute force over the records, written from the definitions alone, says of I1, P1 and F2."""
    recording.write(folder, rows, reference_toml(simulation.config))
    found = {}
    for row in judge(folder)["alerts"]:
        breach = breach_id(row["rule"], row["instance"], row["instrument"], tuple(row["anchor"]))
        harm = None if row["status"] == "retracted" or row.get("harm_qty") is None else text(row["harm_qty"])
        found[breach] = (row["status"], row["reason"], harm, row.get("class"))
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1, "events": 4_000},
        {"seed": 2, "events": 4_000, "fill_records": True, "independent_maker": False},
        {"seed": 3, "seconds": 6, "rate": 700, "start": ALMOST_MIDNIGHT},
        {"seed": 4, "seconds": 60, "rate": 100, "clients": 4},
    ],
    ids=["plain", "fill-records", "over-midnight", "slow"],
)
@pytest.mark.parametrize("each", [0, 2])
def test_labels_are_exactly_what_brute_force_finds(fields: dict[str, Any], each: int, tmp_path: Path) -> None:
    near = NearViolations.each(each)
    simulation, rows = run(violations=Violations.each(each), near=near, **fields)
    if fields.get("start") == ALMOST_MIDNIGHT:
        assert any(record.get("exec_type") == "expired" for _, record in rows)
    expected = oracle(tmp_path / "day", simulation, rows)
    assert labelled(simulation) == expected
    # Where little happens, an exceptional phase may pass before its situation comes about.
    assert set(simulation.unplanted) <= {"priority_exceptional"}
    kinds = Counter(str(label["kind"]) for label in simulation.labels)
    missing = {kind for kind, count in Violations.each(each).counts() if count} - set(kinds)
    # An order with a false tag is labelled as order and as fill.
    assert missing <= {"false_tag"}
    nearly = Counter(str(label["kind"]) for label in simulation.near)
    without = () if simulation.config.independent_maker else OF_INDEPENDENT
    without = (*without, *simulation.unplanted)
    assert set(nearly) | set(without) >= (set(near.kinds()) if each else set())
    print(f"compared {len(expected)} findings over {len(rows)} records: {dict(kinds)}")
    assert bool(expected) is bool(each)


def test_every_record_is_valid_and_numbered_without_a_gap() -> None:
    _, rows = run(seed=5, events=8_000, violations=Violations.each(2), fill_records=True)
    last: Counter[str] = Counter()
    previous = 0
    for topic, record in rows:
        msgspec.convert(record, RECORD_TYPES[topic], strict=True)
        assert record["seq"] == last[record["instrument"]] + 1
        assert record["ts"] >= previous
        assert record.get("ts_gateway", 0) <= record["ts"] <= record.get("ts_ack", record["ts"])
        last[record["instrument"]], previous = record["seq"], record["ts"]
    print(f"checked {len(rows)} records of {len(last)} instruments")
    assert len(last) == 4 and len(rows) >= 8_000


def test_quotes_agree_with_the_book_rebuilt_from_the_records_and_never_cross() -> None:
    _, rows = run(seed=6, events=8_000, violations=Violations.each(2))
    books: dict[str, dict[str, dict[str, Any]]] = {}
    quotes = 0
    for topic, record in rows:
        book = books.setdefault(record["instrument"], {})
        if "quote_id" in record and "account" in record:
            continue  # a maker's own, which never enters the book
        if topic == "quotes":
            best = best_of(book)
            assert [
                record[name] and Decimal(record[name])
                for name in ("bid_px", "bid_size", "ask_px", "ask_size")
            ] == best
            assert best[0] is None or best[2] is None or best[0] < best[2]
            quotes += 1
        else:
            follow(book, topic, record)
    print(f"compared {quotes} quotes")
    assert quotes > 1_000


def follow(book: dict[str, dict[str, Any]], topic: Topic, record: dict[str, Any]) -> None:
    """Quantity is conserved: each record's leaves are what the trades left of the order's quantity."""
    if topic == "trades":
        for side in ("buy", "sell"):
            order = book.get(record.get(f"{side}_order_id", ""))
            if order is not None:
                quantity = Decimal(record["qty"])
                order["filled"] += quantity
                order["leaves"] -= quantity
                assert order["leaves"] >= 0
                hidden = order["display"] and quantity >= order["shown"]
                order["shown"] = (
                    min(order["display"] - (quantity - order["shown"]) % order["display"], order["leaves"])
                    if hidden else order["shown"] - quantity
                )  # fmt: skip
        return
    kind = record["exec_type"]
    if kind.startswith("mm_protection"):
        return
    leaves = Decimal(record["leaves_qty"])
    if kind in ("suspended", "resumed"):
        book[record["order_id"]]["resting"] = kind == "resumed"
    elif kind == "new":
        display = Decimal(record.get("display_qty", "0"))
        book[record["order_id"]] = {
            "side": record["side"], "price": record.get("price"), "leaves": leaves, "filled": Decimal(0),
            "display": display, "shown": min(display, leaves) if display else leaves,
            "resting": record["ord_type"] in ("limit", "market"),
        }  # fmt: skip
    elif kind != "rejected":
        order = book[record["order_id"]]
        if kind == "replaced":
            keeps = record["price"] == order["price"] and leaves <= order["leaves"]
            assert Decimal(record["order_qty"]) == order["filled"] + leaves
            top = order["shown"] if keeps else order["display"]
            order["shown"] = min(top, leaves) if order["display"] else leaves
            order["price"], order["leaves"] = record["price"], leaves
        elif kind == "triggered":
            assert leaves == order["leaves"]
            order["resting"] = True
        else:
            assert kind in ("canceled", "expired") and leaves == 0
            assert Decimal(record["order_qty"]) > order["filled"]
            del book[record["order_id"]]


def best_of(book: dict[str, dict[str, Any]]) -> list[Decimal | None]:
    result: list[Decimal | None] = []
    for side, choose in (("buy", max), ("sell", min)):
        live = [
            order for order in book.values() if order["side"] == side and order["resting"] and order["leaves"]
        ]
        price = choose((Decimal(order["price"]) for order in live), default=None)
        shown = [order["shown"] for order in live if Decimal(order["price"]) == price]
        result += [price, sum(shown, Decimal(0)) if shown else None]
    return result


def test_the_same_configuration_gives_the_same_run_and_another_seed_another() -> None:
    first, rows = run(seed=7, events=3_000, violations=Violations.each(1))
    again, same = run(seed=7, events=3_000, violations=Violations.each(1))
    _, other = run(seed=8, events=3_000, violations=Violations.each(1))
    assert rows == same and first.labels == again.labels and first.near == again.near
    assert rows != other


def test_a_clean_run_has_everything_but_violations() -> None:
    simulation, rows = run(seed=9, events=30_000)
    seen = Counter(str(record.get("exec_type")) for _, record in rows)
    reasons = Counter(str(record["reason"]) for _, record in rows if "reason" in record)
    assert simulation.labels == [] and simulation.near == []
    assert {"new", "replaced", "canceled", "rejected", "triggered", "trade", "trade_cancel"} <= set(seen)
    assert {"user", "self_trade_prevention", "expiry", "post_only"} <= set(reasons)
    assert any(record.get("match_type") == "block" for _, record in rows)
    assert any("display_qty" in record for _, record in rows)


def test_a_run_lasts_as_long_and_is_as_busy_as_asked() -> None:
    simulation, rows = run(seed=10, seconds=20, rate=500)
    assert 8_000 < len(rows) < 12_000
    assert rows[-1][1]["ts"] - simulation.config.start < 21 * 10**9


def test_kinds_and_outcomes_of_planted_priority_breaches() -> None:
    simulation, _ = run(
        seed=11, events=20_000, violations=Violations.each(5), near=NearViolations(priority_cured=5)
    )
    outcomes = Counter(
        (str(label["kind"]), str(label["instance"]).split(".")[-1], label["status"], label["status_reason"])
        for label in simulation.labels if label["rule"] == "client_priority"
    )  # fmt: skip
    assert outcomes["price_time_busted", "price_time", "retracted", "busted"] == 5
    assert outcomes["price_time_cure_busted", "price_time", "confirmed", None] == 5
    assert outcomes["price_time_equal", "price_time", "confirmed", None] == 5
    assert outcomes["price_time_better", "price_time", "confirmed", None] == 5
    assert sum(count for key, count in outcomes.items() if key[0] == "client_first_block") == 10
    assert [label["kind"] for label in simulation.near] == ["priority_cured"] * 5
    assert outcomes["client_first_cured", "client_first", "retracted", "cured"] == 5
    assert outcomes["client_first_late_cure", "client_first", "confirmed", None] == 5
    assert outcomes["price_time_corrected", "price_time", "confirmed", None] == 5
    classes: Counter[str] = Counter()
    for label in simulation.labels:
        if label["rule"] == "self_trade":
            measures: Any = label["measures"]
            classes[measures["class"]] += 1
    assert classes == {"same_account": 40, "same_owner": 15, "same_group": 5, "afmm_own_group": 15}


def test_reference_names_one_operator_and_every_account_that_is_known() -> None:
    simulation, rows = run(seed=12, events=3_000, violations=Violations.each(1))
    facts = tomllib.loads(reference_toml(simulation.config))
    known = {row["account"] for row in facts["accounts"]}
    sent = {record["account"] for topic, record in rows if topic == "orders"}
    assert {account for account in sent - known if not account.startswith("GHOST-")} == set()
    assert [row["id"] for row in facts["entities"] if row.get("operator")] == ["venue"]
    assert {row["entity"] for row in facts["accounts"]} <= {row["id"] for row in facts["entities"]}


def test_faults_are_in_the_stream_as_labelled_and_touch_only_quotes() -> None:
    simulation = simulate(SimulatorConfig(seed=13, events=5_000))
    clean = list(simulate(SimulatorConfig(seed=13, events=5_000)))
    stream = FaultyStream(simulation, Faults.each(3), 5_000, seed=1)
    rows = list(stream)
    assert stream.unplanted == []
    assert Counter(label["kind"] for label in stream.labels) == {
        "duplicate": 3, "conflict": 3, "gap": 3, "late": 3, "garbage": 3, "float_price": 3,
    }  # fmt: skip
    assert sum(isinstance(record, bytes) for _, record in rows) == 3
    sent = Counter((record["instrument"], record["seq"]) for _, record in rows if isinstance(record, dict))
    true = {(record["instrument"], record["seq"]) for _, record in clean}
    absent = {(label["instrument"], label["seq"]) for label in stream.labels if label["kind"] == "gap"}
    twice = {
        (label["instrument"], label["seq"])
        for label in stream.labels
        if label["kind"] in ("duplicate", "conflict")
    }
    assert true - set(sent) == absent
    assert {place for place, count in sent.items() if count == 2} == twice
    spoilt = [
        record for _, record in rows if isinstance(record, dict) and isinstance(record.get("bid_px"), float)
    ]
    assert len(spoilt) == 3


def test_nonsense_is_refused_with_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"clients must be at least 4.*not 2"):
        SimulatorConfig(clients=2)
    with pytest.raises(ValueError, match="must be above 0"):
        SimulatorConfig(rate=0)
    with pytest.raises(ValueError, match=r"violations\.mutated_flag must be 0 or more, not -1"):
        Violations(mutated_flag=-1)
