"""The journal rule: what one instrument's next seq means, given all that came before it in the journal.

Everybody who reads or writes the journal applies it (tag, detect, land, replay), so "late" and "gap" are
functions of the journal's order and never trusted from a writer. Source: DESIGN.md section 4.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum

import msgspec

MAX_GAPS = 10_000  # open gaps remembered an instrument; the oldest is evicted


class Verdict(IntEnum):
    """What to do with an entry."""

    APPLY = 0  # next in order; what it skipped is a new gap
    LATE = 1  # closes (part of) an open gap
    REPEAT = 2  # was there already: drop and count
    EVICTED = 3  # lies in a gap so old that it was forgotten: never applied silently


class Sequence(msgspec.Struct):
    """State of one instrument: `last` seq applied, and the open gaps as closed ranges, ascending.

    The first entry of an instrument opens the gap below it (1 to seq - 1), so that a lower seq is late and
    never a repeat. `skipped` is the range the latest APPLY skipped, or None.

    >>> sequence = Sequence()
    >>> [sequence.classify(seq).name for seq in (1, 2, 5, 3, 3, 5)]
    ['APPLY', 'APPLY', 'APPLY', 'LATE', 'REPEAT', 'REPEAT']
    >>> sequence.gaps
    [(4, 4)]
    """

    last: int = 0
    gaps: list[tuple[int, int]] = []
    evicted_to: int = 0  # greatest seq of an evicted gap
    started: bool = False
    first: int = 0  # seq of the first entry applied
    skipped: tuple[int, int] | None = None

    def peek(self, seq: int) -> Verdict:
        """Return the verdict on `seq` without applying it."""
        if seq > self.last or not self.started:
            return Verdict.APPLY
        if self._gap(seq) is not None:
            return Verdict.LATE
        return Verdict.EVICTED if seq <= self.evicted_to else Verdict.REPEAT

    def classify(self, seq: int) -> Verdict:
        """Return the verdict on `seq` and advance the state."""
        if seq == self.last + 1 and self.started:
            self.last = seq
            self.skipped = None
            return Verdict.APPLY
        verdict = self.peek(seq)
        if verdict is Verdict.APPLY:
            self.skipped = (self.last + 1, seq - 1) if self.started else None
            if not self.started:
                self.started, self.first = True, seq
            if seq > self.last + 1:
                self._open(self.last + 1, seq - 1)
            self.last = seq
        elif verdict is Verdict.LATE:
            self._close(seq)
        return verdict

    def _gap(self, seq: int) -> int | None:
        at = bisect_right(self.gaps, (seq, self.last)) - 1
        return at if at >= 0 and self.gaps[at][0] <= seq <= self.gaps[at][1] else None

    def _open(self, low: int, high: int) -> None:
        self.gaps.append((low, high))
        if len(self.gaps) > MAX_GAPS:
            self.evicted_to = max(self.evicted_to, self.gaps.pop(0)[1])

    def _close(self, seq: int) -> None:
        at = self._gap(seq)
        assert at is not None
        low, high = self.gaps[at]
        self.gaps[at : at + 1] = [r for r in ((low, seq - 1), (seq + 1, high)) if r[0] <= r[1]]
