"""3.4 s of the real Hyperliquid book: every event accounted for, the published quotes met, both copies alike.

The oracle below shares no code with the adapter or the rules: plain Python over the raw files, book diffs
applied to the snapshot. Needs `hyperliquid_l4` in ../shared/data beside the checkout: without it everything
here is skipped.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections import Counter, defaultdict
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from agreement import KNOWN_RULEBOOK

from detectors.affiliation import Directory
from detectors.runner import Output
from schemas import codec
from schemas.journal import Entry, Position
from schemas.metrics import Depth, SpreadMinute
from streams import reference_data
from streams.replay import ReplayResult, replay
from streams.sources import recording
from streams.sources.hyperliquid import VAULTS, read

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "hyperliquid_l4"
COPIES = ("by_block", "streaming")
EXEC_TYPES = {"open": "new", "filled": "fill", "canceled": "canceled", "reduceOnlyCanceled": "canceled"}
Row = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="NOT CHECKED: the real data hyperliquid_l4 is not in ../shared/data"
)


class Resting(NamedTuple):
    """An order of the oracle's book: id, wallet, price and size scaled by 10**8."""

    oid: int
    user: str
    price: int
    size: int


class Raw:
    """The capture as plain dictionaries, and the book after each block."""

    def __init__(self) -> None:
        snapshot = json.loads(gzip.decompress(next(DATA.glob("snapshot_*.json.gz")).read_bytes()))
        self.sides: list[list[Any]] = snapshot[1][0][1]
        lists: dict[str, list[Row]] = {}
        with tarfile.open(next(DATA.glob("by_block_*.tar.gz"))) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                assert stream is not None
                lists[member.name.split("/")[2]] = [json.loads(line) for line in stream]
        self.statuses = lists["node_order_statuses_by_block"]
        self.diffs = lists["node_raw_book_diffs_by_block"]
        self.fills = lists["node_fills_by_block"]
        published = (DATA / "parser_block_tob.jsonl").read_text().splitlines()
        self.quotes = [row["fields"] for row in map(json.loads, published) if row["type"] == "quote"]

    def books(self) -> list[dict[str, dict[int, Resting]]]:
        """The book after the snapshot and after each block: side -> oid -> order, in order of entry."""
        book: dict[str, dict[int, Resting]] = {"B": {}, "A": {}}
        for user, order in (item for side in self.sides for item in side):
            if not order["isTrigger"]:
                price, size = scaled(order["limitPx"]), scaled(order["sz"])
                book[order["side"]][order["oid"]] = Resting(order["oid"], user, price, size)
        books = [{side: dict(orders) for side, orders in book.items()}]
        for block in self.diffs:
            for event in block["events"]:
                oid, orders, change = event["oid"], book[event["side"]], event["raw_book_diff"]
                if change == "remove":
                    del orders[oid]
                elif "new" in change:
                    price, size = scaled(event["px"]), scaled(change["new"]["sz"])
                    orders[oid] = Resting(oid, event["user"], price, size)
                else:
                    orders[oid] = orders[oid]._replace(size=scaled(change["update"]["newSz"]))
            books.append({side: dict(orders) for side, orders in book.items()})
        return books


class Seen:
    """A Sink that keeps the metrics rows."""

    def __init__(self) -> None:
        self.minutes: list[SpreadMinute] = []

    def entry(self, position: Position, entry: Entry) -> None:
        pass

    def output(self, position: Position, output: Output) -> None:
        if isinstance(output, SpreadMinute):
            self.minutes.append(output)

    def close(self) -> None:
        pass


class Day(NamedTuple):
    """A copy as a recording and what a replay made of it."""

    folder: Path
    result: ReplayResult
    minutes: list[SpreadMinute]
    records: dict[str, list[Row]]

    def book(self) -> list[tuple[str, str | None, int | None, int]]:
        """Every resting order, bids then asks, best first, in priority order."""
        assert self.result.runner is not None
        book = self.result.runner.markets()["BTC-PERP"].book
        return [
            (order.order_id, order.account, order.price, order.leaves)
            for ladder in (book.bids, book.asks)
            for order in ladder.orders()
        ]


@pytest.fixture(scope="module")
def raw() -> Raw:
    return Raw()


@pytest.fixture(scope="module")
def books(raw: Raw) -> list[dict[str, dict[int, Resting]]]:
    return raw.books()


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Day]:
    found: dict[str, Day] = {}
    for copy in COPIES:
        folder = tmp_path_factory.mktemp(copy)
        capture = read(DATA, copy)
        written = recording.write(folder, capture.records, capture.reference_toml)
        assert sum(written.values()) == capture.total
        assert capture.counts["diffs: explained"] == 1_332
        assert capture.counts["diffs: without status or fill"] == 0
        seen = Seen()
        result = replay(folder, rulebook_text=KNOWN_RULEBOOK, sink=seen, strict=True)
        records = {
            topic: [codec.decode(line) for line in (folder / f"{topic}.jsonl").read_bytes().splitlines()]
            for topic in written
        }
        found[copy] = Day(folder, result, seen.minutes, records)
    return found


@pytest.fixture
def day(days: dict[str, Day]) -> Day:
    return days["by_block"]


def nanoseconds(stamp: str) -> int:
    seconds, _, fraction = stamp.partition(".")
    return int(datetime.fromisoformat(seconds + "+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


def scaled(text: str) -> int:
    value = Decimal(text) * 10**8
    assert value == int(value)
    return int(value)


def test_every_order_event_and_resting_order_is_a_record(raw: Raw, day: Day) -> None:
    orders = day.records["orders"]
    restated = [row for row in orders if row["exec_type"] == "restated"]
    events = orders[len(restated) :]
    expected_events = [
        (
            str(event["order"]["oid"]), EXEC_TYPES.get(event["status"], "rejected"), event["user"],
            event["order"]["limitPx"], event["order"]["origSz"], nanoseconds(block["block_time"]),
        )
        for block in raw.statuses
        for event in block["events"]
    ]  # fmt: skip
    assert len(events) == len(expected_events) == 41_592
    known = ("order_id", "exec_type", "account", "price", "order_qty", "ts")
    assert [tuple(row[name] for name in known) for row in events] == expected_events
    expected_resting = [
        (str(order["oid"]), user, order["limitPx"], order["sz"], order["timestamp"] * 10**6)
        for side in raw.sides
        for user, order in side
        if not order["isTrigger"]
    ]
    known = ("order_id", "account", "price", "leaves_qty", "ts")
    assert len(restated) == len(expected_resting) == 51_351
    assert [tuple(row[name] for name in known) for row in restated] == expected_resting
    print(f"compared {len(events)} order events and {len(restated)} resting orders")


def test_every_sequence_number_is_used_once_and_nothing_is_refused(day: Day) -> None:
    seqs = [row["seq"] for topic in ("orders", "trades", "quotes") for row in day.records[topic]]
    assert sorted(seqs) == list(range(1, 93_007))
    assert (day.result.events, dict(day.result.refused), day.result.faults) == (93_006, {}, [])
    print(f"counted {len(seqs)} records")


def test_the_trades_are_the_pairs_of_fills(raw: Raw, day: Day) -> None:
    pairs: defaultdict[int, dict[str, tuple[str, Row]]] = defaultdict(dict)
    for block in raw.fills:
        for user, fill in block["events"]:
            pairs[fill["tid"]][fill["side"]] = (user, fill)
    expected = []
    for tid, sides in pairs.items():
        (buyer, buy), (seller, sell) = sides["B"], sides["A"]
        assert (buy["px"], buy["sz"], buy["crossed"]) == (sell["px"], sell["sz"], not sell["crossed"])
        expected.append({
            "trade_id": str(tid), "price": buy["px"], "qty": buy["sz"],
            "aggressor": "buy" if buy["crossed"] else "sell",
            "buy_order_id": str(buy["oid"]), "buy_account": buyer, "buy_fee": buy["fee"],
            "sell_order_id": str(sell["oid"]), "sell_account": seller, "sell_fee": sell["fee"],
        })  # fmt: skip
    trades = [{name: row[name] for name in expected[0]} for row in day.records["trades"]]
    assert trades == expected
    assert len(trades) == 11
    print(f"compared {len(trades)} trades of {sum(map(len, pairs.values()))} fill rows")


def test_the_published_quotes_are_the_books_best(
    raw: Raw, books: list[dict[str, dict[int, Resting]]], day: Day
) -> None:
    quotes = day.records["quotes"]
    compared = 0
    for book, published, quote in zip(books, raw.quotes, quotes, strict=True):
        for side, name, best in (("B", "bid", max), ("A", "ask", min)):
            price = best(order.price for order in book[side].values())
            size = sum(order.size for order in book[side].values() if order.price == price)
            told = published[f"{name}_px_raw"] * 10**7, published[f"{name}_sz_raw"]  # tenths, 1e-8
            assert told == (price, size)
            assert (scaled(quote[f"{name}_px"]), scaled(quote[f"{name}_size"])) == (price, size)
        compared += 1
    assert compared == 52
    print(f"{compared} of {len(quotes)} published quotes equal the oracle's best in price and size")


def test_the_alerts_are_the_missing_flags_and_the_orders_that_have_no_status(raw: Raw, day: Day) -> None:
    alerts = list(day.result.latest().values())
    kinds = Counter((alert.rule, alert.measures.get("code", alert.measures.get("kind"))) for alert in alerts)
    assert kinds == {("affiliate_flag", "untagged"): 48, ("data_quality", "orphan"): 2}
    vault_orders = {order["oid"] for side in raw.sides for user, order in side if user in VAULTS}
    events = [event for block in raw.statuses for event in block["events"]]
    vault_orders |= {event["order"]["oid"] for event in events if event["user"] in VAULTS}
    untagged = [alert for alert in alerts if alert.rule == "affiliate_flag"]
    assert {alert.evidence[0].id for alert in untagged} == {str(oid) for oid in vault_orders}
    known = {event["order"]["oid"] for event in events}
    rows = [row for block in raw.fills for _user, row in block["events"]]
    unseen = {row["oid"]: row["twapId"] for row in rows if row["crossed"] and row["oid"] not in known}
    assert all(unseen.values())  # slices of time-weighted average price orders: the node writes no status
    told = [str(alert.measures["detail"]) for alert in alerts if alert.rule == "data_quality"]
    assert sorted(text.split("order ")[1] for text in told) == sorted(f"{oid}, never seen" for oid in unseen)
    print(f"explained {len(alerts)} alerts: {dict(kinds)}")


def test_the_final_book_is_the_oracles(books: list[dict[str, dict[int, Resting]]], day: Day) -> None:
    bids = sorted(books[-1]["B"].values(), key=lambda order: -order.price)
    asks = sorted(books[-1]["A"].values(), key=lambda order: order.price)
    expected = [(str(it.oid), it.user, it.price, it.size) for it in (*bids, *asks)]
    assert day.book() == expected
    assert len(expected) == 51_351 + 653 - 668
    print(f"compared {len(expected)} resting orders, in priority order")


def test_the_streaming_copy_gives_the_same_alerts_and_the_same_book(days: dict[str, Day]) -> None:
    ours, theirs = (days[copy] for copy in COPIES)
    contents = [[codec.encode_alert(alert) for alert in day.result.alerts] for day in (ours, theirs)]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 50
    assert ours.book() == theirs.book()
    assert ours.minutes == theirs.minutes
    for name in ("orders.jsonl", "trades.jsonl", "quotes.jsonl"):
        assert (ours.folder / name).read_bytes() == (theirs.folder / name).read_bytes()
    arrival = [record["seq"] for _topic, record in read(DATA, "streaming").records]
    assert sorted(arrival) == list(range(1, 93_007))
    disordered = sum(seq < greatest for seq, greatest in zip(arrival, accumulate(arrival, max), strict=True))
    assert disordered == 9  # trades that were seen before their aggressor's order
    print(f"compared {len(contents[0])} alerts, {len(ours.book())} resting orders, 3 files")
    print(f"{disordered} of {len(arrival)} records of the streaming copy come after one of a greater seq")


def test_the_vaults_are_one_groups_makers_and_all_others_clients(raw: Raw, day: Day) -> None:
    directory = Directory(reference_data.load(day.folder / "reference.toml"))
    assert reference_data.check(day.folder / "reference.toml") == []
    wallets = {user for side in raw.sides for user, _order in side}
    wallets |= {event["user"] for block in raw.statuses for event in block["events"]}
    wallets |= {user for block in raw.fills for user, _fill in block["events"]}
    ts = nanoseconds(raw.statuses[0]["block_time"])
    parties = {wallet: directory.party(wallet, "BTC-PERP", ts) for wallet in wallets}
    makers = [wallet for wallet, party in parties.items() if party.role == "affiliated_mm"]
    assert sorted(makers) == sorted(VAULTS)
    assert len({parties[wallet].grp for wallet in makers}) == 1
    assert Counter(party.role for party in parties.values()) == {
        "affiliated_mm": 2, "client": len(wallets) - 2,
    }  # fmt: skip
    owners = {party.owner for wallet, party in parties.items() if wallet not in VAULTS}
    assert len(owners) == len(wallets) - 2
    print(f"looked up {len(wallets)} wallets")


def test_the_spread_minute_is_the_oracles(
    raw: Raw, books: list[dict[str, dict[int, Resting]]], day: Day
) -> None:
    """Spread and depth with and without the vaults, each block's state weighted by its nanoseconds."""
    start = max(order["timestamp"] for side in raw.sides for _user, order in side) * 10**6
    times = [start, *(nanoseconds(block["block_time"]) for block in raw.statuses)]
    weights = [after - before for before, after in pairwise(times)]
    total, spreads = sum(weights), 0
    depths: Counter[tuple[str, str, bool]] = Counter()
    for book, weight in zip(books, weights, strict=False):
        bid = max(order.price for order in book["B"].values())
        ask = min(order.price for order in book["A"].values())
        spreads += weight * round(Fraction(2 * 10**10 * (ask - bid), ask + bid))
        for side, name in (("B", "bid"), ("A", "ask")):
            for _oid, user, price, size in book[side].values():
                distance = abs(2 * price - ask - bid) * 10_000
                if distance > 50 * (ask + bid):
                    continue
                for band in (10, 25, 50):
                    for others in (True, False):
                        if distance <= band * (ask + bid) and (others or user not in VAULTS):
                            depths[f"{name}_{band}bps", "base", others] += weight * size
                            depths[f"{name}_{band}bps", "quote", others] += weight * size * price
    means = {key: round(Fraction(depths[key], total)) for key in depths}
    expected = {
        band: Depth(
            base=means[band, "base", True],
            quote=means[band, "quote", True],
            base_without_affiliates=means[band, "base", False],
            quote_without_affiliates=means[band, "quote", False],
        )
        for band in {key[0] for key in depths}
    }
    assert len(expected) == 6
    # published when it ends, and again with what became of its trades
    assert [minute.revision for minute in day.minutes] == [0, 1]
    for minute in day.minutes:
        assert (minute.two_sided_ns, minute.common_ns, minute.one_sided_ns) == (total, total, 0)
        assert minute.tw_spread_bps == round(Fraction(spreads, total))
        assert minute.depth == expected
    print(f"compared {len(weights)} states, {4 * len(expected) + 4} measures")
