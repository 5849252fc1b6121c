"""The catalog: a DuckDB file of views and macros over the lake's Parquet, published by atomic rename."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from importlib import resources
from pathlib import Path

import duckdb

from schemas.tables import TABLES
from streams.lake import files

NAME = "catalog.duckdb"
ZONE = "Asia/Hong_Kong"

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
    from streams.lake.writer import seed

    root = root.resolve()
    files.make_folder(root)
    identity = seed(root)
    unfinished = root / f"catalog.{os.getpid()}.unfinished"
    unfinished.unlink(missing_ok=True)
    with duckdb.connect(str(unfinished)) as connection:
        _define(connection, root, identity, zone)
    path = root / NAME
    unfinished.replace(path)
    files.sync(root)
    return path


def _define(connection: duckdb.DuckDBPyConnection, root: Path, identity: str, zone: str) -> None:
    quoted = str(root).replace("'", "''")
    place = _PLACE.format(name=NAME, root=quoted)
    for table, columns in TABLES.items():
        json = ", ".join(f"{c.name}::json as {c.name}" for c in columns if c.kind == "json")
        connection.execute(
            f"create view {table} as select f.* exclude (filename) {f'replace ({json})' if json else ''} "
            f"from read_parquet({place} || '{table}/*/*/*.parquet', union_by_name = true, filename = true, "
            "hive_types = {'date': date, 'hour': bigint}) f "
            f"anti join read_parquet({place} || '{table}/hidden-{identity}.parquet') h "
            f"on h.path = f.filename[length({place} || '{table}/') + 1:]"
        )
    scripts = resources.files("streams.lake").joinpath("views").iterdir()
    for script in sorted(scripts, key=lambda path: path.name):
        if script.name.endswith(".sql"):
            connection.execute(script.read_text().replace("{zone}", zone.replace("'", "''")))
    connection.execute(f"create macro lake_root() as '{quoted}'")
    connection.execute(f"create macro lake_zone() as '{zone}'")


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
        return _copy(path, root)  # somebody has it open for writing, as plain `duckdb` does
    place, zone = connection.sql("select lake_root(), lake_zone()").fetchall()[0]
    if place == str(root):
        return connection
    try:  # only a session to which it is attached needs it: see _PLACE
        publish(root, zone)
    except (OSError, duckdb.IOException):
        return connection
    connection.close()
    return _open(path)


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("set TimeZone = 'UTC'")  # what a person reads must not depend on the machine
    return connection


def _copy(path: Path, root: Path) -> duckdb.DuckDBPyConnection:
    """Open a copy of a catalog, as if it lay in the lake."""
    with tempfile.TemporaryDirectory(prefix="fairbook-") as folder:
        copy = Path(folder) / NAME
        shutil.copyfile(path, copy)
        connection = _open(copy)
        connection.execute(f"set temp_directory = '{str(path).replace(chr(39), chr(39) * 2)}.tmp'")
    return connection
