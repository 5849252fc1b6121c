"""A worker's metrics in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streams.watch.progress import Pace
from streams.watch.reading import Part, Reading, Reason, Sample, Trouble


class Meter(NamedTuple):
    """A metric: what it is, its labels beside `stage`; a counter's name is shown with `_total`."""

    text: str
    labels: tuple[str, ...] = ()
    counter: bool = False


_PLACE = ("topic", "partition")
_PART = ("partition",)
METERS: dict[str, Meter] = {
    "fairbook_worker": Meter("1; which worker this is, of which version", ("slot", "version")),
    "fairbook_well": Meter("1 if /healthz says that all is well, else 0"),
    "fairbook_trouble": Meter("1 while /healthz gives this reason, else 0", ("reason",)),
    "fairbook_loop_age_seconds": Meter("Since the worker's main loop last moved on"),
    "fairbook_assigned_partitions": Meter("Partitions this worker works on"),
    "fairbook_next_offset": Meter("Offset of the next message needed", _PLACE),
    "fairbook_lag_messages": Meter("Messages on the broker that are still to be worked off", _PLACE),
    "fairbook_delay_seconds": Meter("Since everything that the broker then had was worked off", _PLACE),
    "fairbook_watermark_timestamp_seconds": Meter(
        "Latest event time or clock worked off, since 1970", _PLACE
    ),
    "fairbook_instruments": Meter("Instruments in the state", _PLACE),
    "fairbook_snapshot_label_offset": Meter("Journal offset that the latest snapshot goes up to", _PART),
    "fairbook_snapshot_timestamp_seconds": Meter(
        "When the latest snapshot was written or loaded, since 1970", _PART
    ),
    "fairbook_snapshot_unsaved_seconds": Meter("Seconds of work that are in no snapshot", _PART),
    "fairbook_snapshot_size_bytes": Meter("Size of the latest snapshot written", _PART),
    "fairbook_snapshot_duration_seconds": Meter("How long writing the latest snapshot took", _PART),
    "fairbook_snapshots": Meter("Snapshots written", _PART, counter=True),
    "fairbook_entries": Meter(
        "Journal entries written (tag), judged (detect) or landed", _PLACE, counter=True
    ),
    "fairbook_frames": Meter("Messages of the journal written, judged or landed", _PLACE, counter=True),
    "fairbook_frame_bytes": Meter("Their bytes, before compression", _PLACE, counter=True),
    "fairbook_refused_records": Meter(
        "Records refused into quarantine; duplicate and conflict are refused too",
        (*_PLACE, "reason"),
        counter=True,
    ),
    # tag
    "fairbook_partition_mismatches": Meter(
        "Records that came on another partition than their own", counter=True
    ),
    "fairbook_series_anew": Meter("Instruments whose series of seqs seems to have begun anew", counter=True),
    "fairbook_reference_facts": Meter("Facts of reference data known"),
    "fairbook_held_records": Meter("Records held back until a gap before them is filled or given up", _PART),
    "fairbook_missing_seqs": Meter("Sequence numbers that never came, as far as remembered", _PART),
    "fairbook_gaps_given_up": Meter("Gaps given up", _PART, counter=True),
    "fairbook_redelivered_records": Meter("Records read a second time, and dropped", _PART, counter=True),
    "fairbook_frames_in_flight": Meter("Messages of the journal not yet acknowledged", _PART),
    # detect
    "fairbook_alerts": Meter("Alert revisions decided", ("partition", "rule", "status"), counter=True),
    "fairbook_findings": Meter("Data quality findings decided", ("partition", "kind"), counter=True),
    "fairbook_rule_errors": Meter(
        "Exceptions of rules; each is a finding, no event is lost", ("partition", "rule"), counter=True
    ),
    "fairbook_metrics_rows": Meter(
        "Rows of the topic `metrics` decided", ("partition", "table"), counter=True
    ),
    "fairbook_unsent_outputs": Meter("Alerts and rows decided and not yet handed to the producer", _PART),
    # land
    "fairbook_gathered_rows": Meter("Rows gathered and not yet in a file"),
    "fairbook_landed_rows": Meter("Rows written to the lake", _PLACE, counter=True),
    "fairbook_landed_files": Meter("Files written to the lake", (*_PLACE, "table"), counter=True),
    "fairbook_landed_bytes": Meter("Their bytes", (*_PLACE, "table"), counter=True),
    "fairbook_compactions": Meter("Compactions published, ever", counter=True),
    "fairbook_compacted_files_kept": Meter("Files that were compacted and wait for readers before they go"),
    "fairbook_compaction_seconds": Meter("Seconds that compaction took", counter=True),
}


class State(NamedTuple):
    """What the latest look at a worker gave."""

    reading: Reading
    paces: Mapping[tuple[str, int], Pace]
    troubles: list[Trouble]
    still: float


class Exposition(Collector):
    """The metrics of one worker; `look` gives its latest state."""

    def __init__(self, stage: str, slot: int, version: str, look: Callable[[], State]) -> None:
        self.stage = stage
        self.who = Sample("fairbook_worker", 1, {"slot": str(slot), "version": version})
        self.look = look

    def collect(self) -> Iterable[Metric]:
        """Return every metric of this worker's stage that has a value, or none yet."""
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for sample in (self.who, *samples(self.look())):
            family = families.get(sample.name)
            meter = METERS[sample.name]
            labels = ("stage", *meter.labels)
            if family is None:
                kind = CounterMetricFamily if meter.counter else GaugeMetricFamily
                family = families[sample.name] = kind(sample.name, meter.text, labels=labels)
            family.add_metric([self.stage, *(sample.labels[name] for name in meter.labels)], sample.value)
        return families.values()


def samples(state: State) -> Iterator[Sample]:
    """Yield the values of one look: of the worker, of each source, of each partition, of its stage."""
    reading = state.reading
    wrong = {trouble.reason for trouble in state.troubles}
    yield Sample("fairbook_well", not wrong)
    yield Sample("fairbook_loop_age_seconds", state.still)
    yield Sample("fairbook_assigned_partitions", len(reading.parts))
    for reason in Reason:
        yield Sample("fairbook_trouble", reason in wrong, {"reason": reason.value})
    for source in reading.sources:
        labels = {"topic": source.topic, "partition": str(source.partition)}
        yield Sample("fairbook_next_offset", source.next, labels)
        if source.lag is not None:
            yield Sample("fairbook_lag_messages", source.lag, labels)
        if source.delay is not None:
            yield Sample("fairbook_delay_seconds", source.delay, labels)
    for part in reading.parts:
        yield from _counts(part)
        if part.keeps:
            yield from _snapshots(part, state.paces)
    yield from reading.samples


def _counts(part: Part) -> Iterator[Sample]:
    tally = part.tally
    place = {"topic": part.topic, "partition": str(part.partition)}
    yield Sample("fairbook_instruments", part.instruments, place)
    yield Sample("fairbook_entries", tally.entries, place)
    yield Sample("fairbook_frames", tally.frames, place)
    yield Sample("fairbook_frame_bytes", tally.frame_bytes, place)
    if tally.watermark:
        yield Sample("fairbook_watermark_timestamp_seconds", tally.watermark / 1e9, place)
    for name, label, counts in (
        ("fairbook_refused_records", "reason", tally.refused),
        ("fairbook_findings", "kind", tally.findings),
        ("fairbook_rule_errors", "rule", tally.rule_errors),
        ("fairbook_metrics_rows", "table", tally.metrics_rows),
        ("fairbook_landed_files", "table", tally.landed_files),
        ("fairbook_landed_bytes", "table", tally.landed_bytes),
    ):
        for key, count in dict(counts).items():
            yield Sample(name, count, {**place, label: key})
    for (instance, status), count in dict(tally.alerts).items():
        yield Sample("fairbook_alerts", count, {**place, "rule": instance, "status": status})
    if tally.landed_rows:
        yield Sample("fairbook_landed_rows", tally.landed_rows, place)


def _snapshots(part: Part, paces: Mapping[tuple[str, int], Pace]) -> Iterator[Sample]:
    labels = {"partition": str(part.partition)}
    yield Sample("fairbook_snapshots", part.tally.snapshots, labels)
    pace = paces.get((part.topic, part.partition))
    if pace is not None:
        yield Sample("fairbook_snapshot_unsaved_seconds", pace.unsaved, labels)
    saved = part.tally.saved
    if saved is not None:
        yield Sample("fairbook_snapshot_label_offset", saved.label, labels)
        yield Sample("fairbook_snapshot_timestamp_seconds", saved.at / 1e9, labels)
        yield Sample("fairbook_snapshot_size_bytes", saved.size, labels)
        yield Sample("fairbook_snapshot_duration_seconds", saved.seconds, labels)
