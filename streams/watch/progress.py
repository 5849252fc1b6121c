"""What only two looks at a worker can tell: how fast it goes, since when its work is in no snapshot."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from streams.watch.reading import Part

PACE_SECONDS = 10.0  # over which a pace is taken


class Pace(NamedTuple):
    """`rate`: journal entries a second; `unsaved`: seconds of work that are in no snapshot."""

    rate: float
    unsaved: float


class Progress:
    """Remembers earlier looks at each partition."""

    def __init__(self) -> None:
        self._looks: dict[tuple[str, int], deque[tuple[float, int]]] = {}
        self._moved: dict[tuple[str, int], tuple[int, int]] = {}  # position, since when (ns)
        self._first: dict[tuple[str, int], int] = {}

    def note(self, parts: list[Part], now: float, now_ns: int) -> dict[tuple[str, int], Pace]:
        """Take a look's parts; `now`: monotonic seconds, `now_ns`: since 1970."""
        found: dict[tuple[str, int], Pace] = {}
        for part in parts:
            place = part.topic, part.partition
            looks = self._looks.setdefault(place, deque())
            if looks and looks[-1][1] > part.tally.entries:  # loaded anew: its counts began again
                self._forget(place)
                looks = self._looks.setdefault(place, deque())
            looks.append((now, part.tally.entries))
            while len(looks) > 2 and now - looks[1][0] >= PACE_SECONDS:
                looks.popleft()
            passed = now - looks[0][0]
            rate = (part.tally.entries - looks[0][1]) / passed if passed > 0 else 0.0
            found[place] = Pace(rate, self._unsaved(place, part, now_ns))
        for place in self._looks.keys() - found.keys():
            self._forget(place)
        return found

    def _unsaved(self, place: tuple[str, int], part: Part, now_ns: int) -> float:
        """Return the seconds between the latest snapshot and the latest work seen: 0 on an idle partition.

        A partition that goes quiet can stay a moment ahead of its snapshot for ever, which is no fault.
        """
        first = self._first.setdefault(place, now_ns)
        position, since = self._moved.get(place, (-1, first))
        if position != part.position:
            since = now_ns
            self._moved[place] = part.position, since
        saved = part.tally.saved
        if not part.keeps or (saved is not None and saved.label >= part.position):
            return 0.0
        return max(0.0, (since - (saved.at if saved is not None else first)) / 1e9)

    def _forget(self, place: tuple[str, int]) -> None:
        self._looks.pop(place, None)
        self._moved.pop(place, None)
        self._first.pop(place, None)
