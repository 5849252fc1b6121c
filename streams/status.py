"""How far each worker is behind, and what the lake holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from schemas.events import SOURCE_TOPICS
from streams import feed, land_worker, processes, query, tail, topics
from streams.lake import catalog, position
from streams.processes import STAGES
from streams.settings import Settings
from streams.text_table import Content

READS = {"tag": SOURCE_TOPICS, "detect": ("journal",)}


class Place(NamedTuple):
    """How far a worker is in one partition of a topic: the next offset it needs, and the partition's end."""

    stage: str
    topic: str
    partition: int
    next: int
    end: int

    @property
    def behind(self) -> int:
        """Messages that are still to be worked off."""
        return max(0, self.end - self.next)


def places(settings: Settings) -> list[Place]:
    """Return every worker's place in every partition it reads, by what is durable (committed, landed)."""
    reader = tail.consumer(settings, "status")
    found: list[Place] = []
    try:
        ends = {topic: feed.ends(reader, settings, topic) for topic in (*SOURCE_TOPICS, *land_worker.TOPICS)}
        for stage, names in READS.items():
            found += _committed(settings, stage, {topic: ends[topic] for topic in names})
        landed = position.landed(settings.lake)
        for topic in land_worker.TOPICS:
            for partition, end in ends[topic].items():
                found.append(Place("land", topic, partition, landed.get((topic, partition), 0), end))
    finally:
        reader.close()
    return found


def _committed(settings: Settings, stage: str, ends: dict[str, dict[int, int]]) -> Iterator[Place]:
    group = Consumer(settings.confluent(**{"group.id": settings.group(stage), "enable.auto.commit": False}))
    try:
        wanted = [TopicPartition(settings.topic(topic), p) for topic, all_ in ends.items() for p in all_]
        offsets = {(at.topic, at.partition): at.offset for at in group.committed(wanted, timeout=20)}
    finally:
        group.close()
    for topic, by_partition in ends.items():
        for partition, end in by_partition.items():
            offset = max(0, offsets[settings.topic(topic), partition])
            yield Place(stage, topic, partition, offset, end)


def behind(settings: Settings) -> Counter[str]:
    """Return how many messages each stage has still to work off."""
    counts = Counter(dict.fromkeys((*READS, "land"), 0))
    for place in places(settings):
        counts[place.stage] += place.behind
    return counts


LAKE_QUERIES = {
    "Events landed, by instrument": """
        select instrument, sum(received)::bigint as received, sum(landed)::bigint as landed,
          sum(quarantined)::bigint as quarantined, sum(duplicates)::bigint as duplicates,
          sum(missing_seqs)::bigint as missing_seqs
        from coverage_days group by all order by instrument nulls last limit 50
    """,
    "Quarantine: records that were refused, by reason": """
        select topic, reason, count(*) as records, min(place) as first_place
        from quarantine group by all order by all
    """,
    "Data quality: findings, by kind": """
        select kind, count(*) as findings, count(distinct instrument) as instruments,
          min(ts)::varchar as first
        from data_quality where place is null group by all order by all
    """,
    "Alerts, by rule and status": """
        select instance, status, count(*) as alerts, max(ts)::varchar as latest
        from alerts where rule <> 'data_quality' group by all order by all
    """,
}


def tables(settings: Settings) -> Iterator[Content]:
    """Return what `fairbook status` prints."""
    if settings.broker is not None:
        topics.reach(settings)
        yield _workers(places(settings), _running(settings))
    try:
        connection = catalog.connect(settings.lake)
    except FileNotFoundError:
        return
    with connection:
        for title, sql in LAKE_QUERIES.items():
            yield query.table(connection.sql(sql), title)


def _running(settings: Settings) -> dict[str, str]:
    """Return what is known of each worker's process on this machine, by its lock."""
    found = processes.running_here(settings)
    by_stage = {stage: [pid for slot, pid in found.items() if slot.stage == stage] for stage in STAGES}
    return {
        stage: f"process {', '.join(pids)}" if pids else "NOT RUNNING HERE"
        for stage, pids in by_stage.items()
    }


def _workers(found: list[Place], running: dict[str, str]) -> Content:
    title = "Workers: messages still to be worked off, by topic (partitions that are behind: their lag)"
    names = ["worker", "reads", "behind", "of", "partitions", "worker is"]
    rows = []
    for stage, topic in dict.fromkeys((place.stage, place.topic) for place in found):
        own = [place for place in found if (place.stage, place.topic) == (stage, topic)]
        late = ", ".join(f"{place.partition}: {place.behind:,}" for place in own if place.behind)
        total = sum(place.behind for place in own)
        end = sum(place.end for place in own)
        rows.append([stage, topic, f"{total:,}", f"{end:,}", late or "all up to date", running[stage]])
    return Content(names, [name in ("behind", "of") for name in names], rows, title, keys=2)
