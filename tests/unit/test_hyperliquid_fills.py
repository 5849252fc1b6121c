"""The adapter for Hyperliquid's fills on blocks made here: pairs, order, fees, errors."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detectors.affiliation import Directory
from streams import reference_data
from streams.cli import app
from streams.replay import replay
from streams.settings import resource
from streams.sources import recording
from streams.sources.hyperliquid_fills import VAULTS, Capture, HyperliquidError, read

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
TS = 1_761_584_400_000_000_000
VAULT_A, VAULT_B = VAULTS


def pair(tid: int, buyer: str, seller: str, taker: str = "B", coin: str = "BTC", **more: Any) -> list[Any]:
    """The two rows of a trade."""
    return [
        [
            user,
            {
                "coin": coin, "px": "100.5", "sz": "0.25", "side": side, "time": TS // 1_000_000,
                "startPosition": "0.0", "oid": 10 * tid + (side == "B"), "crossed": side == taker,
                "fee": "0.01", "tid": tid, "feeToken": "USDC", "twapId": None, **more,
            },
        ]
        for user, side in ((buyer, "B"), (seller, "A"))
    ]  # fmt: skip


def block(number: int, *rows: Any) -> dict[str, Any]:
    stamp = f"2025-10-27T17:00:00.{number:09d}"
    return {"local_time": stamp, "block_time": stamp, "block_number": number, "events": list(rows)}


def capture(tmp_path: Path, *blocks: dict[str, Any]) -> Capture:
    path = tmp_path / "fills.jsonl.gz"
    path.write_bytes(gzip.compress("".join(f"{json.dumps(item)}\n" for item in blocks).encode()))
    return read(path)


def test_two_rows_are_a_trade_with_both_wallets(tmp_path: Path) -> None:
    found = capture(tmp_path, block(5, *pair(77, "0xb", VAULT_A, taker="A")))
    assert list(found.records) == [
        (
            "trades",
            {
                "instrument": "BTC-PERP", "seq": 1, "ts": TS + 5, "exec_type": "trade", "trade_id": "77",
                "price": "100.5", "qty": "0.25", "aggressor": "sell", "buy_order_id": "771",
                "buy_account": "0xb", "buy_fee": "0.01", "sell_order_id": "770", "sell_account": VAULT_A,
                "sell_fee": "0.01", "match_type": "book",
            },
        )
    ]  # fmt: skip
    assert found.total == 1
    assert (found.counts["rows"], found.counts["vaults: fills"]) == (2, 1)


def test_each_coin_has_its_own_sequence_in_the_order_of_blocks(tmp_path: Path) -> None:
    """Also where the lines of the file are in another order."""
    found = capture(
        tmp_path,
        block(8, *pair(3, "0xa", "0xb")),
        block(7, *pair(2, "0xa", "0xb", coin="@107"), *pair(1, "0xa", "0xb")),
    )
    told = [(record["instrument"], record["seq"], record["trade_id"]) for _topic, record in found.records]
    assert told == [
        ("@107", 1, "2"), ("BTC-PERP", 1, "1"), ("BTC-PERP", 2, "3"),
    ]  # fmt: skip


def test_fees_that_no_record_can_carry_are_left_out_and_counted(tmp_path: Path) -> None:
    fine = pair(1, "0xa", "0xb")
    fine[0][1]["fee"] = "0.123456789"
    fine[1][1]["feeToken"] = "HYPE"
    found = capture(tmp_path, block(1, *fine, *pair(2, "0xa", "0xb", fee="-0.5")))
    first, second = (record for _topic, record in found.records)
    assert "buy_fee" not in first and "sell_fee" not in first
    assert (second["buy_fee"], second["sell_fee"]) == ("-0.5", "-0.5")
    assert found.counts["fees left out"] == 2
    assert "2 fees are left out: not in USDC, or more than 8 decimals" in found.notes()


def test_liquidations_are_no_book_trades(tmp_path: Path) -> None:
    found = capture(tmp_path, block(1, *pair(1, "0xa", "0xb", liquidation={"method": "market"})))
    assert [record["match_type"] for _topic, record in found.records] == ["liquidation"]


def test_one_row_is_a_trade_with_one_side(tmp_path: Path) -> None:
    found = capture(tmp_path, block(1, pair(1, "0xa", "0xb", taker="A")[0]))
    ((_topic, record),) = found.records
    assert (record["buy_account"], record["aggressor"]) == ("0xa", "sell")
    assert "sell_account" not in record


def test_a_missing_block_is_noted(tmp_path: Path) -> None:
    found = capture(tmp_path, block(1, *pair(1, "0xa", "0xb")), block(2), block(5))
    list(found.records)
    assert found.notes()[-1] == "2 blocks between 1 and 5 are missing; seq has no gap there"


def test_the_vaults_are_affiliated_makers_of_every_coin_and_others_clients(tmp_path: Path) -> None:
    found = capture(tmp_path, block(1, *pair(1, "0xa", VAULT_B, coin="xyz:XYZ100"), *pair(2, "0xa", "0xb")))
    path = tmp_path / "reference.toml"
    path.write_text(found.reference_toml)
    assert reference_data.check(path) == []
    directory = Directory(reference_data.load(path))
    for instrument in ("xyz:XYZ100-PERP", "BTC-PERP"):
        assert directory.book_source(instrument, TS) == "none"
        assert {directory.role(vault, instrument, TS) for vault in VAULTS} == {"affiliated_mm"}
        assert directory.role("0xa", instrument, TS) == "client"


def test_a_replay_finds_vault_fills_untagged_and_no_orphans(tmp_path: Path) -> None:
    found = capture(
        tmp_path,
        block(1, *pair(1, "0xa", VAULT_A), *pair(2, "0xa", "0xb")),
        block(2, *pair(3, VAULT_A, VAULT_B), *pair(4, "0xa", "0xa")),
    )
    recording.write(tmp_path / "recording", found.records, found.reference_toml)
    result = replay(tmp_path / "recording", rulebook_text=RULEBOOK, strict=True)
    assert result.events == 4
    assert Counter(
        str(alert.measures.get("code") or alert.measures.get("class") or alert.measures.get("kind"))
        for alert in result.latest().values()
        if alert.rule in ("data_quality", "affiliate_flag", "self_trade")
    ) == {"untagged": 3, "same_owner": 1, "same_account": 1, "assigned_sequence": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "expected a .jsonl file of fills"),
        (gzip.compress(b""), "expected fills, got none"),
        (gzip.compress(b'{"block_number": "1"}\n'), "fills.jsonl.gz:1: expected a node's fills"),
        (
            gzip.compress(json.dumps(block(1)).encode() + b"\n" + json.dumps(block(1)).encode()),
            "block 1 once",
        ),
        (gzip.compress(json.dumps(block(1)).encode())[:-9], "expected a whole file"),
        (gzip.compress(json.dumps({**block(1), "block_time": "today"}).encode()), "not a time like"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # compressed bytes have their time in them
)
def test_what_is_no_file_of_fills_says_so(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "fills.jsonl.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HyperliquidError, match=said):
        read(path if content is not None else tmp_path)


def test_two_buyers_of_one_trade_are_refused(tmp_path: Path) -> None:
    rows = pair(1, "0xa", "0xb")
    rows[1][1]["side"] = "B"
    with pytest.raises(HyperliquidError, match="expected one buyer and one seller of trade 1"):
        list(capture(tmp_path, block(1, *rows)).records)


def test_the_command_writes_a_recording_and_says_what_is_left_out(tmp_path: Path) -> None:
    capture(tmp_path, block(1, *pair(1, "0xa", VAULT_A, feeToken="HYPE")))
    out = tmp_path / "recording"
    words = ["ingest", "hyperliquid-fills", str(tmp_path / "fills.jsonl.gz"), "--to", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "1 records of hyperliquid fills written" in done.output
    assert "2 fees are left out" in done.output
    assert {problem.severity for problem in recording.check(out)} == {"warning"}
