"""Another process that queries a lake until a file `stop` is there or its parent is gone: prints what it saw.

Usage: python lake_reader.py LAKE [FALLS]. A query opens the catalog anew or, mostly, goes on with the one
before; counts are compared with earlier ones, and may fall FALLS times (retention), else never.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import duckdb

QUERIES = (
    "select count(*), count(distinct (\"partition\", \"offset\", \"index\")) from orders",
    "select count(*), count(distinct (\"partition\", \"offset\", \"index\")) from journal_marks "
    "where kind <> 'gap' and kind <> 'start'",
    "select (select count(*) from orders) + (select count(*) from trades), 0",
    "select coalesce(sum(landed), 0)::bigint, 0 from coverage_days",
)  # fmt: skip


def main(lake: Path, falls: int) -> None:
    """Query until told to stop."""
    path = str(lake / "catalog.duckdb")
    latest = [0] * len(QUERIES)
    fallen = [0] * len(QUERIES)
    queries = failed = 0
    connection = duckdb.connect(path, read_only=True)
    parent = os.getppid()
    while not (lake / "stop").exists() and os.getppid() == parent:
        if queries % 5 == 0:
            connection.close()
            connection = duckdb.connect(path, read_only=True)
        which = queries % len(QUERIES)
        queries += 1
        try:
            count, distinct = connection.execute(QUERIES[which]).fetchall()[0]
            assert distinct in (0, count), f"{count} rows, {distinct} of them different"
            fallen[which] += count < latest[which]
            assert fallen[which] <= falls, f"{count} rows, {latest[which]} before"
            latest[which] = count
        except Exception as error:
            failed += 1
            print(f"{QUERIES[which]}: {error}", flush=True)
    print(queries, failed, *latest, *fallen, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int("".join(sys.argv[2:]) or "0"))
