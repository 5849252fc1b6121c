"""Tables for people, at any width: a number, a time or an id is whole or it is another one.

Text folds at spaces, and nothing else ever breaks. A table that does not fit is printed in parts, each with
the first key columns; where even that is too wide, or there would be too many, records are printed sideways.
Where no terminal limits the width, a table is as wide as it is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

GAP = 2  # characters between two columns, and one at either edge
FOLDED = 24  # characters: what is no longer is not folded, so that text does not become a column of letters
PROSE = 110  # characters: sentences where no terminal says how wide they may be
NUMBERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL",
)  # fmt: skip
_WHOLE = re.compile(r"(?!.*, )[\d\s:.,+\-TZ\N{EN DASH}]*")  # a number or a time, also one that came as text


class Unbounded(Console):
    """A console that is no terminal: sentences at 110 characters, tables as wide as they are."""

    def __init__(self) -> None:
        super().__init__(width=PROSE)


class Content(NamedTuple):
    """A table's texts, already without what moves a cursor (`shown`). `numeric`: columns aligned right.

    `keys`: leading columns that each part repeats; fewer where they leave no room. `parts`: with more parts
    than these, records are printed sideways. `note`: a line below.
    """

    names: list[str]
    numeric: list[bool]
    rows: list[list[str]]
    title: str = ""
    keys: int = 1
    parts: int = 1_000
    note: str = ""


class _Column(NamedTuple):
    least: int  # characters, with headings and text folded
    natural: int


def console() -> Console:
    """Return where answers are printed: as wide as the terminal, or COLUMNS; else see `Unbounded`."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns):
        return Console(width=int(columns))
    return Console() if sys.stdout.isatty() else Unbounded()


def is_number(kind: object) -> bool:
    """Return whether values of a DuckDB type are numbers (a list of them is not)."""
    return str(kind).startswith(NUMBERS) and not str(kind).endswith("]")


def shown(text: str) -> str:
    """Return a text that may come from outside: what moves a cursor or turns its direction is written out."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a sentence, folded at spaces only: the names and numbers in it are whole at any width."""
    lines = (line for part in text.split("\n") for line in _folded(shown(part), console.width))
    _print(console, "\n".join(lines), style)


def show(console: Console, content: Content) -> None:
    """Print a table as the module says; the width is the console's."""
    width = None if isinstance(console, Unbounded) else console.width
    if content.title:
        say(console, content.title, "italic")
    columns = [_column(content, at) for at in range(len(content.names))]
    parts = _parts(content, columns, width)
    if parts is None and width is not None:
        _sideways(console, content, width)
    for part in parts or ():
        _part(console, content, part, _widths([columns[at] for at in part], width))
    console.print()
    if content.note:
        say(console, content.note, "dim")


def _column(content: Content, at: int) -> _Column:
    cells = [row[at] for row in content.rows]
    longest = max(map(cell_len, cells), default=0)
    words = max((cell_len(word) for cell in cells for word in _words(cell)), default=0)
    least = longest if content.numeric[at] else max(words, min(longest, FOLDED))
    heading = max(map(cell_len, content.names[at].split(" ")))
    return _Column(max(least, heading), max(longest, cell_len(content.names[at])))


def _parts(content: Content, columns: list[_Column], width: int | None) -> list[list[int]] | None:
    """Return the columns of each part; None if the table cannot be in parts that fit."""
    everything = list(range(len(columns)))
    if width is None or _total([columns[at].natural for at in everything]) <= width:
        return [everything]
    for keys in range(min(content.keys, len(columns)), 0, -1):
        parts = list(_packed([column.least for column in columns], keys, width))
        if all(_total([columns[at].least for at in part]) <= width for part in parts):
            return parts if len(parts) <= content.parts else None
    return None


def _packed(widths: list[int], keys: int, width: int) -> Iterator[list[int]]:
    """Return the columns of each part, each with the first `keys` columns, as many as fit into `width`."""
    leading = list(range(keys))
    part: list[int] = []
    for at in range(keys, len(widths)):
        if part and _total([widths[column] for column in (*leading, *part, at)]) > width:
            yield leading + part
            part = []
        part.append(at)
    yield leading + part


def _total(widths: list[int]) -> int:
    return sum(widths) + GAP * len(widths)


def _widths(columns: list[_Column], width: int | None) -> list[int]:
    """Return each column's width: what is left over goes to those that lack most."""
    if width is None:
        return [column.natural for column in columns]
    widths = [column.least for column in columns]
    for _ in range(width - _total(widths)):
        lacking = [column.natural - own for column, own in zip(columns, widths, strict=True)]
        if max(lacking) <= 0:
            break
        widths[lacking.index(max(lacking))] += 1
    return widths


def _part(console: Console, content: Content, part: list[int], widths: list[int]) -> None:
    head = list(_lines(content, part, widths, content.names))
    rule = " " + "─" * (_total(widths) - GAP)
    body = [line for row in content.rows for line in _lines(content, part, widths, row)]
    _print(console, "\n" + "\n".join(head), "bold")
    _print(console, "\n".join([rule, *body]))


def _lines(content: Content, part: list[int], widths: list[int], cells: list[str]) -> Iterator[str]:
    """Return a row's lines: one, or as many as its most folded cell has."""
    folded = [list(_folded(cells[at], width)) for at, width in zip(part, widths, strict=True)]
    for number in range(max(map(len, folded))):
        texts = []
        for at, width, lines in zip(part, widths, folded, strict=True):
            text = lines[number] if number < len(lines) else ""
            blank = " " * (width - cell_len(text))
            texts.append(blank + text if content.numeric[at] else text + blank)
        yield (" " + (" " * GAP).join(texts)).rstrip()


def _words(text: str) -> list[str]:
    """Return what may stand on lines of its own; a time is one word, though it has spaces."""
    return [text] if _WHOLE.fullmatch(text) else text.split(" ")


def _folded(text: str, width: int) -> Iterator[str]:
    """Return the lines of a text folded at spaces; a word that is longer than `width` stays whole."""
    line: str | None = None
    for word in [text] if cell_len(text) <= width else _words(text):
        if line is not None and cell_len(line) + 1 + cell_len(word) > width:
            yield line
            line = word
        else:
            line = word if line is None else f"{line} {word}"
    yield line or ""


def _sideways(console: Console, content: Content, width: int) -> None:
    """Print a line per value: beside its name, or below it where it does not fit."""
    names = max(map(cell_len, content.names))
    for number, row in enumerate(content.rows, 1):
        _print(console, f"\nrecord {number:,}", "bold")
        for name, cell in zip(content.names, row, strict=True):
            beside = width - names - 2
            below = max(map(cell_len, _words(cell))) > beside
            lines = list(_folded(cell, width - 2 if below else beside))
            first = f"{name}:" if below else f"{name}: ".ljust(names + 2) + lines.pop(0)
            indent = "  " if below else " " * (names + 2)
            _print(console, "\n".join([first.rstrip(), *(indent + line for line in lines)]))
    if not content.rows:
        _print(console, "\n".join([*content.names, "(no rows)"]))


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)  # not cut by rich, either
