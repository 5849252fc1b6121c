"""How far each stage is behind, by what is durable: committed offsets, and what has landed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from schemas.events import SOURCE_TOPICS
from streams import feed, land_worker, logs, tail
from streams.lake import position
from streams.settings import Settings

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
    group = Consumer(
        settings.confluent(**{"group.id": settings.group(stage), "enable.auto.commit": False}),
        logger=logs.SILENT,
    )
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
