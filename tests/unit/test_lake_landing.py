"""Landing: every entry exactly once, whatever step a crash comes at; positions that cannot be trusted."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lake_crash import Crash, crashing, leftovers, visible
from lake_journal import HANDMADE, FakeMessage, kept, messages

from schemas import codec
from schemas.journal import ClockEntry, OrderEntry, Source
from streams.lake import catalog
from streams.lake.compaction import Compactor
from streams.lake.position import landed
from streams.lake.seeds import seed
from streams.lake.writer import LakeWriter
from streams.land_partition import LandPartition
from streams.land_worker import TOPICS

FEED = messages(kept(HANDMADE / "14_bad_input"), frame=9)


def land(root: Path, feed: list[Any] = FEED, every: int = 8) -> None:
    """What a land worker does: start, read each topic from its position, flush now and then, stop."""
    parts = {topic: LandPartition(root, topic, 0) for topic in TOPICS}
    waiting = defaultdict(list)
    for message in feed:
        if message.offset() >= parts[message.topic()].next:
            waiting[message.topic()].append(message)
    number = 0
    while any(waiting.values()):
        for topic, left in waiting.items():
            if left:
                parts[topic].take(left.pop(0))
                number += 1
                if number % every == 0:
                    for part in parts.values():
                        part.flush()
    for part in parts.values():
        part.flush()


def test_a_crash_at_every_step_changes_nothing(tmp_path: Path) -> None:
    with crashing() as uncrashed:
        land(tmp_path / "whole")
    wanted = visible(tmp_path / "whole")
    assert sum(map(len, wanted.values())) > 40
    steps = compared = 0
    for at, half in uncrashed.places():
        root = tmp_path / f"{at}-{half}"
        with crashing(at, half), pytest.raises(Crash):
            land(root)
        if at % 9 == 0:  # and once more, while it starts again
            for again in (1, 2, 5):
                with crashing(again), suppress(Crash):
                    land(root)
        with crashing():
            land(root)
        assert visible(root) == wanted, (at, half)
        assert leftovers(root) == [], (at, half)
        assert landed(root) == landed(tmp_path / "whole")
        compared += sum(map(len, wanted.values()))
        steps += 1
    print(f"crashed at {steps} places of {uncrashed.count} operations, compared {compared} rows")
    assert steps > uncrashed.count > 50


def test_a_crash_while_the_catalog_is_made_leaves_one_that_works(tmp_path: Path) -> None:
    with crashing() as uncrashed:
        catalog.publish(tmp_path / "whole")
    steps = 0
    for at, half in uncrashed.places()[::3]:
        root = tmp_path / f"{at}-{half}"
        with crashing(at, half), pytest.raises(Crash):
            catalog.publish(root)
        with crashing():
            seed(root)
        assert set(map(len, visible(root).values())) == {0}
        steps += 1
    with crashing(uncrashed.count - 2), pytest.raises(Crash):
        catalog.publish(tmp_path / "last")
    with catalog.connect(tmp_path / "last") as connection:
        assert connection.sql("select count(*) from coverage_days").fetchall() == [(0,)]
    print(f"crashed at {steps} places")
    assert steps > 20


def test_messages_that_are_read_again_are_passed_over(tmp_path: Path) -> None:
    part = LandPartition(tmp_path, "journal", 0)
    journal = [message for message in FEED if message.topic() == "journal"]
    for message in (*journal, *journal):
        part.take(message)
    assert part.flush() and not part.flush()
    land(tmp_path / "whole")
    assert visible(tmp_path)["orders"] == visible(tmp_path / "whole")["orders"] != []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"next": "three"}', b"[]"])
def test_a_damaged_position_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    land(tmp_path)
    path = tmp_path / "_landed" / "journal-0.json"
    path.write_bytes(content)
    with pytest.raises(
        RuntimeError, match=r"journal-0\.json: expected a position, .* move the whole lake away"
    ):
        LandPartition(tmp_path, "journal", 0)


def test_a_position_older_than_the_lake_is_refused_and_nothing_removed(tmp_path: Path) -> None:
    position = tmp_path / "_landed" / "journal-0.json"
    land(tmp_path, FEED[:2], every=1)
    old = position.read_bytes()
    land(tmp_path, every=1)
    before = visible(tmp_path)
    position.write_bytes(old)
    with pytest.raises(RuntimeError, match="expected no rows beyond the position of journal-0, 2"):
        LandPartition(tmp_path, "journal", 0)
    position.unlink()
    with pytest.raises(RuntimeError, match="expected no rows beyond the position of journal-0, 0"):
        LandPartition(tmp_path, "journal", 0)
    assert visible(tmp_path) == before


def test_a_missing_position_of_compacted_rows_is_refused(tmp_path: Path) -> None:
    land(tmp_path, every=10**6)
    with crashing():
        compactor = Compactor(tmp_path, lambda: None, settle=0, many=1)
        assert compactor.step(100)
    (tmp_path / "_landed" / "journal-0.json").unlink()
    with pytest.raises(RuntimeError, match="has rows of journal-0, whose position is missing"):
        LandPartition(tmp_path, "journal", 0)
    LandPartition(tmp_path, "journal", 1)


def test_restated_orders_lie_where_the_record_begins(tmp_path: Path) -> None:
    day = 1_772_409_600_000_000_000  # 2026-03-02T00:00:00Z
    old = OrderEntry(
        instrument="X", seq=1, ts=day - 10**17, exec_type="restated", src=Source("orders", 0, 1), order_id="A"
    )
    new = OrderEntry(instrument="X", seq=2, ts=day, exec_type="new", src=Source("orders", 0, 2), order_id="B")
    part = LandPartition(tmp_path, "journal", 0)
    part.take(FakeMessage("journal", 0, 0, codec.encode_frame([old, new, ClockEntry(ts=day)])))
    part.flush()
    assert [path.parent.name for path in tmp_path.glob("orders/date=2026-03-02/*/*")] == ["hour=00"]
    alone = LandPartition(tmp_path / "alone", "journal", 0)
    alone.take(FakeMessage("journal", 0, 0, codec.encode_frame([old])))
    alone.flush()
    assert [path.parents[1].name for path in (tmp_path / "alone").glob("orders/*/*/*")] == ["date=2022-12-30"]


def test_a_replay_writes_before_its_memory_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streams.lake import writer

    monkeypatch.setattr(writer, "MAX_ROWS", 10)
    journal = kept(HANDMADE / "11_two_passes")
    most = 0
    sink = LakeWriter(tmp_path, "replay")
    for position, entry in journal.entries:
        sink.entry(position, entry)
        most = max(most, sink.gathered)
    for position, output in journal.outputs:
        sink.output(position, output)
        most = max(most, sink.gathered)
    sink.close()
    assert most < 10 + 3
    assert len(visible(tmp_path)["alert_revisions"]) > 0
    assert len(list(tmp_path.glob("*/*/*/replay-*.parquet"))) > 5
