"""`fairbook lake check`: whether a lake is whole. Reads everything, changes nothing.

Each file against the digest in its name, each table's columns against ours, the rows of each topic partition
against its position (`streams.lake.ranges`): a file that is missing leaves a hole, one that is there twice an
overlap. Misses what was altered together with its name, and rows that never reached the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tables import TABLES, schema
from streams.lake import catalog, files, hidden, position, ranges, stamp
from streams.lake.stamp import LakeError

RESTORE = "restore the file from a backup, or move the lake away and land anew"
WHOLE = RESTORE.replace("the file", "the whole lake")
KINDS = ("lake", "catalog", "position", "checksum", "columns", "rows", "offsets", "leftover")


class Finding(NamedTuple):
    """One thing that is wrong: which kind of check found it, where, what, and what to do."""

    kind: str
    place: str
    what: str
    remedy: str


class Result(NamedTuple):
    """What was found; of each kind how many things were looked at."""

    findings: list[Finding]
    looked: dict[str, int]


def run(root: Path, progress: Callable[[int], None] = lambda _count: None) -> Result:
    """Check the lake in `root`; `progress` is told how many files have been read.

    While landing goes on, what is written meanwhile is not looked at. Raises FileNotFoundError if there is no
    such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: expected a lake; the folder does not exist")
    while True:
        before = hidden.load(root)
        result = _Check(root, progress).run()
        if hidden.load(root) == before:  # else files were merged meanwhile
            return result


def paths(root: Path) -> list[Path]:
    """Return all data files."""
    return sorted(path for table in TABLES for path in root.glob(f"{table}/*/*/*.parquet"))


class _Check:
    def __init__(self, root: Path, progress: Callable[[int], None]) -> None:
        self.root = root
        self.progress = progress
        self.findings: list[Finding] = []
        self.looked = dict.fromkeys(KINDS, 0)
        self.covered: dict[tuple[str, str], list[ranges.Range]] = {}  # by table and stem

    def run(self) -> Result:
        # Positions first: what they cover is there, and stays unless it is merged, which is hidden after.
        positions = self._positions()
        before = hidden.load(self.root)
        gone = {self.root / table / name for table, names in before.paths.items() for name in names}
        for count, path in enumerate(paths(self.root), 1):
            self._file(path, before.number, path in gone, positions)
            self.progress(count)
        self._rows(positions, before.retired)
        self._opens()
        for path in sorted(self.root.rglob(f"*{files.UNFINISHED}")):
            self._tell(
                "leftover", path, "a write that was not finished", "a worker removes it when it starts"
            )
        return Result(self.findings, self.looked)

    def _tell(self, kind: str, place: Path | str, what: str, remedy: str) -> None:
        name = str(place.relative_to(self.root)) if isinstance(place, Path) else place
        self.findings.append(Finding(kind, name, what, remedy))

    def _positions(self) -> dict[str, position.Landed]:
        self.looked["lake"] += 1
        try:
            if stamp.load(self.root) is None:
                self._tell("lake", stamp.NAME, "missing", "`fairbook sql` or a worker writes it anew")
        except LakeError as error:
            self._tell("lake", stamp.NAME, str(error), "see there")
        found: dict[str, position.Landed] = {}
        for path in sorted((self.root / position.FOLDER).glob("*.json")):
            self.looked["position"] += 1
            try:
                state = position.load(self.root, path.stem)
            except LakeError:
                self._tell("position", path, "damaged", WHOLE)
                continue
            if state is not None:
                found[path.stem] = state
        return found

    # ---- one file -----------------------------------------------------------------------------------

    def _file(self, path: Path, number: int, gone: bool, positions: Mapping[str, position.Landed]) -> None:
        table = path.relative_to(self.root).parts[0]
        if not path.exists():  # merged meanwhile
            return
        seed = path.name.startswith("seed-")
        self.looked["checksum"] += not seed
        if not seed and path.stem.rpartition("-")[2] != files.digest(path):
            self._tell("checksum", path, "its bytes are not those that were written", RESTORE)
        self.looked["columns"] += 1
        try:
            theirs = pq.read_schema(path).remove_metadata()
            rows = ranges.of(path)
        except (pa.ArrowException, OSError, msgspec.MsgspecError) as error:
            self._tell("columns", path, f"cannot be read: {error}", RESTORE)
            return
        for field in theirs:
            ours = schema(table)
            expected = ours.field(field.name).type if field.name in ours.names else "no such column"
            if field.type != expected:
                self._tell("columns", path, f"{field.name}: expected {expected}, got {field.type}", RESTORE)
        if seed or gone:
            return
        if hidden.number(path) > number:
            self._tell("leftover", path, "of a compaction that was not finished", "a worker removes it")
        elif not self._beyond(path, rows, positions):
            for stem, spans in rows.items():
                self.covered.setdefault((table, stem), []).extend(spans)
            self._offsets(path, rows)

    def _beyond(self, path: Path, rows: ranges.ByStem, positions: Mapping[str, position.Landed]) -> bool:
        """Tell of a file that no position covers: landed meanwhile, left by a crash, or a stale position."""
        table = path.relative_to(self.root).parts[0]
        for stem, spans in rows.items():
            state = positions.get(stem)
            most = max(end for _first, end in spans)
            if state is not None and most > state.rows.get(table, 0):
                now = position.load(self.root, stem)
                if now is not None and most <= now.rows.get(table, 0):
                    return True  # landed meanwhile
            if state is None:
                self._tell("position", path, f"the position of {stem} is missing", RESTORE)
                return True
            if most > state.rows.get(table, 0):
                self._tell(
                    "position",
                    path,
                    f"has rows beyond the position of {stem} ({state.rows.get(table, 0):,} rows)",
                    "left by a crash, a worker removes it when it starts; if it refuses to, the position is "
                    f"older than the lake: {WHOLE}",
                )
                return True
        return False

    def _offsets(self, path: Path, rows: ranges.ByStem) -> None:
        """Compare the number of rows with what the file says, and each row's place in the journal."""
        self.looked["offsets"] += 1
        try:
            found = pq.ParquetFile(path).read(["partition", "offset", "index"])
        except (pa.ArrowException, OSError) as error:
            self._tell("offsets", path, f"cannot be read: {error}", RESTORE)
            return
        expected = sum(end - first for spans in rows.values() for first, end in spans)
        if found.num_rows != expected:
            self._tell("offsets", path, f"expected {expected:,} rows, got {found.num_rows:,}", RESTORE)

    # ---- the whole ----------------------------------------------------------------------------------

    def _rows(self, positions: Mapping[str, position.Landed], retired: Mapping[str, ranges.ByStem]) -> None:
        """Compare the rows of each table that a partition has landed with those that files have."""
        for stem, state in sorted(positions.items()):
            for table, total in sorted(state.rows.items()):
                self.looked["rows"] += 1
                spans = [
                    *((span, False) for span in self.covered.get((table, stem), [])),
                    *((span, True) for span in retired.get(table, {}).get(stem, [])),
                ]
                for what in _holes([span for span, _ in sorted(spans)], total):
                    self._tell("rows", f"{table} of {stem}", what, RESTORE)

    def _opens(self) -> None:
        """Open the catalog as it is, and look for rows that are there twice by their place in the journal."""
        self.looked["catalog"] += 1
        path = self.root / catalog.NAME
        if not path.exists():
            self._tell("catalog", catalog.NAME, "missing", "`fairbook sql` or a worker writes it anew")
            return
        try:
            with duckdb.connect(str(path), read_only=True) as connection:
                for table in ("orders", "trades", "quotes", "refused", "journal_marks"):
                    kind = ", kind, first_seq" if table == "journal_marks" else ""
                    place = f'"partition", "offset", "index"{kind}'
                    twice = connection.sql(
                        f"select count(*) - count(distinct ({place})) from {table}"
                    ).fetchall()[0][0]
                    self.looked["offsets"] += 1
                    if twice:
                        self._tell("offsets", table, f"{twice:,} rows have another one's offset", RESTORE)
        except duckdb.Error as error:
            self._tell("catalog", catalog.NAME, f"cannot be used: {str(error).splitlines()[0]}", "see above; "
                       "if nothing else is wrong, remove it: `fairbook sql` writes it anew")  # fmt: skip


def _holes(spans: list[ranges.Range], total: int) -> Iterator[str]:
    """Say where ascending ranges do not tile 0 to `total`."""
    reached = 0
    for first, end in [*spans, (total, total)]:
        if first > reached:
            yield f"rows {reached:,} to {first - 1:,} of {total:,} are missing: a file was taken away"
        elif first < reached and first < total:
            yield f"rows {first:,} to {min(reached, end) - 1:,} of {total:,} are there twice"
        reached = max(reached, end)
