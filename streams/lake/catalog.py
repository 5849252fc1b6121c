"""The catalog: a DuckDB file of views and macros over the lake's Parquet, published by atomic rename."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path

import duckdb

from schemas.tables import TABLES

NAME = "catalog.duckdb"
ZONE = "Asia/Hong_Kong"


def zone_of(rulebook_text: str) -> str:
    """Return the venue's zone that a rulebook names."""
    zone = tomllib.loads(rulebook_text).get("venue", {}).get("zone", ZONE)
    return str(zone)


def publish(root: Path, zone: str = ZONE) -> Path:
    """Write `catalog.duckdb` into the lake at `root` and return its path.

    Its views name the lake's place as it is now: DuckDB resolves relative paths against the reader's folder,
    so `fairbook sql` publishes again when the lake has moved.
    """
    from streams.lake.writer import seed

    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    seed(root)
    unfinished = root / f"catalog.{os.getpid()}.unfinished"
    unfinished.unlink(missing_ok=True)
    quoted = str(root).replace("'", "''")
    with duckdb.connect(str(unfinished)) as connection:
        for table in TABLES:
            connection.execute(
                f"create view {table} as select * exclude (date, hour), date, hour from read_parquet("
                f"'{quoted}/{table}/*/*/*.parquet', hive_partitioning = true, union_by_name = true)"
            )
        for script in sorted(
            resources.files("streams.lake").joinpath("views").iterdir(), key=lambda p: p.name
        ):
            if script.name.endswith(".sql"):
                connection.execute(script.read_text().replace("{zone}", zone.replace("'", "''")))
        connection.execute(f"create macro lake_root() as '{quoted}'")
        connection.execute(f"create macro lake_zone() as '{zone}'")
    path = root / NAME
    unfinished.replace(path)
    return path


def connect(root: Path) -> duckdb.DuckDBPyConnection:
    """Open the lake's catalog read-only; publish it first if the lake has moved or has none."""
    root = root.resolve()
    path = root / NAME
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: expected a lake; the folder does not exist")
    zone = ZONE
    if path.exists():
        connection = _open(path)
        place, zone = connection.sql("select lake_root(), lake_zone()").fetchall()[0]
        if place == str(root):
            return connection
        connection.close()
    publish(root, zone)
    return _open(path)


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("set TimeZone = 'UTC'")  # what a person reads must not depend on the machine
    return connection
