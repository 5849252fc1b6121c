"""Many small files into few, while people read and rows land: never a row twice, never one missing.

1. The outputs are written. No catalog has them: they are of a compaction with a greater number than its own.
2. A catalog is published that has them, and has their inputs no more. A reader that has an older catalog open
   goes on with the inputs; one that opens the lake now gets the outputs. Both see each row once.
3. When nobody has an older catalog open, the inputs are deleted. DuckDB locks the catalog's file while it is
   open, so that can be asked (`catalog.in_use`); no time is guessed at.

After a crash, outputs that were not published are removed. Only files that a position covers are merged, so
nothing that a restart of landing takes back is ever compacted. Retention goes the same way, without outputs.
Limits: locks are seen among processes of one
machine (of a network folder: where its locks work); and a reader that keeps an old catalog open keeps the
inputs on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import structs

from schemas.tables import TABLES, schema
from streams.lake import catalog, files, hidden, position, ranges

LOOK = 15.0  # seconds between looks for files to merge
SETTLE = 10.0  # seconds from opening a catalog's file to locking it, at most
MANY = 48  # small files of one hour and table, of one level
MANY_LATER = 12  # of files that were compacted already
FEWEST = 4  # files merged into one: larger ones are large enough
OUTPUTS = 8  # files written in one step
MAX_HIDDEN = 5_000  # then compaction waits for readers
MAX_BYTES = 8 * 1024 * 1024  # of a step's inputs, compressed, about 200,000 rows: landing waits for it
DATA = re.compile(r"(?P<stem>.+-\d+)-(?P<first>\d{20})-(?P<last>\d{20})-[0-9a-f]+")  # what landing wrote


class Merge(msgspec.Struct, frozen=True):
    """Files of one folder that become one of the next level; paths are below the table's folder."""

    table: str
    inputs: list[str]
    level: int


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
        # A catalog that hides what is gone does no harm.
        self._save(structs.replace(self.state, paths={}))

    def _merge(self, merges: list[Merge]) -> None:
        paths = {table: list(names) for table, names in self.state.paths.items()}
        for merge in merges:
            _write(self.root / merge.table, merge, self.state.number + 1)
            paths.setdefault(merge.table, []).extend(merge.inputs)
        self._save(structs.replace(self.state, number=self.state.number + 1, paths=paths))
        self.publish()

    def retire(self, chosen: Mapping[str, list[Path]]) -> None:
        """Take files out of the tables, for good: they are deleted when nobody reads them any more."""
        paths = {table: list(names) for table, names in self.state.paths.items()}
        retired = dict(self.state.retired)
        for table, gone in chosen.items():
            paths.setdefault(table, []).extend(str(path.relative_to(self.root / table)) for path in gone)
            retired[table] = ranges.merged([retired.get(table, {}), *map(ranges.of, gone)])
        self._save(structs.replace(self.state, paths=paths, retired=retired))
        self.publish()

    def settled(self, table: str, landed: Mapping[tuple[str, int], int]) -> Iterator[Path]:
        """Return a table's data files that count and that a position covers (`position.landed`)."""
        covered = {f"{topic}-{number}": end for (topic, number), end in landed.items()}
        top = self.root / table
        gone = {top / name for name in self.state.paths.get(table, ())}
        for path in sorted(top.glob("date=*/hour=*/*.parquet")):
            if path in gone or path.name.startswith("seed-"):
                continue
            data = DATA.fullmatch(path.stem)
            if data is None or int(data["last"]) < covered.get(data["stem"], 0):
                yield path

    def _save(self, state: hidden.Hidden) -> None:
        hidden.save(self.root, state)
        self.state = state

    def _find(self) -> Iterator[Merge]:
        found, room, landed = 0, MAX_BYTES, position.landed(self.root)
        for table in TABLES:
            by_level: dict[tuple[Path, int], list[Path]] = {}
            for path in self.settled(table, landed):
                by_level.setdefault((path.parent, _level(path)), []).append(path)
            for (_folder, level), paths in sorted(by_level.items()):
                many = MANY_LATER if level else self.many
                chosen, size = _small(paths, room) if len(paths) >= many else ([], 0)
                if len(chosen) >= min(many, FEWEST):
                    names = [str(path.relative_to(self.root / table)) for path in chosen]
                    yield Merge(table, names, level + 1)
                    found, room = found + 1, room - size
                    if found == OUTPUTS:
                        return


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


def _write(top: Path, merge: Merge, number: int) -> None:
    """Write the output, in journal order."""
    paths = [top / name for name in merge.inputs]
    # Our columns first: an older version's file has null in what it does not have.
    tables = [schema(merge.table).empty_table(), *(pq.ParquetFile(path).read() for path in paths)]
    order = [(column, "ascending") for column in ("partition", "offset", "index")]
    rows = pa.concat_tables(tables, promote_options="default").sort_by(order)
    data = ranges.marked(rows, ranges.merged(map(ranges.of, paths)))
    files.write_data(paths[0].parent, f"{hidden.PREFIX}-{number}-{merge.level}", data)
