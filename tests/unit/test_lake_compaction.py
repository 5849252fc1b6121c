"""Compaction: whatever step it is at, and whatever step a crash comes at, each row is seen exactly once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from lake_crash import Crash, counted, crashing, leftovers, nothing_hidden, visible
from test_lake_landing import FEED, land

from streams.lake import catalog, hidden
from streams.lake.compaction import Compactor
from streams.land_partition import LandPartition

NOW = 100.0
HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(); sys.stdin.read()"


def compactor(root: Path, many: int = 2) -> Compactor:
    """One that waits for readers, and for nothing else."""
    return Compactor(root, lambda: catalog.publish(root), settle=0, many=many)


def compact(root: Path, many: int = 2) -> int:
    """Compact until nothing is left to do; return the number of steps."""
    steps, worker, now = 0, compactor(root, many), NOW
    while worker.step(now):
        steps, now = steps + 1, now + NOW
    return steps


def many_files(root: Path) -> Path:
    """A lake of many small files."""
    with crashing():
        land(root, every=1)
        catalog.publish(root)
    return root


def parquet(root: Path) -> list[Path]:
    """The data files of a lake, but for the empty ones."""
    return sorted(path for path in root.glob("*/*/*/*.parquet") if not path.name.startswith("seed-"))


def test_files_become_few_and_every_step_shows_each_row_once(tmp_path: Path) -> None:
    root = many_files(tmp_path)
    before, wanted, rows = len(parquet(root)), counted(root), visible(root)
    with crashing():
        worker, now = compactor(root), NOW
        while worker.step(now):
            now += NOW
            assert counted(root) == wanted
    assert visible(root) == rows
    assert nothing_hidden(root)
    assert len(parquet(root)) < before
    assert any(hidden.number(path) for path in parquet(root))
    assert not list((root / hidden.FOLDER).glob("old-*"))
    print(f"{before} files became {len(parquet(root))}, {sum(map(len, rows.values()))} rows")


def test_few_files_are_left_alone(tmp_path: Path) -> None:
    root = many_files(tmp_path)
    before = parquet(root)
    with crashing():
        assert compact(root, many=1_000) == 0
    assert parquet(root) == before != []


def test_a_crash_at_every_step_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with crashing():
        land(root, FEED[:3], every=1)
        catalog.publish(root)
    wanted, rows = counted(root), visible(root)
    with crashing() as uncrashed:
        whole = Path(shutil.copytree(root, tmp_path / "whole"))
        assert compact(whole) > 1
    steps = 0
    for at, half in uncrashed.places():
        copy = Path(shutil.copytree(root, tmp_path / f"{at}-{half}"))
        with crashing(at, half), pytest.raises(Crash):
            compact(copy)
        assert counted(copy) == wanted, (at, half)  # while nothing runs
        with crashing():
            LandPartition(copy, "journal", 0)
            compact(copy)
        assert visible(copy) == rows, (at, half)
        assert nothing_hidden(copy), (at, half)
        assert [path for path in leftovers(copy) if path.parent != copy] == [], (at, half)
        assert len(parquet(copy)) == len(parquet(whole))
        steps += 1
    print(f"crashed at {steps} places, compared {steps * 2 * sum(map(len, rows.values()))} rows")
    assert steps > uncrashed.count > 10


def test_inputs_stay_while_somebody_has_an_older_catalog_open(tmp_path: Path) -> None:
    root = many_files(tmp_path)
    wanted, before = counted(root), parquet(root)
    with crashing():
        worker = compactor(root)
        reader = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(root / catalog.NAME)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert reader.stdout is not None and reader.stdout.readline() == b"\n"
        assert worker.step(NOW)
        for number in range(2, 6):
            worker.step(number * NOW)
        assert set(before) <= set(parquet(root))
        assert counted(root) == wanted
        reader.communicate(b"")
        assert reader.returncode == 0
        assert worker.step(NOW)
    assert not set(before) <= set(parquet(root))
    assert counted(root) == wanted


def test_an_open_catalog_goes_on_with_what_it_knows(tmp_path: Path) -> None:
    root = many_files(tmp_path)
    with crashing():
        worker = compactor(root)
        with duckdb.connect(str(root / catalog.NAME), read_only=True) as old:
            rows = old.sql("select count(*) from orders").fetchall()
            assert worker.step(NOW)
            assert (
                old.sql("select count(*) from orders").fetchall() == rows == [(counted(root)["orders"][0],)]
            )


def test_landing_goes_on_while_files_are_compacted(tmp_path: Path) -> None:
    with crashing():
        land(tmp_path / "whole")
        root = tmp_path / "lake"
        for number in range(1, len(FEED) + 1):
            land(root, FEED[:number], every=1)
            if number % 3 == 0:
                compact(root)
        compact(root)
    assert visible(root) == visible(tmp_path / "whole")
