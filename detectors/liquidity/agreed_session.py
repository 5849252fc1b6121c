"""When an agreement obliges: the hours of one trading day, cut where terms, accounts or phases change."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from detectors.affiliation import Directory
from detectors.standing import ALWAYS, one, standing
from detectors.trading_day import day_bounds, nanoseconds
from schemas.reference import Fact, MmAgreement, Phase, TradingPhase

MINUTES = 24 * 60


class Segment(NamedTuple):
    """A stretch [start, end) of a session (ns) in which terms, accounts and phase stay the same."""

    start: int
    end: int
    terms: MmAgreement
    accounts: tuple[str, ...]
    phase: Phase


def agreed_hours(terms: MmAgreement, day: str, venue_zone: str) -> tuple[int, int]:
    """Return the first nanosecond of the agreed hours of the ISO date `day`, and the first after them.

    The zone is the agreement's, else the venue's. Hours whose end is not later than their start end on the
    next day; they belong to the day on which they start. A time of day that comes twice counts the first
    time; one that daylight saving skips is read with the offset before the skip (RFC 5545, section 3.3.5), so
    hours that begin in a skip and end right after it may be empty.

    >>> hours = {"session_start": "02:30", "session_end": "04:00", "zone": "Europe/Berlin"}
    >>> berlin = MmAgreement(id="A", instrument="X", **hours)
    >>> start, end = agreed_hours(berlin, "2026-03-29", "UTC")  # 02:30 is skipped and read as 03:30
    >>> (end - start) // 60_000_000_000
    30
    >>> start, end = agreed_hours(berlin, "2026-10-25", "UTC")  # 02:30 comes twice
    >>> (end - start) // 60_000_000_000
    150
    """
    zone = terms.zone or venue_zone
    start, end = _minutes(terms.session_start), _minutes(terms.session_end)
    if end <= start:
        end += MINUTES
    first = _moment(day, start, zone)
    return first, max(first, _moment(day, end, zone))


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _moment(day: str, minutes: int, zone: str) -> int:
    days, rest = divmod(minutes, MINUTES)
    local = datetime.combine(
        date.fromisoformat(day) + timedelta(days=days), time(rest // 60, rest % 60), ZoneInfo(zone)
    )
    return nanoseconds(local.astimezone(UTC))


class Schedule:
    """The session of an agreement on one trading day, as one pass of reference data has it.

    `segments`: the session by its moments, each judged with what is known at it. A nanosecond is in the
    session iff the terms that stand at it have it in their hours: an agreement that starts or ends in mid-day
    has a shorter session. `available(t)`: session time from t on that is not exempt, as known at t.
    `required` (10**8) and `max_imbalance` (10**6) are for the rule to set.
    """

    required = 0
    max_imbalance = 0

    def __init__(
        self, directory: Directory, instrument: str, facts: list[MmAgreement], day: str, venue_zone: str
    ) -> None:
        self.instrument = instrument
        self._facts = facts
        self._hindsight = directory.hindsight
        self._hours = {fact: agreed_hours(fact, day, venue_zone) for fact in facts}
        first = min(start for start, _ in self._hours.values())
        last = max(end for _, end in self._hours.values())
        self._phases = [
            fact
            for fact in directory.phases(instrument)
            if (fact.valid_from is None or fact.valid_from < last)
            and (fact.valid_to is None or fact.valid_to > first)
        ]
        accounts = {
            fact.entity: directory.accounts_of(fact.entity) for fact in facts if fact.entity is not None
        }
        relevant: list[Fact] = [*facts, *self._phases]
        for owned in accounts.values():
            for known in owned.values():
                relevant += known
        cuts = self._cuts(first, last, directory.moments(relevant))
        self.segments: list[Segment] = []
        for start, end in pairwise(cuts):
            terms = self._terms(start, start)
            if terms is None:
                continue
            if terms.entity is None:
                own: tuple[str, ...] = (terms.account,) if terms.account is not None else ()
            else:
                candidates = sorted(accounts[terms.entity])
                own = tuple(name for name in candidates if directory.owner(name, start) == terms.entity)
            phase = directory.phase(instrument, start)
            self.segments.append(Segment(start, end, terms, own, phase))
        self._starts = [segment.start for segment in self.segments]
        learnt = {fact.recorded_at for fact in (*facts, *self._phases)} if not self._hindsight else set()
        self._epochs = sorted(t for t in learnt if t is not None and first < t < last)
        self._knowledge = [first, *self._epochs]
        self._bounds = (first, last)
        self._plans: dict[int, _Plan] = {}
        if self.segments:
            zone = self.segments[0].terms.zone or venue_zone
            start, end = day_bounds(day, zone)
            self.span = min(start, self.segments[0].start), max(end, self.segments[-1].end)

    @property
    def start(self) -> int:
        """The session's first nanosecond."""
        return self.segments[0].start

    @property
    def end(self) -> int:
        """The first nanosecond after the session."""
        return self.segments[-1].end

    def accounts(self) -> list[str]:
        """Return every account that is obliged at some time of the session, ascending."""
        return sorted({account for segment in self.segments for account in segment.accounts})

    def index(self, ts: int) -> int:
        """Return the place of the segment that holds `ts`, or else of the next one; their number if none."""
        at = bisect_right(self._starts, ts) - 1
        return at if at >= 0 and ts < self.segments[at].end else at + 1

    def available(self, ts: int) -> int:
        """Return the session time (ns) from `ts` on that is not exempt, as known at `ts`."""
        epoch = bisect_right(self._epochs, ts)
        plan = self._plans.get(epoch)
        if plan is None:
            plan = self._plans[epoch] = self._plan(self._knowledge[epoch])
        return plan.after(ts)

    def _plan(self, known: int) -> _Plan:
        first, last = self._bounds
        moments = [
            bound
            for fact in (*self._facts, *self._phases)
            for bound in (fact.valid_from, fact.valid_to)
            if bound is not None
        ]
        cuts = self._cuts(max(first, known), last, moments)
        return _Plan(
            (start, end)
            for start, end in pairwise(cuts)
            if self._terms(start, known) is not None and not self._exempt(start, known)
        )

    def _cuts(self, first: int, last: int, moments: list[int]) -> list[int]:
        bounds = {bound for hours in self._hours.values() for bound in hours}
        return sorted({first, last, *(t for t in (*moments, *bounds) if first < t < last)})

    def _terms(self, ts: int, known: int) -> MmAgreement | None:
        """Return the terms that oblige at `ts`, for one who knows what was recorded by `known`."""
        found = standing(self._facts, ts, ALWAYS if self._hindsight else known)
        found = [fact for fact in found if fact.instrument == self.instrument]
        if not found:
            return None
        terms = one(found)
        start, end = self._hours[terms]
        return terms if start <= ts < end else None

    def _exempt(self, ts: int, known: int) -> bool:
        found: list[TradingPhase] = standing(self._phases, ts, ALWAYS if self._hindsight else known)
        return bool(found) and one(found).phase != "continuous"


class _Plan:
    """Stretches of time, and how much of them is left from a moment on."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        self._stretches = list(stretches)
        self._starts = [start for start, _ in self._stretches]
        self._left = [0]
        for start, end in reversed(self._stretches):
            self._left.append(self._left[-1] + end - start)
        self._left.reverse()

    def after(self, ts: int) -> int:
        at = bisect_right(self._starts, ts)
        inside = max(0, self._stretches[at - 1][1] - ts) if at else 0
        return self._left[at] + inside
