"""The catalog: a DuckDB file of views and macros over the lake's Parquet, published by atomic rename."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import duckdb

from schemas.alerts import digest
from schemas.tables import TABLES
from streams.lake import files, hidden
from streams.lake.seeds import LakeError, grown, seed

NAME = "catalog.duckdb"
ZONE = "Asia/Hong_Kong"
COLUMNS = digest(str((table, *columns)) for table, columns in TABLES.items())

# Where the Parquet is. DuckDB resolves a relative path against the reader's folder, not the catalog's, but
# the default of `temp_directory` is the database's path + ".tmp": the folder of the catalog that is open, so
# a lake may be moved. In a session of another database, to which the catalog is attached, it is where the
# catalog was published.
_PLACE = (
    "if(suffix(current_setting('temp_directory'), '{name}.tmp'), "
    "regexp_replace(current_setting('temp_directory'), '{name}.tmp$', ''), '{root}/')"
)


def zone_of(rulebook_text: str) -> str:
    """Return the venue's zone that a rulebook names."""
    zone = tomllib.loads(rulebook_text).get("venue", {}).get("zone", ZONE)
    return str(zone)


def publish(root: Path, zone: str = ZONE) -> Path:
    """Write `catalog.duckdb` into the lake at `root` and return its path.

    It may be moved with the lake and opened from anywhere (see `_PLACE`). Readers that have the old one open
    keep it.
    """
    root = root.resolve()
    files.make_folder(root)
    path = root / NAME
    unfinished = root / f"catalog.{os.getpid()}.unfinished"
    with _alone(root):
        first = seed(root)
        unfinished.unlink(missing_ok=True)
        with duckdb.connect(str(unfinished)) as connection:
            connection.execute("begin")  # each view by itself would wait for the disk
            _define(connection, root, first, zone)
            connection.execute("commit")
        if path.exists() and (root / hidden.FOLDER).is_dir():  # for `in_use`
            os.link(path, root / hidden.FOLDER / f"old-{time.time_ns()}-{os.getpid()}.duckdb")
        unfinished.replace(path)
        files.sync(root)
    return path


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Publish one at a time: the last one must know all that is hidden."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def in_use(root: Path, settle: float) -> bool:
    """Return True if a process may have one of the lake's older catalogs open.

    `settle`: seconds that a process may take from opening a file to locking it. DuckDB locks a database for
    as long as it has it open, also to read.
    """
    used = False
    for path in sorted((root / hidden.FOLDER).glob("old-*.duckdb")):
        replaced = path.stat().st_ctime  # when its other name went
        if time.time() - replaced < settle or _locked(path):
            used = True
        else:
            path.unlink()
    return used


def _locked(path: Path) -> bool:
    with path.open("r+b") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _define(connection: duckdb.DuckDBPyConnection, root: Path, first: str, zone: str) -> None:
    quoted, quoted_zone = str(root).replace("'", "''"), zone.replace("'", "''")
    place = _PLACE.format(name=NAME, root=quoted)
    state = hidden.load(root)
    for table, columns in TABLES.items():
        top = f"{place} || '{table}/'"
        json = ", ".join(f"{c.name}::json as {c.name}" for c in columns if c.kind == "json")
        # The first file gives the columns. It has this lake's id in its name: should `_PLACE` be another
        # lake's (two are attached to one session), there is no such file, and no wrong answer.
        connection.execute(
            f"create view {table} as select * exclude (filename) {f'replace ({json})' if json else ''} "
            f"from read_parquet([{top} || '{first}', {top} || '*/*/*.parquet'], filename = true, "
            f"hive_types = {{'date': date, 'hour': bigint}}{_by_name(root, table)}) "
            f"where {hidden.condition(state, table, top)}"
        )
    scripts = resources.files("streams.lake").joinpath("views").iterdir()
    for script in sorted(scripts, key=lambda path: path.name):
        if script.name.endswith(".sql"):
            connection.execute(script.read_text().replace("{zone}", quoted_zone))
    connection.execute(f"create macro lake_root() as '{quoted}'")
    connection.execute(f"create macro lake_zone() as '{quoted_zone}'")
    connection.execute(f"create macro lake_columns() as '{COLUMNS}'")


def _by_name(root: Path, table: str) -> str:
    """Files of an earlier version lack columns; then, and only then, every file is asked which it has."""
    return ", union_by_name = true" if grown(root, table) else ""


def connect(root: Path) -> duckdb.DuckDBPyConnection:
    """Open the lake's catalog read-only; publish it first if the lake has none.

    Raises FileNotFoundError if there is no such folder.
    """
    root = root.resolve()
    path = root / NAME
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: expected a lake; the folder does not exist")
    if not path.exists():
        publish(root)
    try:
        connection = _open(path)
    except duckdb.IOException as error:
        if "lock" not in str(error):
            raise
        publish(root, _zone_of_copy(path))  # somebody has it open to write, as plain `duckdb` does
        return _open(path)
    place, zone = _said(connection)
    if place == str(root) and _columns(connection) == COLUMNS:
        return connection
    try:  # it has moved (only a session to which it is attached would miss it: see _PLACE), or is older
        publish(root, zone)
    except (OSError, duckdb.IOException, LakeError):  # a lake that we may only read
        return connection
    connection.close()
    return _open(path)


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path), read_only=True)
    if connection.sql("select current_setting('TimeZone')").fetchall() != [("UTC",)]:  # it may be locked
        connection.execute("set global TimeZone = 'UTC'")  # what people read must not depend on the machine
    return connection


def _said(connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    place, zone = connection.sql("select lake_root(), lake_zone()").fetchall()[0]
    return str(place), str(zone)


def _columns(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return which columns the catalog was made for; None where an earlier version made it."""
    try:
        return str(connection.sql("select lake_columns()").fetchall()[0][0])
    except duckdb.CatalogException:
        return None


def _zone_of_copy(path: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="fairbook-") as folder:
        copy = shutil.copyfile(path, Path(folder) / "copy.duckdb")
        with duckdb.connect(str(copy), read_only=True) as connection:
            return _said(connection)[1]
