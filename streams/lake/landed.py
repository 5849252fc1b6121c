"""A landed day as the journal it was: what `journal_marks` and the event tables hold, in its order.

The rules over these entries give the contents of the live run, byte for byte. What the journal rule drops
(an entry that two tag workers wrote) has not landed and changes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
from msgspec.structs import fields

from schemas import codec
from schemas.journal import (
    ClockEntry,
    Entry,
    OrderEntry,
    Position,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    RulebookEntry,
    Source,
    TradeEntry,
)
from schemas.tables import TABLES, Column
from streams.lake import catalog

CHUNK = 5_000  # rows
EVENTS: dict[str, type[OrderEntry | TradeEntry | QuoteEntry]] = {
    "orders": OrderEntry,
    "trades": TradeEntry,
    "quotes": QuoteEntry,
}
PLACE = '"partition", "offset", "index"'
SOURCE = "src_topic, src_partition, src_offset, src_index"
REFUSED = "reason, detail, raw, instrument, seq, ts_ns"
Placed = tuple[Position, Entry]


def partitions(lake: Path) -> list[int]:
    """Return the journal partitions that have landed."""
    with catalog.connect(lake) as connection:
        found = connection.execute('select distinct "partition" from journal_marks order by all').fetchall()
    return [partition for (partition,) in found]


def entries(lake: Path, partition: int) -> Iterator[Placed]:
    """Return a journal partition's entries, each at its place, in order."""
    with catalog.connect(lake) as connection:
        marks = f'from journal_marks where "partition" = {partition} and kind'
        starts = set(connection.execute(f"select {PLACE} {marks} = 'start'").fetchall())
        evicted = set(connection.execute(f"select {PLACE} {marks} = 'evicted'").fetchall())
        yield from heapq.merge(
            *(_events(connection, table, partition, starts) for table in EVENTS),
            _refused(connection, partition, evicted),
            _marks(connection, partition),
            key=_place,
        )


def _place(placed: Placed) -> Position:
    return placed[0]


def _rows(
    connection: duckdb.DuckDBPyConnection, columns: str, table: str, partition: int
) -> Iterator[tuple[Any, ...]]:
    result = connection.cursor().execute(
        f'select {PLACE}, {columns} from {table} where "partition" = ? order by "offset", "index"',
        [partition],
    )
    while rows := result.fetchmany(CHUNK):
        yield from rows


def _events(
    connection: duckdb.DuckDBPyConnection, table: str, partition: int, starts: set[tuple[int, int, int]]
) -> Iterator[Placed]:
    kind = EVENTS[table]
    columns = [column for column in TABLES[table] if column.name in kind.__struct_fields__]
    names = [column.name for column in columns]
    selected = ", ".join(map(_exact, columns))
    defaults = {field.name: field.default for field in fields(kind) if isinstance(field.default, str)}
    for row in _rows(connection, f"{SOURCE}, {selected}", table, partition):
        values = dict(zip(names, row[7:], strict=True))
        for name, default in defaults.items():
            if values[name] == default:
                values[name] = default  # this very object: only then is it left out again when encoded
        if values.get("exec_inst") is not None:
            values["exec_inst"] = tuple(values["exec_inst"])
        yield Position(*row[:3]), kind(src=Source(*row[3:7]), start=row[:3] in starts, **values)


def _exact(column: Column) -> str:
    """Return the SQL of a column as the journal has it: nanoseconds, scaled integers."""
    if column.kind == "time":
        return f"{column.name}_ns"
    if column.kind in ("price", "quantity"):
        return f"({column.name}::decimal(28, 8) * 100000000::decimal(9, 0))::hugeint"
    return column.name


def _refused(
    connection: duckdb.DuckDBPyConnection, partition: int, evicted: set[tuple[int, int, int]]
) -> Iterator[Placed]:
    for row in _rows(connection, f"{SOURCE}, {REFUSED}", "refused", partition):
        if row[:3] in evicted:
            continue  # an event in the journal: refused by the lander, and kept as a mark
        reason, detail, raw, instrument, seq, ts = row[7:]
        yield (
            Position(*row[:3]),
            RefusedEntry(
                src=Source(*row[3:7]), reason=reason, detail=detail, raw=raw, instrument=instrument, seq=seq,
                ts=ts,
            ),
        )  # fmt: skip


def _marks(connection: duckdb.DuckDBPyConnection, partition: int) -> Iterator[Placed]:
    """The entries among the marks; a gap, a start, a late one only say what the order of entries says."""
    for *place, kind, ts, payload in _rows(connection, "kind, ts_ns, payload", "journal_marks", partition):
        position = Position(*place)
        if kind == "clock":
            yield position, ClockEntry(ts=ts, end=payload == "end")
        elif kind == "reference":
            yield position, ReferenceEntry(fact=codec.decode_fact(payload.encode()))
        elif kind == "rulebook":
            digest, text = codec.decode(payload.encode(), type=tuple[str, str])
            yield position, RulebookEntry(digest=digest, text=text)
        elif kind == "evicted":
            yield position, codec.decode_frame(payload.encode())[0]
