"""A landed day through the rules once more: the same answers to the byte, or those of another rulebook.

Everything an answer depends on is in the journal, and all of the journal lands (`streams.lake.landed`). Live,
rules see what was recorded at the time (pass 1, `knowledge` 0): that is what is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from detectors.runner import Output, Runner
from schemas.alerts import Alert
from schemas.journal import Entry, Position, RulebookEntry
from schemas.tables import TABLES
from streams.lake import catalog, landed
from streams.lake.writer import LakeWriter

DECIDED = tuple(table for table in TABLES if table.endswith("_revisions"))
OWN = {"run", "date", "hour"}  # of who decided, and of the files: not of the answer
Change = Literal["gained", "lost", "changed"]
Progress = Callable[[int], None]


class TableCheck(NamedTuple):
    """A table of answers, landed and replayed: rows that both have, and rows that only one of them has.

    `ahead`: replayed rows that were decided after the last one landed: a lake that is still being written
    does not have them yet.
    """

    table: str
    same: int
    only_landed: int
    only_replayed: int
    ahead: int


class Difference(NamedTuple):
    """A breach that two rulebooks see differently; `fields`: what differs, where both see it."""

    change: Change
    before: Alert | None
    after: Alert | None
    fields: tuple[str, ...] = ()

    @property
    def alert(self) -> Alert:
        """The alert as it is under the other rulebook, or was where it is lost."""
        found = self.after or self.before
        assert found is not None
        return found


def is_lake(path: Path) -> bool:
    """Return True if a folder is a lake and no recording."""
    return (path / catalog.NAME).exists()


def outputs(
    lake: Path, rulebook_text: str | None = None, progress: Progress | None = None
) -> Iterator[tuple[Position, Output]]:
    """Return what the rules decide on a landed journal, partition by partition, each at its place.

    `rulebook_text`: in force in place of every rulebook that the journal holds.
    """
    count = 0
    for partition in landed.partitions(lake):
        runner = Runner()
        for position, entry in _under(rulebook_text, landed.entries(lake, partition)):
            for output in runner.apply(entry):
                yield position, output
            count += 1
            if progress is not None and count % 1_000 == 0:
                progress(count)


def _under(
    rulebook_text: str | None, entries: Iterable[tuple[Position, Entry]]
) -> Iterator[tuple[Position, Entry]]:
    if rulebook_text is None:
        yield from entries
        return
    other = RulebookEntry(digest=Rulebook.parse(rulebook_text, PARAMETERS).digest, text=rulebook_text)
    for position, entry in entries:
        yield position, other if isinstance(entry, RulebookEntry) else entry


def check(lake: Path, scratch: Path, progress: Progress | None = None) -> list[TableCheck]:
    """Replay a landed day into the lake at `scratch` and compare each table of answers, row by row."""
    writer = LakeWriter(scratch, "check")
    for position, output in outputs(lake, None, progress):
        writer.output(position, output)
    writer.close()
    tables = {table: (_rows(lake, table), _rows(scratch, table)) for table in DECIDED}
    places = [theirs.select(["partition", "offset", "index"]) for theirs, _ours in tables.values()]
    with duckdb.connect() as connection:
        connection.register("places", pa.concat_tables(places))
        connection.execute("""
            create table last as
            select "partition", max(("offset", "index")) as place from places group by all
        """).fetchall()
        return [_compared(connection, table, *rows) for table, rows in tables.items()]


def _compared(
    connection: duckdb.DuckDBPyConnection, table: str, theirs: pa.Table, ours: pa.Table
) -> TableCheck:
    connection.register("landed", theirs)
    connection.register("replayed", ours)
    found = connection.execute("""
        with missing as (from replayed except all from landed), late as (
          select ("offset", "index") > place as ahead from missing left join last using ("partition")
        )
        select (select count(*) from (from landed except all from replayed)),
          (select count(*) from late where not coalesce(ahead, true)),
          (select count(*) from late where coalesce(ahead, true))
    """).fetchall()
    only_landed, only_replayed, ahead = found[0]
    return TableCheck(table, theirs.num_rows - only_landed, only_landed, only_replayed, ahead)


def _rows(lake: Path, table: str) -> pa.Table:
    """Return a table's rows of pass 1, without who decided them."""
    with catalog.connect(lake) as connection:
        relation = connection.sql(f"select * from {table} where knowledge = 0")
        names = ", ".join(f'"{name}"' for name in relation.columns if name not in OWN)
        return relation.project(names).to_arrow_table()


def latest(alerts: Iterable[Output]) -> dict[str, Alert]:
    """Return alerts as they stand at the end, by breach."""
    found: dict[str, Alert] = {}
    for alert in alerts:
        if isinstance(alert, Alert):
            before = found.get(alert.breach_id)
            if before is None or (alert.knowledge, alert.revision) >= (before.knowledge, before.revision):
                found[alert.breach_id] = alert
    return found


# An alert's identity under its parameters, and when it came to stand as it does: no part of what it says.
_ITS_OWN = {"alert_id", "parameter_hash", "version", "knowledge", "revision", "decided_ts"}


def differences(before: Mapping[str, Alert], after: Mapping[str, Alert]) -> list[Difference]:
    """Return the breaches that only one has, or that they see differently, in the order of event time."""
    found = []
    for breach in before.keys() | after.keys():
        was, now = before.get(breach), after.get(breach)
        if was is None or now is None:
            found.append(Difference("gained" if was is None else "lost", was, now))
        elif fields := tuple(name for name in _fields() if getattr(was, name) != getattr(now, name)):
            found.append(Difference("changed", was, now, fields))
    return sorted(found, key=lambda one: (one.alert.ts, one.alert.instrument, one.alert.breach_id))


def _fields() -> Iterator[str]:
    return (field.name for field in msgspec.structs.fields(Alert) if field.name not in _ITS_OWN)
