"""Tag and detect without a broker: the workers' own partitions, their topics lists.

What is called is what the agents call, in their order: `TagWorker._take` on source messages, frames cut and
encoded, then `DetectPartition.apply` on each frame. Reference facts and the rulebook go through the journal.
`tagged` and `judged` run straight through; `detecting` yields after every step that others can see, so that
it can be crashed there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import factorial, prod
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from detectors.affiliation import Directory
from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from detectors.runner import Output, Runner
from schemas import codec
from schemas.events import SOURCE_TOPICS
from schemas.journal import Entry
from schemas.reference import Fact, fact_id
from streams.detect_worker import OUTPUTS, DetectPartition, Owed
from streams.feed import CLOCK_HEADER, END_HEADER
from streams.tag_partition import TagPartition
from streams.tag_worker import TagWorker, _partition_of
from streams.tagger import Tagger

LONG_AGO = 1 << 44  # ms: an append time late enough for any `ts`
Lines = Mapping[str, Sequence[bytes]]  # by source topic, each in its order
Order = Sequence[str]  # topics, one for each message delivered


class Segment(NamedTuple):
    """Messages that come before those of the next one. Then, with `passes`, so much time goes by that gaps
    are given up; with `clock`, all sources are read exactly past it.
    """

    lines: Lines
    passes: bool = False
    clock: int | None = None


# ---- source topics ----------------------------------------------------------------------------------------


def message(value: bytes, offset: int, append_ms: int = LONG_AGO) -> Any:
    """A source message as the consumer hands it on."""
    return SimpleNamespace(value=value, offset=offset, headers=(), key=b"", timestamp=append_ms)


def end_of_recording(offset: int, latest: int, of: str = "", append_ms: int = LONG_AGO) -> Any:
    """The message with which a feed ends a recording on a partition of a topic; no `of`: an older feed."""
    end = message(b"", offset, append_ms)
    end.headers = ((CLOCK_HEADER, str(latest).encode()), *([(END_HEADER, of.encode())] if of else []))
    return end


def latest_ts(lines: Lines) -> int:
    """Return the greatest `ts` of the records, those in arrays too."""
    records = (
        record
        for topic in SOURCE_TOPICS
        for line in lines[topic]
        for record in (codec.split_array(line) if line.lstrip().startswith(b"[") else [line])
    )
    return max((codec.place_of(record).ts or 0 for record in records), default=0)


def placed(lines: Lines, partitions: int) -> list[dict[str, list[bytes]]]:
    """Return the lines of each partition: where a feed puts them, by their instrument."""
    found: list[dict[str, list[bytes]]] = [{t: [] for t in SOURCE_TOPICS} for _ in range(partitions)]
    for topic in SOURCE_TOPICS:
        for line in lines[topic]:
            first = codec.split_array(line)[:1] if line.lstrip().startswith(b"[") else [line]
            instrument = codec.peek(first[0]).instrument if first else None
            home = _partition_of(instrument, partitions) if instrument else 0
            found[home][topic].append(line)
    return found


def arrangements(counts: Mapping[str, int], most: int, seed: str) -> Iterator[Order]:
    """Return ways for topics with so many messages each to arrive, each topic in its own order.

    All of them if there are at most `most`; else each topic after and before all else, and others by seed.
    """
    topics = [topic for topic in SOURCE_TOPICS if counts[topic]]
    ways = factorial(sum(counts.values())) // prod(factorial(count) for count in counts.values())
    if ways <= most:
        yield from _all(counts)
        return
    chosen = [
        tuple(name for topic in order for name in [topic] * counts[topic])
        for topic in topics
        for order in (
            [topic, *(t for t in topics if t != topic)],
            [*(t for t in topics if t != topic), topic],
        )
    ]
    draw = random.Random(seed)
    while len(chosen) < most:
        everything = [topic for topic in topics for _ in range(counts[topic])]
        draw.shuffle(everything)
        chosen.append(tuple(everything))
    yield from dict.fromkeys(chosen[:most])


def _all(counts: Mapping[str, int]) -> Iterator[Order]:
    if not any(counts.values()):
        yield ()
        return
    for topic in counts:
        if counts[topic]:
            for rest in _all({**counts, topic: counts[topic] - 1}):
                yield (topic, *rest)


# ---- tag --------------------------------------------------------------------------------------------------


def tag_worker(facts: Iterable[Fact], partitions: int = 1) -> TagWorker:
    """Return a tag worker without its Faust app."""
    worker = TagWorker.__new__(TagWorker)
    worker.tagger = Tagger(Directory(list(facts)))
    worker.partitions, worker.mismatches = partitions, 0
    return worker


@dataclass
class Tagging:
    """One partition's tagging: what is delivered in which order, what happens in between."""

    worker: TagWorker
    part: TagPartition
    rulebook: Rulebook
    frames: list[bytes] = field(default_factory=list)

    @classmethod
    def fresh(cls, number: int, partitions: int, facts: Iterable[Fact], rulebook: Rulebook) -> Tagging:
        """Return the partition as a worker has it at its first start: facts and rulebook are journaled."""
        known = {fact_id(fact): fact for fact in facts}
        part = TagPartition(number, next=dict.fromkeys(SOURCE_TOPICS, 0))
        part.learn(known, rulebook)
        tagging = cls(tag_worker(known.values(), partitions), part, rulebook)
        tagging.worker.tagger.max_future = rulebook.venue.max_future
        return tagging

    def run(self, segments: Iterable[tuple[Segment, Order]], *, latest: int) -> list[bytes]:
        """Deliver each segment in its order, then the recording's end; return the journal's frames."""
        for segment, order in segments:
            lines = {topic: iter(segment.lines[topic]) for topic in SOURCE_TOPICS}
            for topic in order:
                self.deliver(topic, message(next(lines[topic]), self.part.next[topic]))
            self._happens(segment)
        for topic in SOURCE_TOPICS:
            self.deliver(topic, end_of_recording(self.part.next[topic], latest))
        return self.frames

    def deliver(self, topic: str, *messages: Any) -> None:
        """Take messages, as the agent does, and send what is due, as the flush loop does."""
        self.worker._take(self.part, topic, list(messages))
        self._flush()

    def _flush(self) -> None:
        self.part.advance(self.rulebook.venue)
        while self.part.out:
            self.frames += [frame.data for frame in self.part.cut(snapshot=False)]

    def _happens(self, segment: Segment) -> None:
        past = LONG_AGO * 1_000_000
        if segment.clock is not None:
            self.part.live, self.part.lagged = True, 0  # as if records had come as they happened
            past = segment.clock
        elif not segment.passes:
            return
        past += self.rulebook.venue.gap_timeout
        before, self.part.read_past = self.part.read_past, dict.fromkeys(SOURCE_TOPICS, past)
        self._flush()
        self.part.live, self.part.read_past = False, before


def whole(lines: Lines) -> list[tuple[Segment, Order]]:
    """Return lines as the one segment that they are, topic after topic."""
    return [(Segment(lines), [topic for topic in SOURCE_TOPICS for _ in lines[topic]])]


def tagged(lines: Lines, facts: Sequence[Fact], rulebook_text: str, partitions: int = 1) -> list[list[bytes]]:
    """Return the journal of each partition that has a record, of topics that come one after the other."""
    rulebook = Rulebook.parse(rulebook_text, PARAMETERS)
    latest = latest_ts(lines)
    return [
        Tagging.fresh(number, partitions, facts, rulebook).run(whole(own), latest=latest)
        for number, own in enumerate(placed(lines, partitions))
        if any(own.values()) or partitions == 1
    ]


# ---- detect -----------------------------------------------------------------------------------------------


def judged(frames: Sequence[bytes], number: int = 0) -> list[Owed]:
    """Return what a detect partition publishes for a journal, in order."""
    part = DetectPartition(number, 0, Runner(strict=True), dict.fromkeys(OUTPUTS, 0))
    for offset, frame in enumerate(frames):
        part.apply(frame, offset, "run")
    return part.owed


def output(owed: Owed) -> Output:
    """Return what a published message says."""
    return codec.decode_alert(owed.value) if owed.topic == "alerts" else codec.decode_metric(owed.value)


def entries(frames: Iterable[bytes]) -> list[Entry]:
    """Return a journal's entries."""
    return [entry for frame in frames for entry in codec.decode_frame(frame)]


# ---- detect, to be crashed --------------------------------------------------------------------------------


@dataclass
class World:
    """What outlives a crash: the journal, what was published (ce_id, content), the snapshots, the commit."""

    journal: list[bytes]
    topics: dict[str, list[tuple[str, bytes]]] = field(default_factory=lambda: {name: [] for name in OUTPUTS})
    snapshots: list[tuple[int, bytes]] = field(default_factory=list)
    committed: int = 0

    def again(self) -> World:
        """The same journal, nothing done yet."""
        return World(self.journal)

    def copy(self) -> World:
        """The same, to go on from here in another way."""
        topics = {name: list(messages) for name, messages in self.topics.items()}
        return World(self.journal, topics, list(self.snapshots), self.committed)

    def published(self) -> dict[str, list[tuple[str, bytes]]]:
        """What was published, in an order that does not matter."""
        return {name: sorted(messages) for name, messages in self.topics.items()}


def detecting(world: World, *, frames: int = 2, ahead: bool = True, forgetful: bool = False) -> Iterator[str]:
    """Judge what there is, from what a crash left; yields after every step that leaves a trace.

    A snapshot is taken every so many `frames`; `ahead`: the agent has applied one more by the time it is
    written. `forgetful`: write the snapshot before what is owed for it is sent, as must not be.
    """
    if world.snapshots:
        label, state = world.snapshots[-1]
        part = DetectPartition.restored(0, state)
        part.label = part.written = label
    else:
        part = DetectPartition(0, 0, Runner(strict=True), dict.fromkeys(OUTPUTS, 0))
    for name in OUTPUTS:
        part.said |= {identity for identity, _content in world.topics[name][part.ends[name] :]}
        part.ends[name] = len(world.topics[name])
    while part.label < len(world.journal):
        for _frame in range(frames):
            if part.label < len(world.journal):
                part.apply(world.journal[part.label], part.label, "run")
        yield "applied"
        label, owed, snapshot = part.state()
        if ahead and part.label < len(world.journal):  # the agent does not wait for the snapshot
            part.apply(world.journal[part.label], part.label, "run")
        if forgetful:
            world.snapshots.append((label, msgspec.msgpack.encode(snapshot)))
            yield "snapshot too soon"
        while part.unsent:
            one = part.unsent[0]
            topic = world.topics[one.topic]
            topic.append((one.headers["ce_id"].decode(), one.value))
            one.acknowledged = len(topic) - 1
            part.unsent.popleft()
            yield "sent"
        for one in owed:
            part.ends[one.topic] = max(part.ends[one.topic], one.acknowledged + 1)
        world.snapshots.append((label, msgspec.msgpack.encode(snapshot)))
        yield "snapshot"
        world.committed = label
        yield "committed"


def finished(world: World) -> dict[str, list[tuple[str, bytes]]]:
    """Run to the end; return what was published."""
    for _step in detecting(world):
        pass
    return world.published()


def crashed(world: World, after: int, *, forgetful: bool = False) -> bool:
    """Run until step `after` and stop there; False if it ended before."""
    return any(number == after for number, _step in enumerate(detecting(world, forgetful=forgetful), 1))
