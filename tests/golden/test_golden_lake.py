"""Lakes of earlier versions: this one gives their kept answers, finds them whole, and goes on with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from make_lake import ANSWERS, answers

from streams import history
from streams.lake import catalog, check
from streams.lake.compaction import Compactor
from streams.lake.position import landed
from streams.land_partition import LandPartition

LAKES = sorted(path for path in Path(__file__).parent.glob("lake-*") if path.is_dir())


def compare(connection: duckdb.DuckDBPyConnection, lake: Path) -> int:
    """Compare every kept view, in the columns that it had; return the number of rows."""
    count = 0
    for line in (lake / ANSWERS).read_text(encoding="utf-8").splitlines():
        kept = json.loads(line)
        assert answers(connection, kept["view"], str(kept["columns"])) == kept["rows"], kept["view"]
        count += len(kept["rows"])
    return count


@pytest.mark.parametrize("kept", LAKES, ids=lambda path: path.name)
def test_an_older_lake_is_read_and_gone_on_with(kept: Path, tmp_path: Path) -> None:
    lake = Path(shutil.copytree(kept, tmp_path / "lake"))
    with duckdb.connect(str(lake / catalog.NAME), read_only=True) as plain:  # with the views it came with
        plain.execute("set TimeZone = 'UTC'")
        rows = compare(plain, lake)
    with catalog.connect(lake) as connection:  # with ours
        assert compare(connection, lake) == rows > 200
    result = check.run(lake)
    assert result.findings == [] and result.looked["checksum"] > 10
    assert (lake / "_landed" / "journal-0.json").exists()
    for topic, number in landed(lake):
        assert LandPartition(lake, topic, number).next > 0
    compactor = Compactor(lake, lambda: catalog.publish(lake), settle=0, many=2)
    now = 100.0
    while compactor.step(now):
        now += 100
    with catalog.connect(lake) as connection:
        assert compare(connection, lake) == rows
    print(f"{kept.name}: {rows} rows of its views as they were, also after compaction by this version")


@pytest.mark.parametrize("kept", LAKES, ids=lambda path: path.name)
def test_an_older_lake_can_still_be_replayed(kept: Path, tmp_path: Path) -> None:
    lake = Path(shutil.copytree(kept, tmp_path / "lake"))
    events = sum(1 for _ in history.outputs(lake))
    print(f"{kept.name}: {events} answers of its journal")
    assert events > 0
