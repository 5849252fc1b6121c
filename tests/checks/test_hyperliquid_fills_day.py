"""81 s of every fill on Hyperliquid, landed: both wallets, no self-trade, the vaults' share of each coin.

The oracle shares no code with the adapter or the rules: plain Python over the raw file. Needs
`hyperliquid_fills` in ../shared/data beside the checkout: without it everything here is skipped.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from agreement import KNOWN_RULEBOOK

from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import ReplayResult, replay
from streams.sources import recording
from streams.sources.hyperliquid_fills import read

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "hyperliquid_fills"
STRATEGY_A = "0x010461c14e146ac35fe42271bdc1134ee31c703a"
STRATEGY_B = "0x31ca8395cf837de08b24da3f660e77761dfb974b"
HLP = (STRATEGY_A, STRATEGY_B)
Row = dict[str, Any]

# The vaults' share in the volume of each coin, in exact parts: theirs and all, each side of a trade once.
SHARES = """
select instrument, count(*), count(*) filter (buy_role = 'affiliated_mm' or sell_role = 'affiliated_mm'),
  sum(qty * ((buy_role = 'affiliated_mm')::int + (sell_role = 'affiliated_mm')::int)), sum(qty * 2)
from trades group by all
"""

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="NOT CHECKED: the real data hyperliquid_fills is not in ../shared/data"
)


class Day(NamedTuple):
    """The fills as a landed replay."""

    result: ReplayResult
    lake: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def raw() -> list[tuple[str, str, Row]]:
    """(block time, wallet, fill) in the order of the file."""
    (path,) = DATA.glob("*.gz")
    blocks = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [(block["block_time"], user, fill) for block in blocks for user, fill in block["events"]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("fills")
    capture = read(DATA)
    recording.write(folder / "recording", capture.records, capture.reference_toml)
    sink = LakeWriter(folder / "lake", "fills")
    result = replay(folder / "recording", rulebook_text=KNOWN_RULEBOOK, sink=sink, strict=True)
    with catalog.connect(folder / "lake") as lake:
        yield Day(result, lake)


def named(coin: str) -> str:
    return coin if coin[0] == "@" or "/" in coin else coin + "-PERP"


def nanoseconds(stamp: str) -> int:
    seconds, _, fraction = stamp.partition(".")
    return int(datetime.fromisoformat(seconds + "+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


def test_every_two_rows_are_one_landed_trade(raw: list[tuple[str, str, Row]], day: Day) -> None:
    sides: dict[int, dict[str, tuple[str, str, Row]]] = {}
    for row in raw:
        sides.setdefault(row[2]["tid"], {})[row[2]["side"]] = row
    expected, last = [], Counter[str]()
    for tid, two in sides.items():
        (stamp, buyer, bought), (_stamp, seller, sold) = two["B"], two["A"]
        last[named(bought["coin"])] += 1
        fees = [Decimal(fill["fee"]) if fill["feeToken"] == "USDC" else None for fill in (bought, sold)]
        expected.append(
            (
                named(bought["coin"]), last[named(bought["coin"])], nanoseconds(stamp), str(tid),
                Decimal(bought["px"]), Decimal(bought["sz"]), "buy" if bought["crossed"] else "sell",
                str(bought["oid"]), buyer, fees[0], str(sold["oid"]), seller, fees[1],
                "liquidation" if "liquidation" in bought else "book",
            )
        )  # fmt: skip
    landed = day.lake.execute(
        "select instrument, seq, ts_ns, trade_id, price, qty, aggressor, buy_order_id, buy_account, buy_fee,"
        " sell_order_id, sell_account, sell_fee, match_type from trades"
    ).fetchall()
    print(f"compared {len(landed)} trades of {len(raw)} rows, {len(last)} coins")
    assert (len(raw), len(landed), len(last)) == (7_282, 3_641, 187)
    assert sorted(landed) == sorted(expected)
    assert day.result.refused.total() == 0


def test_there_is_no_self_trade(raw: list[tuple[str, str, Row]], day: Day) -> None:
    wallets: dict[int, list[str]] = {}
    for _stamp, user, fill in raw:
        wallets.setdefault(fill["tid"], []).append(user)
    same = sum(a == b or {a, b} == set(HLP) for a, b in wallets.values())
    stated = day.lake.execute("select count(*) from alerts where rule = 'self_trade'").fetchall()
    print(f"compared the wallets of {len(wallets)} trades: {same} self-trades")
    assert len(wallets) == 3_641
    assert stated == [(same,)] == [(0,)]


def test_the_vaults_share_of_each_coin(raw: list[tuple[str, str, Row]], day: Day) -> None:
    trades: dict[str, set[int]] = {}
    with_vault: dict[str, set[int]] = {}
    theirs: dict[str, Decimal] = {}
    everybody: dict[str, Decimal] = {}
    for _stamp, user, fill in raw:
        coin, size = named(fill["coin"]), Decimal(fill["sz"])
        trades.setdefault(coin, set()).add(fill["tid"])
        everybody[coin] = everybody.get(coin, Decimal(0)) + size
        if user in HLP:
            with_vault.setdefault(coin, set()).add(fill["tid"])
            theirs[coin] = theirs.get(coin, Decimal(0)) + size
    expected = {
        coin: (len(found), len(with_vault.get(coin, ())), theirs.get(coin, Decimal(0)), everybody[coin])
        for coin, found in trades.items()
    }
    stated = {row[0]: row[1:] for row in day.lake.execute(SHARES).fetchall()}
    some = sum(share[1] > 0 for share in stated.values())
    print(f"compared the shares of {len(stated)} coins, the vaults trade in {some}")
    assert len(stated) == 187
    assert some > 0
    assert stated == expected
    assert sum(share[1] for share in stated.values()) == 688


def test_the_findings_are_the_vaults_untagged_fills(raw: list[tuple[str, str, Row]], day: Day) -> None:
    """Each vault fill is untagged, each coin was numbered by the adapter; no orphan, no unknown account."""
    expected = Counter(
        (named(fill["coin"]), str(fill["tid"]), user) for _stamp, user, fill in raw if user in HLP
    )
    stated = Counter(
        day.lake.execute(
            "select instrument, evidence[1].id, accounts[1] from alerts"
            " where measures ->> 'code' = 'untagged'"
        ).fetchall()
    )
    kinds = Counter(
        str(alert.measures.get("code") or alert.measures.get("kind"))
        for alert in day.result.latest().values()
    )
    print(f"compared {stated.total()} untagged fills: {Counter(user for _, _, user in stated.elements())}")
    assert stated.total() == 688
    assert stated == expected
    assert kinds == {"untagged": 688, "assigned_sequence": 187}


def test_spread_is_unknown_where_nothing_tells_the_book(day: Day) -> None:
    rows = day.lake.execute("select unknown_ns, two_sided_ns, tw_spread_bps from spread_minutes").fetchall()
    print(f"compared {len(rows)} minutes")
    assert rows
    assert set(rows) == {(60 * 10**9, 0, None)}
