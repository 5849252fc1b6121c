"""People read while landing goes on: no query fails, no row is seen twice, none goes away."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from lake_crash import nothing_hidden, visible
from lake_journal import FakeMessage

from schemas import codec
from schemas.journal import ClockEntry, Entry, OrderEntry, Source, TradeEntry
from streams.lake import catalog
from streams.lake.compaction import Compactor
from streams.land_partition import LandPartition

READER = Path(__file__).with_name("lake_reader.py")
DAY = 1_772_409_600_000_000_000  # 2026-03-02T00:00:00Z
FLUSHES = 100
SETTLE = 1.0  # seconds


def frame(offset: int) -> FakeMessage:
    """Three entries an offset, all in one hour."""
    seq, ts = 2 * offset + 1, DAY + offset * 1_000_000
    entries: list[Entry] = [
        OrderEntry(instrument="X", seq=seq, ts=ts, exec_type="new", src=Source("orders", 0, offset)),
        TradeEntry(
            instrument="X", seq=seq + 1, ts=ts, exec_type="trade", trade_id=str(seq),
            src=Source("trades", 0, offset), price=10**8, qty=10**8,
        ),
        ClockEntry(ts=ts),
    ]  # fmt: skip
    return FakeMessage("journal", 0, offset, codec.encode_frame(entries))


def test_readers_see_each_row_once_while_100_flushes_land_and_are_compacted(tmp_path: Path) -> None:
    catalog.publish(tmp_path)
    part = LandPartition(tmp_path, "journal", 0)
    compactor = Compactor(tmp_path, lambda: catalog.publish(tmp_path), settle=SETTLE, many=10)
    readers = [
        subprocess.Popen(
            [sys.executable, str(READER), str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(2)
    ]
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
        (tmp_path / "stop").touch()
        said = [reader.communicate(timeout=60)[0].decode() for reader in readers]
    assert nothing_hidden(tmp_path)
    assert {len(visible(tmp_path)[table]) for table in ("orders", "trades")} == {FLUSHES}
    print(f"{merged} rounds of merging, {deleted} of deleting")
    assert merged > 3 and deleted > 0
    for text in said:
        queries, failed, orders, *_rest = map(int, text.splitlines()[-1].split())
        print(f"{queries} queries, {failed} failed; {orders} orders seen at last")
        assert failed == 0 and queries > 20, text
        assert orders > 0
