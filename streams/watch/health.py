"""Whether a worker is well, and if not, why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from streams.watch.progress import Pace
from streams.watch.reading import Reading, Reason, Trouble

BEHIND_SECONDS = 60.0
BROKER_SECONDS = 20.0
SNAPSHOT_SECONDS = 120.0
STUCK_SECONDS = 120.0  # more than the largest fetch of a journal takes to be judged
RECENT_SECONDS = 600.0  # what happened is told for so long after it was last seen to happen
FREE_BYTES = 512 * 1024 * 1024


class Health:
    """Judges one worker; remembers when things that only happen now and then were last seen.

    `folders`: where it writes.
    """

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.folders = folders
        self._seen: dict[Reason, tuple[float, float]] = {}  # count, when it last grew

    def troubles(
        self,
        reading: Reading,
        paces: Mapping[tuple[str, int], Pace],
        *,
        now: float,
        now_ns: int,
        still: float,
    ) -> list[Trouble]:
        """Return all that is wrong; `now`: monotonic seconds, `still`: seconds since the worker moved on."""
        found = list(reading.troubles)
        if still > STUCK_SECONDS:
            found.append(Trouble(Reason.STUCK, f"its main loop has not moved on for {still:.0f} s"))
        found += self._broker(reading, now_ns)
        found += _places(reading)
        found += _states(reading, paces)
        found += self._counted(reading, now)
        found += self._disks()
        return found

    def _broker(self, reading: Reading, now_ns: int) -> Iterator[Trouble]:
        if reading.heard is None:
            return
        silent = (now_ns - reading.heard) / 1e9
        if silent > BROKER_SECONDS:
            yield Trouble(Reason.BROKER_AWAY, f"the broker has not answered for {silent:.0f} s")

    def _counted(self, reading: Reading, now: float) -> Iterator[Trouble]:
        counts = {sample.name: sample.value for sample in reading.samples}
        anew = counts.get("fairbook_series_anew", 0)
        if self._recent(Reason.SERIES_ANEW, anew, now):
            yield Trouble(
                Reason.SERIES_ANEW,
                f"{anew:.0f} instruments seem to have begun their seqs anew; their records are refused",
            )
        mismatches = counts.get("fairbook_partition_mismatches", 0)
        if self._recent(Reason.PARTITION_MISMATCH, mismatches, now):
            yield Trouble(
                Reason.PARTITION_MISMATCH,
                f"{mismatches:.0f} records came on a partition that is not their instrument's: do all "
                "producers hash keys with murmur2?",
            )
        errors = {name: n for part in reading.parts for name, n in dict(part.tally.rule_errors).items()}
        if self._recent(Reason.RULE_FAILING, sum(errors.values()), now):
            yield Trouble(Reason.RULE_FAILING, f"rules raised: {', '.join(sorted(errors))}; no event is lost")

    def _recent(self, reason: Reason, count: float, now: float) -> bool:
        before, at = self._seen.get(reason, (0.0, -RECENT_SECONDS))
        if count != before:
            at = now if count > before else at
            self._seen[reason] = count, at
        return count > 0 and now - at < RECENT_SECONDS

    def _disks(self) -> Iterator[Trouble]:
        for folder in self.folders:
            if not folder.exists():
                continue
            free = shutil.disk_usage(folder).free
            if free < FREE_BYTES:
                yield Trouble(Reason.DISK_FULL, f"{folder} has {free / 2**20:,.0f} MiB left")
            if not os.access(folder, os.W_OK):
                yield Trouble(Reason.NOT_WRITABLE, f"{folder} cannot be written to")


def _places(reading: Reading) -> Iterator[Trouble]:
    if not reading.ready:
        yield Trouble(Reason.STARTING, "its state is being loaded, or its group has yet to let it in")
        return
    if not reading.parts:
        yield Trouble(
            Reason.NOT_ASSIGNED, "it has no partition: more workers than partitions, or a rebalance"
        )
    late = {
        f"{source.topic} {source.partition}": source.delay
        for source in reading.sources
        if source.delay is not None and source.delay > BEHIND_SECONDS
    }
    if late:
        place = max(late, key=lambda name: late[name] or 0)
        yield Trouble(
            Reason.BEHIND, f"{len(late)} partitions are behind, most of all {place}: {late[place]:.0f} s"
        )


def _states(reading: Reading, paces: Mapping[tuple[str, int], Pace]) -> Iterator[Trouble]:
    foreign = [part.partition for part in reading.parts if part.foreign]
    if foreign:
        yield Trouble(
            Reason.FOREIGN_WRITER, f"somebody else writes to journal {', '.join(map(str, foreign))}"
        )
    old = {place: pace.unsaved for place, pace in paces.items() if pace.unsaved > SNAPSHOT_SECONDS}
    if old:
        place = max(old, key=lambda at: old[at])
        yield Trouble(
            Reason.SNAPSHOT_OLD,
            f"{len(old)} partitions, most of all {place[1]}: {old[place]:.0f} s in no snapshot",
        )
