"""`fairbook worker tag`: orders, trades, quotes -> one order an instrument, with roles -> journal.

Its only durable state is the journal (snapshots save reading it from the start). An offset of a source is
committed once everything before it is in the journal and acknowledged. DESIGN.md 4.6 to 4.10.

A fact that was acknowledged before a record was published is known when that record is tagged: `reference` is
read to its end after a batch has come in and before it is looked at: no clock is asked. A record published
before any fact is tagged all the same: its accounts are unknown, and without a rulebook the one that ships is
in force. Facts hold from their place in the journal on; earlier records are not tagged again (pass 1).
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache, partial
from typing import Any

import faust
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from faust.types import TP

from detectors.affiliation import Directory
from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from schemas import codec
from schemas.events import SOURCE_TOPICS
from schemas.journal import EventEntry, RefusedEntry
from schemas.reference import Fact
from streams import app as apps
from streams import feed, logs, tail, worker
from streams.reference_feed import ReferenceFeed
from streams.settings import Settings, resource
from streams.snapshots import Snapshots
from streams.tag_partition import FRAME_ENTRIES, End, TagPartition
from streams.tagger import Tagger
from streams.watch import stages
from streams.watch.server import Watch

STAGE = "tag"
FLUSH_SECONDS = 0.02
SNAPSHOT_SECONDS = 1.0
SNAPSHOT_SHARE = 50  # a snapshot is taken at most once in 50 times the time that cutting its frame took
REFERENCE_SECONDS = 0.25
SLACK = 250_000_000  # ns: how far our clock may be ahead of the broker's
IN_FLIGHT = 50  # frames of a partition
RECORD_BYTES = 4 * 1024 * 1024  # of a larger record the entry could outgrow what the journal takes
REMEMBERED_FRAMES = 200  # before a snapshot: read again, to tell a conflict from a duplicate after a restart
MISMATCHES_TOLD = 1_000  # one line in the log for so many
SERIES_ANEW = (
    "SERIES BEGAN ANEW? {instrument}: record after record has a seq that was there already (now {seq}) and a "
    "later time than all before. They are refused and kept in quarantine with their bytes, and not judged; a "
    "series goes on by 1 for ever: infra/RUNBOOK.md says how to go on"
)


class TagWorker:
    """One tag process: its Faust app, the reference data it follows, its partitions."""

    def __init__(self, settings: Settings, snapshots: Snapshots, membership: worker.Membership) -> None:
        self.settings = settings
        self.snapshots = snapshots
        self.membership = membership
        self.reference = ReferenceFeed(settings)
        self.reading = asyncio.Lock()
        self.reference_read = 0.0  # when (monotonic seconds) the latest reading of it began
        self.facts: dict[str, Fact] = {}
        self.directory = Directory()
        text = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
        self.rulebook = Rulebook.parse(text, PARAMETERS)
        self.tagger = Tagger(self.directory, self.rulebook.venue.max_future)
        self.parts: dict[int, TagPartition] = {}
        reader = tail.consumer(settings, STAGE)
        try:
            self.partitions = feed.partitions(reader, settings, "orders")
        finally:
            reader.close()
        self.mismatches = 0
        self.series_anew = 0
        self.ready = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.topics: dict[str, str] = {settings.topic(name): name for name in SOURCE_TOPICS}
        self.app = apps.make_app(settings, STAGE, membership.instance)
        self.sources = self.app.topic(*self.topics, acks=False, key_type=bytes, value_type=bytes)
        self.journal = self.app.topic(settings.topic("journal"), acks=False, key_type=bytes, value_type=bytes)
        self.app.agent(self.sources, name=STAGE)(self._agent)
        self.app.on_rebalance_complete.connect(self._ready)
        self.app.task(self._follow_reference)

    # ---- starting and rebalancing -------------------------------------------------------------------

    async def _ready(self, _sender: Any, /, *_: Any, signal: Any, **_names: Any) -> None:
        """Awaited by Faust before it seeks: rebuild what has been sequenced, a prefix of the journal."""
        await worker.guarded(STAGE, self.app, self._rebuild())

    async def _rebuild(self) -> None:
        started = time.monotonic()
        consumer = apps.consumer(self.app)
        consumer.seek_hook = self._seek
        consumer.revoked_hook = self._give_up
        self.membership.joined(consumer.member_id())
        generation = self.app.consumer_generation_id
        assignment = consumer.assignment()
        mine = sorted({tp.partition for tp in assignment if tp.topic in self.topics})
        split = [p for p in mine if any(TP(name, p) not in assignment for name in self.topics)]
        if split:
            raise RuntimeError(f"expected all three source topics of partitions {split}: not co-partitioned")
        before, self.parts = self.parts, {}
        await asyncio.gather(*map(_settled, before.values()))
        await self._read_reference()
        parts = await asyncio.to_thread(self._rebuilt, mine, generation)
        if self.app.consumer_generation_id != generation:
            worker.log(STAGE, "the group changed while state was rebuilt: once more")
            return
        for number in mine:
            parts[number].learn(self.facts, self.rulebook)
        self.parts = parts
        self.ready = True
        for part in parts.values():
            for work in (self._flush_loop(part), self._acknowledge_loop(part)):
                task = asyncio.ensure_future(worker.guarded(STAGE, self.app, work))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
        took = f"slot {self.membership.slot}: ready in {time.monotonic() - started:.1f} s"
        instruments = sum(len(part.sequencer.states()) for part in parts.values())
        known = f"{len(self.facts)} reference facts, {instruments} instruments"
        worker.log(STAGE, f"{took}: {len(mine)} partitions, {known}")

    async def _give_up(self) -> None:
        """Awaited before the group is joined again: whoever gets a partition must find all that we sent.

        No frame is cut from here on (`rebalancing`); those on their way Faust waits for.
        """
        for part in list(self.parts.values()):
            async with part.sending:
                pass
        await asyncio.to_thread(self.membership.leave_if_taken)

    def _rebuilt(self, mine: list[int], generation: int) -> dict[int, TagPartition]:
        """Return the partitions from their snapshots, what is committed, and the journal behind them."""
        parts: dict[int, TagPartition] = {}
        starts: dict[int, int] = {}
        journal = self.settings.topic("journal")
        reader = tail.consumer(self.settings, "tail")
        try:
            for number in mine:
                restore = partial(TagPartition.restored, number)
                low, end = tail.bounds(reader, journal, number)
                found = self.snapshots.newest(number, restore, end=end)
                label, part = found or (0, TagPartition(number))
                part.generation, part.journal_end = generation, label
                part.tally.loaded(label)
                parts[number] = part
                starts[number] = label if label < low else max(low, label - REMEMBERED_FRAMES)
            self._place(reader, parts)
        finally:
            reader.close()

        def take(message: Message) -> None:
            part = parts[message.partition() or 0]
            entries = codec.decode_frame(message.value() or b"")
            if (message.offset() or 0) < part.journal_end:
                part.remember(entries)
            else:
                part.replay(entries)

        for number, end in tail.read(self.settings, journal, starts, take).items():
            parts[number].journal_end = end
        return parts

    def _place(self, reader: Consumer, parts: dict[int, TagPartition]) -> None:
        """Find where each source goes on: after what is committed or, by its snapshot, safe."""
        places = [TopicPartition(name, number) for name in self.topics for number in parts]
        group = Consumer(
            self.settings.confluent(**{"group.id": self.settings.group(STAGE), "enable.auto.commit": False}),
            logger=logs.KAFKA,
        )
        try:
            committed = {(at.topic, at.partition): at.offset for at in group.committed(places, timeout=20)}
        finally:
            group.close()
        for name, topic in self.topics.items():
            for number, part in parts.items():
                low, end = tail.bounds(reader, name, number)
                start = max(part.safe[topic], committed[name, number])
                if start > end:
                    raise RuntimeError(
                        f"expected {name} {number} to reach {start}, it ends at {end}: made anew?"
                    )
                if start < low:
                    lost = f"LOST: {name} {number} begins at {low}, expected {start}: expired unread"
                    place: dict[str, Any] = {"topic": topic, "partition": number, "offset": start}
                    worker.log(STAGE, lost, level=logging.ERROR, **place)
                part.next[topic] = part.safe[topic] = max(start, low)

    def _seek(self, assignment: set[TP]) -> dict[TP, int]:
        return {
            tp: self.parts[tp.partition].next[self.topics[tp.topic]]
            for tp in assignment
            if tp.topic in self.topics and tp.partition in self.parts
        }

    # ---- reference data -----------------------------------------------------------------------------

    async def _follow_reference(self) -> None:
        await worker.guarded(STAGE, self.app, self._reference_loop())

    async def _reference_loop(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(REFERENCE_SECONDS)
            await self._read_reference()

    async def _read_reference(self) -> None:
        async with self.reading:
            began, failed = time.monotonic(), False
            while True:
                try:
                    facts, rulebook = await asyncio.to_thread(self.reference.fresh)
                    break
                except KafkaException as error:  # the broker is away: nothing is tagged until it answers
                    if not failed:
                        worker.log(STAGE, f"reference data cannot be read, trying on: {error}")
                    failed = True
                    await asyncio.sleep(REFERENCE_SECONDS)
                    if self.app.should_stop:
                        return
            # No await from here on: a role and the fact behind it stay in the journal's order.
            for refusal in self.reference.refused:
                worker.log(STAGE, refusal)
            self.reference.refused.clear()
            self.facts.update(facts)
            for fact in facts.values():
                self.directory.add(fact)
            if rulebook is not None:
                self.rulebook = rulebook
                self.tagger.max_future = rulebook.venue.max_future
            for part in self.parts.values():
                part.learn(facts, self.rulebook)
            self.reference_read = began

    # ---- records ------------------------------------------------------------------------------------

    async def _agent(self, stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            message = event.message
            try:
                while self.reference_read < message.value.received:
                    await self._read_reference()
                part = self.parts.get(message.partition)
                if part is None or message.generation_id != part.generation:
                    continue
                self._take(part, self.topics[message.topic], message.value)
                if len(part.out) >= FRAME_ENTRIES:
                    await self._flush(part)
                while len(part.frames) > IN_FLIGHT and self.parts.get(part.number) is part:
                    await asyncio.sleep(0.002)
            except Exception:
                worker.die(STAGE)

    def _take(self, part: TagPartition, topic: str, records: Any) -> None:
        """Take source messages in order; those that follow a recording's end wait for the other topics."""
        for number, record in enumerate(records):
            end = _end(record)
            marker = part.markers.get(topic)
            if marker is not None:
                if end is None or end.of != marker.of or topic in part.waiting:
                    part.waiting.setdefault(topic, []).extend(records[number:])
                    return
                part.mark(topic, end)  # the same end, once more
            elif end is not None:
                part.mark(topic, end)
                for name, waiting in part.end_recording().items():
                    self._take(part, name, waiting)
            else:
                tagged = self.tagger.tag(topic, record.value, part.number, record.offset, record.timestamp)
                for entry, raw in tagged:
                    part.take(self._judged(entry, raw, part.number), raw, record.timestamp)
                part.took(topic, record.offset, record.timestamp)
        for instrument, seq in part.sequencer.restarted.items():
            text = SERIES_ANEW.format(instrument=instrument, seq=seq)
            worker.log(STAGE, text, level=logging.WARNING, instrument=instrument, seq=seq)
            self.series_anew += 1
        part.sequencer.restarted.clear()
        part.drain()

    def _judged(
        self, entry: EventEntry | RefusedEntry, raw: bytes, partition: int
    ) -> EventEntry | RefusedEntry:
        """Refuse a record of an instrument that lives on another partition, and one that is too large.

        An instrument lives where Java's client puts the key that is its name (SPEC.md 2.1), whatever the
        record's key says: a rule without memory, so that one stray record cannot move an instrument.
        """
        if len(raw) > RECORD_BYTES:
            detail = (
                f"expected a record of at most {RECORD_BYTES} bytes, got {len(raw)}; the first are kept here"
            )
            return RefusedEntry(src=entry.src, reason="bad_value", detail=detail, raw=raw[: 1 << 20])
        if isinstance(entry, RefusedEntry):
            return entry
        home = _partition_of(entry.instrument, self.partitions)
        if home == partition:
            return entry
        if self.mismatches % MISMATCHES_TOLD == 0:
            worker.log(
                STAGE,
                f"partition_mismatch: {entry.instrument} belongs on partition {home}, came on {partition}; "
                f"{self.mismatches + 1} so far: do all producers hash keys with murmur2?",
                level=logging.WARNING,
                **logs.identity(entry),
            )
        self.mismatches += 1
        return RefusedEntry(
            src=entry.src,
            reason="partition_mismatch",
            detail=f"expected on partition {home}; do all producers hash keys with murmur2?",
            raw=raw,
            instrument=entry.instrument,
            seq=entry.seq,
            ts=entry.ts,
        )

    def _read_past(self, part: TagPartition) -> None:
        """A source that is read to its end is read past the time of the fetch that said so."""
        consumer = apps.consumer(self.app)
        for name, topic in self.topics.items():
            state = consumer.fetch_state(TP(name, part.number))
            if state is not None and part.next[topic] >= state.end:
                part.read_past[topic] = max(part.read_past.get(topic, 0), state.time - SLACK)

    # ---- frames -------------------------------------------------------------------------------------

    async def _flush_loop(self, part: TagPartition) -> None:
        while self.parts.get(part.number) is part and not self.app.should_stop:
            await asyncio.sleep(FLUSH_SECONDS)
            self._read_past(part)
            if part.end_missing():
                worker.log(
                    STAGE,
                    f"partition {part.number}: a recording's end came on {', '.join(part.markers)} only: "
                    "given up; was its feed stopped?",
                )
                for name, waiting in part.give_up_end().items():
                    self._take(part, name, waiting)
            part.advance(self.rulebook.venue)
            if part.out:
                await self._flush(part)
            elif part.idle():
                self._make_safe(part, part.low())

    async def _flush(self, part: TagPartition) -> None:
        async with part.sending:  # two callers: frames must be sent in the order in which they were cut
            while part.out and not self.app.rebalancing and self.parts.get(part.number) is part:
                started = time.monotonic()
                due = started >= part.snapshot_due
                frames = part.cut(snapshot=due)
                if frames[-1].snapshot is not None:
                    now = time.monotonic()
                    part.snapshot_due = now + max(SNAPSHOT_SECONDS, SNAPSHOT_SHARE * (now - started))
                for frame in frames:
                    future = await self.journal.send(partition=part.number, key=b"", value=frame.data)
                    part.frames.append((future, frame))

    async def _acknowledge_loop(self, part: TagPartition) -> None:
        while self.parts.get(part.number) is part and not self.app.should_stop:
            if not part.frames:
                await asyncio.sleep(FLUSH_SECONDS / 2)
                continue
            future, frame = part.frames[0]
            acknowledged = await future
            if self.parts.get(part.number) is not part:
                return
            if acknowledged.offset != part.journal_end and not part.foreign:
                part.foreign = True
                worker.log(
                    STAGE,
                    f"FOREIGN WRITER: journal {part.number}: expected offset {part.journal_end}, got "
                    f"{acknowledged.offset}; no more snapshots of it until this worker is started again",
                    level=logging.ERROR,
                    topic="journal",
                    partition=part.number,
                    offset=acknowledged.offset,
                )
            part.journal_end = acknowledged.offset + 1
            if frame.safe is not None:
                self._make_safe(part, frame.safe)
            if frame.snapshot is not None and not part.foreign:
                began = time.monotonic()
                end, data = part.journal_end, frame.snapshot
                if await asyncio.to_thread(self.snapshots.write, part.number, end, data):
                    part.tally.wrote(end, len(data), time.monotonic() - began)
            part.frames.popleft()

    def _make_safe(self, part: TagPartition, low: dict[str, int]) -> None:
        part.make_safe(low)
        if part.generation == self.app.consumer_generation_id:
            consumer = apps.consumer(self.app)
            for topic, offset in low.items():
                consumer.safe[TP(self.settings.topic(topic), part.number)] = offset


async def _settled(part: TagPartition) -> None:
    """Wait until what a partition given up has sent is in the journal, so that its end is known."""
    async with part.sending:
        await asyncio.gather(*(future for future, _frame in part.frames), return_exceptions=True)


@lru_cache(maxsize=100_000)
def _partition_of(instrument: str, partitions: int) -> int:
    return (int(murmur2(instrument.encode())) & 0x7FFFFFFF) % partitions


def _end(record: Any) -> End | None:
    """Return what a control record that ends a recording says; None for any other record."""
    if record.value or not record.headers:
        return None
    headers = dict(record.headers)
    clock = headers.get(feed.CLOCK_HEADER)
    if clock is None or not clock.isdigit() or len(clock) >= 20:
        return None
    of = (headers.get(feed.END_HEADER) or clock).decode("utf-8", "replace")
    return End(int(clock), of, record.offset, record.timestamp * 1_000_000)


def run_tag(settings: Settings) -> None:
    """Run the tag worker until SIGTERM; does not return, the process ends with a status.

    Status 0 after SIGTERM, 1 where one runs already or the topics are wrong, 4 after an error of its own.
    """
    snapshots = worker.snapshot_store(settings, STAGE)
    with worker.membership(settings, STAGE) as place:
        tag = TagWorker(settings, snapshots, place)
        with Watch(settings, STAGE, place.slot, partial(stages.tag, tag)) as watch:
            tag.app.task(watch.beating)
            apps.run(tag.app)
