"""What `fairbook status` prints of an overview: every state in words, nothing wider than 100 columns."""

from __future__ import annotations

import io

from rich.console import Console

from streams import text_table
from streams.overview import Overview, Progress, Worker
from streams.overview_tables import STATES, tables
from streams.watch.said import Why

WHY = Why("behind", "8 partitions are behind, most of all journal 3: 71 s")
WORKERS = [
    Worker(stage="tag", slot=0, pid=4711, state="well", partitions=4, entries_per_second=12_345.6),
    Worker(
        stage="tag", slot=1, pid=4712, state="not_well", troubles=[WHY], partitions=4, entries_per_second=0
    ),
    Worker(stage="detect", slot=0, pid=4713, state="silent"),
    Worker(stage="detect", slot=12, pid=4714, state="dead"),
]
PARTITIONS = [
    Progress(
        stage="tag", partition=1_023, behind=12_345_678, entries_per_second=54_321.0, delay_seconds=3.0,
        snapshot_age_seconds=86_400.0, watermark_ns=1_772_442_061_999_999_999,
    ),
    Progress(stage="detect", partition=1_023, behind=1_234_567),
    Progress(stage="land", partition=1_023, behind=0),
]  # fmt: skip
LAKE = {
    "events": [{"instrument": "BTC-USD", "received": 12, "missing_seqs": None}],
    "quarantine": [],
    "alerts": [{"instance": "self_trade", "status": "confirmed", "alerts": 1_234}],
}


def printed(overview: Overview) -> str:
    screen = Console(file=io.StringIO(), width=100)
    for table in tables(overview):
        text_table.show(screen, table)
    return screen.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_it_reads_at_100_columns() -> None:
    text = printed(Overview(broker=None, workers=WORKERS, partitions=PARTITIONS, lake=LAKE))
    print(text)
    assert max(map(len, text.splitlines())) <= 100
    words = (
        "12,346",
        "NOT WELL",
        WHY.reason,
        "12,345,678",
        "86,400 s",
        "2026-03-02 09:01:01",
        "1,234",
        "BTC-USD",
    )
    assert "record 1" not in text
    assert text.count("1023") == 1, "in one part"
    for word in words:
        assert word in text
    for state in STATES.values():
        assert state in text
    assert "Quarantine" not in text, "nothing was refused"


def test_what_does_not_run_is_said() -> None:
    text = printed(Overview(broker="away", workers=[], partitions=[], lake={}))
    assert text.count("NOT RUNNING HERE") == 3
