"""Snapshots in a folder and in an S3-compatible store: whole or not there, the newest good one wins."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyarrow import fs
from s3_store import store

from streams.snapshots import KEEP, Snapshots

Make = Callable[[list[str]], Snapshots]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3-compatible store: a URL's query."""
    with store() as query:
        yield query


@pytest.fixture(params=["folder", "s3"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what makes the snapshots of stage detect; each call is another worker on the same store."""
    if request.param == "folder":
        place = str(tmp_path / "snapshots")
    else:
        end = request.getfixturevalue("s3")
        place = f"s3://fairbook/{tmp_path.name}?{end}"
    return lambda said: Snapshots(place, "journal-x", "detect", said.append)


def files(snapshots: Snapshots) -> list[str]:
    found = snapshots._store.get_file_info(fs.FileSelector(snapshots.folder, allow_not_found=True))
    return sorted(info.base_name for info in found)


def spoil(snapshots: Snapshots, name: str, data: bytes) -> None:
    with snapshots._store.open_output_stream(f"{snapshots.folder}/{name}") as stream:
        stream.write(data)


def test_another_worker_finds_the_newest(make: Make) -> None:
    said: list[str] = []
    one, other = make(said), make(said)
    assert one.newest(0, bytes) is None
    for label in (3, 20, 100, 7):  # a stranger's old state, written late, is not the newest
        assert one.write(0, label, b"state at %d" % label)
    assert one.write(10, 500, b"another partition")
    assert other.newest(0, bytes) == (100, b"state at 100")
    assert other.newest(1, bytes) is None, "partition 10 is not partition 1"
    assert len(files(other)) == KEEP + 1
    assert not said


def test_what_is_wrong_is_passed_over_and_told(make: Make) -> None:
    said: list[str] = []
    snapshots = make(said)
    for label in (1, 2, 3):
        assert snapshots.write(0, label, b"state %d" % label)
    spoil(snapshots, f"detect-0-{3:020d}.snapshot", b"cut short")
    spoil(snapshots, "detect-0-nonsense.snapshot", b"")
    spoil(snapshots, f"detect-0-{9:020d}.snapshot.unfinished", b"a crash")

    def other_rules(data: bytes) -> bytes:
        if data == b"state 2":
            raise ValueError("written by other rules")
        return data

    assert snapshots.newest(0, other_rules) == (1, b"state 1")
    assert snapshots.newest(0, bytes, end=1) == (1, b"state 1")
    assert len(said) == 4
    for message, reason in zip(said, ("damaged", "other rules", "damaged", "ends at 1"), strict=True):
        assert reason in message, message


def test_a_crash_at_each_step_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step is the last one taken, a whole snapshot is found: the new one or the one before."""

    class Crash(BaseException):
        pass

    steps = 0
    for last in range(100):
        folder = tmp_path / str(last)
        before = Snapshots(str(folder), "journal-x", "tag", print)
        assert before.write(0, 1, b"before")
        left = last

        def step(real: Callable[..., object]) -> Callable[..., object]:
            def taken(*arguments: object, **options: object) -> object:
                nonlocal left
                if left == 0:
                    raise Crash
                left -= 1
                return real(*arguments, **options)

            return taken

        crashed = False
        with monkeypatch.context() as patch:
            for place, name in ((Path, "open"), (os, "fsync"), (Path, "rename"), (os, "close")):
                patch.setattr(place, name, step(getattr(place, name)))
            try:
                before.write(0, 2, b"after")
            except Crash:
                crashed = True
        found = Snapshots(str(folder), "journal-x", "tag", print).newest(0, bytes)
        assert found in ((1, b"before"), (2, b"after"))
        if not crashed:
            assert found == (2, b"after")
            break
        steps += 1
    print(f"{steps} steps, a crash before each")
    assert steps >= 5


def test_a_full_disk_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once, nothing half is left, and told once more when it works again."""
    said: list[str] = []
    snapshots = Snapshots(str(tmp_path), "journal-x", "tag", said.append)
    assert snapshots.write(0, 1, b"before")
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")

        def fsync(_descriptor: int) -> None:
            raise full

        patch.setattr(os, "fsync", fsync)
        assert not snapshots.write(0, 2, b"after")
        assert not snapshots.write(0, 3, b"after")
    assert len(said) == 1
    assert "No space left" in said[0]
    assert files(snapshots) == [f"tag-0-{1:020d}.snapshot"]
    assert snapshots.write(0, 4, b"after")
    assert "again" in said[1]
    assert snapshots.newest(0, bytes) == (4, b"after")


def test_a_store_that_is_away_is_no_empty_store(s3: str) -> None:
    del s3
    place = "s3://fairbook/x?scheme=http&endpoint_override=127.0.0.1:9&region=us-east-1"
    said: list[str] = []
    snapshots = Snapshots(place, "journal-x", "tag", said.append)
    with pytest.raises(OSError, match=r"(?i)connect|network|curl"):
        snapshots.newest(0, bytes)


@pytest.mark.parametrize("place", ["s3://fairbook/x?regoin=y", "smb://there/x"])
def test_a_url_that_cannot_be_read_is_an_error(place: str) -> None:
    with pytest.raises(ValueError, match=r"regoin|smb"):
        Snapshots(place, "journal-x", "tag", print)
