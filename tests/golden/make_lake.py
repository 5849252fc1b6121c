"""Makes the golden lake: what this version lands of a small recording, compacted in part, with its answers.

.venv/bin/python tests/golden/make_lake.py FOLDER    # a new folder; then keep it as tests/golden/lake-N

A lake that is kept is never made anew: later versions must read it as it is.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import duckdb

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "unit")]

ANSWERS = "answers.jsonl"
PLACE = Path(tempfile.gettempdir()) / "lake"  # stands in its catalog


def answers(connection: duckdb.DuckDBPyConnection, view: str, columns: str = "*") -> list[list[str | None]]:
    """Return a view's rows, in an order of their own, as text."""
    relation = connection.sql(f"select columns({columns})::varchar from {view}")
    return sorted([list(row) for row in relation.fetchall()], key=repr)


def views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of a catalog's views."""
    found = connection.sql("select view_name from duckdb_views() where not internal order by all").fetchall()
    return [name for (name,) in found]


def main(target: Path) -> None:
    """Land, compact, ask, and put lake and answers into `target`."""
    from lake_journal import kept, messages, simulated
    from test_lake_compaction import compact
    from test_lake_landing import land

    from schemas import codec
    from streams.lake import catalog

    with tempfile.TemporaryDirectory() as folder:
        feed = messages(kept(simulated(Path(folder) / "day", 150)), frame=25)
    for most in (len(feed) // 2, len(feed)):
        land(PLACE, [message for message in feed if message.offset() < most], every=20)
        catalog.publish(PLACE)
        if most < len(feed):
            compact(PLACE)
    with catalog.connect(PLACE) as connection:
        lines = []
        for view in views(connection):
            columns = [row[0] for row in connection.sql(f"describe {view}").fetchall()]
            rows = answers(connection, view)
            lines.append(codec.canonical({"view": view, "columns": columns, "rows": rows}) + b"\n")
    shutil.move(PLACE, target)
    (target / ANSWERS).write_bytes(b"".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
