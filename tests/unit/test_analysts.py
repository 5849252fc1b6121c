"""Analysts only read: what they are given needs no write access, and a query reaches nothing but the lake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import query
from streams.commands.publish import rulebook_text
from streams.lake.writer import LakeWriter
from streams.replay import replay

HANDMADE = Path(__file__).resolve().parents[2] / "tests" / "oracles" / "handmade"


def contents(root: Path) -> dict[Path, tuple[int, int]]:
    """Everything in a folder, with its size and when it was changed."""
    found = {path: path.stat() for path in root.rglob("*")}
    return {path: (one.st_size, one.st_mtime_ns) for path, one in found.items() if path.is_file()} | {
        path: (0, 0) for path, one in found.items() if path.is_dir()
    }


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Path]:
    """A lake that nobody may write to."""
    root = tmp_path / "lake"
    replay(HANDMADE / "01_queue_jump", rulebook_text=rulebook_text(None), sink=LakeWriter(root, "replay"))
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield root
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def as_reader(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as someone who may write nothing here; root is kept from what the modes do not allow."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*drop, sys.executable, "-m", "streams.cli", *words], cwd=cwd, capture_output=True, text=True,
        check=False, env={**os.environ, "HOME": "/nonexistent"},
    )  # fmt: skip


def test_the_reader_may_not_write(lake: Path) -> None:
    told = as_reader("replay", str(HANDMADE / "01_queue_jump"), "--lake", str(lake / "new"), cwd=lake)
    assert told.returncode == 1
    assert "Permission denied" in told.stderr


def test_every_question_is_answered_without_write_access(lake: Path) -> None:
    before = contents(lake)
    where = ("--lake", str(lake))
    [alert] = re.findall(r"\b[0-9a-f]{32}\b", as_reader("sql", "--csv", ALERT, *where, cwd=lake).stdout)
    for words, said in (
        (("sql", "select count(*) as n from orders"), "n"),
        (("sql", "--csv", "select * from client_priority_harm"), "harm_left"),
        (("sql", "create temp table t as select 42 as a; select a from t"), "42"),
        (("alerts", "list"), alert[:8]),
        (("alerts", "show", alert), "The queue just before"),
        (("report", "day", "2026-03-02"), "Coverage"),
        (("summary",), "Did it see everything?"),
        (("status",), "Alerts"),
    ):
        told = as_reader(*words, *where, cwd=lake)
        assert told.returncode == 0, (words, told.stdout, told.stderr)
        assert said in told.stdout, (words, told.stdout, told.stderr)
        assert "Traceback" not in told.stderr
    assert contents(lake) == before


ALERT = "select alert_id from alerts where rule = 'client_priority' limit 1"


def test_a_read_only_lake_that_was_moved_is_read(lake: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(lake, moved)  # with its modes
    before = contents(moved)
    told = as_reader("sql", "--csv", ALERT, "--lake", str(moved), cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert len(told.stdout.splitlines()) == 2
    assert contents(moved) == before


OUTSIDE = (
    "select * from read_text('{outside}')",
    "select * from read_csv('{outside}')",
    "from '{outside}'",
    "select * from read_blob('{lake}/../secret.csv')",
    "select * from glob('{folder}/*')",
    "copy (select 1 as a) to '{folder}/written.csv'",
    "copy (select 1 as a) to '{lake}/written.csv'",
    "copy orders to '{lake}/written.parquet'",
    "explain analyze copy (select 1 as a) to '{lake}/written.csv'",
    "EXPLAIN /* no */ ANALYZE COPY (select 1 as a) to '{lake}/written.csv'",
    "prepare p as copy (select 1 as a) to '{lake}/written.csv'; execute p",
    "export database '{lake}/written'",
    "export database '{folder}/written'",
    "attach '{folder}/written.duckdb' as w",
    "attach '{lake}/written.duckdb' as w",
    "from enable_logging(storage = 'file', storage_config = {{'path': '{lake}/written'}})",
    "call enable_logging(storage = 'file', storage_config = {{'path': '{lake}/written'}})",
    "set profiling_output = '{lake}/written.txt'",
    "pragma profiling_output = '{lake}/written.txt'",
    "set temp_directory = '{folder}/written'",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "reset allowed_directories",
    "set lock_configuration = false",
    "create table written as select 1",
    "create view written as select 1",
    "insert into orders select * from orders",
    "drop view alerts",
    "install httpfs",
    "load httpfs",
    "copy from database catalog to written",
    "import database '{folder}'",
    "create persistent secret s (type s3, key_id 'a', secret 'b')",
)


@pytest.fixture
def writable(tmp_path: Path) -> Path:
    """A lake that we could write to, and a file beside it."""
    root = tmp_path / "lake"
    replay(HANDMADE / "01_queue_jump", rulebook_text=rulebook_text(None), sink=LakeWriter(root, "replay"))
    (tmp_path / "secret.csv").write_text("word\nhush\n")
    return root


@pytest.mark.parametrize("sql", OUTSIDE)
def test_a_query_reaches_nothing_but_the_lake(
    sql: str, writable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = writable.parent
    before = contents(folder)
    text = sql.format(lake=writable, folder=folder, outside=folder / "secret.csv")
    assert query.run(writable, text, "csv") == 1
    said = capsys.readouterr()
    assert "Error" in said.err
    assert "hush" not in said.out + said.err
    assert contents(folder) == before


def test_what_an_analyst_does_goes_on(writable: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        create temp table mine as select instrument, count(*) as n from orders group by all;
        create temp macro twice(n) as 2 * n; create temp view seen as select twice(n) as n from mine;
        set variable least = 1; explain select * from alerts; explain analyze select count(*) from trades;
        begin; insert into mine values ('x', 1); rollback; summarize select * from quotes; show tables;
        select * from read_parquet('{lake}/orders/*/*/*.parquet') limit 1;
        select max(ts at time zone 'Asia/Hong_Kong') from orders;
        select count(*) > 0 as found from seen where n > getvariable('least')
    """
    assert query.run(writable, text.replace("{lake}", str(writable)), "csv") == 0
    assert capsys.readouterr().out.endswith("found\nTrue\n")
