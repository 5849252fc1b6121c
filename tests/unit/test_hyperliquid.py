"""The Hyperliquid adapter on captures of a few blocks, made here: order within a block, sizes, errors."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detectors.affiliation import Directory
from schemas import codec
from streams import reference_data
from streams.replay import ReplayResult, replay
from streams.settings import resource
from streams.sources import recording
from streams.sources.hyperliquid import VAULTS, HyperliquidError, read, reference_toml

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
START_MS = 1_778_002_753_000
HEIGHT = 100
VAULT_A, VAULT_B = VAULTS
Row = dict[str, Any]


def terms(oid: int, side: str, px: str, sz: str, **changes: Any) -> Row:
    return {
        "coin": "BTC", "side": side, "limitPx": px, "sz": sz, "oid": oid, "timestamp": START_MS - 1_000 + oid,
        "triggerCondition": "N/A", "isTrigger": False, "triggerPx": "0.0", "children": [],
        "isPositionTpsl": False, "reduceOnly": False, "orderType": "Limit", "origSz": sz, "tif": "Gtc",
        "cloid": None, **changes,
    }  # fmt: skip


def status(kind: str, user: str, order: Row) -> Row:
    return {"time": "", "user": user, "hash": None, "builder": None, "status": kind, "order": order}


def diff(user: str, oid: int, side: str, px: str, change: Any) -> Row:
    return {"user": user, "oid": oid, "coin": "BTC", "side": side, "px": px, "raw_book_diff": change}


def new(user: str, oid: int, side: str, px: str, sz: str) -> Row:
    return diff(user, oid, side, px, {"new": {"sz": sz}})


def update(user: str, oid: int, side: str, px: str, was: str, now: str) -> Row:
    return diff(user, oid, side, px, {"update": {"origSz": was, "newSz": now}})


def fills(
    tid: int, px: str, sz: str, taker: tuple[str, int, str], maker: tuple[str, int], **more: Any
) -> Any:
    """The two rows of a trade; `taker` is (user, oid, side), `maker` (user, oid)."""
    other = "A" if taker[2] == "B" else "B"
    return [
        [user, {"coin": "BTC", "px": px, "sz": sz, "side": side, "oid": oid, "crossed": crossed, "fee": fee,
                "tid": tid, "feeToken": "USDC", "twapId": None, **more}]
        for user, oid, side, crossed, fee in (
            (taker[0], taker[1], taker[2], True, "0.0123"), (maker[0], maker[1], other, False, "-0.0012"),
        )
    ]  # fmt: skip


def published(block: int, bid: tuple[int, int] | None, ask: tuple[int, int] | None) -> Row:
    """A published quote, raw: prices in tenths, sizes in 1e-8; block 0 is the snapshot's."""
    return {
        "channel": "marketdata", "type": "quote", "symbol": "BTC", "fields": {
            "bid_n": 1 if bid else 0, "bid_px_raw": bid[0] if bid else 0, "bid_sz_raw": bid[1] if bid else 0,
            "ask_n": 1 if ask else 0, "ask_px_raw": ask[0] if ask else 0, "ask_sz_raw": ask[1] if ask else 0,
            "price_exponent": -1, "qty_exponent": -8, "source_ts_ms": START_MS + 70 * block if block else 0,
        },
    }  # fmt: skip


def stamp(block: int) -> str:
    return f"2026-05-05T17:39:{13 + 70 * block // 1000}.{70 * block % 1000:03d}084407"


def packed(members: dict[str, list[Row]]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, rows in members.items():
            data = "".join(json.dumps(row) + "\n" for row in rows).encode()
            info = tarfile.TarInfo(f"hl/data/{name}/hourly/20260505/17")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def capture(
    folder: Path,
    resting: tuple[list[Any], list[Any]],
    blocks: list[tuple[list[Row], list[Row], list[Any]]],
    quotes: list[Row] | None = None,
) -> Path:
    """Write both copies of a capture: `blocks` from HEIGHT + 1 on, each (statuses, diffs, fills).

    In the streaming copy each file has later blocks' lines between and before earlier ones', and fills are
    seen a second before statuses.
    """
    folder.mkdir(exist_ok=True)
    kinds = ("order_statuses", "raw_book_diffs", "fills")
    by_block: dict[str, list[Row]] = {}
    streaming: dict[str, list[Row]] = {}
    for at, kind in enumerate(kinds):
        rows = [
            {"local_time": stamp(number + 5), "block_time": stamp(number), "block_number": HEIGHT + number,
             "events": lists[at]}
            for number, lists in enumerate(blocks, 1)
        ]  # fmt: skip
        by_block[f"node_{kind}_by_block"] = rows
        single = [[{**row, "events": [event]} for event in row["events"]] for row in rows]
        mixed: list[Row] = []
        while any(single):
            mixed += [events.pop(0) for events in reversed(single) if events]
        for place, row in enumerate(mixed):
            row["local_time"] = f"2026-05-05T17:39:{17 - at}.{place:09d}"
        streaming[f"node_{kind}_streaming"] = mixed
    named = f"{HEIGHT + 1}_{HEIGHT + len(blocks)}.tar.gz"
    (folder / f"by_block_btc_{named}").write_bytes(packed(by_block))
    (folder / f"streaming_btc_{named}").write_bytes(packed(streaming))
    snapshot = json.dumps([HEIGHT, [["BTC", resting]]]).encode()
    (folder / f"snapshot_{HEIGHT}.json.gz").write_bytes(gzip.compress(snapshot))
    (folder / "parser_block_tob.jsonl").write_text("".join(json.dumps(row) + "\n" for row in quotes or []))
    return folder


RESTING: tuple[list[Any], list[Any]] = (
    [["c1", terms(2, "B", "99.0", "0.5")], ["c2", terms(1, "B", "99.0", "0.3", origSz="0.4", tif="Alo")]],
    [
        [VAULT_A, terms(3, "A", "100.0", "0.20000", tif="Alo", cloid="0xa")],
        ["c3", terms(4, "A", "101.0", "1")],
    ],
)
TAKER = terms(10, "B", "105.0", "0.3", tif="Ioc")
TRADED: list[tuple[list[Row], list[Row], list[Any]]] = [
    (
        [
            status("badAloPxRejected", "c5", terms(9, "B", "100.0", "1", tif="Alo")),
            status("open", "c4", TAKER),
            status("filled", VAULT_A, terms(3, "A", "100.0", "0.0", origSz="0.2")),
            status("filled", "c4", {**TAKER, "sz": "0.0"}),
            status("canceled", "c1", terms(2, "B", "99.0", "0.5")),
            status("open", VAULT_B, terms(11, "A", "100.0", "0.7", tif="Alo")),
        ],
        [
            diff(VAULT_A, 3, "A", "100.0", "remove"),
            update("c3", 4, "A", "101.0", "1", "0.9"),
            diff("c1", 2, "B", "99.0", "remove"),
            new(VAULT_B, 11, "A", "100.0", "0.7"),
        ],
        fills(7, "100.0", "0.20000", ("c4", 10, "B"), (VAULT_A, 3))
        + fills(8, "101.0", "0.1", ("c4", 10, "B"), ("c3", 4)),
    ),
    ([], [], []),
    ([status("canceled", "c2", terms(1, "B", "99.0", "0.3"))], [diff("c2", 1, "B", "99.0", "remove")], []),
]
QUOTES = [
    published(0, (990, 80_000_000), (1000, 20_000_000)),
    published(1, (990, 30_000_000), (1000, 70_000_000)),
    published(2, (990, 30_000_000), (1000, 70_000_000)),
    published(3, None, (1000, 70_000_000)),
]


def traded(tmp_path: Path) -> Path:
    return capture(tmp_path / "capture", RESTING, TRADED, QUOTES)


def told(folder: Path, copy: str = "by_block") -> list[tuple[Any, ...]]:
    """(exec_type, id) of every record in order; a quote as its bid."""
    return [
        (
            record.get("exec_type", topic),
            record.get("order_id") or record.get("trade_id") or record.get("bid_px"),
        )
        for topic, record in read(folder, copy).records
    ]


def one_block(tmp_path: Path, statuses: list[Row], diffs: list[Row], rows: list[Any]) -> list[Row]:
    """The records of one block after the snapshot's, which is RESTING."""
    folder = capture(tmp_path / "capture", RESTING, [(statuses, diffs, rows)])
    return [record for _topic, record in read(folder).records][4:]


def replayed(tmp_path: Path, folder: Path, **options: Any) -> ReplayResult:
    recording.write(tmp_path / "recording", read(folder, **options).records, reference_toml())
    return replay(tmp_path / "recording", rulebook_text=RULEBOOK, strict=True)


def findings(result: ReplayResult) -> list[tuple[str, Any]]:
    return sorted(
        (alert.rule, alert.measures.get("kind") or alert.measures["code"])
        for alert in result.latest().values()
        if alert.rule in ("data_quality", "affiliate_flag")
    )


# ---- order and content ------------------------------------------------------------------------------------


def test_records_come_in_the_order_of_the_chain(tmp_path: Path) -> None:
    assert told(traded(tmp_path)) == [
        ("restated", "2"), ("restated", "1"), ("restated", "3"), ("restated", "4"), ("quotes", "99"),
        ("rejected", "9"), ("new", "10"), ("trade", "7"), ("trade", "8"), ("fill", "3"), ("fill", "10"),
        ("canceled", "2"), ("new", "11"), ("quotes", "99"), ("quotes", "99"), ("canceled", "1"),
        ("quotes", None),
    ]  # fmt: skip


def test_both_copies_give_the_same_bytes(tmp_path: Path) -> None:
    folder = traded(tmp_path)
    ours, theirs = (
        {record["seq"]: (topic, codec.encode(record)) for topic, record in read(folder, copy).records}
        for copy in ("by_block", "streaming")
    )
    assert ours == theirs
    assert list(ours) == sorted(theirs) == list(range(1, 18))
    assert list(theirs) == [1, 2, 3, 4, 5, 8, 9, 16, 6, 7, 10, 11, 12, 13, 14, 15, 17]


def test_a_disordered_copy_is_put_right_by_seq(tmp_path: Path) -> None:
    folder = traded(tmp_path)
    alerts = [
        [codec.encode_alert(alert) for alert in replayed(tmp_path / copy, folder, copy=copy).alerts]
        for copy in ("by_block", "streaming")
    ]
    assert alerts[0] == alerts[1] != []


def test_seq_counts_from_1_and_total_tells_how_many(tmp_path: Path) -> None:
    found = read(traded(tmp_path))
    assert [record["seq"] for _topic, record in found.records] == list(range(1, found.total + 1))
    assert len(list(found.records)) == found.total == 17  # again: it can be read twice
    assert {topic: found.counts[topic] for topic in ("orders", "trades", "quotes")} == {
        "orders": 11, "trades": 2, "quotes": 4,
    }  # fmt: skip


def test_records_say_what_the_node_said(tmp_path: Path) -> None:
    records = [record for _topic, record in read(traded(tmp_path), instrument="X").records]
    assert records[2] == {
        "instrument": "X", "seq": 3, "ts": (START_MS - 997) * 1_000_000, "exec_type": "restated",
        "order_id": "3", "cl_ord_id": "0xa", "account": VAULT_A, "side": "sell", "ord_type": "limit",
        "time_in_force": "gtc", "post_only": True, "price": "100.0", "order_qty": "0.20000",
        "leaves_qty": "0.20000",
    }  # fmt: skip
    assert records[5] == {
        "instrument": "X", "seq": 6, "ts": 1_778_002_753_070_084_407, "exec_type": "rejected",
        "order_id": "9", "account": "c5", "side": "buy", "ord_type": "limit", "time_in_force": "gtc",
        "post_only": True, "price": "100.0", "order_qty": "1", "reason": "post_only",
    }  # fmt: skip
    assert records[7] == {
        "instrument": "X", "seq": 8, "ts": 1_778_002_753_070_084_407, "exec_type": "trade", "trade_id": "7",
        "price": "100.0", "qty": "0.20000", "aggressor": "buy", "match_type": "book",
        "buy_order_id": "10", "buy_account": "c4", "buy_fee": "0.0123",
        "sell_order_id": "3", "sell_account": VAULT_A, "sell_fee": "-0.0012",
    }  # fmt: skip
    assert records[13] == {
        "instrument": "X", "seq": 14, "ts": 1_778_002_753_070_084_407,
        "bid_px": "99", "bid_size": "0.3", "ask_px": "100", "ask_size": "0.7",
    }  # fmt: skip


def test_quotes_of_the_snapshot_and_of_an_empty_block_have_their_own_times(tmp_path: Path) -> None:
    times = [record["ts"] for topic, record in read(traded(tmp_path)).records if topic == "quotes"]
    assert times == [
        (START_MS - 996) * 1_000_000,  # the latest order of the snapshot
        1_778_002_753_070_084_407,
        1_778_002_753_140_000_000,  # no events: as published, in ms
        1_778_002_753_210_084_407,
    ]
    assert read(traded(tmp_path)).latest_ts == times[-1]


def test_a_trade_without_its_aggressors_status_stands_where_its_book_diff_does(tmp_path: Path) -> None:
    records = one_block(
        tmp_path,
        [status("open", "c6", terms(oid, "A", px, "1")) for oid, px in ((20, "102.0"), (21, "103.0"))],
        [
            new("c6", 20, "A", "102.0", "1"), update("c3", 4, "A", "101.0", "1", "0.9"),
            new("c6", 21, "A", "103.0", "1"),
        ],
        fills(9, "101.0", "0.1", ("c7", 99, "B"), ("c3", 4)),
    )  # fmt: skip
    assert [record["exec_type"] for record in records] == ["new", "trade", "new"]


def test_a_fill_never_comes_before_the_trade_it_is_about(tmp_path: Path) -> None:
    statuses, diffs, rows = TRADED[0]
    filled, others = statuses[2], [row for row in statuses if row is not statuses[2]]
    records = one_block(tmp_path, [filled, *others], diffs, rows)
    known = [(record["exec_type"], record.get("order_id") or record.get("trade_id")) for record in records]
    assert known[1:5] == [("new", "10"), ("trade", "7"), ("fill", "3"), ("trade", "8")]


def test_a_taker_that_rests_enters_with_what_it_took_and_what_rested(tmp_path: Path) -> None:
    records = one_block(
        tmp_path,
        [
            status("open", "c4", terms(10, "B", "100.0", "0.5")),
            status("canceled", "c4", terms(10, "B", "100.0", "0.25")),
        ],
        [
            diff(VAULT_A, 3, "A", "100.0", "remove"), new("c4", 10, "B", "100.0", "0.25"),
            diff("c4", 10, "B", "100.0", "remove"),
        ],
        fills(7, "100.0", "0.2", ("c4", 10, "B"), (VAULT_A, 3)),
    )  # fmt: skip
    assert [(record["exec_type"], record.get("leaves_qty")) for record in records] == [
        ("new", "0.45"), ("trade", None), ("canceled", "0.25"),
    ]  # fmt: skip


def test_a_reduce_only_order_rests_with_what_the_book_took(tmp_path: Path) -> None:
    (record,) = one_block(
        tmp_path,
        [status("open", "c4", terms(10, "B", "98.0", "0.92969"))],
        [new("c4", 10, "B", "98.0", "0.87714")],
        [],
    )
    assert (record["order_qty"], record["leaves_qty"]) == ("0.92969", "0.87714")


def test_what_only_diffs_tell_becomes_records(tmp_path: Path) -> None:
    records = one_block(
        tmp_path,
        [],
        [
            update("c3", 4, "A", "101.0", "1", "0.6"), new("c8", 30, "B", "98.0", "2"),
            diff("c1", 2, "B", "99.0", "remove"),
        ],
        [],
    )  # fmt: skip
    known = ("exec_type", "order_id", "account", "side", "price", "order_qty", "leaves_qty", "reason")
    assert [tuple(record.get(name) for name in known) for record in records] == [
        ("replaced", "4", "c3", "sell", "101.0", None, "0.6", None),
        ("new", "30", "c8", "buy", "98.0", "2", "2", None),
        ("canceled", "2", "c1", "buy", "99.0", None, None, "venue"),
    ]


def test_triggers_liquidations_and_half_trades(tmp_path: Path) -> None:
    stop = terms(40, "A", "90.0", "1", isTrigger=True, triggerPx="95.0", orderType="Stop Limit")
    resting = (RESTING[0], [*RESTING[1], ["c1", {**stop, "oid": 41}]])
    rows = fills(9, "101.0", "0.1", ("c7", 99, "B"), ("c3", 4), liquidation={"method": "market"})
    half = fills(10, "101.0", "0.1", ("c7", 98, "B"), ("c3", 4))[1:]
    diffs = [update("c3", 4, "A", "101.0", "1", "0.9"), update("c3", 4, "A", "101.0", "0.9", "0.8")]
    folder = capture(tmp_path / "c", resting, [([status("open", "c1", stop)], diffs, rows + half)])
    found = read(folder)
    records = [record for _topic, record in found.records]
    assert (len(records), found.counts["snapshot: untriggered, left out"]) == (7, 1)
    first, second, order = records[4:]
    assert (first["match_type"], first["aggressor"]) == ("liquidation", "buy")
    assert (second["aggressor"], second.get("buy_account"), second["sell_account"]) == ("buy", None, "c3")
    assert (order["ord_type"], order["price"], order["stop_px"]) == ("stop_limit", "90.0", "95.0")


def test_an_original_size_of_zero_is_not_known(tmp_path: Path) -> None:
    folder = capture(
        tmp_path / "c", ([["c1", terms(1, "B", "1.5", "0.1", origSz="0.0", tif=None)]], []), TRADED
    )
    _topic, record = next(read(folder).records)
    assert (record.get("order_qty"), record["leaves_qty"], record.get("time_in_force")) == (None, "0.1", None)


def test_other_coins_are_left_out(tmp_path: Path) -> None:
    statuses = [status("open", "c1", {**terms(50, "B", "1.0", "1"), "coin": "ETH"})]
    folder = capture(tmp_path / "c", RESTING, [(statuses + TRADED[0][0], TRADED[0][1], TRADED[0][2])])
    assert "50" not in [record.get("order_id") for _topic, record in read(folder).records]


# ---- what the rules make of it ----------------------------------------------------------------------------


def test_a_replay_finds_the_missing_flags_and_nothing_else(tmp_path: Path) -> None:
    result = replayed(tmp_path, traded(tmp_path))
    assert findings(result) == [("affiliate_flag", "untagged")] * 3  # two orders and a fill of the vaults
    assert (result.events, sum(result.refused.values())) == (17, 0)


def test_with_the_flag_set_nothing_is_found(tmp_path: Path) -> None:
    assert findings(replayed(tmp_path, traded(tmp_path), flag_vaults=True)) == []


def test_a_quote_that_is_not_the_books_is_found(tmp_path: Path) -> None:
    wrong = [*QUOTES[:3], published(3, None, (1000, 70_000_001))]
    folder = capture(tmp_path / "capture", RESTING, TRADED, wrong)
    assert ("data_quality", "book_mismatch") in findings(replayed(tmp_path, folder))


def test_notes_say_how_many_orders_lack_the_flag(tmp_path: Path) -> None:
    found, flagged = read(traded(tmp_path)), read(traded(tmp_path), flag_vaults=True)
    assert (len(list(found.records)), len(list(flagged.records))) == (17, 17)
    assert "each of the 2 orders and 1 fills" in found.notes()[1]
    assert "set here on 2 orders" in flagged.notes()[1]


def test_an_unknown_status_is_refused_at_the_door(tmp_path: Path) -> None:
    folder = capture(
        tmp_path / "c", RESTING, [([status("teleported", "c1", terms(60, "B", "1.0", "1"))], [], [])]
    )
    assert replayed(tmp_path, folder).refused == {"wrong_type": 1}


def test_the_reference_data_name_one_group_and_take_the_rest_for_clients(tmp_path: Path) -> None:
    path = tmp_path / "reference.toml"
    path.write_text(reference_toml("BTC-PERP"))
    assert reference_data.check(path) == []
    directory = Directory(reference_data.load(path))
    parties = [directory.party(account, "BTC-PERP", START_MS * 1_000_000) for account in VAULTS]
    assert [party.role for party in parties] == ["affiliated_mm", "affiliated_mm"]
    assert len({party.grp for party in parties}) == 1
    assert directory.role("c1", "BTC-PERP", 0) == "client"
    assert "verify it before anything rests on it" in path.read_text()


# ---- what cannot be read ----------------------------------------------------------------------------------


def archive(folder: Path, copy: str = "by_block") -> Path:
    return next(folder.glob(f"{copy}_*"))


def cut(folder: Path) -> None:
    path = archive(folder)
    path.write_bytes(path.read_bytes()[:-200])


def garbled(folder: Path) -> None:
    archive(folder).write_bytes(b"this is no archive")


def cut_snapshot(folder: Path) -> None:
    path = next(folder.glob("snapshot_*"))
    path.write_bytes(path.read_bytes()[:-20])


def later_snapshot(folder: Path) -> None:
    snapshot = json.dumps([HEIGHT - 5, [["BTC", RESTING]]]).encode()
    next(folder.glob("snapshot_*")).write_bytes(gzip.compress(snapshot))


def beyond(folder: Path) -> None:
    archive(folder).rename(folder / "by_block_btc_101_102.tar.gz")


def short(folder: Path) -> None:
    archive(folder).rename(folder / "by_block_btc_101_104.tar.gz")


def second(folder: Path) -> None:
    (folder / "by_block_2.tar.gz").write_bytes(b"")


def rewritten(change: Callable[[dict[str, list[Row]]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        members: dict[str, list[Row]] = {}
        with tarfile.open(archive(folder)) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                assert stream is not None
                members[member.name.split("/")[2]] = [json.loads(line) for line in stream]
        change(members)
        archive(folder).write_bytes(packed(members))

    return damage


def without_fills(members: dict[str, list[Row]]) -> None:
    del members["node_fills_by_block"]


def number_for_price(members: dict[str, list[Row]]) -> None:
    members["node_order_statuses_by_block"][0]["events"][0]["order"]["limitPx"] = 100.0


def two_times(members: dict[str, list[Row]]) -> None:
    members["node_fills_by_block"][0]["block_time"] = stamp(2)


def no_time(members: dict[str, list[Row]]) -> None:
    members["node_fills_by_block"][0]["block_time"] = "yesterday"


def twice(members: dict[str, list[Row]]) -> None:
    members["node_fills_by_block"] *= 2


def two_buyers(members: dict[str, list[Row]]) -> None:
    rows = members["node_fills_by_block"][0]["events"]
    rows[1][1]["side"] = "B"


def foreign_quote(folder: Path) -> None:
    (folder / "parser_block_tob.jsonl").write_text(json.dumps(published(9, None, None)))


def broken_quote(folder: Path) -> None:
    (folder / "parser_block_tob.jsonl").write_text("{")


def odd_quote(folder: Path) -> None:
    row = published(1, None, None)
    row["fields"]["price_exponent"] = 1
    (folder / "parser_block_tob.jsonl").write_text(json.dumps(row))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: archive(folder).unlink(), "expected one file by_block_*.tar.gz, got none; name"),
        (lambda folder: next(folder.glob("snap*")).unlink(), "one file snapshot_*.json.gz, got none"),
        (lambda folder: next(folder.glob("pars*")).unlink(), "one file parser_block_tob.jsonl, got none"),
        (second, "by_block_2.tar.gz, by_block_btc_101_103.tar.gz; leave one"),
        (cut, "expected a whole .tar.gz archive, got"),
        (garbled, "expected a whole .tar.gz archive, got"),
        (cut_snapshot, "expected a whole gzip file, got"),
        (later_snapshot, "expected blocks from 96, after the snapshot, got 101; use the snapshot of"),
        (beyond, "expected blocks 101 to 102, as its name says, got block 103"),
        (short, "expected blocks 101 to 104, got order_statuses without block 104 (1 missing)"),
        (rewritten(without_fills), "expected files of all three kinds, got none of fills"),
        (rewritten(number_for_price), "17:1: expected a node's order_statuses, got Expected `str`"),
        (rewritten(two_times), "17:1: expected one time of block 101, got 2026-05-05T17:39:13.140084407 too"),
        (rewritten(no_time), "got 'yesterday', not a time like"),
        (rewritten(twice), "expected block 101 once, got it again"),
        (rewritten(two_buyers), "block 101: expected one buyer and one seller of trade 7"),
        (foreign_quote, "expected quotes at the times of blocks 101 to 103, got one at"),
        (broken_quote, "parser_block_tob.jsonl:1: expected a quote, got"),
        (odd_quote, "parser_block_tob.jsonl:1: expected exponents of at most 0"),
    ],
)  # fmt: skip
def test_errors_say_what_was_expected_and_what_came(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    folder = traded(tmp_path)
    damage(folder)
    with pytest.raises(HyperliquidError) as raised:
        list(read(folder).records)
    assert said in str(raised.value)


def test_arguments_that_name_nothing_are_told(tmp_path: Path) -> None:
    folder = traded(tmp_path)
    with pytest.raises(
        HyperliquidError, match="expected the folder of a Hyperliquid capture; it does not exist"
    ):
        read(tmp_path / "nowhere")
    with pytest.raises(HyperliquidError, match="expected resting orders of ETH, got BTC"):
        read(folder, coin="ETH")
    with pytest.raises(HyperliquidError, match="expected one of by_block, streaming, got 'both'"):
        read(folder, "both")
