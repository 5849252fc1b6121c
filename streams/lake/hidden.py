"""Which files of the lake do not count: inputs of compaction, retired files, outputs not published yet.

Every catalog says it in its views as constants, so that a file that does not count is never opened, and a
reader sees one state of the lake for as long as it has that catalog open.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from schemas import codec
from streams.lake import files
from streams.lake.ranges import ByStem

FOLDER = "_compaction"
PREFIX = "compacted"


class Hidden(msgspec.Struct):
    """Compactions up to `number` count.

    `paths`: files that are replaced or retired, by table, below the table's folder; `retired`: the rows that
    retention took away, by table and stem.
    """

    number: int = 0
    paths: dict[str, list[str]] = {}
    retired: dict[str, ByStem] = {}


def load(root: Path) -> Hidden:
    """Return what is hidden in a lake."""
    path = root / FOLDER / "state.json"
    return codec.decode(path.read_bytes(), type=Hidden) if path.exists() else Hidden()


def save(root: Path, state: Hidden) -> None:
    """Say what is hidden; it holds for readers when the catalog is published."""
    files.write_bytes(root / FOLDER / "state.json", codec.encode(state))


def number(path: Path) -> int:
    """Return which compaction wrote a file; 0: none."""
    return int(path.name.split("-")[1]) if path.name.startswith(f"{PREFIX}-") else 0


def condition(state: Hidden, table: str, top: str) -> str:
    """Return the SQL of what counts; `top`: the expression of the table's folder, with a `/` at the end."""
    said = (
        f"coalesce(try_cast(regexp_extract(filename, '/{PREFIX}-([0-9]+)-[^/]*$', 1) as bigint), 0) "
        f"<= {state.number}"
    )
    if paths := state.paths.get(table):
        names = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        said += f" and filename[length({top}) + 1:] not in ({names})"
    return said
