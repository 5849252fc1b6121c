"""What is read off a worker when somebody asks: the same form for each stage."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from streams.watch.tally import Tally


class Reason(StrEnum):
    """Why a worker is not well. What each means, and what to do, is in infra/RUNBOOK.md."""

    STARTING = "starting"
    NOT_ASSIGNED = "not_assigned"
    STUCK = "stuck"
    BEHIND = "behind"
    BROKER_AWAY = "broker_away"
    SNAPSHOT_OLD = "snapshot_old"
    FOREIGN_WRITER = "foreign_writer"
    PARTITION_MISMATCH = "partition_mismatch"
    SERIES_ANEW = "series_anew"
    RULE_FAILING = "rule_failing"
    COMPACTION_STOPPED = "compaction_stopped"
    LAKE_FAILING = "lake_failing"
    PARTITION_HELD = "partition_held"
    DISK_FULL = "disk_full"
    NOT_WRITABLE = "not_writable"


class Source(NamedTuple):
    """A partition of a topic that a worker reads.

    `next`: the next offset it needs; `end`: the partition's end as last heard (None: not yet); `delay`:
    seconds since everything that the broker then had was worked off (None: not known yet).
    """

    topic: str
    partition: int
    next: int
    end: int | None
    delay: float | None

    @property
    def lag(self) -> int | None:
        """Messages still to be worked off."""
        return None if self.end is None else max(0, self.end - self.next)


class Part(NamedTuple):
    """A journal partition (of land: a topic's): what was counted, and how far its state has come.

    `position`: journal offset up to which the state has all; `instruments` in it; `keeps`: whether there are
    snapshots of it.
    """

    topic: str
    partition: int
    tally: Tally
    position: int
    instruments: int
    keeps: bool
    foreign: bool = False


class Sample(NamedTuple):
    """A value of a metric that only this stage has."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


class Trouble(NamedTuple):
    """Why a worker is not well, with what was seen: no account is ever in it."""

    reason: Reason
    detail: str


class Reading(NamedTuple):
    """What a worker is at.

    `ready`: it has loaded its state once; `heard`: when the broker last answered, ns (None: not asked yet).
    """

    ready: bool
    sources: list[Source]
    parts: list[Part]
    samples: list[Sample]
    troubles: list[Trouble]
    heard: int | None = None
