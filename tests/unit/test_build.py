"""Which Fairbook decided: in the command, in every alert's envelope, in the lake, and not in the content."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from detectors.runner import Output
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import Entry, Position
from schemas.tables import TABLES
from streams import build
from streams.commands.publish import rulebook_text
from streams.detect_worker import envelope, output_id
from streams.lake import catalog, compaction
from streams.lake.seeds import seed
from streams.lake.writer import LakeWriter
from streams.replay import replay

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "tests" / "oracles" / "handmade" / "12_self_trades"
BUILD = re.compile(r"[0-9a-f]{40}(-dirty)?")
ADDED = {"alert_revisions": ("fairbook_version", "fairbook_build")}  # since the first version


class Outputs:
    """A replay's sink that keeps what was decided."""

    def __init__(self) -> None:
        self.decided: list[Output] = []

    def entry(self, position: Position, entry: Entry) -> None:
        pass

    def output(self, position: Position, output: Output) -> None:
        self.decided.append(output)

    def close(self) -> None:
        pass


def landed(root: Path, name: str) -> None:
    writer = LakeWriter(root, "replay", name)
    replay(RECORDING, rulebook_text=rulebook_text(None), sink=writer, strict=True)


def test_the_command_says_version_and_build() -> None:
    command = [sys.executable, "-m", "streams.cli", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"fairbook {build.version()} ({build.build()})\n"
    # A folder that is neither a checkout nor installed from a wheel has none, and says so.
    assert BUILD.fullmatch(build.build()) or not (ROOT / ".git").exists()
    print(said)


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    return subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_checkout_is_asked_and_no_other(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "file").write_text("one")
    assert build.of_checkout(tmp_path) == build.UNKNOWN
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "tag", "v9.9")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert build.of_checkout(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert build.of_checkout(tmp_path) == f"{commit}-dirty"
    assert build.of_checkout(inside) == build.UNKNOWN  # as a package that lies in somebody's checkout


def test_without_git_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.of_checkout(tmp_path) == build.UNKNOWN


def test_every_alert_has_both_in_its_envelope_and_not_in_its_content() -> None:
    sink = Outputs()
    replay(RECORDING, rulebook_text=rulebook_text(None), sink=sink, strict=True)
    alerts = [output for output in sink.decided if isinstance(output, Alert)]
    for alert in alerts:
        owed = envelope(alert, output_id(alert), Position(0, 0, 0), "run")
        assert owed.headers["ce_fairbookversion"].decode() == build.version()
        assert owed.headers["ce_fairbookbuild"].decode() == build.build()
        assert owed.value == codec.encode_alert(alert)
        assert b"fairbook" not in owed.value
    print(f"compared {len(alerts)} alerts")
    assert alerts


def test_the_lake_has_both_beside_the_run(tmp_path: Path) -> None:
    landed(tmp_path, "a")
    with catalog.connect(tmp_path) as connection:
        for view in ("alerts", "alert_revisions"):
            query = f"select distinct run, fairbook_version, fairbook_build from {view}"
            assert connection.sql(query).fetchall() == [("replay", build.version(), build.build())]


def test_a_lake_of_an_earlier_version_reads_as_null_and_goes_on(tmp_path: Path) -> None:
    landed(tmp_path, "old")
    (tmp_path / catalog.NAME).unlink()
    for table, names in ADDED.items():
        for path in (tmp_path / table).glob("*/*/*.parquet"):
            whole = pq.ParquetFile(path).read()
            pq.write_table(whole.drop_columns(list(names)), path)
    first = seed(tmp_path)
    assert seed(tmp_path) == first  # a second start changes nothing
    query = "select fairbook_version, count(*) from alert_revisions group by all order by all nulls first"
    with catalog.connect(tmp_path) as connection:
        [(version, before)] = connection.sql(query).fetchall()
    assert version is None and before > 0
    landed(tmp_path, "new")
    with catalog.connect(tmp_path) as connection:
        assert connection.sql(query).fetchall() == [(None, before), (build.version(), before)]
    compactor = compaction.Compactor(tmp_path, lambda: catalog.publish(tmp_path), settle=0.0, many=2)
    while compactor.step(1e9):
        pass
    merged = list((tmp_path / "alert_revisions").glob("*/*/compacted-*.parquet"))
    assert merged
    with catalog.connect(tmp_path) as connection:
        assert connection.sql(query).fetchall() == [(None, before), (build.version(), before)]
        for table, names in ADDED.items():
            assert set(names) <= {column.name for column in TABLES[table]}
    print(f"compared {2 * before} revisions of two versions, before and after compaction")


def test_a_catalog_of_an_earlier_version_is_made_anew(tmp_path: Path) -> None:
    landed(tmp_path, "old")
    with catalog.duckdb.connect(str(tmp_path / catalog.NAME)) as connection:
        connection.execute("drop macro lake_edition; drop view alerts; create view alerts as select 1 as old")
    with catalog.connect(tmp_path) as connection:
        assert "fairbook_build" in connection.sql("select * from alerts").columns
