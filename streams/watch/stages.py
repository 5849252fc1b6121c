"""Reads each kind of worker, from another thread than the worker's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicPartition
from faust.types import TP

from streams.watch.reading import Part, Reading, Reason, Sample, Source, Trouble

if TYPE_CHECKING:
    from streams.detect_worker import DetectWorker
    from streams.land_worker import LandWorker
    from streams.tag_worker import TagWorker
    from streams.transport import BatchConsumer, FetchState


def tag(worker: TagWorker) -> Reading:
    """Read a tag worker."""
    consumer: BatchConsumer | None = worker.app.consumer if worker.ready else None  # type: ignore[assignment]
    sources: list[Source] = []
    parts: list[Part] = []
    samples = [
        Sample("fairbook_partition_mismatches", worker.mismatches),
        Sample("fairbook_series_anew", worker.series_anew),
        Sample("fairbook_reference_facts", len(worker.facts)),
    ]
    heard: list[int] = []
    for number, part in sorted(worker.parts.items()):
        for name, topic in worker.topics.items():
            state = consumer.fetch_state(TP(name, number)) if consumer is not None else None
            read_past = part.read_past.get(topic)
            following = part.next.get(topic, 0)
            delay = None if read_past is None else _seconds_since(read_past)
            sources.append(Source(topic, number, following, state and state.end, delay))
            heard += [state.time] if state is not None else []
        states = part.sequencer.states()
        parts.append(
            Part("journal", number, part.tally, part.journal_end, len(states), True, foreign=part.foreign)
        )
        labels = {"partition": str(number)}
        missing = sum(high - low + 1 for state in list(states.values()) for low, high in list(state.gaps))
        samples += [
            Sample("fairbook_held_records", part.sequencer.held(), labels),
            Sample("fairbook_missing_seqs", missing, labels),
            Sample("fairbook_gaps_given_up", part.sequencer.given_up, labels),
            Sample("fairbook_redelivered_records", part.sequencer.redelivered, labels),
            Sample("fairbook_frames_in_flight", len(part.frames), labels),
        ]
    return Reading(worker.ready, sources, parts, samples, [], max(heard, default=None))


def detect(worker: DetectWorker) -> Reading:
    """Read a detect worker."""
    consumer: BatchConsumer | None = worker.app.consumer if worker.ready else None  # type: ignore[assignment]
    sources: list[Source] = []
    parts: list[Part] = []
    samples: list[Sample] = []
    heard: list[int] = []
    for number, part in sorted(worker.parts.items()):
        state = consumer.fetch_state(TP(worker.journal_name, number)) if consumer is not None else None
        delay = _delay(part.label, part.tally.appended, state)
        sources.append(Source("journal", number, part.label, state and state.end, delay))
        heard += [state.time] if state is not None else []
        parts.append(Part("journal", number, part.tally, part.label, len(part.runner.markets()), True))
        samples.append(Sample("fairbook_unsent_outputs", len(part.unsent), {"partition": str(number)}))
    return Reading(worker.ready, sources, parts, samples, [], max(heard, default=None))


class Land:
    """Reads a land worker."""

    def __init__(self, worker: LandWorker) -> None:
        self.worker = worker

    def __call__(self) -> Reading:
        worker = self.worker
        sources: list[Source] = []
        parts: list[Part] = []
        gathered = 0
        for (topic, number), part in sorted(worker.parts.items()):
            end = _known_end(worker, topic, number)
            following = part.next
            at_end = end is not None and following >= end
            delay = 0.0 if at_end else _seconds_since(part.tally.appended) if part.tally.appended else None
            sources.append(Source(topic, number, following, end, delay))
            parts.append(Part(topic, number, part.tally, following, len(part.writer.sequences), False))
            gathered += part.writer.gathered
        samples = [
            Sample("fairbook_gathered_rows", gathered),
            Sample("fairbook_compaction_seconds", worker.upkeep.seconds),
        ]
        compactor = worker.upkeep.compactor
        if compactor is not None:
            hidden = sum(map(len, compactor.state.paths.values()))
            samples.append(Sample("fairbook_compactions", compactor.state.number))
            samples.append(Sample("fairbook_compacted_files_kept", hidden))
        troubles = list(_land_troubles(worker))
        return Reading(worker.ready, sources, parts, samples, troubles, worker.probe.heard())


def _land_troubles(worker: LandWorker) -> Iterator[Trouble]:
    if worker.failure is not None:
        yield Trouble(Reason.LAKE_FAILING, worker.failure)
    if worker.held:
        by = ", ".join(
            f"{topic} {number}: process {pid}" for (topic, number), pid in sorted(worker.held.items())
        )
        yield Trouble(
            Reason.PARTITION_HELD,
            f"held by processes that are no more in the group, do they stand still? {by}",
        )
    if worker.upkeep.stopped:
        yield Trouble(Reason.COMPACTION_STOPPED, "an error stopped it: see the log; landing goes on")


def _known_end(worker: LandWorker, topic: str, number: int) -> int | None:
    place = TopicPartition(worker.settings.topic(topic), number)
    try:
        end = worker.reader.get_watermark_offsets(place, cached=True)[1]
    except (KafkaException, RuntimeError):  # not heard of yet; closed: it ends
        return None
    return end if end >= 0 else None


def _delay(following: int, appended: int, state: FetchState | None) -> float | None:
    if state is not None and following >= state.end:
        return _seconds_since(state.time)
    return _seconds_since(appended) if appended else None


def _seconds_since(ns: int) -> float:
    return max(0.0, (time.time_ns() - ns) / 1e9)
