"""Files that appear whole and stay: a temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

UNFINISHED = ".unfinished"


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`: a reader, or a crash, sees all of it or what was there before."""
    make_folder(path.parent)
    unfinished = path.with_suffix(UNFINISHED)
    unfinished.write_bytes(data)
    _appear(unfinished, path)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as a Parquet file that appears whole."""
    make_folder(path.parent)
    unfinished = path.with_suffix(UNFINISHED)
    pq.write_table(table, unfinished, compression="zstd", compression_level=1)
    _appear(unfinished, path)


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


def _appear(unfinished: Path, path: Path) -> None:
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)
