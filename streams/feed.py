"""Publishing to the source topics and to `reference`: what `fairbook ingest`, `simulate` and `load` do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import codec
from schemas.events import SOURCE_TOPICS, Topic
from schemas.reference import Fact, fact_id
from streams import logs, tail, topics
from streams.settings import Settings

CLOCK_HEADER = "fairbook-clock"
END_HEADER = "fairbook-end"  # which recording ends: the same on all partitions of all source topics
RULEBOOK_KEY = b"rulebook"


class FeedError(RuntimeError):
    """Something could not be published."""


class Feed:
    """A producer with Java's partitioner (murmur2): one instrument has one partition on every topic."""

    def __init__(self, settings: Settings) -> None:
        topics.reach(settings)
        self.settings = settings
        self._errors: Counter[str] = Counter()
        self._producer = Producer(
            settings.confluent(
                **{
                    "partitioner": "murmur2_random",
                    "enable.idempotence": True,
                    "linger.ms": 5,
                    "compression.type": "zstd",
                    "queue.buffering.max.messages": 200_000,
                    "message.max.bytes": 16 * 1024 * 1024,
                }
            ),
            logger=logs.SILENT,  # what goes wrong is told by what was not delivered
        )

    def _send(self, topic: str, **message: Any) -> None:
        while True:
            try:
                self._producer.produce(self.settings.topic(topic), on_delivery=self._delivered, **message)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._errors[f"{message.topic()}: {topics.explained(error)}"] += 1

    def flush(self) -> None:
        """Wait until everything is acknowledged. Raises FeedError if anything was not."""
        left = self._producer.flush(60)
        if left or self._errors:
            refused = "; ".join(f"{count} to {error}" for error, count in self._errors.most_common(3))
            raise FeedError(f"expected every record to be acknowledged, got {left} left, refused {refused}")

    def published(self) -> int:
        """Return how many messages the source topics hold."""
        reader = tail.consumer(self.settings, "feed")  # a producer cannot ask for a partition's end
        try:
            return sum(sum(ends(reader, self.settings, topic).values()) for topic in SOURCE_TOPICS)
        finally:
            reader.close()

    def reference(self, facts: Iterable[Fact], rulebook_text: str | None) -> int:
        """Publish facts and the rulebook; a fact published before is the same message again."""
        count = 0
        for fact in facts:
            self._send("reference", key=fact_id(fact).encode(), value=codec.encode(fact))
            count += 1
        if rulebook_text is not None:
            self._send("reference", key=RULEBOOK_KEY, value=rulebook_text.encode())
        self.flush()
        return count

    def records(
        self, records: Iterable[tuple[Topic, bytes]], progress: Callable[[int], None] | None = None
    ) -> int:
        """Publish records, keyed by instrument; one whose instrument cannot be read goes to partition 0."""
        count = 0
        for topic, value in records:
            instrument = codec.peek(value).instrument
            if instrument:
                self._send(topic, key=instrument.encode(), value=value)
            else:
                self._send(topic, value=value, partition=0)
            count += 1
            if progress is not None and count % 500 == 0:
                progress(count)
        self.flush()
        return count

    def end_of_recording(self, latest_ts: int) -> None:
        """Tell every partition that a recording ends here: `latest_ts` (ns) becomes its clock."""
        headers = {CLOCK_HEADER: str(latest_ts), END_HEADER: uuid4().hex}
        for topic in SOURCE_TOPICS:
            for partition in range(partitions(self._producer, self.settings, topic)):
                self._send(topic, value=b"", partition=partition, headers=headers)
        self.flush()


def partitions(client: Any, settings: Settings, topic: str) -> int:
    """Return a topic's number of partitions. Raises FeedError if it does not exist."""
    name = settings.topic(topic)
    found = client.list_topics(name, timeout=20).topics[name]
    if found.error is not None:
        made = "" if found.error.code() in topics.NOT_LET else "; `fairbook topics create` makes it"
        raise FeedError(f"expected topic {name}: {topics.explained(found.error)}{made}")
    return len(found.partitions)


def ends(client: Consumer, settings: Settings, topic: str) -> dict[int, int]:
    """Return the end offset of each partition of a topic."""
    name = settings.topic(topic)
    return {
        partition: client.get_watermark_offsets(TopicPartition(name, partition), timeout=20)[1]
        for partition in range(partitions(client, settings, topic))
    }
