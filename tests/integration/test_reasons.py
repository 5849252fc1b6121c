"""Reasons that only a real Kafka can give: at /healthz of the workers concerned, and of no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Producer
from pipeline import Pipeline, simulated, wait_for

from schemas import codec
from streams import feed
from streams.watch import said


def reasons(pipeline: Pipeline, stage: str, slot: int = 0) -> set[str]:
    """What a worker says is wrong."""
    where = said.address(pipeline.settings, stage, slot)
    return {why.reason for why in said.ask(where).troubles} if where is not None else {"starting"}


def wait_until(pipeline: Pipeline, expected: dict[str, set[str]], seconds: float = 60.0) -> None:
    """Wait until each worker, by its name (`tag-0`), gives just these reasons."""
    found: dict[str, set[str]] = {}

    def same() -> bool:
        for name in expected:
            stage, _, slot = name.partition("-")
            found[name] = reasons(pipeline, stage, int(slot))
        return found == expected

    try:
        wait_for(same, "reasons", seconds)
    except AssertionError as error:
        raise AssertionError(f"expected {expected}, got {found}\n{pipeline.logs()}") from error


def sender(pipeline: Pipeline, topic: str) -> Callable[[int, bytes], None]:
    """A producer of somebody else's, which writes where it likes."""
    producer = Producer(pipeline.settings.confluent())

    def send(partition: int, data: bytes) -> None:
        producer.produce(pipeline.settings.topic(topic), data, partition=partition)
        assert producer.flush(20) == 0

    return send


def test_a_spare_worker_a_foreign_writer_and_a_stray_record(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=97, events=1_500, violations=0)
    half = len(day.records) // 2
    with Pipeline(broker, tmp_path, "reasons.", partitions=1) as pipeline:
        pipeline.start("tag", "detect", "land")
        pipeline.know(day)
        publisher = feed.Feed(pipeline.settings)
        publisher.records(day.records[:half])
        well: dict[str, set[str]] = {"tag-0": set(), "detect-0": set(), "land-0": set()}
        wait_until(pipeline, well)
        pipeline.settle()

        frame = pipeline.messages("journal")[-1].value
        sender(pipeline, "journal")(
            0, frame
        )  # said twice: readers drop it, and tag sees that it is not alone
        publisher.records(day.records[half:])
        wait_until(pipeline, {**well, "tag-0": {"foreign_writer"}})
        pipeline.kill("tag")
        pipeline.start("tag")
        wait_until(pipeline, well)
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        events = sum(
            pipeline.sql(f"select count(*) from {name}")[0][0] for name in ("orders", "trades", "quotes")
        )
        assert events == len(day.records)

        pipeline.start("tag-1")
        wait_for(
            lambda: (
                sorted([reasons(pipeline, "tag", 0), reasons(pipeline, "tag", 1)], key=len)
                == [set(), {"not_assigned"}]
            ),
            "one to have the partition, and the other to say that it has none",
        )
        pipeline.stop()

    with Pipeline(broker, tmp_path / "stray", "stray.", partitions=4) as pipeline:
        pipeline.start("tag", "detect", "land")
        pipeline.know(day)
        feed.Feed(pipeline.settings).records(day.records[:half])
        pipeline.settle()
        homes = {m.key.decode(): m.partition for m in pipeline.messages("orders") if m.key}
        topic, data = next(record for record in day.records if record[0] == "orders")
        elsewhere = (homes[codec.peek(data).instrument or ""] + 1) % 4
        sender(pipeline, topic)(elsewhere, data)
        wait_until(pipeline, {"tag-0": {"partition_mismatch"}, "detect-0": set(), "land-0": set()})
        pipeline.stop()
