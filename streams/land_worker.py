"""`fairbook worker land`: journal, alerts and metrics -> Parquet, every entry exactly once.

The position is what the lake says (a small file a topic partition, renamed into place once the rows' files
are durable), never a committed offset. Files left by a crash between the two are removed at the next start.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from detectors.sequence import Sequence
from schemas import codec
from schemas.journal import Position
from streams import acls, feed, tail, worker
from streams.lake import catalog, compaction, files, hidden
from streams.lake.seeds import LakeError, seed
from streams.lake.writer import LakeWriter
from streams.settings import Settings
from streams.watch import stages
from streams.watch.server import Watch
from streams.watch.tally import Tally

STAGE = "land"
TOPICS = ("journal", "alerts", "metrics")
FLUSH_SECONDS = 5.0  # from the first row gathered; a row can be queried 10 s after its event
FLUSH_ROWS = 100_000
COMPACT_SECONDS = 1.0


class Landed(msgspec.Struct):
    """How far a topic partition has landed, and the state to go on from."""

    next: int = 0
    sequences: dict[str, Sequence] = {}
    times: dict[str, int] = {}
    zone: str = catalog.ZONE


class LandPartition:
    """One topic partition: its writer and its position.

    Raises LakeError if the position is damaged, or does not fit the files that are there.
    """

    def __init__(self, root: Path, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        stem = f"{topic}-{number}"
        self.path = root / "_landed" / f"{stem}.json"
        state = _position(self.path) if self.path.exists() else Landed()
        _remove_leftovers(root, stem, state.next, known=self.path.exists())
        self.writer = LakeWriter(root, "live", stem, state.sequences, state.times)
        self.writer.zone = state.zone
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
        written = self.writer.flush(f"{self.first:020d}-{self.next - 1:020d}")
        self.tally.landed(self.writer.root, written, rows)
        state = Landed(self.next, self.writer.sequences, self.writer.times, self.writer.zone)
        files.write_bytes(self.path, codec.encode(state))
        self.first = self.next
        return True


def _position(path: Path) -> Landed:
    try:
        return codec.decode(path.read_bytes(), type=Landed)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LakeError(f"{path}: expected a position, it is damaged ({error}). {_REMEDY}") from error


_REMEDY = (
    "What lies in the lake cannot be trusted to be whole: restore lake and position from one backup, or move "
    "the whole lake away and start again: the journal is landed anew from its beginning"
)


def _remove_leftovers(root: Path, stem: str, following: int, *, known: bool) -> None:
    """Remove files whose rows the position does not cover: a crash came between the two.

    They all begin at the position. One that begins beyond it, or a compacted one that has rows of a partition
    of which no position is `known`, means that the position is older than the lake.
    """
    leftovers = []
    for path in root.glob(f"*/*/*/{stem}-*.parquet"):
        first = int(path.stem.removeprefix(f"{stem}-").partition("-")[0])
        if first > following:
            raise LakeError(f"{path}: expected no rows beyond the position of {stem}, {following}. {_REMEDY}")
        if first == following:
            leftovers.append(path)
    if not known:
        for path in root.glob(f"*/*/*/{hidden.PREFIX}-*.parquet"):
            if stem in compaction.covers(path):
                raise LakeError(f"{path}: has rows of {stem}, whose position is missing. {_REMEDY}")
    for path in leftovers:
        path.unlink()
    for path in root.glob(f"*/*/*/{stem}-*{files.UNFINISHED}"):
        path.unlink()


class LandWorker:
    """One land process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.lake
        self.stopping = self.ready = False
        self.compaction = stages.Compaction()
        self.reader: Consumer = tail.consumer(settings, STAGE)
        self.names = {settings.topic(topic): topic for topic in TOPICS}
        for path in self.root.glob(f"catalog.*{files.UNFINISHED}*"):
            path.unlink()
        seed(self.root)
        self.parts = {
            (topic, number): LandPartition(self.root, topic, number)
            for topic in TOPICS
            for number in range(feed.partitions(self.reader, settings, topic))
        }
        self.zone = next((part.writer.zone for part in self.parts.values()), catalog.ZONE)
        self.compactor: compaction.Compactor | None = compaction.Compactor(self.root, self._publish)

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Land until told to stop; `beat` is called as it goes on."""
        for (topic, number), part in self.parts.items():
            low, end = tail.bounds(self.reader, self.settings.topic(topic), number)
            if not low <= part.next <= end:
                raise LakeError(
                    f"{part.path}: expected {topic} {number} to hold offset {part.next}, it has {low} "
                    f"to {end}: made anew, or expired unread? Move the lake away to land anew"
                )
        self.reader.assign(
            [TopicPartition(self.settings.topic(t), p, part.next) for (t, p), part in self.parts.items()]
        )
        self.ready = True
        worker.log(STAGE, f"ready: {len(self.parts)} partitions into {self.root}")
        since: float | None = None  # when the first of what is gathered came
        compacted = time.monotonic()
        while not self.stopping:
            beat()
            for message in self.reader.consume(500, 0.2):
                since = since or time.monotonic()
                self._take(message)
            now = time.monotonic()
            gathered = sum(part.writer.gathered for part in self.parts.values())
            if since is not None and (gathered >= FLUSH_ROWS or now - since >= FLUSH_SECONDS):
                self._flush()
                since = None
            if now - compacted >= COMPACT_SECONDS:
                self._compact()
                compacted = now
        self._flush()
        self.reader.close()

    def _take(self, message: Message) -> None:
        """Hand a message to its partition. Raises RuntimeError if it is an error that does not pass."""
        error = message.error()
        if error is not None and error.code() in tail.PASSING:
            return
        if error is not None:
            raise RuntimeError(f"reading {message.topic()}: {error}")
        self.parts[self.names[message.topic() or ""], message.partition() or 0].take(message)

    def _flush(self) -> None:
        for part in self.parts.values():
            part.flush()
        zones = {part.writer.zone for (topic, _), part in self.parts.items() if topic == "journal"}
        zone = next((zone for zone in sorted(zones) if zone != self.zone), self.zone)
        if zone != self.zone:
            self.zone = zone
            self._publish()

    def _publish(self) -> None:
        catalog.publish(self.root, self.zone)

    def _compact(self) -> None:
        """Go on with compaction; whatever is wrong with it, landing goes on and the lake is whole."""
        if self.compactor is None:
            return
        try:
            with self.compaction.step():
                self.compactor.step(time.monotonic())
        except Exception:
            text = "compaction stopped at an error until the next start; landing goes on"
            worker.log(STAGE, text, level=logging.ERROR, error=True)
            self.compactor = None

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Finish what is gathered and leave."""
        self.stopping = True


def landed(lake: Path) -> dict[tuple[str, int], int]:
    """Return the next offset to land by topic and partition."""
    found: dict[tuple[str, int], int] = {}
    for path in (lake / "_landed").glob("*.json"):
        topic, _, number = path.stem.rpartition("-")
        found[topic, int(number)] = codec.decode(path.read_bytes(), type=Landed).next
    return found


def run(settings: Settings) -> None:
    """Run the land worker until it is told to stop; one a lake."""
    acls.require(settings, STAGE)
    folder = settings.lake / "_landed"
    lock = worker.locked(folder, STAGE)
    if lock is None:
        pid = worker.holder(folder, STAGE) or "unknown"
        worker.leave(STAGE, f"not yet supported: a worker land is already running (process {pid})")
    try:
        land = LandWorker(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, land.stop)
        with Watch(settings, STAGE, 0, stages.Land(land)) as watch:
            land.run(watch.beat)
    except LakeError as error:
        worker.leave(STAGE, str(error))
    lock.close()
