"""What every lake has from its first moment: an empty file a table, so that no query meets an empty glob."""

from __future__ import annotations

import secrets
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tables import ADDED, TABLES, schema, to_arrow
from streams.lake import files

PLACE = "date=1970-01-01/hour=00"
GROWN = "grown"


class LakeError(RuntimeError):
    """A lake that cannot be used: what was expected, and what to do."""


def seed(root: Path) -> str:
    """Give each table an empty file with its columns; the file's name has the lake's id.

    A table of an earlier version gets a second one, with the columns added since. Returns the first one's
    path below a table's folder. Raises LakeError if the lake has other columns than ours.
    """
    found = sorted(path.name for path in root.glob(f"*/{PLACE}/seed-????????.parquet"))
    name = found[0] if found else f"seed-{secrets.token_hex(4)}.parquet"
    for table in TABLES:
        path = root / table / PLACE / name
        if not path.exists():
            files.write_parquet(path, to_arrow(table, []))
            continue
        columns = pq.read_schema(path).remove_metadata()
        if columns == schema(table):
            continue
        if columns == _without(schema(table), ADDED.get(table, ())):
            if not grown(root, table):
                files.write_parquet(path.with_name(f"{path.stem}-{GROWN}.parquet"), to_arrow(table, []))
        else:
            raise LakeError(
                f"{path.parents[2]}: expected the columns of this version, it has others: a lake of another "
                "version; land or replay into a new folder"
            )
    return f"{PLACE}/{name}"


def grown(root: Path, table: str) -> bool:
    """Return True if a table has files of an earlier version, with fewer columns."""
    return any((root / table / PLACE).glob(f"seed-*-{GROWN}.parquet"))


def _without(columns: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([column for column in columns if column.name not in names])
