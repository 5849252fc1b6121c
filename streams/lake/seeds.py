"""What every lake has from its first moment: an empty file a table, so that no query meets an empty glob."""

from __future__ import annotations

import secrets
from pathlib import Path

import pyarrow.parquet as pq

from schemas.tables import TABLES, schema, to_arrow
from streams.lake import files

PLACE = "date=1970-01-01/hour=00"


class LakeError(RuntimeError):
    """A lake that cannot be used: what was expected, and what to do."""


def seed(root: Path) -> str:
    """Give each table an empty file with its columns; the file's name has the lake's id.

    Returns its path below a table's folder. Raises LakeError if the lake has other columns than ours.
    """
    found = sorted(path.name for path in root.glob(f"*/{PLACE}/seed-*.parquet"))
    name = found[0] if found else f"seed-{secrets.token_hex(4)}.parquet"
    for table in TABLES:
        path = root / table / PLACE / name
        if not path.exists():
            files.write_parquet(path, to_arrow(table, []))
        elif pq.read_schema(path).remove_metadata() != schema(table):
            raise LakeError(
                f"{path.parents[2]}: expected the columns of this version, it has others: a lake of another "
                "version; land or replay into a new folder"
            )
    return f"{PLACE}/{name}"
