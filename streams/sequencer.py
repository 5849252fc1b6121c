"""Puts one partition's records into one order per instrument. Pure: no I/O; time is the caller's."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush

from detectors.sequence import Sequence, Verdict
from schemas.codec import content_hash
from schemas.journal import EventEntry, RefusedEntry, RefusedReason, Source

REMEMBERED = 100_000  # content hashes kept an instrument
RESTARTED = 50  # refused records in a row, each later by its time than all that went out: a series anew


class _Instrument:
    """What is held back of one instrument, and what its last records said."""

    __slots__ = ("_arrivals", "_seqs", "hashes", "held", "newest", "refused", "restarted", "sequence")

    def __init__(self, sequence: Sequence | None = None) -> None:
        self.sequence = sequence or Sequence()
        self.held: dict[int, tuple[EventEntry, int]] = {}
        self.hashes: OrderedDict[int, tuple[int, Source]] = OrderedDict()
        self.refused: list[RefusedEntry] = []  # of an instrument not started: a finding needs its market
        self.newest = 0  # ts, of what went out
        self.restarted = 0  # how many in a row are refused by their seq, each of a later ts than that
        # heaps beside `held`, pruned when read: a record with many gaps must not cost a scan for each
        self._seqs: list[int] = []
        self._arrivals: list[tuple[int, int]] = []

    def hold(self, entry: EventEntry, arrival: int) -> None:
        """Keep a record back until what lies below it has come or is given up."""
        self.held[entry.seq] = (entry, arrival)
        heappush(self._seqs, entry.seq)
        heappush(self._arrivals, (arrival, entry.seq))

    def remember(self, entry: EventEntry) -> None:
        """Keep the hash of what an entry says."""
        self.hashes[entry.seq] = (content_hash(entry), entry.src)
        if len(self.hashes) > REMEMBERED:
            self.hashes.popitem(last=False)

    def prune(self) -> None:
        """Forget the heaps once nothing is held."""
        if not self.held:
            self._seqs.clear()
            self._arrivals.clear()

    def lowest(self) -> int | None:
        """Return the lowest seq held."""
        while self._seqs and self._seqs[0] not in self.held:
            heappop(self._seqs)
        return self._seqs[0] if self._seqs else None

    def gap_seen(self) -> int | None:
        """Return the earliest arrival of what is held: when the lowest gap was first known to be one."""
        while self._arrivals and self._arrivals[0][1] not in self.held:
            heappop(self._arrivals)
        return self._arrivals[0][0] if self._arrivals else None


class Sequencer:
    """Next seq: out. In an open gap: out, late. Above: held until the gap is filled or given up. Below: a
    redelivery (same source: dropped and counted), a duplicate or a conflict (refused, with its bytes).

    `out` is the journal's order. `restarted` has, by instrument, the seq of the record at which a series
    seems to have begun anew (RESTARTED refusals in a row), for the caller to tell and take away.
    `gap_timeout` in ns, against times the caller gives (append or event time), never a wall clock. `raw` of a
    refused duplicate is what the caller passes to `offer`.
    """

    def __init__(self, gap_timeout: int = 3_000_000_000) -> None:
        self.gap_timeout = gap_timeout
        self.out: list[EventEntry | RefusedEntry] = []
        self.redelivered = 0
        self.given_up = 0  # gaps
        self.restarted: dict[str, int] = {}
        self._instruments: dict[str, _Instrument] = {}

    @classmethod
    def from_state(cls, states: dict[str, Sequence], gap_timeout: int = 3_000_000_000) -> Sequencer:
        """Return a Sequencer that goes on where the journal ends."""
        sequencer = cls(gap_timeout)
        sequencer._instruments = {name: _Instrument(state) for name, state in states.items()}
        return sequencer

    def states(self) -> dict[str, Sequence]:
        """Return the journal rule's state of every instrument started: what a snapshot keeps."""
        return {name: item.sequence for name, item in self._instruments.items() if item.sequence.started}

    def adopt(self, instrument: str, sequence: Sequence) -> None:
        """Go on with an instrument from a state read off the journal."""
        self._instruments[instrument] = _Instrument(sequence)

    def remember(self, entry: EventEntry) -> None:
        """Note the content of an entry that the journal holds, so that another with its seq is compared."""
        item = self._instruments.get(entry.instrument)
        if item is not None:
            item.remember(entry)

    def held_before(self) -> int:
        """Return a time before every `ts` held back: no clock may promise beyond it."""
        return min(
            (entry.ts - 1 for item in self._instruments.values() for entry, _arrival in item.held.values()),
            default=1 << 62,
        )

    def refuse(self, entry: RefusedEntry) -> None:
        """Pass a refused record on: it has no place in the order."""
        self.out.append(entry)

    def offer(self, entry: EventEntry, arrival: int, raw: bytes) -> None:
        """Take a record; `arrival` (ns) is its append time, or its event time in a recording."""
        item = self._instruments.get(entry.instrument)
        if item is None:
            item = self._instruments[entry.instrument] = _Instrument()
        sequence, seq = item.sequence, entry.seq
        if seq == sequence.last + 1 and (sequence.started or seq == 1):
            self._emit(item, entry)
            if item.held:
                self._drain(item)
            return
        if not sequence.started:
            self._hold(item, entry, arrival, raw)
            return
        verdict = sequence.peek(seq)
        if verdict is Verdict.LATE:
            self._emit(item, entry)
        elif verdict is Verdict.APPLY:
            self._hold(item, entry, arrival, raw)
        elif verdict is Verdict.EVICTED:
            self._refuse(item, entry, raw, "evicted", "came after its gap was forgotten")
        else:
            self._again(item, entry, raw, item.hashes.get(seq))

    def give_up(self, read_past: int) -> None:
        """Give up gaps seen `gap_timeout` before `read_past`, up to which every source has been read."""
        for item in self._instruments.values():
            while (seen := item.gap_seen()) is not None and seen + self.gap_timeout <= read_past:
                self._skip(item)

    def finish(self) -> None:
        """Give up every gap: nothing is still to come."""
        for item in self._instruments.values():
            while item.held:
                self._skip(item)

    def held_offsets(self) -> dict[str, int]:
        """Return the lowest offset still held, by source topic: what may not be committed yet."""
        low: dict[str, int] = {}
        for item in self._instruments.values():
            for source in (*(entry.src for entry, _ in item.held.values()), *(e.src for e in item.refused)):
                low[source.topic] = min(low.get(source.topic, source.offset), source.offset)
        return low

    def holding(self) -> bool:
        """Return True if anything is held."""
        return self.held() > 0

    def held(self) -> int:
        """Return how many records are held back."""
        return sum(len(item.held) for item in self._instruments.values())

    # ---- parts --------------------------------------------------------------------------------------

    def _emit(self, item: _Instrument, entry: EventEntry) -> None:
        entry.start = not item.sequence.started
        item.sequence.classify(entry.seq)
        item.newest = max(item.newest, entry.ts)
        item.restarted = 0
        item.remember(entry)
        self.out.append(entry)
        if item.refused:
            self.out.extend(item.refused)
            item.refused.clear()

    def _hold(self, item: _Instrument, entry: EventEntry, arrival: int, raw: bytes) -> None:
        held = item.held.get(entry.seq)
        if held is not None:
            self._again(item, entry, raw, (content_hash(held[0]), held[0].src))
            return
        item.hold(entry, arrival)

    def _drain(self, item: _Instrument) -> None:
        while (held := item.held.pop(item.sequence.last + 1, None)) is not None:
            self._emit(item, held[0])
        item.prune()

    def _skip(self, item: _Instrument) -> None:
        lowest = item.lowest()
        if lowest is not None:
            self.given_up += 1
            self._emit(item, item.held.pop(lowest)[0])
            self._drain(item)

    def _again(
        self, item: _Instrument, entry: EventEntry, raw: bytes, known: tuple[int, Source] | None
    ) -> None:
        if known is None:
            detail = "seq was there already; its content is no longer kept, so it could not be compared"
            self._refuse(item, entry, raw, "duplicate", detail)
        elif known[1] == entry.src:
            self.redelivered += 1
        elif known[0] == content_hash(entry):
            self._refuse(item, entry, raw, "duplicate", f"same as {_place(known[1])}")
        else:
            self._refuse(item, entry, raw, "conflict", f"same seq as {_place(known[1])}, other content")

    def _refuse(
        self, item: _Instrument, entry: EventEntry, raw: bytes, reason: RefusedReason, detail: str
    ) -> None:
        item.restarted = item.restarted + 1 if entry.ts > item.newest else 0
        if item.restarted == RESTARTED:
            self.restarted[entry.instrument] = entry.seq
        (self.out if item.sequence.started else item.refused).append(
            RefusedEntry(
                src=entry.src,
                reason=reason,
                detail=detail,
                raw=raw,
                instrument=entry.instrument,
                seq=entry.seq,
                ts=entry.ts,
            )
        )


def _place(source: Source) -> str:
    return f"{source.topic}:{source.partition}:{source.offset}:{source.index}"
