"""Many small files into few, while people read and rows land: never a row twice, never one missing.

1. The outputs are written. No catalog has them: they are of a compaction with a greater number than its own.
2. A catalog is published that has them, and has their inputs no more. A reader that has an older catalog open
   goes on with the inputs; one that opens the lake now gets the outputs. Both see each row once.
3. When nobody has an older catalog open, the inputs are deleted. DuckDB locks the catalog's file while it is
   open, so that can be asked (`catalog.in_use`); no time is guessed at.

After a crash, outputs that were not published are removed. Only rows that a position covers are in files, so
nothing that a restart of landing takes back is ever compacted. Limits: locks are seen among processes of one
machine (of a network folder: where its locks work); and a reader that keeps an old catalog open keeps the
inputs on the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tables import TABLES, schema
from streams.lake import catalog, files, hidden

LOOK = 15.0  # seconds between looks for files to merge
SETTLE = 10.0  # seconds from opening a catalog's file to locking it, at most
MANY = 48  # small files of one hour and table, of one level
MANY_LATER = 12  # of files that were compacted already
FEWEST = 4  # files merged into one: larger ones are large enough
OUTPUTS = 8  # files written in one step
MAX_HIDDEN = 5_000  # then compaction waits for readers
MAX_BYTES = 8 * 1024 * 1024  # of a step's inputs, compressed, about 200,000 rows: landing waits for it
COVERS = b"fairbook.covers"  # in a file's metadata: the stems (topic-partition) it has rows of


class Merge(msgspec.Struct, frozen=True):
    """Files of one folder that become one; paths are below the table's folder."""

    table: str
    inputs: list[str]
    output: str


class Compactor:
    """Compacts one lake; the only one at work on it. `publish` makes the lake's catalog anew."""

    def __init__(
        self, root: Path, publish: Callable[[], object], *, settle: float = SETTLE, many: int = MANY
    ) -> None:
        self.root = root
        self.publish = publish
        self.settle = settle
        self.many = many
        self._look = 0.0
        files.make_folder(root / hidden.FOLDER)
        self.state = hidden.load(root)
        for path in root.glob(f"*/*/*/{hidden.PREFIX}-*"):
            if hidden.number(path) > self.state.number:
                path.unlink()
        publish()

    def step(self, now: float) -> bool:
        """Delete what nobody reads, or merge; `now`: monotonic seconds. Returns True if it did."""
        if self.state.paths and not catalog.in_use(self.root, self.settle):
            self._delete()
            return True
        if now < self._look or sum(map(len, self.state.paths.values())) > MAX_HIDDEN:
            return False
        self._look = now + LOOK
        merges = list(self._find())
        if merges:
            self._look = now
            self._merge(merges)
        return bool(merges)

    def _delete(self) -> None:
        for table, names in self.state.paths.items():
            for name in names:
                (self.root / table / name).unlink(missing_ok=True)
        self._save(hidden.Hidden(self.state.number))  # a catalog that hides what is gone does no harm

    def _merge(self, merges: list[Merge]) -> None:
        paths = {table: list(names) for table, names in self.state.paths.items()}
        for merge in merges:
            _write(self.root / merge.table, merge)
            paths.setdefault(merge.table, []).extend(merge.inputs)
        self._save(hidden.Hidden(self.state.number + 1, paths))
        self.publish()

    def _save(self, state: hidden.Hidden) -> None:
        hidden.save(self.root, state)
        self.state = state

    def _find(self) -> Iterator[Merge]:
        found, room = 0, MAX_BYTES
        for table in TABLES:
            top = self.root / table
            gone = {top / name for name in self.state.paths.get(table, ())}
            for folder in sorted(top.glob("date=*/hour=*")):
                by_level: dict[int, list[Path]] = {}
                for path in sorted(folder.glob("*.parquet")):
                    if path not in gone and not path.name.startswith("seed-"):
                        by_level.setdefault(_level(path), []).append(path)
                for level, paths in sorted(by_level.items()):
                    many = MANY_LATER if level else self.many
                    chosen, size = _small(paths, room) if len(paths) >= many else ([], 0)
                    if len(chosen) >= min(many, FEWEST):
                        yield _planned(table, top, chosen, self.state.number + 1, level + 1)
                        found, room = found + 1, room - size
                        if found == OUTPUTS:
                            return


def covers(path: Path) -> set[str]:
    """Return the stems (topic-partition) a compacted file has rows of."""
    metadata = pq.read_schema(path).metadata or {}
    return set(metadata.get(COVERS, b"").decode().split())


def _level(path: Path) -> int:
    return int(path.name.split("-")[2]) if hidden.number(path) else 0


def _small(paths: list[Path], room: int) -> tuple[list[Path], int]:
    """Return files that together have at most `room` bytes, and how many they have."""
    chosen: list[Path] = []
    total = 0
    for path in paths:
        size = path.stat().st_size
        if total + size <= room:
            chosen.append(path)
            total += size
    return chosen, total


def _planned(table: str, top: Path, paths: list[Path], number: int, level: int) -> Merge:
    names = [str(path.relative_to(top)) for path in paths]
    digest = hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()
    output = paths[0].parent / f"{hidden.PREFIX}-{number}-{level}-{digest}.parquet"
    return Merge(table, names, str(output.relative_to(top)))


def _write(top: Path, merge: Merge) -> None:
    """Write the output, in journal order."""
    tables: list[pa.Table] = [schema(merge.table).empty_table()]  # older files lack columns added since
    stems: set[str] = set()
    for name in merge.inputs:
        path = top / name
        # `journal-3` of `journal-3-<first>-<last>`
        stems |= covers(path) if hidden.number(path) else {path.stem.rsplit("-", 2)[0]}
        tables.append(pq.ParquetFile(path).read())
    order = [(column, "ascending") for column in ("partition", "offset", "index")]
    merged = pa.concat_tables(tables, promote_options="default").cast(schema(merge.table)).sort_by(order)
    metadata = {**(merged.schema.metadata or {}), COVERS: " ".join(sorted(stems)).encode()}
    files.write_parquet(top / merge.output, merged.replace_schema_metadata(metadata))
