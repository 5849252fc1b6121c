"""Lakes of other versions: older ones are read and gone on with, newer ones are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from lake_crash import crashing
from lake_journal import HANDMADE, kept
from test_lake_compaction import compact, many_files
from test_lake_landing import FEED, land

from schemas import tables
from schemas.tables import Column
from streams.lake import catalog, check, stamp
from streams.lake.stamp import LakeError
from streams.lake.writer import LakeWriter


def with_column(patch: pytest.MonkeyPatch, kind: str = "quantity") -> None:
    added = Column("new_column", kind)  # type: ignore[arg-type]
    patch.setitem(tables.TABLES, "orders", (*tables.TABLES["orders"], added))


def test_columns_of_a_newer_version_are_null_in_older_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crashing():
        land(tmp_path, FEED[:3], every=1)
        catalog.publish(tmp_path)
    with catalog.connect(tmp_path) as connection:
        before = connection.sql("select * from orders order by all").fetchall()
    with_column(monkeypatch)
    with catalog.connect(tmp_path) as connection:  # publishes: its views are those of an older version
        after = connection.sql("select * exclude (new_column) from orders order by all").fetchall()
        columns = connection.sql("describe orders").fetchall()
        assert connection.sql("select count(new_column) from orders").fetchall() == [(0,)]
    assert after == before != []
    assert ("new_column", "DECIMAL(18,8)") in {row[:2] for row in columns}
    with crashing():
        assert compact(tmp_path, many=1) > 0
    with catalog.connect(tmp_path) as connection:
        assert connection.sql("select * exclude (new_column) from orders order by all").fetchall() == before
    print(f"{len(before)} rows read before, after, and compacted by the newer version")


def test_a_lake_of_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = many_files(tmp_path)
    with monkeypatch.context() as patch:
        with_column(patch)
        catalog.publish(root)
    with pytest.raises(LakeError, match=r"orders: expected the columns of this version, it has new_column"):
        catalog.publish(root)
    path = root / stamp.NAME
    path.write_text(path.read_text().replace('"form":1', '"form":2'))
    for use in (catalog.connect, catalog.publish):
        with pytest.raises(LakeError, match="the lake has form 2, this version of Fairbook knows 1"):
            use(root)


def test_a_column_of_another_type_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = many_files(tmp_path)
    with monkeypatch.context() as patch:
        with_column(patch)
        catalog.publish(root)
    with_column(monkeypatch, "notional")
    with pytest.raises(LakeError, match=r"it has new_column decimal128\(18, 8\)"):
        catalog.publish(root)


@pytest.mark.parametrize("content", [b"", b"{", b'{"form": "x"}'])
def test_a_damaged_stamp_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    root = many_files(tmp_path)
    (root / stamp.NAME).write_bytes(content)
    with pytest.raises(LakeError, match=r"expected a lake's form and id, it is damaged .* restore it"):
        catalog.connect(root)
    (root / stamp.NAME).unlink()
    before = {path.name for path in root.glob("*/date=1970-01-01/*/*")}
    catalog.publish(root)
    assert {path.name for path in root.glob("*/date=1970-01-01/*/*")} == before


def test_a_lake_from_before_the_stamp_is_refused(tmp_path: Path) -> None:
    root = many_files(tmp_path)
    (root / stamp.NAME).unlink()
    (root / "_landed" / "journal-0.json").write_bytes(b'{"next":1}')
    with pytest.raises(LakeError, match="it is from before them: read it with the version"):
        catalog.publish(root)


def test_a_replayed_lake_can_be_checked(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, "replay")
    for position, entry in kept(HANDMADE / "14_bad_input").entries:
        writer.entry(position, entry)
    writer.close()
    assert check.run(tmp_path).findings == []
    next(path for path in tmp_path.glob("orders/date=2026*/*/*")).unlink()
    assert {finding.kind for finding in check.run(tmp_path).findings} == {"rows"}
