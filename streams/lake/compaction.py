"""Many small files into few, while people read and rows land: never a row twice, never one missing.

A view reads a table's files by their names (a glob) and, not at the same instant, which of them do not count
(`hidden`). So both are changed one at a time, with a pause longer than a query takes from one to the other:

1. the outputs, which do not exist yet, are hidden; pause
2. the outputs are written; pause
3. in one step the inputs are hidden and the outputs are not; pause, the longest: queries that have the inputs
   open end
4. the inputs are deleted; pause
5. nothing is hidden.

Whatever a query sees of the names (before or after 2, 4) fits whatever it sees of `hidden` (before or after
3). The plan is a file: after a crash its step is done again. Only rows that a position covers are in files,
so nothing that a restart of landing takes back is ever compacted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas import codec
from schemas.tables import TABLES, schema
from streams.lake import files, hidden

SETTLE = 15.0  # seconds between a query's look at the names and its look at what is hidden, at most
GRACE = 300.0  # seconds that a query may take to open its last file, at most; a longer one fails, loudly
MANY = 48  # small files of one hour and table, of one level
MANY_LATER = 12  # of files that were compacted already
OUTPUTS = 8  # files written in one step: landing waits for it
MAX_BYTES = 32 * 1024 * 1024  # of inputs, compressed: about a million rows
PREFIX = "compacted"
COVERS = b"fairbook.covers"  # in a file's metadata: the stems (topic-partition) it has rows of

Step = Literal["hide", "write", "swap", "delete"]


class Merge(msgspec.Struct, frozen=True):
    """Files of one folder that become one; paths are below the table's folder."""

    table: str
    inputs: list[str]
    output: str


class Plan(msgspec.Struct):
    """The merges under way and the step they are at."""

    merges: list[Merge]
    step: Step = "hide"


class Compactor:
    """Compacts one lake, a step at a time; the only one at work on it. `now`: monotonic seconds."""

    def __init__(self, root: Path, *, settle: float = SETTLE, grace: float = GRACE, many: int = MANY) -> None:
        self.root = root
        self.settle = settle
        self.grace = grace
        self.many = many
        for path in root.glob(f"*/hidden-*{files.UNFINISHED}"):
            path.unlink()
        self.identity = hidden.seed(root)
        self.path = root / "_compaction" / "plan.json"
        self.plan = codec.decode(self.path.read_bytes(), type=Plan) if self.path.exists() else None
        self._due: float | None = None  # None: the plan's step is to be done (again)
        self._look = 0.0  # when to look for files to merge

    def step(self, now: float) -> bool:
        """Do what is due. Returns True if something was done."""
        if self.plan is None:
            if now < self._look:
                return False
            self._look = now + self.settle
            merges = list(self._find())
            if not merges:
                return False
            self._save(Plan(merges))
        assert self.plan is not None
        if self._due is None:
            self._do(self.plan)
            self._due = now + (self.grace if self.plan.step == "swap" else self.settle)
            return True
        if now < self._due:
            return False
        following: dict[Step, Step] = {"hide": "write", "write": "swap", "swap": "delete"}
        if self.plan.step == "delete":
            self._hide(self.plan, "nothing")
            self.path.unlink()
            files.sync(self.path.parent)
            self.plan, self._due = None, None
            return True
        self._save(Plan(self.plan.merges, following[self.plan.step]))
        return self.step(now)

    def _save(self, plan: Plan) -> None:
        files.write_bytes(self.path, codec.encode(plan))
        self.plan, self._due = plan, None

    def _do(self, plan: Plan) -> None:
        """Do a step; doing it twice is doing it once."""
        if plan.step == "hide":
            self._hide(plan, "outputs")
        elif plan.step == "write":
            self._hide(plan, "outputs")
            for merge in plan.merges:
                _merge(self.root / merge.table, merge)
        elif plan.step == "swap":
            self._hide(plan, "inputs")
        else:
            self._hide(plan, "inputs")
            for merge in plan.merges:
                for name in merge.inputs:
                    (self.root / merge.table / name).unlink(missing_ok=True)

    def _hide(self, plan: Plan, what: Literal["outputs", "inputs", "nothing"]) -> None:
        for table in sorted({merge.table for merge in plan.merges}):
            names: list[str] = []
            for merge in plan.merges:
                if merge.table == table and what != "nothing":
                    names += [merge.output] if what == "outputs" else merge.inputs
            hidden.write(self.root, table, self.identity, names)

    def _find(self) -> Iterator[Merge]:
        found = 0
        for table in TABLES:
            for folder in sorted((self.root / table).glob("date=*/hour=*")):
                by_level: dict[int, list[Path]] = {}
                for path in sorted(folder.glob("*.parquet")):
                    if path.name != "seed.parquet":
                        by_level.setdefault(_level(path), []).append(path)
                for level, paths in sorted(by_level.items()):
                    chosen = _small(paths)
                    if len(chosen) >= (MANY_LATER if level else self.many):
                        yield _plan(self.root / table, table, chosen, level)
                        found += 1
                        if found == OUTPUTS:
                            return


def covers(path: Path) -> set[str]:
    """Return the stems (topic-partition) a compacted file has rows of."""
    metadata = pq.read_schema(path).metadata or {}
    return set(metadata.get(COVERS, b"").decode().split())


def is_compacted(path: Path) -> bool:
    """Return True for a file that compaction wrote."""
    return path.name.startswith(f"{PREFIX}-")


def _level(path: Path) -> int:
    return int(path.stem.split("-")[1]) if is_compacted(path) else 0


def _small(paths: list[Path]) -> list[Path]:
    """Return the files to merge: all that together are not too many bytes."""
    chosen: list[Path] = []
    total = 0
    for path in paths:
        size = path.stat().st_size
        if total + size <= MAX_BYTES:
            chosen.append(path)
            total += size
    return chosen


def _plan(top: Path, table: str, paths: list[Path], level: int) -> Merge:
    names = [str(path.relative_to(top)) for path in paths]
    name = hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()
    output = paths[0].parent / f"{PREFIX}-{level + 1}-{name}.parquet"
    return Merge(table, names, str(output.relative_to(top)))


def _merge(top: Path, merge: Merge) -> None:
    """Write the output, in journal order."""
    tables: list[pa.Table] = []
    stems: set[str] = set()
    for name in merge.inputs:
        path = top / name
        stems |= covers(path) if is_compacted(path) else {_stem(path)}
        tables.append(_conformed(pq.ParquetFile(path).read(), schema(merge.table)))
    order = [(column, "ascending") for column in ("partition", "offset", "index")]
    merged = pa.concat_tables(tables).sort_by(order)
    metadata = {**(merged.schema.metadata or {}), COVERS: " ".join(sorted(stems)).encode()}
    files.write_parquet(top / merge.output, merged.replace_schema_metadata(metadata))


def _stem(path: Path) -> str:
    """Return `journal-3` of `journal-3-<first>-<last>.parquet`."""
    return path.stem.rsplit("-", 2)[0]


def _conformed(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return the columns of today's schema; one that an older file lacks is null."""
    return pa.table(
        [
            table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
            for field in wanted
        ],
        schema=wanted,
    )
