"""How a source gets into Kafka or into a recording, with a bar that shows it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from schemas import codec
from schemas.events import SOURCE_TOPICS, Topic
from streams import reference_data
from streams.commands.options import progress
from streams.feed import Feed
from streams.settings import Settings
from streams.sources import recording as recordings
from streams.sources.simulator import (
    NearViolations,
    Simulation,
    SimulatorConfig,
    Violations,
    many_instruments,
    reference_toml,
)
from streams.sources.simulator_config import Quoting
from streams.sources.simulator_faults import Faults, FaultyStream

Records = Iterable[tuple[Topic, Mapping[str, object] | bytes]]


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def recording(settings: Settings, folder: Path, rulebook_text: str) -> int:
    """Publish a recording; a `rulebook.toml` in it takes the place of the text. Returns the records sent."""
    own = folder / "rulebook.toml"
    text = own.read_text(encoding="utf-8") if own.is_file() else rulebook_text
    files = recordings.files(folder)
    reference = folder / "reference.toml"
    facts = reference_data.load(reference) if reference.exists() else []
    if not facts:
        _say(f"{reference}: missing or empty, so every account is unknown")
    feed = Feed(settings)
    _warn_of_what_is_there(feed)
    feed.reference(facts, text)
    faults: list[str] = []
    latest = 0
    total = sum(1 for topic, path in files.items() for _line in recordings.lines(path, topic))

    def lines() -> Iterator[tuple[Topic, bytes]]:
        nonlocal latest
        for line in recordings.read(folder, faults):
            latest = max(latest, *_times(line.data))
            yield line.topic, line.data

    with progress(f"publishing {folder.name}", total) as advance:
        count = feed.records(lines(), advance)
        advance(count)
    feed.end_of_recording(latest)
    for fault in faults:
        _say(f"{folder}: {fault}")
    _say(f"{count:,} records of {folder} published to {', '.join(map(settings.topic, SOURCE_TOPICS))}")
    return count


def _times(data: bytes) -> list[int]:
    """Return the times of a line's records that would be taken; 0 where there are none."""
    if data.lstrip()[:1] == b"[":
        try:
            parts = codec.split_array(data)
        except codec.UNREADABLE:
            return [0]
        return [codec.place_of(part).ts or 0 for part in parts] or [0]
    return [codec.place_of(data).ts or 0]


class Capture(Protocol):
    """What a source has read of another venue; CONTRIBUTING.md says what each part must be."""

    @property
    def total(self) -> int:
        """How many records there will be."""

    @property
    def records(self) -> Records:
        """The records, in the order of their `seq` within each instrument."""

    @property
    def reference_toml(self) -> str:
        """Who is who, as the text of a `reference.toml`."""

    def notes(self) -> Sequence[str]:
        """What a reader of the findings should know, once all records are read."""


def captured(settings: Settings, capture: Capture, what: str, to: Path | None, rulebook_text: str) -> int:
    """Publish what a source has read, or write it as a recording. Returns the records."""
    records = _counted(capture.records, capture.total, what)
    count = _deliver(settings, records, capture.reference_toml, to, rulebook_text, what)
    for note in capture.notes():
        _say(f"note: {note}")
    return count


def simulation(
    settings: Settings,
    *,
    seed: int,
    seconds: int,
    rate: int,
    events: int | None,
    violations: int,
    faults: int,
    labels: Path | None,
    live: bool,
    to: Path | None,
    rulebook: str,
    quoting: Quoting = "off",
    near: int = 0,
    instruments: int = 4,
    clients: int = 24,
) -> Simulation:
    """Publish a simulated day, or write it as a recording; returns the run, with its labels."""
    more: dict[str, Any] = {"start": time.time_ns()} if live else {}
    config = SimulatorConfig(
        seed=seed,
        seconds=seconds,
        rate=rate,
        events=events,
        violations=Violations.each(violations),
        near=NearViolations.each(near),
        instruments=many_instruments(instruments),
        clients=clients,
        quoting=quoting,
        **more,
    )
    run = Simulation(config)
    stream: Records = run
    spoilt = None
    if faults:
        stream = spoilt = FaultyStream(run, Faults.each(faults), run.total, seed, run.spared)
    records = _counted(_paced(stream) if live else stream, run.total, f"simulating, seed {seed}")
    _deliver(settings, records, reference_toml(config), to, rulebook, f"a simulated day, seed {seed}")
    for kind in run.unplanted:
        _say(f"not planted: {kind} (the day was too short for its situation to come about)")
    if labels is not None:
        lines = [*run.labels, *({"presence": label} for label in run.presence)]
        lines += [{"near": label} for label in run.near]
        lines += [{"fault": label} for label in (spoilt.labels if spoilt else ())]
        labels.write_bytes(b"".join(codec.encode(line) + b"\n" for line in lines))
        _say(f"{len(run.labels)} labels in {labels}")
    return run


def _paced(records: Records) -> Iterator[tuple[Topic, Mapping[str, object] | bytes]]:
    """Hold each record back until its event time has come."""
    for topic, record in records:
        if isinstance(record, Mapping):
            ahead = int(str(record["ts"])) - time.time_ns()
            if ahead > 0:
                time.sleep(ahead / 1e9)
        yield topic, record


def _counted(records: Records, total: int, what: str) -> Callable[[], Records]:
    def run() -> Iterator[tuple[Topic, Mapping[str, object] | bytes]]:
        count = 0
        with progress(what, total) as advance:
            for count, item in enumerate(records, 1):
                yield item
                if count % 200 == 0:
                    advance(count)
            advance(count)

    return run


def _deliver(
    settings: Settings,
    records: Callable[[], Records],
    reference: str,
    to: Path | None,
    rulebook_text: str,
    what: str,
) -> int:
    if to is not None:
        counts = recordings.write(to, records(), reference)
        _say(f"{sum(counts.values()):,} records of {what} written to {to}")
        return sum(counts.values())
    latest = 0

    def encoded() -> Iterator[tuple[Topic, bytes]]:
        nonlocal latest
        for topic, record in records():
            data = record if isinstance(record, bytes) else codec.encode(record)
            latest = max(latest, codec.place_of(data).ts or 0)
            yield topic, data

    feed = Feed(settings)
    _warn_of_what_is_there(feed)
    feed.reference(_facts(reference), rulebook_text)
    count = feed.records(encoded())
    feed.end_of_recording(latest)
    _say(f"{count:,} records of {what} published to {', '.join(map(settings.topic, SOURCE_TOPICS))}")
    return count


def _warn_of_what_is_there(feed: Feed) -> None:
    """A second day that numbers the same instruments from 1 again would be refused, record by record."""
    there = feed.published()
    if there:
        _say(
            f"note: the topics hold {there:,} messages already. If their instruments are numbered from 1 "
            "again, each record is quarantined as `duplicate` or `conflict`; if these are of another time, "
            "every minute in between becomes a row of spread_minutes. --prefix gives topics of their own"
        )


def _facts(reference: str) -> list[Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.toml"
        path.write_text(reference, encoding="utf-8")
        return list(reference_data.load(path))
