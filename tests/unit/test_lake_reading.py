"""People read while landing goes on: no query fails, no row is seen twice, none goes away."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from lake_crash import nothing_hidden, visible
from lake_journal import FakeMessage

from schemas import codec
from schemas.journal import ClockEntry, Entry, OrderEntry, Source, TradeEntry
from streams.lake import catalog, check, retention
from streams.lake.compaction import Compactor
from streams.land_partition import LandPartition

READER = Path(__file__).with_name("lake_reader.py")
DAY = 1_772_409_600_000_000_000  # 2026-03-02T00:00:00Z
FIRST = date(2026, 3, 2)
NS_A_DAY = 86_400 * 10**9
FLUSHES = 100
DAYS = 10
FLUSHES_A_DAY = 8
SETTLE = 1.0  # seconds


def frame(offset: int, day: int = DAY) -> FakeMessage:
    """Three entries an offset, all in one hour of a day."""
    seq, ts = 2 * offset + 1, day + offset * 1_000_000
    entries: list[Entry] = [
        OrderEntry(instrument="X", seq=seq, ts=ts, exec_type="new", src=Source("orders", 0, offset)),
        TradeEntry(
            instrument="X", seq=seq + 1, ts=ts, exec_type="trade", trade_id=str(seq),
            src=Source("trades", 0, offset), price=10**8, qty=10**8,
        ),
        ClockEntry(ts=ts),
    ]  # fmt: skip
    return FakeMessage("journal", 0, offset, codec.encode_frame(entries))


def reading(lake: Path, *options: str) -> list[subprocess.Popen[bytes]]:
    """Start two readers."""
    command = [sys.executable, str(READER), str(lake), *options]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]


def ended(lake: Path, readers: list[subprocess.Popen[bytes]]) -> list[str]:
    """Stop them; return what each said."""
    (lake / "stop").touch()
    return [reader.communicate(timeout=60)[0].decode() for reader in readers]


def test_readers_see_each_row_once_while_100_flushes_land_and_are_compacted(tmp_path: Path) -> None:
    catalog.publish(tmp_path)
    part = LandPartition(tmp_path, "journal", 0)
    compactor = Compactor(tmp_path, lambda: catalog.publish(tmp_path), settle=SETTLE, many=10)
    readers = reading(tmp_path)
    merged = deleted = 0
    now = 0.0
    try:
        for offset in range(FLUSHES):
            part.take(frame(offset))
            part.flush()
            now += 100
            if compactor.step(now):
                merged, deleted = merged + bool(compactor.state.paths), deleted + (not compactor.state.paths)
            if offset % 50 == 0:
                catalog.publish(tmp_path)
            time.sleep(0.02)
        while compactor.state.paths:
            deleted += compactor.step(0)
            time.sleep(0.05)
    finally:
        said = ended(tmp_path, readers)
    assert nothing_hidden(tmp_path)
    assert {len(visible(tmp_path)[table]) for table in ("orders", "trades")} == {FLUSHES}
    print(f"{merged} rounds of merging, {deleted} of deleting")
    assert merged > 3 and deleted > 0
    for text in said:
        queries, failed, orders, *_rest = map(int, text.splitlines()[-1].split())
        print(f"{queries} queries, {failed} failed; {orders} orders seen at last")
        assert failed == 0 and queries > 20, text
        assert orders > 0


def test_readers_go_on_while_retention_takes_days_away(tmp_path: Path) -> None:
    """Of ten days, one after another, the last three are kept: a query sees a day whole or not at all."""
    catalog.publish(tmp_path)
    part = LandPartition(tmp_path, "journal", 0)
    compactor = Compactor(tmp_path, lambda: catalog.publish(tmp_path), settle=SETTLE, many=4)
    kept = retention.Retention(dict.fromkeys(("orders", "trades"), 3), exact_replay=False)
    retired, now = 0, 0.0
    readers = reading(tmp_path, str(DAYS))
    try:
        for offset in range(DAYS * FLUSHES_A_DAY):
            day = offset // FLUSHES_A_DAY
            part.take(frame(offset, DAY + day * NS_A_DAY))
            part.flush()
            now += 100
            compactor.step(now)
            if offset % FLUSHES_A_DAY == FLUSHES_A_DAY - 1:
                plans = retention.plan(compactor, kept, FIRST + timedelta(days=day))
                retired += sum(len(one.paths) for one in plans)
                retention.apply(compactor, plans)
            time.sleep(0.02)
        while compactor.state.paths:
            compactor.step(0)
            time.sleep(0.05)
    finally:
        said = ended(tmp_path, readers)
    left = {table: len(visible(tmp_path)[table]) for table in ("orders", "trades")}
    print(f"{retired} files taken away; {left} rows of {DAYS * FLUSHES_A_DAY} left")
    assert set(left.values()) == {4 * FLUSHES_A_DAY}  # three days and the last
    assert check.run(tmp_path).findings == []
    for text in said:
        queries, failed, orders, _marks, _both, _landed, fell, *_ = map(int, text.splitlines()[-1].split())
        print(f"{queries} queries, {failed} failed; orders seen: {orders}, fell {fell} times")
        assert failed == 0 and queries > 20, text
        assert 0 < orders <= 4 * FLUSHES_A_DAY
        assert fell > 0, "a day went while it read"
