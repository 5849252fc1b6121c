"""Crashes at every step of what writes files: each operation in turn does not happen, or happens by half.

After an operation is before the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.tables import TABLES
from streams.lake import hidden

Row = tuple[Any, ...]


class Crash(BaseException):
    """The process has ended: nothing may catch it."""


class Crashes:
    """Counts the operations that change files, and crashes at number `at`. Nothing is really synced."""

    def __init__(self, at: int | None, half: bool, failure: BaseException | None = None) -> None:
        self.at, self.half, self.count = at, half, 0
        self.failure = failure or Crash()
        self.halves: list[int] = []  # numbers of those that can happen by half

    def places(self) -> list[tuple[int, bool]]:
        """Every place a crash can come at, as arguments of `crashing`."""
        return [*((at, False) for at in range(1, self.count + 1)), *((at, True) for at in self.halves)]

    def operation(self, real: Callable[..., Any], half: Callable[..., Any] | None) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            self.count += 1
            if half is not None:
                self.halves.append(self.count)
            if self.count != self.at:
                return real(*args, **named)
            if self.half:
                assert half is not None
                half(*args)
            raise self.failure

        return run  # fmt: skip


def _half_of_bytes(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data[: len(data) // 2])


def _half_of_parquet(_table: pa.Table, path: Path) -> None:
    path.write_text("PAR1 and no more", encoding="utf-8")


@contextmanager
def crashing(
    at: int | None = None, half: bool = False, failure: BaseException | None = None
) -> Iterator[Crashes]:
    """Crash at the operation of that number (from 1), or at none; `failure`: raised in place of Crash."""
    crashes = Crashes(at, half, failure)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", crashes.operation(lambda _descriptor: None, None))
        patch.setattr(pq, "write_table", crashes.operation(pq.write_table, _half_of_parquet))
        patch.setattr(Path, "write_bytes", crashes.operation(Path.write_bytes, _half_of_bytes))
        patch.setattr(os, "link", crashes.operation(os.link, None))
        for name in ("rename", "replace", "mkdir", "unlink"):
            patch.setattr(Path, name, crashes.operation(getattr(Path, name), None))
        yield crashes


def visible(root: Path) -> dict[str, list[Row]]:
    """The rows of each table that count by what is said to be hidden, in an order of their own."""
    state = hidden.load(root)
    found: dict[str, list[Row]] = {}
    for table in TABLES:
        top = root / table
        gone = {top / path for path in state.paths.get(table, ())}
        rows: list[Row] = []
        for path in top.glob("*/*/*.parquet"):
            if path not in gone and hidden.number(path) <= state.number:
                rows += [tuple(map(str, row.values())) for row in _read(path).to_pylist()]
        found[table] = sorted(rows)
    return found


def counted(root: Path) -> dict[str, list[int]]:
    """Of some tables, as a reader of the catalog sees them: how many rows, and how many different ones."""
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        return {
            table: list(
                connection.sql(
                    f'select count(*), count(distinct ("partition", "offset", "index", v)) from {table} v'
                ).fetchall()[0]
            )
            for table in ("orders", "refused", "journal_marks", "spread_minutes_revisions")
        }


def _read(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read(use_threads=False)


def leftovers(root: Path) -> list[Path]:
    """Files that no crash may leave behind for good."""
    return sorted(root.rglob("*.unfinished"))


def nothing_hidden(root: Path) -> bool:
    """True if every file counts."""
    state = hidden.load(root)
    return not state.paths and all(
        hidden.number(path) <= state.number for path in root.glob("*/*/*/*.parquet")
    )
