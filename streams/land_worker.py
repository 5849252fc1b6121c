"""`fairbook worker land`: journal, alerts and metrics -> Parquet, every entry exactly once.

The position is what the lake says (a small file a topic partition, renamed into place after the rows'
files), never a committed offset. Files left by a crash between the two are removed at the next start.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from detectors.sequence import Sequence
from schemas import codec
from schemas.journal import Position
from streams import feed, tail, worker
from streams.lake import catalog
from streams.lake.writer import LakeWriter, seed
from streams.settings import Settings

STAGE = "land"
TOPICS = ("journal", "alerts", "metrics")
FLUSH_SECONDS = 2.0
FLUSH_MESSAGES = 2_000


class Landed(msgspec.Struct):
    """How far a topic partition has landed, and the state to go on from."""

    next: int = 0
    sequences: dict[str, Sequence] = {}
    times: dict[str, int] = {}
    zone: str = catalog.ZONE


class LandPartition:
    """One topic partition: its writer and its position."""

    def __init__(self, root: Path, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.path = root / "_landed" / f"{topic}-{number}.json"
        state = codec.decode(self.path.read_bytes(), type=Landed) if self.path.exists() else Landed()
        self.writer = LakeWriter(root, "live", f"{topic}-{number}", state.sequences, state.times)
        self.writer.zone = state.zone
        self.next = self.first = state.next
        _remove_leftovers(root, f"{topic}-{number}", state.next)

    def take(self, message: Message) -> None:
        """Gather the rows of one message."""
        offset, value = message.offset() or 0, message.value() or b""
        if offset < self.next:
            return
        if self.topic == "journal":
            for index, entry in enumerate(codec.decode_frame(value)):
                self.writer.take(Position(self.number, offset, index), entry)
        else:
            headers = {
                name: data.decode()
                for name, data in dict(message.headers() or ()).items()
                if isinstance(data, bytes)
            }
            self.writer.run = headers.get("ce_run", "")
            position = Position(
                int(headers.get("ce_journalpartition", self.number)),
                int(headers.get("ce_journaloffset", offset)),
                int(headers.get("ce_journalindex", 0)),
            )
            output = codec.decode_alert(value) if self.topic == "alerts" else codec.decode_metric(value)
            self.writer.output(position, output)
        self.next = offset + 1

    def flush(self) -> bool:
        """Write the rows' files, then the position. Returns True if there was anything."""
        if self.next == self.first:
            return False
        self.writer.flush(f"{self.first:020d}-{self.next - 1:020d}")
        state = Landed(self.next, self.writer.sequences, self.writer.times, self.writer.zone)
        unfinished = self.path.with_suffix(".unfinished")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(codec.encode(state))
        unfinished.rename(self.path)
        self.first = self.next
        return True


def _remove_leftovers(root: Path, stem: str, following: int) -> None:
    """Remove files whose rows the position does not cover: a crash came between the two."""
    for path in root.glob(f"*/*/*/{stem}-*.parquet"):
        first = path.stem.removeprefix(f"{stem}-").partition("-")[0]
        if first.isdigit() and int(first) >= following:
            path.unlink()
    for path in root.glob("*/*/*/*.unfinished"):
        path.unlink(missing_ok=True)


class LandWorker:
    """One land process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.lake
        self.stopping = False
        self.reader: Consumer = tail.consumer(settings, STAGE)
        self.names = {settings.topic(topic): topic for topic in TOPICS}
        seed(self.root)
        self.parts = {
            (topic, number): LandPartition(self.root, topic, number)
            for topic in TOPICS
            for number in range(feed.partitions(self.reader, settings, topic))
        }
        self.zone = next((part.writer.zone for part in self.parts.values()), catalog.ZONE)
        catalog.publish(self.root, self.zone)

    def run(self) -> None:
        """Land until told to stop."""
        self.reader.assign(
            [TopicPartition(self.settings.topic(t), p, part.next) for (t, p), part in self.parts.items()]
        )
        worker.log(STAGE, f"ready: {len(self.parts)} partitions into {self.root}")
        flushed = time.monotonic()
        taken = 0
        while not self.stopping:
            for message in self.reader.consume(500, 0.2):
                self._take(message)
                taken += 1
            if taken and (taken >= FLUSH_MESSAGES or time.monotonic() - flushed >= FLUSH_SECONDS):
                self._flush()
                flushed, taken = time.monotonic(), 0
        self._flush()
        self.reader.close()

    def _take(self, message: Message) -> None:
        if message.error():
            raise RuntimeError(f"reading {message.topic()}: {message.error()}")
        self.parts[self.names[message.topic() or ""], message.partition() or 0].take(message)

    def _flush(self) -> None:
        for part in self.parts.values():
            part.flush()
        zones = {part.writer.zone for (topic, _), part in self.parts.items() if topic == "journal"}
        zone = next((zone for zone in sorted(zones) if zone != self.zone), self.zone)
        if zone != self.zone:
            self.zone = zone
            catalog.publish(self.root, zone)

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
    lock = worker.only_one(settings.lake / "_landed", STAGE)
    land = LandWorker(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, land.stop)
    land.run()
    lock.close()
