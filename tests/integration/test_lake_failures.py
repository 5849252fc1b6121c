"""A land worker whose lake's disk is full, or gone: it says why, waits, and lands everything once it can.

The disk is a small one in memory, mounted for the test.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pipeline import Pipeline, replayed, same_rows, simulated, wait_for

from streams import feed
from streams.lake import check
from streams.watch import said

SIZE = "3m"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small disk on a folder."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount: see tests/unit/test_lake_failures.py, which fails every step")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def reasons(pipeline: Pipeline) -> set[str]:
    """Why the land worker says that it is not well."""
    where = said.address(pipeline.settings, "land", 0)
    try:
        return set() if where is None else {why.reason for why in said.ask(where).troubles}
    except OSError:
        return set()


def test_a_full_disk_and_a_lake_that_is_gone_for_a_while(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=81, events=4_000, violations=1)
    half = len(day.records) // 2
    disk = tmp_path / "disk"
    lake = disk / "lake"
    with small_disk(disk), Pipeline(broker, tmp_path, "full.", lake=lake) as pipeline:
        pipeline.know(day)
        pipeline.start("tag", "detect")
        filler = disk / "filler"
        pipeline.start("land")
        with filler.open("wb") as stream:
            try:
                while True:
                    stream.write(bytes(1 << 16))
                    stream.flush()
            except OSError:
                pass
        publisher = feed.Feed(pipeline.settings)
        publisher.records(day.records[:half])
        wait_for(lambda: "lake_failing" in reasons(pipeline), "the land worker to say that the disk is full")
        log = pipeline.workers.log("land")
        assert f"THE LAKE'S DISK IS FULL: {lake}" in log.read_text()
        pipeline.settle("tag", "detect")  # they go on
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        pipeline.settle()
        assert "can be written again" in log.read_text()
        away = lake.rename(lake.with_name("away"))
        publisher.records(day.records[half:])
        publisher.end_of_recording(day.latest)
        wait_for(lambda: f"THE LAKE IS GONE: {lake}" in log.read_text(), "it to say that it is gone")
        assert os.waitpid(pipeline.workers.running["land"].pid, os.WNOHANG) == (0, 0)
        away.rename(lake)
        pipeline.settle()
        pipeline.workers.check()
        replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
        assert sum(same_rows(lake, tmp_path / "replayed").values()) > 0
        pipeline.stop()
        assert check.run(lake).findings == []
