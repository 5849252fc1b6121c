"""`fairbook replay`: the same rules over a recording, in one process, in both passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from detectors.affiliation import Directory
from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from detectors.runner import Output, Runner
from schemas.alerts import Alert, retracted
from schemas.journal import (
    ClockEntry,
    Entry,
    EventEntry,
    OrderEntry,
    Position,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    RulebookEntry,
    TradeEntry,
)
from schemas.reference import Fact
from streams import reference_data
from streams.sequencer import Sequencer
from streams.sources import recording
from streams.tagger import Tagger

FRAME = 500  # entries


class Sink(Protocol):
    """Where a replay leaves what it reads and decides."""

    def entry(self, position: Position, entry: Entry) -> None:
        """A journal entry at its place."""

    def output(self, position: Position, output: Output) -> None:
        """What the entry at `position` decided."""

    def close(self) -> None:
        """Nothing more comes."""


class Discard:
    """A Sink that keeps nothing."""

    def entry(self, position: Position, entry: Entry) -> None:
        """Ignore it."""

    def output(self, position: Position, output: Output) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Do nothing."""


class Coverage(NamedTuple):
    """What a replay saw of an instrument: seqs from `first` to `last`, of which `missing` never came."""

    first: int
    last: int
    landed: int
    missing: int


class ReplayResult(msgspec.Struct):
    """What a replay saw and decided; `alerts` holds every revision, in order."""

    events: int = 0
    landed: Counter[str] = msgspec.field(default_factory=Counter)
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    faults: list[str] = []
    alerts: list[Alert] = []
    metrics: int = 0
    runner: Runner | None = None

    def latest(self) -> dict[str, Alert]:
        """Return the latest revision of each alert, by alert id."""
        found: dict[str, Alert] = {}
        for alert in self.alerts:
            before = found.get(alert.alert_id)
            if before is None or (alert.knowledge, alert.revision) >= (before.knowledge, before.revision):
                found[alert.alert_id] = alert
        return found

    def counts(self) -> Counter[tuple[str, str, str]]:
        """Return how many alerts there are by (rule, instance, latest status)."""
        return Counter((alert.rule, alert.instance, alert.status) for alert in self.latest().values())

    def coverage(self) -> dict[str, Coverage]:
        """Return what was seen of each instrument, by name."""
        found: dict[str, Coverage] = {}
        for name, market in sorted(self.runner.markets().items()) if self.runner is not None else ():
            if not market.sequence.started:
                continue
            first, last, landed = market.sequence.first, market.sequence.last, self.landed[name]
            found[name] = Coverage(first, last, landed, last - first + 1 - landed)
        return found


def replay(
    folder: Path,
    *,
    rulebook_text: str,
    sink: Sink | None = None,
    own_rulebook: bool = True,
    strict: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ReplayResult:
    """Run the rules over the recording in `folder`; its `rulebook.toml`, if any, takes the place of the text.

    `own_rulebook` False: the text is in force all the same. Raises RecordingError, ReferenceDataError or
    RulebookError, each saying what was expected.
    """
    own = folder / "rulebook.toml"
    text = own.read_text(encoding="utf-8") if own_rulebook and own.is_file() else rulebook_text
    result = ReplayResult()
    reference = folder / "reference.toml"
    facts = reference_data.load(reference) if reference.exists() else []
    if not reference.exists():
        result.faults.append("reference.toml: missing, so every account is unknown")
    sink = sink or Discard()
    entries: list[Entry] = []
    two_passes = any(fact.recorded_at is not None for fact in facts)
    runner = result.runner = Runner(strict=strict)
    for number, entry in enumerate(journal(folder, facts, text, result.faults)):
        position = Position(0, number // FRAME, number % FRAME)
        sink.entry(position, entry)
        _count(result, entry)
        for output in runner.apply(entry):
            _note(result, output)
            sink.output(position, output)
        if two_passes:
            entries.append(entry)
        if progress is not None and number % 1_000 == 0:
            progress(number)
    if two_passes:
        end = Position(0, len(entries) // FRAME, len(entries) % FRAME)
        for output in second_pass(entries, facts, result.alerts, strict=strict):
            _note(result, output)
            sink.output(end, output)
    sink.close()
    return result


def journal(
    folder: Path, facts: list[Fact], rulebook_text: str, faults: list[str] | None = None
) -> Iterator[Entry]:
    """Return the recording as journal entries, ending with its latest `ts` as a clock."""
    rulebook = Rulebook.parse(rulebook_text, PARAMETERS)
    for fact in facts:
        yield ReferenceEntry(fact=fact)
    yield RulebookEntry(digest=rulebook.digest, text=rulebook_text)
    tagger = Tagger(Directory(facts), rulebook.venue.max_future)
    sequencer = Sequencer(rulebook.venue.gap_timeout)
    latest = 0
    for line in recording.read(folder, faults):
        for entry, raw in tagger.tag(line.topic, line.data, 0, line.number):
            if isinstance(entry, RefusedEntry):
                sequencer.refuse(entry)
            else:
                sequencer.offer(entry, entry.ts, raw)
        if sequencer.out:
            latest = max(latest, _latest(sequencer.out))
            yield from sequencer.out
            sequencer.out.clear()
    sequencer.finish()
    latest = max(latest, _latest(sequencer.out))
    yield from sequencer.out
    yield ClockEntry(ts=latest, end=True)


def _latest(entries: Iterable[Entry]) -> int:
    """Return the latest `ts` of what has its place in the order: a refused record's is nobody's time."""
    return max((entry.ts for entry in entries if isinstance(entry, EventEntry)), default=0)


def second_pass(
    entries: Iterable[Entry], facts: list[Fact], first: list[Alert], *, strict: bool = False
) -> Iterator[Output]:
    """Return what all facts known now change: new alerts, retractions, revisions, and all metrics rows."""
    before: dict[str, Alert] = {alert.breach_id: alert for alert in first}
    after: dict[str, Alert] = {}
    runner = Runner(hindsight=facts, strict=strict)
    knowledge = max(fact.recorded_at or 0 for fact in facts)
    for entry in entries:
        for output in runner.apply(entry):
            if isinstance(output, Alert):
                after[output.breach_id] = output
            else:
                yield output
    for breach in sorted(before.keys() | after.keys()):
        was, now = before.get(breach), after.get(breach)
        if now is None:
            assert was is not None
            if was.status != "retracted":
                yield msgspec.structs.replace(
                    was, knowledge=knowledge, revision=was.revision + 1, late_reference=True,
                    **retracted(was, "late_reference"),
                )  # fmt: skip
        elif was is None:
            yield msgspec.structs.replace(now, revision=0, late_reference=True)
        elif _content(was) != _content(now):
            yield msgspec.structs.replace(now, revision=was.revision + 1, late_reference=True)


def _content(alert: Alert) -> Alert:
    return msgspec.structs.replace(alert, knowledge=0, revision=0, decided_ts=0, late_reference=False)


def _count(result: ReplayResult, entry: Entry) -> None:
    if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
        result.events += 1
        result.landed[entry.instrument] += 1
    elif isinstance(entry, RefusedEntry):
        result.refused[entry.reason] += 1


def _note(result: ReplayResult, output: Output) -> None:
    if isinstance(output, Alert):
        result.alerts.append(output)
    else:
        result.metrics += 1
