"""Every case through tag and detect, however its topics arrive: byte for byte what a replay says."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest
import stages
from scenario import Case, Comparison, Outcome, cases, prepare, rulebook_toml, rulebooks_read_once
from stages import Lines, Order, Segment, Tagging, arrangements, judged, output

from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from detectors.runner import Output
from schemas import codec
from schemas.alerts import Alert
from schemas.events import SOURCE_TOPICS
from schemas.journal import OrderEntry, QuoteEntry, RefusedEntry, TradeEntry
from schemas.reference import Fact
from streams.replay import second_pass
from streams.sources import recording

PARTITIONS = (1, 4, 8)
MOST = int(os.environ.get("FAIRBOOK_ARRANGEMENTS", "10"))  # a case; `make arrangements` has many more
LONG = 1_000  # outputs: days of idle minutes, seconds a run
MOST_LONG = 3  # arrangements of such a case


class Ready(NamedTuple):
    """A case as a feed would publish it, and what its replay publishes, as bytes, sorted."""

    case: Case
    facts: list[Fact]
    lines: Lines
    expected: list[bytes]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Ready]]:
    """Every case."""
    with rulebooks_read_once():
        yield list(every(tmp_path_factory.mktemp("cases")))


def every(folder: Path) -> Iterator[Ready]:
    """Return every case as messages."""
    for case in cases():
        if case.data.get("xfail"):
            continue
        prepared = prepare(case, folder / case.name)
        lines: dict[str, list[bytes]] = {topic: [] for topic in SOURCE_TOPICS}
        for line in recording.read(folder / case.name):
            lines[line.topic].append(line.data)
        yield Ready(case, prepared.facts, lines, sorted(encoded(prepared.run().outputs)))


def encoded(outputs: list[Output]) -> list[bytes]:
    """Return outputs as they are published."""
    return [
        codec.encode_alert(one) if isinstance(one, Alert) else codec.encode_metric(one) for one in outputs
    ]


def segments(case: Case, lines: Lines) -> list[Segment]:
    """Return what comes before what: a late record after its gap is given up, a clock where the case says."""
    if not case.arrival and not case.clocks:
        return [Segment(lines)]

    def of(seqs: range) -> Lines:
        return {topic: [line for line in lines[topic] if codec.place_of(line).seq in seqs] for topic in lines}

    def timely(seqs: range) -> Lines:
        late = [of(range(seq, seq + 1)) for seq in case.arrival]
        return {t: [x for x in rows if all(x not in one[t] for one in late)] for t, rows in of(seqs).items()}

    found: list[Segment] = []
    taken = 1
    breaks: list[tuple[int, int | None, int | None]] = [
        (after, seq, None) for seq, after in case.arrival.items()
    ]
    breaks += [(after, None, ts) for after, ts in case.clocks]
    for after, late, clock in sorted(breaks, key=lambda one: one[0]):
        found.append(Segment(timely(range(taken, after + 1)), passes=late is not None, clock=clock))
        if late is not None:
            found.append(Segment(of(range(late, late + 1))))
        taken = after + 1
    return [*found, Segment(timely(range(taken, 1 << 40)))]


def ways(one: Ready) -> Iterator[list[tuple[Segment, Order]]]:
    """Return the arrangements of a case: its segments in their order, the topics of each interleaved."""
    parts = segments(one.case, one.lines)
    choices = [
        list(arrangements({topic: len(part.lines[topic]) for topic in SOURCE_TOPICS}, MOST, one.case.name))
        for part in parts
    ]
    most = max(map(len, choices))
    for number in range(most if len(one.expected) < LONG else min(most, MOST_LONG)):
        yield [(part, orders[number % len(orders)]) for part, orders in zip(parts, choices, strict=True)]


def in_arrays(lines: Lines) -> Lines:
    """Return each topic's records in arrays of up to three, each of one instrument."""
    found: dict[str, list[bytes]] = {topic: [] for topic in lines}
    for topic in lines:
        for _instrument, run in groupby(lines[topic], key=lambda line: codec.peek(line).instrument):
            rows = list(run)
            found[topic] += [b"[" + b",".join(rows[at : at + 3]) + b"]" for at in range(0, len(rows), 3)]
    return found


def outcome(one: Ready, journals: list[list[bytes]]) -> tuple[Outcome, list[bytes]]:
    """Return what the detect stage makes of journals, and the very bytes that it publishes, sorted.

    Where facts have a `recorded_at`, the second pass over the journal is part of it, as in a replay.
    """
    found = Outcome()
    said: list[bytes] = []
    for number, frames in enumerate(journals):
        published = judged(frames, number)
        first = [output(message) for message in published]
        entries = stages.entries(frames)
        later: list[Output] = []
        if any(fact.recorded_at is not None for fact in one.facts):
            alerts = [output for output in first if isinstance(output, Alert)]
            later = list(second_pass(entries, one.facts, alerts, strict=True))
        found.outputs += first + later
        found.landed += sum(isinstance(entry, OrderEntry | TradeEntry | QuoteEntry) for entry in entries)
        found.refused.update(entry.reason for entry in entries if isinstance(entry, RefusedEntry))
        said += [message.value for message in published] + encoded(later)
    return found, sorted(said)


def compare(one: Ready, journals: list[list[bytes]], how: object, compared: Counter[str]) -> None:
    """Fail unless a case comes out of these journals as written and as the replay says; count what was."""
    found, said = outcome(one, journals)
    comparison = Comparison(one.case, found)
    assert not comparison.differences, f"{one.case.name}, {how}: " + "\n".join(comparison.differences)
    assert said == one.expected, f"{one.case.name}, {how}: other bytes"
    compared["runs"] += 1
    compared["things of `then`"] += comparison.compared
    compared["outputs byte for byte"] += len(said)


def test_every_case_comes_out_the_same_however_its_topics_arrive(ready: list[Ready]) -> None:
    compared = Counter[str]()
    for one in ready:
        rulebook = Rulebook.parse(rulebook_toml(one.case), PARAMETERS)
        for way in ways(one):
            tagging = Tagging.fresh(0, 1, one.facts, rulebook)
            journal = tagging.run(way, latest=stages.latest_ts(one.lines))
            compare(one, [journal], [order for _segment, order in way], compared)
    print(f"{len(ready)} cases through tag and detect, compared: {dict(compared)}")
    assert len(ready) > 400 and min(compared.values()) > len(ready)


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_arrays_and_partition_counts_change_nothing(ready: list[Ready], partitions: int) -> None:
    compared = Counter[str]()
    told = [one for one in ready if not one.case.arrival and not one.case.clocks and len(one.expected) < LONG]
    for one in told:
        compare(
            one, stages.tagged(one.lines, one.facts, rulebook_toml(one.case), partitions), "single", compared
        )
        if one.case.orderly:
            arrays = in_arrays(one.lines)
            journals = stages.tagged(arrays, one.facts, rulebook_toml(one.case), partitions)
            compare(one, journals, "arrays", compared)
    print(f"{len(told)} cases over {partitions} partitions, compared: {dict(compared)}")
    assert min(compared.values()) > len(told) > 380


def test_a_stage_that_loses_a_record_is_seen(ready: list[Ready]) -> None:
    """Each case with a message taken away, in turn: how many come out otherwise."""
    different = 0
    with_alerts = [
        one for one in ready if one.case.data["then"] and not one.case.arrival and not one.case.clocks
    ]
    for one in with_alerts[::10]:
        topic = max(one.lines, key=lambda name: len(one.lines[name]))
        fewer = {**one.lines, topic: one.lines[topic][:-1]}
        journals = stages.tagged(fewer, one.facts, rulebook_toml(one.case))
        different += outcome(one, journals)[1] != one.expected
    print(f"{different} of {len(with_alerts[::10])} cases differ")
    assert different > len(with_alerts[::10]) // 2
