"""The tag stage without a broker: its logs are lists, and it is crashed after every step that others can see.

What is called here is the worker's own `_take` and the partition's own methods, in the worker's order: take a
batch, cut frames, send each, then for each acknowledgement what is safe, the commit and the snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from markets import market
from stages import LONG_AGO, end_of_recording, message, tag_worker

from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from detectors.runner import Runner
from detectors.sequence import Sequence
from schemas import codec
from schemas.events import SOURCE_TOPICS
from schemas.journal import (
    ClockEntry,
    Entry,
    OrderEntry,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    TradeEntry,
)
from schemas.reference import Fact, fact_id
from streams import reference_data
from streams.settings import resource
from streams.sources import recording
from streams.tag_partition import END_WAIT, Frame, TagPartition

RULEBOOK = Rulebook.parse(resource("infra/rulebook/default.toml").read_text(encoding="utf-8"), PARAMETERS)
BATCH = 4
SEEDS = range(6)


@dataclass
class World:
    """What outlives a crash: source messages, the journal, the group's commits, the snapshots."""

    sources: dict[str, list[Any]]
    facts: dict[str, Fact]
    journal: list[bytes] = field(default_factory=list)
    committed: dict[str, int] = field(default_factory=dict)
    snapshots: list[tuple[int, bytes]] = field(default_factory=list)

    def again(self) -> World:
        """The same sources, nothing done yet."""
        return World(self.sources, self.facts)


def world(folder: Path) -> World:
    """A recording as three source partitions, each with the end of the recording as its last message."""
    facts = reference_data.load(folder / "reference.toml")
    sources: dict[str, list[Any]] = {topic: [] for topic in SOURCE_TOPICS}
    latest = 0
    for line in recording.read(folder):
        latest = max(latest, codec.place_of(line.data).ts or 0)
        sources[line.topic].append(message(line.data, len(sources[line.topic])))
    for messages in sources.values():
        messages.append(end_of_recording(len(messages), latest))
    return World(sources, {fact_id(fact): fact for fact in facts})


def tagging(world: World, *, hasty: bool = False) -> Iterator[str]:
    """Tag what there is, from what a crash left; yields after every step that leaves a trace.

    `hasty`: commit what was taken before its frame is sent, as must not be.
    """
    worker = tag_worker(world.facts.values())
    label, state = world.snapshots[-1] if world.snapshots else (0, None)
    part = TagPartition(0) if state is None else TagPartition.restored(0, state)
    for frame in world.journal[:label]:
        part.remember(codec.decode_frame(frame))
    for frame in world.journal[label:]:
        part.replay(codec.decode_frame(frame))
    part.journal_end = len(world.journal)
    for topic in SOURCE_TOPICS:
        part.next[topic] = part.safe[topic] = max(part.safe[topic], world.committed.get(topic, 0))
    part.learn(world.facts, RULEBOOK)
    fetched = dict(part.next)
    turn = 0
    while True:
        topics = [topic for topic in SOURCE_TOPICS if fetched[topic] < len(world.sources[topic])]
        if topics:
            topic = topics[turn % len(topics)]
            turn += 1
            batch = world.sources[topic][fetched[topic] : fetched[topic] + BATCH]
            fetched[topic] += len(batch)
            worker._take(part, topic, batch)
        sent: list[tuple[int, Frame]] = []
        while part.out:
            for frame in part.cut(snapshot=True):
                if hasty and frame.safe is not None:
                    world.committed.update(frame.safe)
                    yield "committed too soon"
                world.journal.append(frame.data)
                sent.append((len(world.journal) - 1, frame))
                yield "sent"
        for offset, frame in sent:
            part.journal_end = offset + 1
            if frame.safe is not None:
                part.make_safe(frame.safe)
                for topic, low in frame.safe.items():
                    if world.committed.get(topic, 0) < low:
                        world.committed[topic] = low
                        yield f"committed {topic}"
            if frame.snapshot is not None:
                world.snapshots.append((part.journal_end, frame.snapshot))
                yield "snapshot"
        if not sent and part.idle():
            for topic, low in part.low().items():
                world.committed[topic] = max(world.committed.get(topic, 0), low)
            yield "idle"
        if not topics and not part.out:
            return


def finished(world: World) -> list[Entry]:
    """Run to the end; return the journal's entries."""
    for _step in tagging(world):
        pass
    return [entry for frame in world.journal for entry in codec.decode_frame(frame)]


def crashed(world: World, after: int, *, hasty: bool = False) -> bool:
    """Run until step `after` and stop there; False if it ended before."""
    return any(number == after for number, _step in enumerate(tagging(world, hasty=hasty), 1))


def content(entries: list[Entry]) -> tuple[Any, ...]:
    """What must not depend on crashes: an instrument's events in order, refused records, facts, the end."""
    events: dict[str, list[bytes]] = {}
    for entry in entries:
        if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
            events.setdefault(entry.instrument, []).append(codec.encode(entry))
    refused = [entry for entry in entries if isinstance(entry, RefusedEntry)]
    others = [entry for entry in entries if isinstance(entry, ReferenceEntry | ClockEntry)]
    return (
        events,
        Counter((entry.src, entry.reason, entry.raw) for entry in refused),
        Counter(codec.encode(entry) for entry in others),
    )


def judged(entries: list[Entry]) -> list[bytes]:
    """What the rules say of a journal."""
    runner = Runner(strict=True)
    return sorted(codec.canonical(output) for entry in entries for output in runner.apply(entry))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_after_every_step_leaves_the_same_journal(seed: int, tmp_path: Path) -> None:
    plain = world(market(seed, instruments=3).write(tmp_path / "recording"))
    expected = finished(plain)
    steps = Counter(step.partition(" ")[0] for step in tagging(plain.again()))
    assert min(steps[name] for name in ("sent", "committed", "snapshot")) > 0, steps
    points = 0
    while True:
        points += 1
        here = plain.again()
        if not crashed(here, points):
            break
        entries = finished(here)
        assert content(entries) == content(expected), f"crash after step {points}"
        assert judged(entries) == judged(expected), f"crash after step {points}"
        _every_event_once(entries)
    print(f"seed {seed}: {points - 1} crash points, {len(expected)} journal entries compared after each")
    assert points > 20


def test_two_crashes_after_every_pair_of_steps(tmp_path: Path) -> None:
    plain = world(market(4).write(tmp_path / "recording"))
    expected = content(finished(plain))
    pairs = first = 0
    while True:
        first += 1
        if not crashed(plain.again(), first):
            break
        second = 0
        while True:
            second += 1
            here = plain.again()
            crashed(here, first)
            if not crashed(here, second):
                break
            assert content(finished(here)) == expected, f"crashes after steps {first} and {second}"
            pairs += 1
    print(f"{pairs} pairs of crash points")
    assert pairs > 200


@pytest.mark.parametrize("lost", ["snapshots", "commits", "both"])
def test_whatever_of_the_rest_is_lost_the_journal_is_the_truth(lost: str, tmp_path: Path) -> None:
    plain = world(market(8, instruments=3).write(tmp_path / "recording"))
    expected = content(finished(plain))
    points = 0
    while True:
        points += 1
        here = plain.again()
        if not crashed(here, points):
            break
        if lost != "commits":
            here.snapshots.clear()
        if lost != "snapshots":
            here.committed.clear()
        assert content(finished(here)) == expected, f"crash after step {points}, then {lost} lost"
    print(f"{lost} lost after each of {points - 1} steps")
    assert points > 20


def test_a_commit_before_its_frame_would_be_noticed(tmp_path: Path) -> None:
    plain = world(market(3).write(tmp_path / "recording"))
    expected = content(finished(plain))
    different = points = 0
    while True:
        points += 1
        here = plain.again()
        if not crashed(here, points, hasty=True):
            break
        different += content(finished(here)) != expected
    print(f"{different} of {points - 1} crash points lose something")
    assert different > 0


def test_nothing_new_is_journaled_after_the_end(tmp_path: Path) -> None:
    here = world(market(3).write(tmp_path / "recording"))
    finished(here)
    before = list(here.journal)
    for _restart in range(3):
        finished(here)
    assert here.journal == before
    assert before


def _every_event_once(entries: list[Entry]) -> None:
    sequences: dict[str, Sequence] = {}
    places: Counter[Any] = Counter()
    for entry in entries:
        if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
            verdict = sequences.setdefault(entry.instrument, Sequence()).classify(entry.seq)
            assert verdict.name in ("APPLY", "LATE"), entry
        if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry | RefusedEntry):
            places[entry.src] += 1
    assert max(places.values()) == 1, places.most_common(3)


def test_an_end_that_is_on_one_topic_only_is_given_up(tmp_path: Path) -> None:
    """Its feed was stopped: what comes next is tagged, once the other topics are read well past it."""
    here = world(market(3).write(tmp_path / "recording"))
    worker = tag_worker(here.facts.values())
    part = TagPartition(0)
    for topic in SOURCE_TOPICS:
        part.next[topic] = 0
    part.learn(here.facts, RULEBOOK)
    *records, end = here.sources["orders"]
    worker._take(part, "orders", [end, *records])
    taken = len(part.out)
    assert part.waiting["orders"] == records
    part.read_past = {"trades": LONG_AGO * 1_000_000 + END_WAIT, "quotes": 1 << 80}
    assert not part.end_missing()
    part.read_past["trades"] += 1
    assert part.end_missing()
    for topic, waiting in part.give_up_end().items():
        worker._take(part, topic, waiting)
    assert not part.end_missing()
    assert not part.waiting
    assert part.next["orders"] == records[-1].offset + 1
    assert len(part.out) > taken
    assert not [entry for entry in part.out if isinstance(entry, ClockEntry)]


def test_recordings_that_end_at_the_same_time_are_two(tmp_path: Path) -> None:
    """Of the second one two topics have nothing but its end: read before the first one's other ends."""
    here = world(market(3).write(tmp_path / "recording"))
    *records, _end = here.sources["orders"]
    half, last = len(records) // 2, len(records)
    latest = max(codec.place_of(record.value).ts or 0 for record in records)

    def ends(offset: int, of: str) -> Any:
        return end_of_recording(offset, latest, of, LONG_AGO + ord(of))

    for record in records[half:]:
        record.offset += 1
    sources = {
        "orders": [*records[:half], ends(half, "a"), *records[half:], ends(last + 1, "b")],
        "trades": [ends(0, "a"), ends(1, "b")],
        "quotes": [ends(0, "a"), ends(1, "b")],
    }
    ways = 0
    for order in permutations(SOURCE_TOPICS):
        for whole in (True, False):
            part = _delivered(here, sources, order, whole=whole)
            said = [entry for entry in part.out if isinstance(entry, ClockEntry)]
            assert [entry.end for entry in said] == [True, True]
            assert isinstance(part.out[-1], ClockEntry)
            assert part.next == {"orders": last + 2, "trades": 2, "quotes": 2}
            ways += 1
    print(f"{ways} ways of delivery compared")
    assert ways == 12


def test_an_end_that_was_not_told_to_all_gives_way_to_the_next(tmp_path: Path) -> None:
    """A feed died after it had ended its recording on one topic or two; it was fed once more."""
    here = world(market(3).write(tmp_path / "recording"))
    *records, _end = here.sources["orders"]
    last = len(records)
    latest = max(codec.place_of(record.value).ts or 0 for record in records)
    again = [message(record.value, last + 1 + record.offset) for record in records]
    ways = 0
    for told in (("orders",), ("orders", "trades")):
        sources = {
            "orders": [
                *records, end_of_recording(last, latest, "a"), *again,
                end_of_recording(2 * last + 1, latest, "b", LONG_AGO + 1),
            ],
            "trades": [
                *([end_of_recording(0, latest, "a")] if "trades" in told else []),
                end_of_recording(len(told) - 1, latest, "b", LONG_AGO + 1),
            ],
            "quotes": [end_of_recording(0, latest, "b", LONG_AGO + 1)],
        }  # fmt: skip
        for order in permutations(SOURCE_TOPICS):
            part = _delivered(here, sources, order, whole=True)
            said = [entry for entry in part.out if isinstance(entry, ClockEntry)]
            assert [entry.end for entry in said] == [True]
            assert part.next == {"orders": 2 * last + 2, "trades": len(told), "quotes": 1}
            ways += 1
    print(f"{ways} ways of delivery compared")
    assert ways == 12


def _delivered(
    here: World, sources: dict[str, list[Any]], order: Iterable[str], *, whole: bool
) -> TagPartition:
    """Deliver topics one after another, each as a `whole` or message by message; nothing is left waiting."""
    worker, part = tag_worker(here.facts.values()), TagPartition(0)
    part.next = dict.fromkeys(SOURCE_TOPICS, 0)
    part.learn(here.facts, RULEBOOK)
    for topic in order:
        for records in [sources[topic]] if whole else [[record] for record in sources[topic]]:
            worker._take(part, topic, records)
    assert not part.markers
    assert not part.waiting
    return part
