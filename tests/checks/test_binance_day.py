"""Six minutes of real BTCUSDT quotes and trades, landed: nothing lost, and the spread of every minute exact.

The oracle shares no code with the adapter or the rules: plain Python over the raw file, exact fractions.
Needs `binance_usdm` in ../shared/data beside the checkout: without it everything here is skipped.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from agreement import KNOWN_RULEBOOK

from detectors.affiliation import Directory
from schemas import codec
from schemas.journal import RefusedEntry
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import ReplayResult, replay
from streams.sources import recording
from streams.sources.binance import Capture, read
from streams.tagger import Tagger

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "binance_usdm"
MS = 1_000_000
MINUTE = 60_000 * MS
SIDES = {True: "sell", False: "buy"}  # m: the buyer is the maker
Event = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="NOT CHECKED: the real data binance_usdm is not in ../shared/data"
)


class Raw(NamedTuple):
    """The raw file: quotes, trades, and both with the capture's clock (ns), in the order of the file."""

    quotes: list[Event]
    trades: list[Event]
    arrived: list[tuple[int, Event]]


class Day(NamedTuple):
    """The capture as a landed replay."""

    capture: Capture
    result: ReplayResult
    lake: duckdb.DuckDBPyConnection
    records: list[dict[str, Any]]


@pytest.fixture(scope="module")
def raw() -> Raw:
    found = Raw([], [], [])
    (path,) = DATA.glob("*.gz")
    with gzip.open(path, "rt") as stream:
        for text in stream:
            local, _space, message = text.partition(" ")
            event = json.loads(message).get("data", {})
            if event.get("e") in ("bookTicker", "trade"):
                (found.quotes if event["e"] == "bookTicker" else found.trades).append(event)
                found.arrived.append((int(local), event))
    return found


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("binance")
    capture = read(DATA)
    recording.write(folder / "recording", capture.records, capture.reference_toml)
    sink = LakeWriter(folder / "lake", "binance")
    result = replay(folder / "recording", rulebook_text=KNOWN_RULEBOOK, sink=sink, strict=True)
    records = [record for _topic, record in capture.records if isinstance(record, dict)]
    with catalog.connect(folder / "lake") as lake:
        yield Day(capture, result, lake, records)


def test_every_quote_and_trade_lands_once_with_its_digits(raw: Raw, day: Day) -> None:
    quotes = day.lake.execute(
        "select quote_id, epoch_ns(ts), bid_px, bid_size, ask_px, ask_size from quotes"
    ).fetchall()
    trades = day.lake.execute("select trade_id, epoch_ns(ts), price, qty, aggressor from trades").fetchall()
    expected_quotes = [
        (str(event["u"]), event["T"] * MS, *(Decimal(event[name]) for name in "bBaA")) for event in raw.quotes
    ]
    expected_trades = [
        (str(event["t"]), event["T"] * MS, Decimal(event["p"]), Decimal(event["q"]), SIDES[event["m"]])
        for event in raw.trades
    ]
    print(f"compared {len(quotes)} quotes and {len(trades)} trades")
    assert (len(quotes), len(trades)) == (66_089, 21_313)
    assert sorted(quotes) == sorted(expected_quotes)
    assert sorted(trades) == sorted(expected_trades)
    assert day.result.refused.total() == 0
    assert day.result.coverage()["BTCUSDT"] == (1, 87_402, 87_402, 0)


def test_the_spread_of_every_minute(raw: Raw, day: Day) -> None:
    """A quote has weight from its event time to the next one's; the last of a millisecond is the one."""
    best = {event["T"] * MS: event for event in raw.quotes}  # in the file `u` only grows
    end = max(event["T"] * MS for _local, event in raw.arrived)
    times = sorted(best)
    weights: dict[int, int] = {}
    sums: dict[int, int] = {}
    for start, stop in zip(times, [*times[1:], end], strict=True):
        bid, ask = Fraction(best[start]["b"]), Fraction(best[start]["a"])
        assert bid < ask
        spread = round(20_000 * (ask - bid) / (ask + bid) * 1_000_000)  # in 1e-6 bps, half to even
        while start < stop:
            minute = start - start % MINUTE
            span = min(stop, minute + MINUTE) - start
            weights[minute] = weights.get(minute, 0) + span
            sums[minute] = sums.get(minute, 0) + spread * span
            start += span
    expected = {
        minute: (weight, MINUTE - weight, Decimal(round(Fraction(sums[minute], weight))).scaleb(-6))
        for minute, weight in weights.items()
    }
    rows = day.lake.execute(
        "select epoch_ns(minute), two_sided_ns, unknown_ns, tw_spread_bps,"
        " one_sided_ns + crossed_ns + excluded_ns, two_sided_without_affiliates_ns + common_ns,"
        " bid_depth_50bps_base from spread_minutes"
    ).fetchall()
    stated = {row[0]: row[1:4] for row in rows}
    print(
        f"compared {len(stated)} minutes: {', '.join(str(row[2]) for _, row in sorted(stated.items()))} bps"
    )
    assert len(stated) == 7
    assert stated == expected
    assert {row[4:] for row in rows} == {(0, 0, None)}


def test_the_volume_of_every_minute(raw: Raw, day: Day) -> None:
    last = max(event["T"] for _local, event in raw.arrived) * MS
    expected: dict[int, Decimal] = {last - last % MINUTE: Decimal(0)}  # quotes only
    for event in raw.trades:
        minute = event["T"] * MS - event["T"] * MS % MINUTE
        expected[minute] = expected.get(minute, Decimal(0)) + Decimal(event["q"])
    stated = dict(day.lake.execute("select epoch_ns(minute), volume from spread_minutes").fetchall())
    print(f"compared the volume of {len(stated)} minutes")
    assert expected
    assert stated == expected


def test_the_sequence_is_event_time_and_in_it_the_exchanges_own(raw: Raw, day: Day) -> None:
    records = day.records
    assert [record["seq"] for record in records] == list(range(1, 87_403))
    assert all(a["ts"] <= b["ts"] for a, b in pairwise(records))
    for name, events, number in (("quote_id", raw.quotes, "u"), ("trade_id", raw.trades, "t")):
        found = [record[name] for record in records if name in record]
        assert found == [str(event[number]) for event in events]
    quote: dict[str, Any] = {}
    hits = 0
    for record in records:
        if "quote_id" in record:
            quote = record
        elif quote:
            hits += Decimal(record["price"]) == Decimal(
                quote[{"buy": "ask_px", "sell": "bid_px"}[record["aggressor"]]]
            )
    print(
        f"compared {len(records)} places; "
        f"{hits} of {len(raw.trades)} trades at the far side of the quote before them"
    )
    assert hits == 11_870  # 55.7 %; by arrival 10,763


def test_disorder_and_skew_are_what_the_raw_file_has(raw: Raw, day: Day) -> None:
    """By arrival, 4,382 records would be stamped more than 1 ms before one seen: in event time, none is."""
    seen = 0
    lags: list[int] = []
    for _local, event in raw.arrived:
        seen = max(seen, event["T"])
        lags.append(seen - event["T"])
    behind, beyond = sum(lag > 0 for lag in lags), sum(lag > 1 for lag in lags)
    leads = [event["T"] * MS - local for local, event in raw.arrived]
    notes = day.capture.notes()
    print(
        f"compared {len(lags)} arrivals: {behind} behind, {beyond} by > 1 ms, at most {max(lags)} ms; "
        f"ahead of the clock by {min(leads)} to {max(leads)} ns"
    )
    assert (behind, beyond, max(lags)) == (6_411, 4_382, 110)
    assert (
        "6,411 of 87,402 records arrived after one with a later event time, 4,382 by more than 1 ms, at"
        in notes[0]
    )
    assert notes[1] == f"Event time is {min(leads):,} to {max(leads):,} ns ahead of the capture's clock"
    kinds = sorted(str(alert.measures.get("kind")) for alert in day.result.latest().values())
    assert kinds == ["assigned_sequence", "no_accounts"]  # and so no clock_skew, no book_mismatch


@pytest.mark.parametrize(("allowed", "refused"), [(5_000 * MS, 0), (1_000 * MS, 87_402)])
def test_had_it_been_appended_as_it_arrived(raw: Raw, day: Day, allowed: int, refused: int) -> None:
    """The exchange's clock runs 1.2 to 1.3 s ahead: within `max_future` of 5 s, and beyond one of 1 s."""
    tagger = Tagger(Directory(), allowed)
    local = {event.get("u", event.get("t")): ns for ns, event in raw.arrived}
    count = 0
    for record in day.records:
        topic, number = ("quotes", "quote_id") if "quote_id" in record else ("trades", "trade_id")
        append_ms = local[int(record[number])] // MS
        ((entry, _raw),) = tagger.tag(topic, codec.encode(record), 0, 0, append_ms)
        count += isinstance(entry, RefusedEntry) and entry.reason == "too_far_in_future"
    print(f"compared {len(day.records)} records with their arrival: {count} refused")
    assert count == refused
