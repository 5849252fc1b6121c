"""`fairbook lake check` finds damage of every kind and nothing else; what retention takes is no damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_crash import crashing, visible
from test_lake_compaction import compact, compactor
from test_lake_landing import FEED, land
from typer.testing import CliRunner

from schemas.tables import TABLES
from streams.cli import app
from streams.lake import catalog, check, files, hidden, retention, stamp
from streams.lake.stamp import LakeError

DAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with compacted files and others."""
    root: Path = tmp_path_factory.mktemp("check") / "lake"
    with crashing():
        land(root, FEED[:-4], every=1)
        catalog.publish(root)
        compact(root, many=2)
        land(root, every=1)
    assert any(hidden.number(path) for path in check.paths(root))
    return root


def found(root: Path) -> set[str]:
    return {finding.kind for finding in check.run(root).findings}


def data(root: Path, table: str = "orders", compacted: bool | None = None) -> Path:
    """The largest file of a table."""
    paths = [path for path in root.glob(f"{table}/*/*/*.parquet") if not path.name.startswith("seed-")]
    return max(
        (p for p in paths if compacted in (None, hidden.number(p) > 0)), key=lambda p: p.stat().st_size
    )


def named(path: Path) -> Path:
    """Give a file the name that its bytes should have."""
    return path.rename(path.with_name(f"{path.stem.rpartition('-')[0]}-{files.digest(path)}.parquet"))


def retyped(path: Path) -> None:
    table = pq.ParquetFile(path).read()
    place = table.schema.get_field_index("seq")
    pq.write_table(table.set_column(place, "seq", table["seq"].cast(pa.int32())), path)
    named(path)


def one_row_less(path: Path) -> None:
    table = pq.ParquetFile(path).read()
    pq.write_table(table.slice(1), path)
    named(path)


def twice(root: Path) -> None:
    path = data(root)
    shutil.copy(path, path.with_name(f"copy-{path.name.rpartition('-')[2]}"))


def old_position(root: Path) -> None:
    with crashing():
        land(root / "old", FEED[:2], every=1)
    shutil.copy(root / "old" / "_landed" / "journal-0.json", root / "_landed")
    shutil.rmtree(root / "old")


DAMAGE: dict[str, tuple[set[str], Callable[[Path], object]]] = {
    "a file is gone": ({"rows"}, lambda root: data(root).unlink()),
    "a compacted file is gone": ({"rows"}, lambda root: data(root, "journal_marks", True).unlink()),
    "a file is there twice": ({"rows", "offsets"}, twice),
    "cut off": ({"checksum", "columns"}, lambda root: data(root).write_bytes(data(root).read_bytes()[:-9])),
    "a wrong type": ({"columns"}, lambda root: retyped(data(root))),
    "a row less": ({"offsets"}, lambda root: one_row_less(data(root))),
    "an old position": ({"position"}, old_position),
    "a damaged position": ({"position"}, lambda root: (root / "_landed/journal-0.json").write_bytes(b"{")),
    "no position": ({"position"}, lambda root: (root / "_landed" / "journal-0.json").unlink()),
    "no catalog": ({"catalog"}, lambda root: (root / catalog.NAME).unlink()),
    "a damaged catalog": ({"catalog"}, lambda root: (root / catalog.NAME).write_bytes(b"x" * 9_000)),
    "no stamp": ({"lake"}, lambda root: (root / stamp.NAME).unlink()),
    "a damaged stamp": ({"lake"}, lambda root: (root / stamp.NAME).write_bytes(b"{")),
    "a write that did not end": ({"leftover"}, lambda root: (root / "orders/x.unfinished").touch()),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_planted_damage_is_found(whole: Path, tmp_path: Path, name: str) -> None:
    kinds, harm = DAMAGE[name]
    root = Path(shutil.copytree(whole, tmp_path / "lake"))
    harm(root)
    assert found(root) >= kinds, check.run(root).findings
    assert all(finding.place and finding.what and finding.remedy for finding in check.run(root).findings)


def test_a_whole_lake_is_whole(whole: Path) -> None:
    result = check.run(whole)
    assert result.findings == []
    assert all(count > 0 for kind, count in result.looked.items() if kind != "leftover")
    print(", ".join(f"{kind} {count}" for kind, count in result.looked.items()))


def test_any_byte_of_a_file_that_flips_is_found(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(data(whole), tmp_path))
    content = path.read_bytes()
    missed = 0
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        missed += files.digest(path) == path.stem.rpartition("-")[2]
    print(f"{len(content)} bytes flipped, {missed} missed")
    assert missed == 0 < len(content)
    root = Path(shutil.copytree(whole, tmp_path / "lake"))
    shutil.copy(path, data(root).parent)
    assert "checksum" in found(root)


def test_the_command_says_what_is_wrong(whole: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["lake", "check", "--lake", str(whole)])
    assert said.exit_code == 0 and "is whole" in said.output
    root = Path(shutil.copytree(whole, tmp_path / "lake"))
    data(root).unlink()
    said = CliRunner().invoke(app, ["lake", "check", "--lake", str(root)], env={"COLUMNS": "500"})
    assert said.exit_code == 1 and "are missing" in said.output and "restore the file" in said.output


# ---- retention ----------------------------------------------------------------------------------------


def test_retention_takes_what_is_old_and_check_knows(whole: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(whole, tmp_path / "lake"))
    before = visible(root)
    kept = retention.Retention({"spread_minutes_revisions": 30, "client_priority_days_revisions": 400})
    with crashing():
        worker = compactor(root)
        old = retention.plan(worker, kept, date(2026, 4, 2))
        assert [len(one.paths) > 0 for one in old] == [True, False]
        assert not any(one.paths for one in retention.plan(worker, kept, date(2026, 4, 1)))
        retention.apply(worker, old)
        assert visible(root)["spread_minutes_revisions"] == []
        assert old[0].paths[0].exists()
        assert found(root) == set()  # while the files wait to be deleted
        assert worker.step(0)
        assert not old[0].paths[0].exists()
        land(root, every=1)
    assert found(root) == set()
    after = visible(root)
    for table in TABLES:
        assert after[table] == ([] if table == "spread_minutes_revisions" else before[table])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[days]\norders = 9\n", "orders: what is kept could not be replayed exactly"),
        ("[days]\norder = 9\n", "expected tables out of .* got order"),
        ("[days]\nspread_days_revisions = 0\n", "expected .*days.*: "),
        ("day = 3\n", "unknown field"),
        ("[days", "expected"),
    ],
)
def test_what_retention_refuses(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "retention.toml"
    path.write_text(text)
    with pytest.raises(LakeError, match=expected):
        retention.load(path)


def test_retention_as_a_command(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "retention.toml"
    path.write_text("exact_replay = false\n[days]\norders = 30\n")
    arguments = ["lake", "retain", "--lake", str(whole), "--retention", str(path), "--dry-run"]
    before = visible(whole)
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0 and "orders" in said.output
    assert visible(whole) == before
