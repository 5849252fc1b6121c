"""The Binance adapter on captures of a few lines, and spreads where only the venue's quotes tell the book."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detectors.runner import Output, Runner
from schemas.journal import Entry, Position, QuoteEntry
from schemas.metrics import Depth, SpreadMinute
from streams import reference_data
from streams.cli import app
from streams.replay import ReplayResult, journal, replay
from streams.settings import resource
from streams.sources import recording
from streams.sources.binance import BinanceError, Capture, read

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
START_MS = 1_723_161_240_000  # a whole minute
LEAD_MS = 1_270
SECOND = 1_000_000_000


def line(data: dict[str, Any], arrived_ms: int) -> str:
    local_ns = (START_MS - LEAD_MS + arrived_ms) * 1_000_000
    return f"{local_ns} {json.dumps({'stream': 'btcusdt@any', 'data': data})}"


def ticker(number: int, ms: int, bid: str = "100.0", ask: str = "101.0", **changes: Any) -> dict[str, Any]:
    event = {
        "e": "bookTicker", "u": number, "s": "BTCUSDT", "b": bid, "B": "1.000", "a": ask, "A": "2.000",
        "T": START_MS + ms, "E": START_MS + ms + 3,
    }  # fmt: skip
    return event | changes


def trade(number: int, ms: int, *, maker: bool = False, **changes: Any) -> dict[str, Any]:
    event = {
        "e": "trade", "t": number, "s": "BTCUSDT", "p": "101.0", "q": "0.5", "X": "MARKET", "m": maker,
        "T": START_MS + ms, "E": START_MS + ms + 3,
    }  # fmt: skip
    return event | changes


def capture(tmp_path: Path, *lines: str) -> Capture:
    path = tmp_path / "capture.gz"
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in lines).encode()))
    return read(path)


def arriving(tmp_path: Path, *events: dict[str, Any]) -> Capture:
    """A capture of events that arrived in this order, 1 ms apart."""
    return capture(tmp_path, *(line(event, at) for at, event in enumerate(events)))


def told(found: Capture) -> list[tuple[str, int, str]]:
    """(topic, seq, the exchange's number) of every record."""
    return [
        (topic, int(str(record["seq"])), str(record.get("trade_id") or record["quote_id"]))
        for topic, record in found.records
        if isinstance(record, dict)
    ]


class Minutes:
    """A Sink that keeps the latest row of each minute."""

    def __init__(self) -> None:
        self.rows: dict[int, SpreadMinute] = {}

    def entry(self, position: Position, entry: Entry) -> None:
        """Ignore it."""

    def output(self, position: Position, output: Output) -> None:
        """Keep it if it is a minute."""
        if isinstance(output, SpreadMinute):
            self.rows[(output.minute - START_MS * 1_000_000) // (60 * SECOND)] = output

    def close(self) -> None:
        """Do nothing."""


def replayed(tmp_path: Path, found: Capture, reference: str | None = None) -> tuple[ReplayResult, Minutes]:
    folder, minutes = tmp_path / "recording", Minutes()
    recording.write(folder, found.records, found.reference_toml if reference is None else reference)
    return replay(folder, rulebook_text=RULEBOOK, sink=minutes, strict=True), minutes


def findings(result: ReplayResult) -> Counter[object]:
    """Count what the record is found to be at fault for, by kind."""
    found = (alert for alert in result.latest().values() if alert.rule == "data_quality")
    return Counter(alert.measures["kind"] for alert in found)


# ---- the adapter --------------------------------------------------------------------------------------


def test_a_quote_and_a_trade_keep_their_digits(tmp_path: Path) -> None:
    quote, sold = arriving(tmp_path, ticker(7, 0, bid="61800.20"), trade(9, 1, maker=True)).records
    assert quote == (
        "quotes",
        {
            "instrument": "BTCUSDT", "seq": 1, "ts": START_MS * 1_000_000, "quote_id": "7",
            "bid_px": "61800.20", "bid_size": "1.000", "ask_px": "101.0", "ask_size": "2.000",
        },
    )  # fmt: skip
    assert sold == (
        "trades",
        {
            "instrument": "BTCUSDT", "seq": 2, "ts": (START_MS + 1) * 1_000_000, "exec_type": "trade",
            "trade_id": "9", "price": "101.0", "qty": "0.5", "aggressor": "sell", "match_type": "book",
        },
    )  # fmt: skip


def test_the_buyer_aggresses_where_he_is_not_the_maker(tmp_path: Path) -> None:
    found = arriving(tmp_path, trade(1, 0, maker=False), trade(2, 1, maker=True))
    assert [record["aggressor"] for _topic, record in found.records if isinstance(record, dict)] == [
        "buy",
        "sell",
    ]


@pytest.mark.parametrize(("kind", "match_type"), [("ADL", "liquidation"), ("INSURANCE_FUND", "liquidation")])
def test_forced_trades_are_no_book_trades(tmp_path: Path, kind: str, match_type: str) -> None:
    ((_topic, record),) = arriving(tmp_path, trade(1, 0, X=kind)).records
    assert isinstance(record, dict)
    assert record["match_type"] == match_type


def test_event_time_orders_what_arrived_in_disorder(tmp_path: Path) -> None:
    found = arriving(tmp_path, ticker(1, 0), ticker(2, 110), trade(1, 20), ticker(3, 120), trade(2, 100))
    assert told(found) == [
        ("quotes", 1, "1"), ("trades", 2, "1"), ("trades", 3, "2"), ("quotes", 4, "2"), ("quotes", 5, "3"),
    ]  # fmt: skip
    assert (
        "2 of 5 records arrived after one with a later event time, 2 by more than 1 ms, at most 90 ms"
        in (found.notes()[0])
    )


def test_in_one_millisecond_trades_come_before_the_quotes_they_left(tmp_path: Path) -> None:
    found = arriving(tmp_path, ticker(1, 0), ticker(5, 0), trade(2, 0), trade(1, 0))
    assert told(found) == [("trades", 1, "1"), ("trades", 2, "2"), ("quotes", 3, "1"), ("quotes", 4, "5")]


def test_each_instrument_has_its_own_sequence(tmp_path: Path) -> None:
    found = arriving(
        tmp_path, ticker(1, 0), ticker(2, 1, s="ETHUSDT"), ticker(3, 2), trade(1, 3, s="ETHUSDT")
    )
    assert [
        (record["instrument"], record["seq"]) for _topic, record in found.records if isinstance(record, dict)
    ] == [("BTCUSDT", 1), ("ETHUSDT", 1), ("BTCUSDT", 2), ("ETHUSDT", 2)]
    assert found.symbols == ["BTCUSDT", "ETHUSDT"]
    (tmp_path / "reference.toml").write_text(found.reference_toml)
    assert reference_data.check(tmp_path / "reference.toml") == []


def test_a_message_that_comes_twice_is_found_by_its_seq(tmp_path: Path) -> None:
    found = arriving(
        tmp_path, ticker(1, 0), trade(1, 1), trade(1, 1), ticker(2, 2), ticker(2, 2, ask="105.0")
    )
    assert [seq for _topic, seq, _number in told(found)] == [1, 2, 2, 3, 3]
    result, _minutes = replayed(tmp_path, found)
    assert (result.refused["duplicate"], result.refused["conflict"], result.events) == (1, 1, 3)


def test_other_messages_are_counted_and_not_used(tmp_path: Path) -> None:
    snapshot = '1723161255319702566 {"lastUpdateId":1,"E":1,"T":1,"bids":[],"asks":[]}'
    found = capture(tmp_path, line({"e": "depthUpdate"}, 0), snapshot, "", line(ticker(1, 0), 1))
    assert found.counts == {"not used: depthUpdate": 1, "not used: no event": 1, "quotes": 1}
    assert found.total == 1


@pytest.mark.parametrize(
    "damaged",
    ["17231612", "x {}", "1 {", "1 []", line(ticker(2, 0, b=1.5), 0), line({"e": "trade", "s": "X"}, 0)],
)
def test_what_is_no_message_is_quarantined_with_its_bytes(tmp_path: Path, damaged: str) -> None:
    found = capture(tmp_path, line(ticker(1, 0), 0), damaged)
    assert found.total == 2
    assert ("quotes", damaged.encode()) in list(found.records)
    assert found.notes()[-1].startswith("1 lines are no messages, the first capture.gz:2: ")
    result, _minutes = replayed(tmp_path, found)
    assert (result.refused.total(), result.events) == (1, 1)


def test_a_side_of_nothing_is_absent(tmp_path: Path) -> None:
    ((_topic, record),) = arriving(tmp_path, ticker(1, 0, bid="0.00", B="0.000")).records
    assert isinstance(record, dict)
    assert "bid_px" not in record and "bid_size" not in record and record["ask_px"] == "101.0"


def test_lost_trades_and_the_clocks_are_noted(tmp_path: Path) -> None:
    notes = arriving(tmp_path, trade(10, 0), trade(13, 1)).notes()
    assert notes[1:] == [
        "Event time is 1,270,000,000 to 1,270,000,000 ns ahead of the capture's clock",
        "2 trade ids are missing; seq has no gap there",
    ]


def test_files_of_a_folder_follow_one_another_and_plain_ones_do(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"part{number}.txt").write_text(line(ticker(number, number), number))
    assert told(read(tmp_path)) == [("quotes", 1, "1"), ("quotes", 2, "2")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "expected a capture"),
        (b"", "expected lines of"),
        (gzip.compress(line(ticker(1, 0), 0).encode())[:-9], "expected a whole file"),
    ],
)
def test_what_is_no_capture_says_so(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "capture.gz"
    if content is not None:
        path.write_bytes(content if content else gzip.compress(b""))
    with pytest.raises(BinanceError, match=said):
        read(path)


def test_the_command_writes_a_recording_and_says_how_the_order_was_made(tmp_path: Path) -> None:
    arriving(tmp_path, ticker(1, 0), ticker(2, 9), trade(1, 1))
    out = tmp_path / "recording"
    done = CliRunner().invoke(app, ["ingest", "binance", str(tmp_path / "capture.gz"), "--to", str(out)])
    assert done.exit_code == 0, done.output
    assert "3 records of binance written" in done.output
    assert "1 of 3 records arrived after one with a later event time" in done.output
    assert [problem.severity for problem in recording.check(out)] == ["warning", "warning"]


# ---- a book that only quotes tell -------------------------------------------------------------------------


def test_the_venues_quotes_make_the_spread(tmp_path: Path) -> None:
    found = arriving(
        tmp_path,
        ticker(1, 0, bid="99", ask="101"),  # 200 bps
        ticker(2, 30_000, bid="199", ask="201"),  # 100 bps
        ticker(3, 30_000, bid="398", ask="402"),  # the last of a moment has the weight: 100 bps
        ticker(4, 45_000, bid="100", ask="100"),
        ticker(5, 50_000, bid="0", B="0"),
        trade(1, 61_000),
    )
    result, minutes = replayed(tmp_path, found)
    row = minutes.rows[0]
    assert (row.two_sided_ns, row.crossed_ns, row.one_sided_ns) == (45 * SECOND, 5 * SECOND, 10 * SECOND)
    assert row.unknown_ns == row.excluded_ns == 0
    assert row.tw_spread_bps == 166_666_667  # (200 x 30 + 100 x 15) / 45
    assert minutes.rows[1].unknown_ns == 59 * SECOND
    assert minutes.rows[1].volume == 50_000_000
    assert findings(result) == {"assigned_sequence": 1, "no_accounts": 1}


def test_a_quote_tells_nothing_of_affiliates_and_depth(tmp_path: Path) -> None:
    _result, minutes = replayed(tmp_path, arriving(tmp_path, ticker(1, 0), ticker(2, 60_000)))
    row = minutes.rows[0]
    assert row.two_sided_ns == 60 * SECOND
    assert (row.two_sided_without_affiliates_ns, row.common_ns) == (0, 0)
    assert row.tw_spread_bps_without_affiliates is row.tw_spread_bps_common is None
    nothing = Depth(base=None, quote=None, base_without_affiliates=None, quote_without_affiliates=None)
    assert set(row.depth.values()) == {nothing}


def test_time_is_unknown_before_the_first_quote(tmp_path: Path) -> None:
    _result, minutes = replayed(
        tmp_path, arriving(tmp_path, trade(1, 10_000), ticker(1, 20_000), trade(2, 60_000))
    )
    assert (minutes.rows[0].unknown_ns, minutes.rows[0].two_sided_ns) == (20 * SECOND, 40 * SECOND)


@pytest.mark.parametrize("after", ["quotes", "trades"])
def test_a_gap_is_unknown_until_the_next_quote(tmp_path: Path, after: str) -> None:
    """Records at 0, 10 (lost), 20, 30 and 60 s: what the quote of 0 s says ends with the gap."""
    events = [ticker(1, 0), ticker(2, 10_000)]
    events += [
        ticker(3, 20_000) if after == "quotes" else trade(3, 20_000),
        ticker(4, 30_000),
        trade(9, 60_000),
    ]
    found = arriving(tmp_path, *events)
    records = list(found.records)
    del records[1]
    folder, minutes = tmp_path / "recording", Minutes()
    recording.write(folder, records, found.reference_toml)
    replay(folder, rulebook_text=RULEBOOK, sink=minutes, strict=True)
    unknown = 20 if after == "quotes" else 30
    assert minutes.rows[0].unknown_ns == unknown * SECOND
    assert minutes.rows[0].two_sided_ns == (60 - unknown) * SECOND


def test_by_default_a_quote_checks_the_book_and_makes_no_spread(tmp_path: Path) -> None:
    found = arriving(tmp_path, ticker(1, 0), ticker(2, 30_000), ticker(3, 60_000))
    reference = found.reference_toml.replace('book = "quotes"\n', "").replace('sequence = "adapter"\n', "")
    result, minutes = replayed(tmp_path, found, reference)
    assert minutes.rows[0].one_sided_ns == 60 * SECOND
    assert minutes.rows[0].tw_spread_bps is None
    assert findings(result) == {"book_mismatch": 1}


def quotes_and_trades(tmp_path: Path) -> list[Entry]:
    """The journal of a few quotes and trades, one of each missing."""
    events = [ticker(number, 7_000 * number, ask=f"{101 + number}.0") for number in range(20)]
    found = arriving(tmp_path, *events, *(trade(number, 11_000 * number) for number in range(14)))
    records = [item for at, item in enumerate(found.records) if at not in (7, 18)]
    recording.write(tmp_path / "recording", records, found.reference_toml)
    return list(journal(tmp_path / "recording", reference_data.load(tmp_path / "recording"), RULEBOOK))


def test_a_snapshot_keeps_the_venues_quote(tmp_path: Path) -> None:
    entries = quotes_and_trades(tmp_path)
    whole = Runner(strict=True)
    expected = [output for entry in entries for output in whole.apply(entry)]
    cut, found, cuts = Runner(strict=True), list[Output](), 0
    for entry in entries:
        found += cut.apply(entry)
        cut = Runner.restore(cut.snapshot(), strict=True)
        cuts += 1
    print(f"compared {len(found)} outputs with {cuts} restarts")
    assert found == expected
    assert sum(isinstance(output, SpreadMinute) for output in found) == 6  # three, each published twice


def test_a_late_quote_does_not_take_the_place_of_a_newer_one(tmp_path: Path) -> None:
    """What comes late says no more than what came in its time: the minutes are those without it."""
    entries = quotes_and_trades(tmp_path)
    quotes = [entry for entry in entries if isinstance(entry, QuoteEntry)]
    late = quotes[5]
    rest = [entry for entry in entries if entry is not late]
    at = next(place for place, entry in enumerate(rest) if entry is quotes[7]) + 1
    moved = [*rest[:at], late, *rest[at:]]
    rows = []
    for order in (rest, moved):
        runner = Runner(strict=True)
        outputs = [output for entry in order for output in runner.apply(entry)]
        rows.append([output for output in outputs if isinstance(output, SpreadMinute)])
    print(f"compared {len(rows[0])} minutes")
    assert len(rows[0]) == 6  # three, each published twice
    assert rows[0] == rows[1]
