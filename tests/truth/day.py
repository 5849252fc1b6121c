"""One simulated day through the rules, in memory, held against what was planted in it.

Simulator -> bytes -> tagger -> sequencer -> rules, one record at a time and nothing in files: what the
workers do, without Kafka. Labels are looked at only when the day is over.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.affiliation import Directory
from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from detectors.runner import Runner
from schemas import codec
from schemas.alerts import Alert, breach_id
from schemas.events import Topic
from schemas.journal import ClockEntry, Entry, ReferenceEntry, RefusedEntry, RulebookEntry
from streams import reference_data
from streams.sequencer import Sequencer
from streams.settings import resource
from streams.sources.simulator import Simulation, SimulatorConfig, reference_toml
from streams.tagger import Tagger

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
RULES = (
    "affiliate_flag",
    "client_priority",
    "self_trade",
    "quoting_obligation",
    "spread_quality",
    "data_quality",
)
NOT_PLANTED = "(nothing near)"
Outcome = tuple[str, str | None, str | None, str | None]  # status, why retracted, harm left, class


@dataclass
class Tally:
    """Of one kind of case: breaches planted, of them found, found otherwise; near ones, alarms there."""

    planted: int = 0
    found: int = 0
    wrong: int = 0
    near: int = 0
    alarms: int = 0

    @property
    def missed(self) -> int:
        """Planted and not found, or not with the outcome, harm and class that it has."""
        return self.planted - self.found

    def add(self, other: Tally) -> None:
        """Sum another up."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class Verdict:
    """What came of a day, by (instance, kind); `examples` tell the first mistakes."""

    events: int = 0
    alerts: int = 0
    refused: int = 0
    unplanted: list[str] = field(default_factory=list)
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def tally(self, instance: str, kind: str) -> Tally:
        """The tally of a kind."""
        return self.tallies.setdefault((instance, kind), Tally())

    def add(self, other: Verdict) -> None:
        """Sum another up."""
        self.events += other.events
        self.alerts += other.alerts
        self.refused += other.refused
        self.unplanted += other.unplanted
        self.examples += other.examples
        for key, tally in other.tallies.items():
            self.tally(*key).add(tally)

    @property
    def total(self) -> Tally:
        """All kinds together."""
        total = Tally()
        for tally in self.tallies.values():
            total.add(tally)
        return total

    @property
    def exact(self) -> bool:
        """Whether all that was planted was found as it is, and nothing else."""
        return not (self.total.missed or self.total.alarms or self.unplanted or self.refused)


def judge(
    config: SimulatorConfig, rulebook: str = RULEBOOK, progress: Callable[[int], None] | None = None
) -> Verdict:
    """Run a day and hold its alerts against its labels."""
    run = Simulation(config)
    verdict, latest = Verdict(), {}
    runner = Runner(strict=True)
    for entry in _journal(run, config, rulebook, verdict, progress):
        for output in runner.apply(entry):
            if isinstance(output, Alert):
                latest[output.breach_id] = output
    _compare(run, latest, verdict)
    return verdict


def _journal(
    run: Iterable[tuple[Topic, Mapping[str, object]]], config: SimulatorConfig, text: str, verdict: Verdict,
    progress: Callable[[int], None] | None,
) -> Iterator[Entry]:  # fmt: skip
    rulebook = Rulebook.parse(text, PARAMETERS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.toml"
        path.write_text(reference_toml(config), encoding="utf-8")
        facts = reference_data.load(path)
    for fact in facts:
        yield ReferenceEntry(fact=fact)
    yield RulebookEntry(digest=rulebook.digest, text=text)
    tagger, sequencer = (
        Tagger(Directory(facts), rulebook.venue.max_future),
        Sequencer(rulebook.venue.gap_timeout),
    )
    places: Counter[str] = Counter()
    ts = 0
    for topic, record in run:
        places[topic] += 1
        for entry, raw in tagger.tag(topic, codec.encode(record), 0, places[topic]):
            if isinstance(entry, RefusedEntry):
                verdict.refused += 1
                verdict.examples.append(f"refused: {entry.detail}")
            else:
                sequencer.offer(entry, entry.ts, raw)
                ts = max(ts, entry.ts)
        yield from sequencer.out
        sequencer.out.clear()
        verdict.events += 1
        if progress is not None and verdict.events % 1_000 == 0:
            progress(1_000)
    sequencer.finish()
    yield from sequencer.out
    yield ClockEntry(ts=ts, end=True)


def _compare(run: Simulation, latest: dict[str, Alert], verdict: Verdict) -> None:
    expected: dict[str, tuple[dict[str, Any], Outcome]] = {}
    for row in run.labels:
        expected[_breach(row)] = row, _expected(row)
    near = {_breach(row): row for row in run.near}
    assert len(expected) == len(run.labels), "two labels name one breach"
    verdict.alerts, verdict.unplanted = len(latest), list(run.unplanted)
    for breach, (row, outcome) in expected.items():
        tally = verdict.tally(row["instance"], row["kind"])
        tally.planted += 1
        alert = latest.get(breach)
        said = _said(alert) if alert is not None else None
        tally.found += said == outcome
        tally.wrong += said is not None and said != outcome
        if said != outcome:
            verdict.examples.append(f"seed {run.config.seed}: expected {outcome}, said {said}: {row}")
    for row in near.values():
        verdict.tally(row["instance"], row["kind"]).near += 1
    for row in run.presence:
        alerting = {(label["instrument"], label["kind"]) for label, _ in expected.values()}
        if (row["instrument"], row["style"]) not in alerting:
            verdict.tally("quoting_obligation", str(row["style"])).near += 1
    for breach, alert in latest.items():
        if breach not in expected and alert.rule in RULES:
            row = near.get(breach)
            verdict.tally(alert.instance, row["kind"] if row else NOT_PLANTED).alarms += 1
            verdict.examples.append(
                f"seed {run.config.seed}: false alarm {alert.instance} {alert.instrument}: {alert.narrative}"
            )


def _breach(row: Any) -> str:
    return breach_id(row["rule"], row["instance"], row["instrument"], tuple(row["anchor"].values()))


def _expected(row: Any) -> Outcome:
    harm = row.get("harm_qty")
    return (
        row["status"], row["status_reason"], "0" if harm and row["status"] == "retracted" else harm,
        row["measures"].get("class"),
    )  # fmt: skip


def _said(alert: Alert) -> Outcome:
    return alert.status, alert.status_reason, alert.harm_qty, _class(alert)


def _class(alert: Alert) -> str | None:
    return str(alert.measures["class"]) if alert.rule == "self_trade" else None
