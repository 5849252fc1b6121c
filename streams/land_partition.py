"""One topic partition being landed: its fence, its writer, its position. Every entry exactly once.

The position is what the lake says (a small file a topic partition, renamed into place once the rows' files
are durable), never a committed offset. Files left by a crash between the two are removed at the next start.
The fence is a lock that lasts as long as its process: one that stands still keeps it, and what it had
gathered, so nobody else lands the partition until that process is dead.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from confluent_kafka import Message

from schemas import codec
from schemas.journal import Position
from streams import worker
from streams.lake import files, hidden, position, ranges
from streams.lake.stamp import LakeError
from streams.lake.writer import LakeWriter
from streams.watch.tally import Tally

_NAME = re.compile(r"(.+-\d+)-(\d{20})-\d{20}(?:-[0-9a-f]+\.parquet|\.unfinished)")
Written = dict[str, list[tuple[int, Path]]]  # by stem: a file's first offset, and its path


def written(root: Path) -> Written:
    """Return what lies in a lake, finished or not, and was not compacted; one walk for all partitions."""
    found: Written = {}
    for path in root.glob("*/*/*/*"):
        if name := _NAME.fullmatch(path.name):
            found.setdefault(name[1], []).append((int(name[2]), path))
    return found


class LandPartition:
    """One topic partition. Made while `fence` is held; closing lets go of it.

    Raises LakeError if the position is damaged, or does not fit the files that are there (`found`).
    """

    def __init__(
        self, root: Path, topic: str, number: int, found: Written | None = None, fence: IO[str] | None = None
    ) -> None:
        self.topic = topic
        self.number = number
        self.stem = f"{topic}-{number}"
        self._fence = fence
        known = position.load(root, self.stem)
        state = known or position.Landed()
        found = written(root) if found is None else found
        _remove_leftovers(found.get(self.stem, []), self.stem, state.next)
        if known is None:
            _refuse_compacted(root, self.stem)
        self.writer = LakeWriter(root, "live", self.stem, state.sequences, state.times, state.rows)
        self.writer.zone = self.zone = state.zone
        self.next = self.first = state.next
        self.tally = Tally()

    def take(self, message: Message) -> None:
        """Gather the rows of one message."""
        offset, value = message.offset() or 0, message.value() or b""
        if offset < self.next:
            return
        if self.topic == "journal":
            entries = codec.decode_frame(value)
            self.tally.frame(entries, len(value))
            for index, entry in enumerate(entries):
                self.writer.take(Position(self.number, offset, index), entry)
        else:
            headers = {
                name: data.decode()
                for name, data in dict(message.headers() or ()).items()
                if isinstance(data, bytes)
            }
            self.writer.run = headers.get("ce_run", "")
            self.writer.version = headers.get("ce_fairbookversion")
            self.writer.build = headers.get("ce_fairbookbuild")
            position = Position(
                int(headers.get("ce_journalpartition", self.number)),
                int(headers.get("ce_journaloffset", offset)),
                int(headers.get("ce_journalindex", 0)),
            )
            output = codec.decode_alert(value) if self.topic == "alerts" else codec.decode_metric(value)
            self.writer.decided(position, output)
        self.tally.appended = message.timestamp()[1] * 1_000_000
        self.next = offset + 1

    def flush(self) -> bool:
        """Write the rows' files, then the position. Returns True if there was anything."""
        if self.next == self.first:
            return False
        rows = self.writer.gathered
        paths = self.writer.flush(f"{self.first:020d}-{self.next - 1:020d}")
        self.tally.landed(self.writer.root, paths, rows)
        writer = self.writer
        state = position.Landed(self.next, writer.sequences, writer.times, writer.zone, writer.landed)
        state.save(writer.root, self.stem)
        self.first, self.zone = self.next, writer.zone
        return True

    def close(self) -> None:
        """Let go of the partition; what was gathered and not flushed is read again by whoever has it next."""
        if self._fence is not None:
            self._fence.close()


def fence(root: Path, stem: str) -> IO[str] | None:
    """Take the lock of a partition; None if another process has it."""
    return worker.locked(root / position.FOLDER, stem)


def fenced_by(root: Path, stem: str) -> str:
    """Return the id of the process that holds the lock of a partition."""
    return worker.holder(root / position.FOLDER, stem) or "unknown"


def _remove_leftovers(found: list[tuple[int, Path]], stem: str, following: int) -> None:
    """Remove files whose rows the position does not cover: a crash came between the two.

    They all begin at the position. One that begins beyond it means that the position is older than the lake.
    """
    for first, path in found:
        if first > following and path.suffix != files.UNFINISHED:
            raise LakeError(
                f"{path}: expected no rows beyond the position of {stem}, {following}. {position.REMEDY}"
            )
    for first, path in found:
        if first == following or path.suffix == files.UNFINISHED:
            path.unlink()


def _refuse_compacted(root: Path, stem: str) -> None:
    """Refuse compacted rows of a partition of which there is no position."""
    for path in root.glob(f"*/*/*/{hidden.PREFIX}-*.parquet"):
        if stem in ranges.of(path):
            raise LakeError(f"{path}: has rows of {stem}, whose position is missing. {position.REMEDY}")
