"""Compaction: whatever step it is at, and whatever step a crash comes at, each row is seen exactly once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lake_crash import Crash, crashing, leftovers, nothing_hidden, visible
from test_lake_landing import FEED, land

from streams.lake import catalog
from streams.lake.compaction import Compactor, is_compacted
from streams.land_worker import TOPICS, LandPartition


def compact(root: Path, many: int = 2, check: object = None) -> None:
    """Compact until nothing is left to do; `check`: rows that must be seen after every step."""
    compactor = Compactor(root, settle=1, grace=1, many=many)
    for now in range(1, 60):
        compactor.step(now)
        if check is not None:
            assert visible(root) == check


def many_files(root: Path) -> Path:
    """A lake of many small files."""
    with crashing():
        land(root, every=1)
    return root


def parquet(root: Path) -> list[Path]:
    """The data files of a lake, but for the empty ones."""
    return [path for path in root.glob("*/*/*/*.parquet") if path.name != "seed.parquet"]


def test_files_become_few_and_every_step_shows_each_row_once(tmp_path: Path) -> None:
    root = many_files(tmp_path)
    before, wanted = len(parquet(root)), visible(root)
    with crashing():
        compact(root, check=wanted)
    assert len(parquet(root)) < before
    assert any(is_compacted(path) for path in parquet(root))
    assert nothing_hidden(root) and not (root / "_compaction" / "plan.json").exists()
    with crashing(), catalog.connect(root) as connection:
        for table, rows in wanted.items():
            assert connection.sql(f"select count(*) from {table}").fetchall() == [(len(rows),)]
    print(f"{before} files became {len(parquet(root))}, {sum(map(len, wanted.values()))} rows")


def test_few_files_are_left_alone(tmp_path: Path) -> None:
    root = many_files(tmp_path)
    before = parquet(root)
    with crashing():
        compact(root, many=1_000)
    assert parquet(root) == before != []


def test_a_crash_at_every_step_changes_nothing(tmp_path: Path) -> None:
    root = many_files(tmp_path / "lake")
    wanted = visible(root)
    with crashing() as uncrashed:
        compact(shutil.copytree(root, tmp_path / "whole"))
    steps = 0
    for at, half in uncrashed.places():
        copy = Path(shutil.copytree(root, tmp_path / f"{at}-{half}"))
        with crashing(at, half), pytest.raises(Crash):
            compact(copy)
        assert visible(copy) == wanted, (at, half)  # while nothing runs
        with crashing():
            for topic in TOPICS:
                LandPartition(copy, topic, 0)
            compact(copy)
        assert visible(copy) == wanted, (at, half)
        assert nothing_hidden(copy) and leftovers(copy) == [], (at, half)
        assert len(parquet(copy)) == len(parquet(tmp_path / "whole"))
        steps += 1
    print(f"crashed at {steps} places, compared {steps * 2 * sum(map(len, wanted.values()))} rows")
    assert steps > uncrashed.count > 50


def test_landing_goes_on_while_files_are_compacted(tmp_path: Path) -> None:
    with crashing():
        land(tmp_path / "whole")
        root = tmp_path / "lake"
        compactor = Compactor(root, settle=1, grace=1, many=2)
        for number in range(1, len(FEED) + 1):
            land(root, FEED[:number], every=1)
            compactor.step(2 * number)
        compact(root)
    assert visible(root) == visible(tmp_path / "whole")


def test_a_file_of_an_older_schema_is_merged_with_nulls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schemas import tables
    from schemas.tables import Column

    root = many_files(tmp_path)
    rows = len(visible(root)["orders"])
    monkeypatch.setitem(tables.TABLES, "orders", (*tables.TABLES["orders"], Column("new_column", "quantity")))
    with crashing():
        compact(root)
        catalog.publish(root)
    with catalog.connect(root) as connection:
        found = connection.sql("select count(*), count(new_column) from orders").fetchall()
    assert found == [(rows, 0)]
