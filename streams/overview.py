"""How it is going: each worker, each partition, and what the lake holds; for `fairbook status`.

How far a worker is behind is what the broker and the lake say, so that it is known of a dead one too; its
pace, its snapshots and its time are what it says itself at /healthz. Workers of other state folders are not
seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from streams import processes, status, topics
from streams.lake import catalog
from streams.processes import STAGES, Slot
from streams.settings import Settings
from streams.watch import said

QUERIES = {
    "events": """
        select instrument, sum(received)::bigint as received, sum(landed)::bigint as landed,
          sum(quarantined)::bigint as quarantined, sum(duplicates)::bigint as duplicates,
          sum(missing_seqs)::bigint as missing_seqs
        from coverage_days group by all order by instrument nulls last limit 50
    """,
    "quarantine": """
        select topic, reason, count(*) as records, min(place) as first_place
        from quarantine group by all order by all
    """,
    "data_quality": """
        select kind, count(*) as findings, count(distinct instrument) as instruments,
          min(ts)::varchar as first
        from data_quality where place is null group by all order by all
    """,
    "alerts": """
        select instance, status, count(*) as alerts, max(ts)::varchar as latest
        from alerts where rule <> 'data_quality' group by all order by all
    """,
}


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of this state folder. `state`: well, not_well, silent (runs, does not answer) or dead."""

    stage: str
    slot: int
    pid: int | None
    state: str
    troubles: list[said.Why] = []
    partitions: int | None = None
    entries_per_second: float | None = None


class Progress(msgspec.Struct, kw_only=True):
    """One stage in one partition; None: nobody here says.

    `behind`: messages of all topics that it reads; `delay_seconds`: since everything there was is worked off;
    `snapshot_age_seconds`: since the latest snapshot; `watermark_ns`: latest event time or clock worked off.
    """

    stage: str
    partition: int
    behind: int | None = None
    delay_seconds: float | None = None
    entries_per_second: float | None = None
    snapshot_age_seconds: float | None = None
    watermark_ns: int | None = None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `broker`: what is wrong with it, None if it answers."""

    broker: str | None
    workers: list[Worker]
    partitions: list[Progress]
    lake: dict[str, list[dict[str, Any]]]


def look(settings: Settings) -> Overview:
    """Ask the broker, the workers and the lake. What does not answer is said, and leaves its part out."""
    answers = dict(_answers(settings))
    broker, places = None, []
    if settings.broker is not None:
        try:
            topics.reach(settings)
            places = status.places(settings)
        except topics.BrokerAway as error:
            broker = str(error)
    return Overview(
        broker=broker,
        workers=[worker for worker, _answer in answers.values()],
        partitions=_partitions(places, [answer for _worker, answer in answers.values() if answer]),
        lake=_lake(settings),
    )


def _answers(settings: Settings) -> Iterator[tuple[Slot, tuple[Worker, said.Said | None]]]:
    running = processes.running_here(settings)
    slots = {*running, *(Slot(stage, number) for stage in STAGES for number in said.known(settings, stage))}
    for slot in sorted(slots, key=lambda slot: (STAGES.index(slot.stage), slot.number)):
        pid = running.get(slot)
        where = said.address(settings, slot.stage, slot.number)
        answer = None
        if where is not None and str(where.pid) == pid:
            with suppress(OSError):
                answer = said.ask(where)
        yield slot, (_worker(slot, pid, where, answer), answer)


def _worker(slot: Slot, pid: str | None, where: said.Address | None, answer: said.Said | None) -> Worker:
    number = int(pid) if pid and pid.isdigit() else where.pid if where is not None else None
    if answer is None:
        state = "silent" if pid is not None else "dead"
        return Worker(stage=slot.stage, slot=slot.number, pid=number, state=state)
    return Worker(
        stage=slot.stage,
        slot=slot.number,
        pid=number,
        state="well" if answer.well else "not_well",
        troubles=answer.troubles,
        partitions=len(answer.partitions),
        entries_per_second=sum(part.entries_per_second for part in answer.partitions),
    )


def _partitions(places: list[status.Place], answers: list[said.Said]) -> list[Progress]:
    found: dict[tuple[str, int], Progress] = {}

    def of(stage: str, partition: int) -> Progress:
        return found.setdefault((stage, partition), Progress(stage=stage, partition=partition))

    for place in places:
        one = of(place.stage, place.partition)
        one.behind = (one.behind or 0) + place.behind
    now = time.time_ns()
    for answer in answers:
        for source in answer.sources:
            one = of(answer.stage, source.partition)
            if source.delay_seconds is not None:
                one.delay_seconds = max(one.delay_seconds or 0.0, source.delay_seconds)
        for part in answer.partitions:
            one = of(answer.stage, part.partition)
            one.entries_per_second = (one.entries_per_second or 0.0) + part.entries_per_second
            one.watermark_ns = max(one.watermark_ns or 0, part.watermark_ns) or None
            if part.snapshot_ns is not None:
                one.snapshot_age_seconds = max(0.0, (now - part.snapshot_ns) / 1e9)
    return sorted(found.values(), key=lambda one: (one.partition, STAGES.index(one.stage)))


def _lake(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    try:
        connection = catalog.connect(settings.lake)
    except FileNotFoundError:
        return {}
    found: dict[str, list[dict[str, Any]]] = {}
    with connection:
        for name, sql in QUERIES.items():
            relation = connection.sql(sql)
            columns = relation.columns
            found[name] = [dict(zip(columns, row, strict=True)) for row in relation.fetchall()]
    return found
