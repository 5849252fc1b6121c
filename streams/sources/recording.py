"""A recording: a folder of orders, trades and quotes as JSON Lines, with reference.toml. SPEC.md 2.4."""

from __future__ import annotations

import heapq
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import zstandard

from detectors.affiliation import Directory
from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook, RulebookError
from detectors.sequence import Sequence
from schemas import codec
from schemas.events import SOURCE_TOPICS, Topic
from schemas.journal import (
    EventEntry,
    OrderEntry,
    QuoteEntry,
    RefusedEntry,
    RefusedReason,
    Source,
    TradeEntry,
)
from schemas.reference import Instrument, Role
from streams import reference_data
from streams.reference_data import Problem
from streams.sequencer import Sequencer
from streams.tagger import Tagger

CHUNK = 1 << 18  # bytes read at a time
NAME_ACCOUNTS = ("new", "restated", "rejected", "trade")  # what comes later may leave it out
GAPS_TOLD = 20  # of an instrument, each with its line; the rest in one
LINE_BYTES = 16_000_000  # what fits into one message
SLICE = 256  # packed bytes unpacked at a time: no more than these are lost before a damaged place


class Line(NamedTuple):
    """One line of a recording; `number` counts from 1."""

    topic: Topic
    number: int
    data: bytes


class RecordingError(ValueError):
    """The folder is no recording."""


class _Unpacker(Protocol):
    """One packed member or frame: zlib's and zstandard's decompression objects alike."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


UNPACKERS: dict[str, Callable[[], _Unpacker] | None] = {
    ".jsonl": None,
    ".jsonl.gz": lambda: zlib.decompressobj(wbits=31),
    ".jsonl.zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


def files(folder: Path) -> dict[Topic, Path]:
    """Return the file of each topic that the recording has.

    Raises RecordingError if there is no such folder, none of the files, or two forms of one.
    """
    if not folder.is_dir():
        raise RecordingError(f"{folder}: expected the folder of a recording; it does not exist")
    found: dict[Topic, Path] = {}
    for topic in SOURCE_TOPICS:
        paths = [path for ending in UNPACKERS if (path := folder / f"{topic}{ending}").exists()]
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise RecordingError(f"{folder}: expected one file of {topic}, got {names}; remove all but one")
        if paths:
            found[topic] = paths[0]
    if not found:
        raise RecordingError(f"{folder}: expected orders.jsonl, trades.jsonl or quotes.jsonl (or .gz, .zst)")
    return found


def lines(path: Path, topic: Topic, faults: list[str] | None = None) -> Iterator[Line]:
    """Return a file's lines but blank ones.

    Of a damaged or truncated packed file what can be read comes, the unfinished last line too. A line of more
    than LINE_BYTES, be it packed into few, is passed over. `faults` says `name:line: ...` of both.
    """
    number = 0
    broken: list[str] = []
    for number, data in enumerate(_split(_chunks(path, broken)), 1):
        if data is None:
            if faults is not None:
                faults.append(
                    f"{path.name}:{number}: expected a line of at most {LINE_BYTES:,} bytes, it is longer; "
                    "it is left out"
                )
        elif data.strip():  # a blank line says nothing
            yield Line(topic, number, data.rstrip(b"\r"))
    if faults is not None:
        faults.extend(f"{path.name}:{number}: {reason}; what comes after is lost" for reason in broken)


def _split(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Return the lines of chunks; None for one that is too long, which is never in memory as a whole."""
    rest: list[bytes] = []
    size = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        size += len(first)
        if size <= LINE_BYTES:
            rest.append(first)
        else:
            rest.clear()
        if others:
            yield b"".join(rest) if size <= LINE_BYTES else None
            yield from others[:-1]
            rest, size = [others[-1]], len(others[-1])
    if size:
        yield b"".join(rest) if size <= LINE_BYTES else None


def _chunks(path: Path, broken: list[str]) -> Iterator[bytes]:
    """Return a file's bytes, unpacked; why they end too early goes to `broken`."""
    ending = next(ending for ending in sorted(UNPACKERS, key=len, reverse=True) if path.name.endswith(ending))
    new = UNPACKERS[ending]
    with path.open("rb") as stream:
        pieces = iter(lambda: stream.read(CHUNK), b"")
        if new is None:
            yield from pieces
            return
        unpacker = new()
        try:
            for piece in pieces:
                for at in range(0, len(piece), SLICE):
                    data = piece[at : at + SLICE]
                    while data:
                        if unpacker.eof:  # several members or frames in one file
                            unpacker = new()
                        yield unpacker.decompress(data)
                        data = unpacker.unused_data if unpacker.eof else b""
        except (zlib.error, zstandard.ZstdError) as error:
            broken.append(f"expected {ending[7:]} data, got damaged bytes ({error})")
            return
    if not unpacker.eof:
        broken.append(f"the file is truncated, its {ending[7:]} data has no end")


def read(folder: Path, faults: list[str] | None = None) -> Iterator[Line]:
    """Return all lines, the three files merged by their records' `ts`; an unreadable line comes at once."""
    ranked = [
        _with_time(lines(path, topic, faults), rank)
        for rank, (topic, path) in enumerate(files(folder).items())
    ]
    for _ts, _rank, line in heapq.merge(*ranked, key=lambda item: item[:2]):
        yield line


def _with_time(source: Iterator[Line], rank: int) -> Iterator[tuple[int, int, Line]]:
    latest = 0
    for line in source:
        # never falls within a file, so that merging keeps each file's own order
        latest = max(latest, _time(line.data))
        yield latest, rank, line


def _time(data: bytes) -> int:
    """Return a line's `ts`, the first one's of an array, or 0."""
    if data.lstrip()[:1] == b"[":
        try:
            data = next(iter(codec.split_array(data)), b"")
        except codec.UNREADABLE:
            return 0
    return codec.place_of(data).ts or 0


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
    (folder / "reference.toml").write_text(reference_toml, encoding="utf-8")
    return counts


Severity = Literal["error", "warning"]
GAP_REMEDY = "add the records, or number without holes over orders, trades and quotes together"
REMEDIES: dict[RefusedReason, str] = {
    "not_json": "write one record, or an array of records, as JSON on a line",
    "wrong_type": "see the fields and types of `fairbook schema`; prices and quantities are strings",
    "missing_field": "see `fairbook schema` for what this kind of record needs",
    "bad_decimal": "write a decimal string of at most 18 digits, 8 of them decimals",
    "bad_value": "correct the value, or leave the field out where it does not apply",
    "empty": "leave the line out",
    "duplicate": "write each seq once",
    "conflict": "give each record of an instrument a seq of its own, over orders, trades and quotes together",
}


def check(folder: Path) -> list[Problem]:
    """Return what is wrong with a recording, by file and line; an empty list if nothing is.

    Errors are what a replay refuses or cannot read; warnings what it takes and a person should look at: gaps,
    accounts and instruments that reference.toml does not list. It misses what only the rules see: orphans,
    overfills, quotes that disagree with the book. Raises RecordingError if the folder is no recording.
    """
    checker = _Checker(folder)
    checker.run()
    rank = {file: number for number, file in enumerate(checker.names.values())}
    return sorted(checker.problems, key=lambda it: (rank.get(it.file, -1), it.file, it.line))


class _Checker:
    """One reading of a recording, and what was found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = files(folder)
        self.names = {topic: path.name for topic, path in self.paths.items()}
        self.problems: list[Problem] = []
        self.listed: set[str] = set()
        self.accounts: dict[str, tuple[Source, int]] = {}
        self.anonymous: dict[str, tuple[Source, int]] = {}
        self.instruments: dict[str, Source] = {}
        self.sequences: dict[str, Sequence] = {}
        self.gaps: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()

    def run(self) -> None:
        directory = self._reference()
        self._rulebook()
        faults: list[str] = []
        tagger, sequencer = Tagger(directory or Directory()), Sequencer()
        for line in read(self.folder, faults):
            for entry, raw in tagger.tag(line.topic, line.data, 0, line.number):
                if isinstance(entry, RefusedEntry):
                    sequencer.refuse(entry)
                else:
                    sequencer.offer(entry, entry.ts, raw)
            self._take(sequencer)
        sequencer.finish()
        self._take(sequencer)
        for fault in faults:
            file, line_number, reason = fault.split(":", 2)
            remedy = "write its records on lines of their own" if "longer" in reason else "copy it again"
            self._tell("error", file, max(1, int(line_number)), reason.strip(), remedy)
        self._summaries(directory)

    def _tell(self, severity: Severity, file: str, line: int, reason: str, remedy: str) -> None:
        self.problems.append(Problem(severity, file, line, reason, remedy))

    def _at(self, severity: Severity, src: Source, reason: str, remedy: str) -> None:
        place = f"record {src.index + 1} of the array: " if src.index else ""
        self._tell(severity, self.names[src.topic], src.offset, place + reason, remedy)  # type: ignore[index]

    def _reference(self) -> Directory | None:
        """Return the look-up of roles, None where reference.toml cannot be read."""
        self.problems.extend(reference_data.check(self.folder / "reference.toml"))
        try:
            facts = reference_data.load(self.folder / "reference.toml")
        except reference_data.ReferenceDataError:
            return None
        self.listed = {fact.symbol for fact in facts if isinstance(fact, Instrument)}
        return Directory(facts, hindsight=True)

    def _rulebook(self) -> None:
        own = self.folder / "rulebook.toml"
        if own.is_file():
            try:
                Rulebook.parse(own.read_text(encoding="utf-8"), PARAMETERS)
            except RulebookError as error:
                self._tell("error", own.name, error.line or 1, error.reason, "correct it: a replay uses it")
            except UnicodeDecodeError as error:
                self._tell("error", own.name, 1, f"not UTF-8: {error.reason}", "save the file as UTF-8")

    def _take(self, sequencer: Sequencer) -> None:
        for entry in sequencer.out:
            if isinstance(entry, RefusedEntry):
                severity: Severity = "warning" if entry.reason == "duplicate" else "error"
                seq = "" if entry.seq is None else f" (seq {entry.seq})"
                self._at(
                    severity,
                    entry.src,
                    f"{entry.reason}{seq}: {entry.detail}",
                    REMEDIES.get(entry.reason, "see above"),
                )
            else:
                self._order(entry)
                self._parties(entry)
        sequencer.out.clear()

    def _order(self, entry: EventEntry) -> None:
        name = entry.instrument
        sequence = self.sequences.setdefault(name, Sequence())
        self.instruments.setdefault(name, entry.src)
        started = sequence.started
        sequence.classify(entry.seq)
        if (
            not started
            and entry.seq > 1
            and not (isinstance(entry, OrderEntry) and entry.exec_type == "restated")
        ):
            reason = f"{name} begins at seq {entry.seq}: what its book held before is not known"
            self._at("warning", entry.src, reason, "begin with `restated` records of the orders that rest")
        if sequence.skipped is not None:
            low, high = sequence.skipped
            self.gaps[name] += 1
            self.missing[name] += high - low + 1
            if self.gaps[name] <= GAPS_TOLD:
                lost = f"seq {low} is" if low == high else f"seq {low} to {high} are"
                self._at(
                    "warning",
                    entry.src,
                    f"{name}: {lost} missing or refused before seq {entry.seq}",
                    GAP_REMEDY,
                )

    def _parties(self, entry: EventEntry) -> None:
        parties: tuple[tuple[str | None, Role], ...]
        if isinstance(entry, TradeEntry):
            parties = ((entry.buy_account, entry.buy_role), (entry.sell_account, entry.sell_role))
        else:
            parties = ((entry.account, entry.role),)
        for account, role in parties:
            if account is None and not isinstance(entry, QuoteEntry) and entry.exec_type in NAME_ACCOUNTS:
                first, count = self.anonymous.get(entry.instrument, (entry.src, 0))
                self.anonymous[entry.instrument] = first, count + 1
            elif account is not None and role == "unknown":
                first, count = self.accounts.get(account, (entry.src, 0))
                self.accounts[account] = first, count + 1

    def _summaries(self, directory: Directory | None) -> None:
        for topic, path in self.paths.items():
            if path.stat().st_size == 0:
                self._tell(
                    "warning", path.name, 1, f"the file is empty: no {topic}", "leave it out if so meant"
                )
        if not self.sequences:
            self._tell("error", next(iter(self.names.values())), 1, "no record can be used", "see above")
        for name, count in self.gaps.items():
            if count > GAPS_TOLD:
                src = self.instruments[name]
                reason = (
                    f"{name}: {count} gaps, {self.missing[name]} seqs missing; the first {GAPS_TOLD} are told"
                )
                self._at("warning", src, reason, GAP_REMEDY)
        for name, (src, count) in self.anonymous.items():
            reason = f"{name}: no account {count} times, first here; affiliate_flag is not judged"
            self._at("warning", src, reason, "give orders and both sides of trades their account")
        if directory is None:
            return
        for account, (src, count) in self.accounts.items():
            reason = f"account {account!r} is unknown at {count} of its records, first here"
            self._at("warning", src, reason, "list it in [[accounts]], valid at that time")
        for name, src in self.instruments.items():
            if name not in self.listed:
                reason = f"instrument {name!r} is not listed in reference.toml"
                self._at("warning", src, reason, "list it in [[instruments]] with its tick_size")
