"""Files that appear whole and stay: a temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

UNFINISHED = ".unfinished"
DIGITS = 16  # of a data file's digest, the last part of its name
WAIT_SECONDS = 20.0


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`: a reader, or a crash, sees all of it or what was there before."""
    make_folder(path.parent)
    unfinished = path.with_suffix(UNFINISHED)
    unfinished.write_bytes(data)
    _appear(unfinished, path)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as a Parquet file that appears whole."""
    _appear(_written(path.with_suffix(UNFINISHED), table), path)


def write_data(folder: Path, name: str, table: pa.Table) -> Path:
    """Write a table as `<name>-<digest of the file>.parquet`, whole; return its path.

    The digest is the file's checksum (`fairbook lake check`), which moves with it.
    """
    unfinished = _written(folder / f"{name}{UNFINISHED}", table)
    path = folder / f"{name}-{digest(unfinished)}.parquet"
    _appear(unfinished, path)
    return path


def digest(path: Path) -> str:
    """Return the digest of a file's bytes as it stands in a data file's name."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=DIGITS // 2))
    return found.hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each of them durable."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Make what is written to a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(folder: Path, seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the one lock of a folder. Raises OSError if somebody else has held it for so long."""
    descriptor = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(
                        f"{folder}: another process has been changing its catalog for {seconds:.0f} s: does "
                        "it stand still? End it"
                    ) from None
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _written(unfinished: Path, table: pa.Table) -> Path:
    make_folder(unfinished.parent)
    pq.write_table(table, unfinished, compression="zstd", compression_level=1)
    return unfinished


def _appear(unfinished: Path, path: Path) -> None:
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)
