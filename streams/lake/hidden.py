"""Which files of the lake do not count: one small Parquet file a table, which each view reads.

Compaction cannot change several names in one step, so it changes this file in one step instead. Its name has
the lake's own id in it: a catalog that would read another lake's files finds none of that name, loudly.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from schemas.tables import TABLES
from streams.lake import files

SCHEMA = pa.schema([("path", pa.string())])


def lake_id(root: Path) -> str:
    """Return the lake's id; of a lake that has none yet, a new one."""
    names = sorted(path.stem.removeprefix("hidden-") for path in root.glob("*/hidden-*.parquet"))
    return names[0] if names else secrets.token_hex(4)


def path_of(root: Path, table: str, identity: str) -> Path:
    """Return where a table's file is."""
    return root / table / f"hidden-{identity}.parquet"


def write(root: Path, table: str, identity: str, paths: Iterable[str]) -> None:
    """Hide exactly these files of a table (paths below the table's folder)."""
    hidden = pa.table({"path": sorted(paths)}, schema=SCHEMA)
    files.write_parquet(path_of(root, table, identity), hidden)


def seed(root: Path) -> str:
    """Give each table such a file that hides nothing, unless it has one. Returns the lake's id."""
    identity = lake_id(root)
    for table in TABLES:
        if not path_of(root, table, identity).exists():
            write(root, table, identity, ())
    return identity
