"""A lake that cannot be written for a while: the worker says why, loses nothing, and goes on by itself."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from lake_crash import crashing, leftovers, visible
from test_lake_landing import land
from test_lake_worker import FakeConsumer, consumer, worker_of

from streams import land_worker
from streams.lake import trouble
from streams.land_upkeep import Upkeep

__all__ = ["consumer"]

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_the_disk_is_full_at_every_step_once(
    tmp_path: Path, consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(land_worker, "FLUSH_ROWS", 40)
    monkeypatch.setattr(Upkeep, "step", lambda _self, _now: None)  # has a test of its own
    with crashing() as untroubled:
        worker_of(tmp_path / "whole", consumer).run()
    land(tmp_path / "expected")
    wanted = visible(tmp_path / "expected")
    steps = said = compared = 0
    for at, half in untroubled.places():
        root = tmp_path / f"{at}-{half}"
        capfd.readouterr()
        with crashing(at, half, failure=FULL):
            worker_of(root, consumer).run()
        with crashing():
            worker_of(root, consumer).run()  # what failed at the very end is for the next start
        assert visible(root) == wanted, (at, half)
        assert [path for path in leftovers(root) if path.parent != root] == [], (at, half)
        said += "DISK IS FULL" in capfd.readouterr().err
        compared += sum(map(len, wanted.values()))
        steps += 1
        shutil.rmtree(root)
    print(f"failed at {steps} places, said so {said} times, compared {compared} rows")
    assert steps >= untroubled.count > 30
    assert said == steps


def test_while_it_fails_the_reason_is_there_and_nothing_is_read(
    tmp_path: Path, consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(land_worker, "FLUSH_ROWS", 5)
    root = tmp_path / "lake"
    worker = worker_of(root, consumer)
    seen: list[str | None] = []
    polls = 0

    def consume(most: int, seconds: float) -> list[object]:
        nonlocal polls
        polls += 1
        seen.append(worker.failure)
        if polls == 4:
            root.rename(tmp_path / "away")  # it vanishes
        elif polls == 9:
            (tmp_path / "away").rename(root)
        if worker.failure is not None:
            assert not consumer.left and not worker.parts
        return FakeConsumer.consume(consumer, most, seconds)

    monkeypatch.setattr(consumer, "consume", consume)
    worker.run()
    told = [failure for failure in seen if failure]
    assert len(told) >= 3 and all(f"THE LAKE IS GONE: {root}" in failure for failure in told)
    assert worker.failure is None
    land(tmp_path / "expected")
    assert visible(root) == visible(tmp_path / "expected")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FULL, r"THE LAKE'S DISK IS FULL: .* has [0-9,.]+ MiB free\. Make room"),
        (OSError("x: No space left on device"), "DISK IS FULL"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "CANNOT BE WRITTEN: .* mounted read-only"),
        (PermissionError(errno.EACCES, "denied"), "CANNOT BE WRITTEN"),
        (FileNotFoundError(errno.ENOENT, "none"), "THE LAKE IS GONE: .* Mount it"),
        (OSError(errno.EIO, "Input/output error"), "THE LAKE FAILS: .*Input/output error"),
    ],
)
def test_what_is_said(tmp_path: Path, error: OSError, expected: str) -> None:
    with pytest.raises(OSError, match=expected):
        raise OSError(trouble.explained(tmp_path, error))
