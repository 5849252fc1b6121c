"""Snapshot files: written whole or not at all, refused when damaged or not ours. DESIGN.md 4.12.

Name: `<stage>-<partition>-<label>.snapshot`, the label being the journal offset to read on from; content: a
checksum, then the state. The newest one that can be restored wins; three are kept. A snapshot is never
needed: refusing all of them means reading the journal from its start.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

KEEP = 3
_CHECKSUM = 32
_State = TypeVar("_State")


def write(folder: Path, stage: str, partition: int, label: int, state: bytes) -> None:
    """Write a snapshot of `stage` at journal offset `label`; a crash leaves it whole or not there at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stage}-{partition}-{label:020d}.snapshot"
    unfinished = folder / f"{stage}-{partition}.unfinished"
    with unfinished.open("wb") as stream:
        stream.write(_checksum(state))
        stream.write(state)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.rename(path)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename, too
    finally:
        os.close(directory)
    for old in _newest_first(folder, stage, partition)[KEEP:]:
        old.unlink(missing_ok=True)


def newest(
    folder: Path,
    stage: str,
    partition: int,
    restore: Callable[[bytes], _State],
    say: Callable[[str], None],
    *,
    end: int | None = None,
) -> tuple[int, _State] | None:
    """Return (label, restored state) of the newest snapshot that `restore` takes, or None.

    One that is damaged, lies beyond the journal's `end`, or makes `restore` raise (another rulebook, other
    rules, another form of state) is passed over, and `say` is told why.
    """
    for path in _newest_first(folder, stage, partition):
        label = _label(path)
        try:
            data = path.read_bytes()
            state = data[_CHECKSUM:]
            if data[:_CHECKSUM] != _checksum(state):
                raise ValueError("damaged: its checksum differs")
            if end is not None and label > end:
                raise ValueError(f"the journal ends at {end}, before it: is this the cluster it was made on?")
            return label, restore(state)
        except Exception as error:  # whatever is wrong with it, the journal is the truth
            say(f"snapshot {path.name} refused ({error}); an older one or the journal's start will do")
    return None


def _newest_first(folder: Path, stage: str, partition: int) -> list[Path]:
    paths = [path for path in folder.glob(f"{stage}-{partition}-*.snapshot") if _label(path) >= 0]
    return sorted(paths, key=_label, reverse=True)


def _label(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _checksum(state: bytes) -> bytes:
    return hashlib.blake2b(state, digest_size=_CHECKSUM).digest()
