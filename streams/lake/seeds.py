"""What every lake has from its first moment: an empty file a table, so that no query meets an empty glob.

It has the columns of the version that began the table. A version with more of them adds a seed of its own:
older files are then read with null in what they do not have.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tables import TABLES, schema, to_arrow
from streams.lake import files, stamp
from streams.lake.stamp import LakeError

PLACE = "date=1970-01-01/hour=00"


class Seed(NamedTuple):
    """The path of this version's seed, below its table's folder; whether older files lack some columns."""

    path: str
    mixed: bool


def seed(root: Path, zone: str | None = None) -> dict[str, Seed]:
    """Give each table an empty file with its columns; return them by table.

    Their names have the lake's id. Call it while nobody else does (`files.alone`). Raises LakeError if a
    table has columns that we do not know, or of another type than ours.
    """
    lake = stamp.ensure(root, zone)
    return {table: _seed(root / table, table, lake.id) for table in TABLES}


def _seed(top: Path, table: str, lake: str) -> Seed:
    found = sorted((top / PLACE).glob("seed-*.parquet"))
    ours = schema(table)
    latest: Path | None = None
    for path in found:
        theirs = pq.read_schema(path).remove_metadata()
        if theirs == ours:
            latest = path
        elif unknown := [field for field in theirs if not _known(field, ours)]:
            raise LakeError(
                f"{top}: expected the columns of this version, it has {unknown[0].name} "
                f"{unknown[0].type}: a lake of another version; use that version, or land or replay into a "
                "new folder"
            )
    if latest is None:
        number = f"-{len(found) + 1}" if found else ""
        latest = top / PLACE / f"seed-{lake}{number}.parquet"
        files.write_parquet(latest, to_arrow(table, []))
    return Seed(f"{PLACE}/{latest.name}", len({*found, latest}) > 1)


def _known(field: pa.Field, ours: pa.Schema) -> bool:
    return field.name in ours.names and ours.field(field.name).type == field.type
