"""A recording: a folder of orders, trades and quotes as JSON Lines, with reference.toml. SPEC.md 2.4."""

from __future__ import annotations

import gzip
import heapq
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

from schemas import codec
from schemas.events import SOURCE_TOPICS, Topic

Opener = Callable[[Path], IO[bytes]]


class Line(NamedTuple):
    """One line of a recording; `number` counts from 1."""

    topic: Topic
    number: int
    data: bytes


class RecordingError(ValueError):
    """The folder is no recording."""


def _open_zst(path: Path) -> IO[bytes]:
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True))


OPENERS: dict[str, Opener] = {
    ".jsonl": lambda path: path.open("rb"),
    ".jsonl.gz": lambda path: gzip.open(path, "rb"),
    ".jsonl.zst": _open_zst,
}


def files(folder: Path) -> dict[Topic, Path]:
    """Return the file of each topic that the recording has.

    Raises RecordingError if there is no such folder, none of the files, or two forms of one.
    """
    if not folder.is_dir():
        raise RecordingError(f"{folder}: expected the folder of a recording; it does not exist")
    found: dict[Topic, Path] = {}
    for topic in SOURCE_TOPICS:
        paths = [path for ending in OPENERS if (path := folder / f"{topic}{ending}").exists()]
        if len(paths) > 1:
            raise RecordingError(f"{folder}: expected one file of {topic}, got {', '.join(p.name for p in paths)}")
        if paths:
            found[topic] = paths[0]
    if not found:
        raise RecordingError(f"{folder}: expected orders.jsonl, trades.jsonl or quotes.jsonl (or .gz, .zst)")
    return found


def lines(path: Path, topic: Topic, faults: list[str] | None = None) -> Iterator[Line]:
    """Return a file's lines. A truncated compressed file ends early, and `faults` says so."""
    ending = next(ending for ending in sorted(OPENERS, key=len, reverse=True) if path.name.endswith(ending))
    number = 0
    try:
        with OPENERS[ending](path) as stream:
            for number, data in enumerate(stream, 1):
                if data.strip():  # a blank line says nothing
                    yield Line(topic, number, data.rstrip(b"\r\n"))
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        if faults is not None:
            faults.append(f"{path.name}: broken after line {number}: {error}")


def read(folder: Path, faults: list[str] | None = None) -> Iterator[Line]:
    """Return all lines, the three files merged by their records' `ts`; an unreadable line comes at once."""
    ranked = [
        _with_time(lines(path, topic, faults), rank) for rank, (topic, path) in enumerate(files(folder).items())
    ]
    for _ts, _rank, line in heapq.merge(*ranked, key=lambda item: item[:2]):
        yield line


def _with_time(source: Iterator[Line], rank: int) -> Iterator[tuple[int, int, Line]]:
    latest = 0
    for line in source:
        # never falls within a file, so that merging keeps each file's own order
        latest = max(latest, codec.peek(line.data).ts or 0)
        yield latest, rank, line


def write(
    folder: Path, records: Iterable[tuple[Topic, Mapping[str, object] | bytes]], reference_toml: str
) -> dict[Topic, int]:
    """Write a recording and return the number of lines by topic."""
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[Topic, int] = dict.fromkeys(SOURCE_TOPICS, 0)
    streams = {topic: (folder / f"{topic}.jsonl").open("wb") for topic in SOURCE_TOPICS}
    try:
        for topic, record in records:
            streams[topic].write((record if isinstance(record, bytes) else codec.encode(record)) + b"\n")
            counts[topic] += 1
    finally:
        for stream in streams.values():
            stream.close()
    (folder / "reference.toml").write_text(reference_toml)
    return counts
