"""Reading partitions from an offset to their present end, without a group: how state is rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streams import logs
from streams.settings import Settings

SECONDS = 20.0
# What a client says while its broker is away; it connects again by itself.
PASSING = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE)


class Expired(RuntimeError):
    """What has to be read is no longer on the broker."""


def consumer(settings: Settings, name: str, **more: Any) -> Consumer:
    """Return a consumer that commits nothing; `more`: properties on top."""
    return Consumer(
        settings.confluent(
            **{
                "group.id": f"{settings.group('reader')}-{name}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",  # a place that is gone is an error, never silently another one
                "fetch.wait.max.ms": 50,
                "fetch.queue.backoff.ms": 2,
                "fetch.message.max.bytes": 16 * 1024 * 1024,
                **more,
            }
        ),
        logger=logs.KAFKA,
    )


def bounds(reader: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Return the first offset kept and the next one to be written."""
    low, high = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=SECONDS)
    return low, high


def read(
    settings: Settings,
    topic: str,
    starts: Mapping[int, int],
    take: Callable[[Message], Any],
    *,
    from_first_kept: bool = False,
) -> dict[int, int]:
    """Hand every message from `starts[partition]` to the present end to `take`; return the end offsets.

    Raises Expired if a partition no longer has its start; `from_first_kept`: then what is left will do.
    """
    reader = consumer(settings, "tail")
    try:
        ends: dict[int, int] = {}
        first = dict(starts)
        for partition, start in starts.items():
            low, ends[partition] = bounds(reader, topic, partition)
            first[partition] = max(start, low)
            if start < low and not from_first_kept:
                raise Expired(
                    f"expected {topic} {partition} from offset {start}, it begins at {low}: set its "
                    "retention.ms and retention.bytes to -1 (`fairbook topics check`)"
                )
        left = {partition for partition, start in first.items() if start < ends[partition]}
        reader.assign([TopicPartition(topic, partition, first[partition]) for partition in sorted(left)])
        while left:
            for message in reader.consume(5_000, 0.5):
                error = message.error()
                if error is not None and error.code() in PASSING:
                    continue
                if error is not None:
                    raise RuntimeError(f"reading {topic}: {error}")
                number, offset = message.partition(), message.offset()
                assert number is not None
                assert offset is not None
                if offset < ends[number]:
                    take(message)
                if offset + 1 >= ends[number]:
                    left.discard(number)
            # Where others write with transactions, the last offset may be a marker, never a message.
            for place in reader.position([TopicPartition(topic, partition) for partition in sorted(left)]):
                if place.offset >= ends[place.partition]:
                    left.discard(place.partition)
        return ends
    finally:
        reader.close()
