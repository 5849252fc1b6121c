"""The state of one partition of the tag stage: what is held, what is journaled, what may be committed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from detectors.rulebook import Rulebook, Venue
from detectors.sequence import Sequence, Verdict
from schemas import codec
from schemas.events import SOURCE_TOPICS
from schemas.journal import (
    ClockEntry,
    Entry,
    EventEntry,
    OrderEntry,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    RulebookEntry,
    TradeEntry,
)
from schemas.reference import Fact, fact_id
from streams.sequencer import Sequencer
from streams.watch.tally import Tally

END_WAIT = 30_000_000_000  # ns by the broker's clock: how long one topic's end waits for the others'
CLOCK_EVERY = 1_000_000_000  # ns
QUIET_AFTER_LAG = 60_000_000_000  # ns without a record that came later than gap_timeout: then clocks go on
FRAME_ENTRIES = 500
FRAME_BYTES = 900_000


class TagSnapshot(msgspec.Struct):
    """What a snapshot of a partition holds.

    `safe`: by source topic, the offset below which everything is journaled; `done`: what is journaled beyond
    it, as (offset, index). `live`: clocks follow the broker's; `clock`: the latest one promised; `ended`: the
    clock of a recording's end, if nothing came after it.
    """

    sequences: dict[str, Sequence]
    safe: dict[str, int]
    done: dict[str, list[tuple[int, int]]]
    facts: list[str]
    rulebook: str
    live: bool
    clock: int
    ended: int | None


@dataclass
class Frame:
    """Journal entries on their way: encoded, with what holds once they are acknowledged.

    `safe` is None unless the frame empties the partition's queue; `snapshot` is of the state just after it.
    """

    data: bytes
    safe: dict[str, int] | None = None
    snapshot: bytes | None = None


class End(NamedTuple):
    """The end of a recording on a topic: its latest `ts`, which recording, where it stands, and since when.

    Feeds of before did not say which: there it is the one that ends at this `ts`.
    """

    clock: int
    of: str
    offset: int
    appended: int  # ns, by the broker's clock


@dataclass
class TagPartition:
    """Everything the tag worker knows of one partition; built from a snapshot and the journal behind it.

    `next` is the next offset to take, by source topic. A topic in `markers` has delivered the end of a
    recording and waits for the other two; what follows it meanwhile is kept in `waiting`. Where the others'
    do not come (whoever fed the recording died on the way), the end is given up: at once where the others
    have a later recording's.
    """

    number: int
    generation: int = 0
    sequencer: Sequencer = field(default_factory=Sequencer)
    next: dict[str, int] = field(default_factory=dict)
    safe: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SOURCE_TOPICS, 0))
    done: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: {t: set() for t in SOURCE_TOPICS})
    facts: set[str] = field(default_factory=set)
    rulebook: str = ""
    live: bool = False
    clock: int = 0
    ended: int | None = None
    lagged: int = 0  # append time of the last record that came later than gap_timeout
    read_past: dict[str, int] = field(default_factory=dict)
    markers: dict[str, End] = field(default_factory=dict)
    marked: int = 0  # append time of the latest marker
    waiting: dict[str, list[Any]] = field(default_factory=dict)
    out: list[Entry] = field(default_factory=list)
    frames: deque[tuple[Any, Frame]] = field(default_factory=deque)  # sent, with the acknowledgement to come
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    journal_end: int = 0
    foreign: bool = False  # somebody else writes to this journal partition
    snapshot_due: float = 0.0
    tally: Tally = field(default_factory=Tally)

    # ---- rebuilding ---------------------------------------------------------------------------------

    @classmethod
    def restored(cls, number: int, data: bytes) -> TagPartition:
        """Return the partition of a snapshot. Raises if it is none of this form."""
        snapshot = codec.decode(data, type=TagSnapshot)
        return cls(
            number,
            sequencer=Sequencer.from_state(snapshot.sequences),
            safe={topic: snapshot.safe[topic] for topic in SOURCE_TOPICS},
            done={topic: set(snapshot.done[topic]) for topic in SOURCE_TOPICS},
            facts=set(snapshot.facts),
            rulebook=snapshot.rulebook,
            live=snapshot.live,
            clock=snapshot.clock,
            ended=snapshot.ended,
        )

    def replay(self, entries: list[Entry]) -> None:
        """Learn from a frame of the journal what has been journaled."""
        states = self.sequencer.states()
        for entry in entries:
            self._note(entry)
            if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
                sequence = states.get(entry.instrument)
                if sequence is None:
                    sequence = states[entry.instrument] = Sequence()
                    self.sequencer.adopt(entry.instrument, sequence)
                if sequence.classify(entry.seq) in (Verdict.APPLY, Verdict.LATE):
                    self.sequencer.remember(entry)

    def remember(self, entries: list[Entry]) -> None:
        """Learn from a frame before the snapshot what its events say: a duplicate may still come."""
        for entry in entries:
            if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
                self.sequencer.remember(entry)

    def _note(self, entry: Entry) -> None:
        """Remember that an entry is in the journal, or will be: it is on its way, in order."""
        if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry | RefusedEntry):
            if entry.src.offset >= self.safe[entry.src.topic]:
                self.done[entry.src.topic].add((entry.src.offset, entry.src.index))
            self.ended = None
        elif isinstance(entry, ClockEntry):
            self.clock = max(self.clock, entry.ts)
            self.live = not entry.end
            self.ended = entry.ts if entry.end else None
        elif isinstance(entry, ReferenceEntry):
            self.facts.add(fact_id(entry.fact))
        else:
            self.rulebook = entry.digest

    # ---- taking records -----------------------------------------------------------------------------

    def take(self, entry: EventEntry | RefusedEntry, raw: bytes, append_ts_ms: int) -> None:
        """Sequence one record, unless this very record, by its place, is journaled already."""
        src = entry.src
        if src.offset < self.safe[src.topic] or (src.offset, src.index) in self.done[src.topic]:
            return
        if isinstance(entry, RefusedEntry):
            self.sequencer.refuse(entry)
        else:
            arrival = append_ts_ms * 1_000_000
            if arrival - entry.ts > self.sequencer.gap_timeout:
                self.lagged = arrival
            else:
                self.live = True
            self.sequencer.offer(entry, arrival, raw)

    def took(self, topic: str, offset: int, append_ts_ms: int) -> None:
        """A source message has been taken whole."""
        self.next[topic] = offset + 1
        self.read_past[topic] = max(self.read_past.get(topic, 0), append_ts_ms * 1_000_000)

    def mark(self, topic: str, end: End) -> None:
        """A topic has delivered the end of a recording."""
        if end.offset >= self.safe[topic]:
            self.markers[topic] = end
            self.marked = max(self.marked, end.appended)
            self.next[topic] = end.offset  # to be read again after a crash, until all three are in
        else:
            self.next[topic] = end.offset + 1

    def end_recording(self) -> dict[str, list[Any]]:
        """Once all three topics are at the end: decide what is open. Returns the messages that waited.

        Topics that are at the end of an earlier recording, whose feed did not get to tell all, go on.
        """
        if len(self.markers) < len(SOURCE_TOPICS):
            return {}
        latest = max(self.markers.values(), key=lambda end: end.appended)
        if earlier := [topic for topic, end in self.markers.items() if end.of != latest.of]:
            return self._unmark(earlier)
        self.sequencer.finish()
        self.drain()
        ts = max(end.clock for end in self.markers.values())
        if self.ended != ts:  # else a crash came between the journal and the commit: it is said already
            self._say(ClockEntry(ts=ts, end=True))
        return self._unmark(list(self.markers))

    def end_missing(self) -> bool:
        """Return True if the end of a recording is on some topics and has had time to be on all."""
        late = self.marked + END_WAIT
        return bool(self.markers) and all(
            self.read_past.get(topic, 0) > late for topic in SOURCE_TOPICS if topic not in self.markers
        )

    def give_up_end(self) -> dict[str, list[Any]]:
        """Go on as if no recording had ended. Returns the messages that waited."""
        return self._unmark(list(self.markers))

    def _unmark(self, topics: list[str]) -> dict[str, list[Any]]:
        for topic in topics:
            self.next[topic] = self.markers.pop(topic).offset + 1
        return {topic: self.waiting.pop(topic) for topic in topics if topic in self.waiting}

    def advance(self, venue: Venue) -> None:
        """Give up gaps, and promise a clock, as far as all three sources have been read."""
        self.sequencer.gap_timeout = venue.gap_timeout
        if len(self.read_past) == len(SOURCE_TOPICS):
            read_past = min(self.read_past.values())
            self.sequencer.give_up(read_past)
            self.drain()
            clock = read_past - venue.gap_timeout
            timely = self.live and (not self.lagged or read_past > self.lagged + QUIET_AFTER_LAG)
            if timely and clock >= self.clock + CLOCK_EVERY:
                clock = min(clock, self.sequencer.held_before())
                if clock >= self.clock + CLOCK_EVERY:
                    self._say(ClockEntry(ts=clock))
        self.drain()

    def _say(self, entry: Entry) -> None:
        self.out.append(entry)
        self._note(entry)

    def learn(self, facts: Mapping[str, Fact], rulebook: Rulebook) -> None:
        """Journal what the partition does not have yet of the facts (by id) and the rulebook."""
        self.drain()
        for key, fact in facts.items():
            if key not in self.facts:
                self._say(ReferenceEntry(fact=fact))
        if rulebook.digest != self.rulebook:
            self._say(RulebookEntry(digest=rulebook.digest, text=rulebook.text))

    def drain(self) -> None:
        """Take over what the sequencer has let out."""
        for entry in self.sequencer.out:
            self._say(entry)
        self.sequencer.out.clear()

    # ---- frames -------------------------------------------------------------------------------------

    def idle(self) -> bool:
        """Return True if everything taken is held or acknowledged."""
        return not self.out and not self.frames and not self.sending.locked()

    def cut(self, *, snapshot: bool) -> list[Frame]:
        """Take the next entries off `out` as frames; the last one knows what is safe if nothing is left.

        `snapshot`: add one of the state just after it, if nothing is left.
        """
        entries, self.out = self.out[:FRAME_ENTRIES], self.out[FRAME_ENTRIES:]
        frames = [Frame(data) for data in encoded(entries)]
        self.tally.frame(entries, sum(len(frame.data) for frame in frames))
        if not self.out:
            frames[-1].safe = self.low()
            if snapshot and not self.foreign:
                frames[-1].snapshot = codec.encode(self._snapshot(self.low()))
        return frames

    def low(self) -> dict[str, int]:
        """Return, by source topic, what may be committed once all that left `out` is acknowledged."""
        held = self.sequencer.held_offsets()
        return {topic: min(offset, held.get(topic, offset)) for topic, offset in self.next.items()}

    def make_safe(self, low: dict[str, int]) -> None:
        """Everything below `low` is in the journal."""
        for topic, offset in low.items():
            if offset > self.safe[topic]:
                self.safe[topic] = offset
                if len(self.done[topic]) > 2 * FRAME_ENTRIES:
                    self.done[topic] = {place for place in self.done[topic] if place[0] >= offset}

    def _snapshot(self, low: dict[str, int]) -> TagSnapshot:
        safe = {topic: max(offset, low.get(topic, 0)) for topic, offset in self.safe.items()}
        return TagSnapshot(
            sequences=self.sequencer.states(),
            safe=safe,
            done={
                topic: sorted(place for place in places if place[0] >= safe[topic])
                for topic, places in self.done.items()
            },
            facts=sorted(self.facts),
            rulebook=self.rulebook,
            live=self.live,
            clock=self.clock,
            ended=self.ended,
        )


def encoded(entries: list[Entry]) -> list[bytes]:
    """Return entries as frames of at most FRAME_BYTES, unless a single entry is larger."""
    data = codec.encode_frame(entries)
    if len(data) <= FRAME_BYTES or len(entries) == 1:
        return [data]
    middle = len(entries) // 2
    return encoded(entries[:middle]) + encoded(entries[middle:])
