"""Which rows a data file has: a stem (topic-partition) numbers its rows of each table from 0.

Every file carries its ranges, and whatever merges or removes files keeps account of them; so a file that is
missing, or there twice, leaves a hole or an overlap in the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas import codec

ROWS = b"fairbook.rows"  # in a file's metadata
Range = tuple[int, int]  # first row, and the one after the last
ByStem = dict[str, list[Range]]


def marked(table: pa.Table, rows: Mapping[str, Iterable[Range]]) -> pa.Table:
    """Return a table whose file will say which rows it has, by stem."""
    return table.replace_schema_metadata({ROWS: codec.canonical({stem: list(r) for stem, r in rows.items()})})


def of(path: Path) -> ByStem:
    """Return the rows of a data file by stem."""
    metadata = pq.read_schema(path).metadata or {}
    return codec.decode(metadata.get(ROWS, b"{}"), type=ByStem)


def merged(parts: Iterable[Mapping[str, Iterable[Range]]]) -> ByStem:
    """Return all ranges by stem, ascending; those that touch are one, those that overlap stay as they are.

    >>> merged([{"journal-0": [(5, 7)]}, {"journal-0": [(0, 5)], "journal-1": [(0, 1)]}])
    {'journal-0': [(0, 7)], 'journal-1': [(0, 1)]}
    """
    found: ByStem = {}
    for part in parts:
        for stem, ranges in part.items():
            found.setdefault(stem, []).extend(ranges)
    return {stem: _joined(sorted(ranges)) for stem, ranges in sorted(found.items())}


def _joined(ranges: list[Range]) -> list[Range]:
    joined: list[Range] = []
    for first, end in ranges:
        if joined and joined[-1][1] == first:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((first, end))
    return joined
