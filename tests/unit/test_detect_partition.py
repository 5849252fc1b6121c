"""The detect stage without a broker, crashed after every step that others can see: nothing lost or doubled.

What is called here is the partition's own methods in the worker's order: apply frames, send what is owed, and
for a snapshot take label, state and owed together, wait for the acknowledgements, write it, then commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from markets import market

from detectors.runner import Runner
from schemas import codec
from schemas.journal import Entry, OrderEntry, RefusedEntry, RulebookEntry, Source
from streams import reference_data
from streams.detect_worker import OUTPUTS, DetectPartition
from streams.replay import journal
from streams.settings import resource

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
FRAME = 9  # entries
SEEDS = (0, 2, 3, 4, 5)


@dataclass
class World:
    """What outlives a crash: the journal, what was published (ce_id, content), the snapshots."""

    journal: list[bytes]
    topics: dict[str, list[tuple[str, bytes]]] = field(default_factory=lambda: {name: [] for name in OUTPUTS})
    snapshots: list[tuple[int, bytes]] = field(default_factory=list)

    def again(self) -> World:
        """The same journal, nothing done yet."""
        return World(self.journal)

    def published(self) -> dict[str, list[tuple[str, bytes]]]:
        """What was published, in an order that does not matter."""
        return {name: sorted(messages) for name, messages in self.topics.items()}


def world(folder: Path) -> World:
    """A recording as a journal in frames."""
    entries: list[Entry] = list(journal(folder, reference_data.load(folder / "reference.toml"), RULEBOOK))
    return World([codec.encode_frame(entries[at : at + FRAME]) for at in range(0, len(entries), FRAME)])


def detecting(world: World, *, forgetful: bool = False) -> Iterator[str]:
    """Judge what there is, from what a crash left; yields after every step that leaves a trace.

    `forgetful`: write the snapshot before what is owed for it is sent, as must not be.
    """
    if world.snapshots:
        label, state = world.snapshots[-1]
        part = DetectPartition.restored(0, state)
        part.label = part.written = label
    else:
        part = DetectPartition(0, 0, Runner(strict=True), dict.fromkeys(OUTPUTS, 0))
    for name in OUTPUTS:
        part.said |= {identity for identity, _content in world.topics[name][part.ends[name] :]}
        part.ends[name] = len(world.topics[name])
    while part.label < len(world.journal):
        for _frame in range(2):
            if part.label < len(world.journal):
                part.apply(world.journal[part.label], part.label, "run")
        label, owed, snapshot = part.state()
        if part.label < len(world.journal):  # the agent does not wait for the snapshot
            part.apply(world.journal[part.label], part.label, "run")
        if forgetful:
            world.snapshots.append((label, msgspec.msgpack.encode(snapshot)))
            yield "snapshot too soon"
        while part.unsent:
            output = part.unsent[0]
            topic = world.topics[output.topic]
            topic.append((output.headers["ce_id"].decode(), output.value))
            output.acknowledged = len(topic) - 1
            part.unsent.popleft()
            yield "sent"
        for output in owed:
            part.ends[output.topic] = max(part.ends[output.topic], output.acknowledged + 1)
        world.snapshots.append((label, msgspec.msgpack.encode(snapshot)))
        yield "snapshot"


def finished(world: World) -> dict[str, list[tuple[str, bytes]]]:
    """Run to the end; return what was published."""
    for _step in detecting(world):
        pass
    return world.published()


def crashed(world: World, after: int, *, forgetful: bool = False) -> bool:
    """Run until step `after` and stop there; False if it ended before."""
    return any(number == after for number, _step in enumerate(detecting(world, forgetful=forgetful), 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_after_every_step_publishes_the_same(seed: int, tmp_path: Path) -> None:
    plain = world(market(seed, instruments=2).write(tmp_path / "recording"))
    expected = finished(plain)
    points = 0
    while True:
        points += 1
        here = plain.again()
        if not crashed(here, points):
            break
        assert finished(here) == expected, f"crash after step {points}"
    outputs = {name: len(messages) for name, messages in expected.items()}
    print(f"seed {seed}: {points - 1} crash points, {outputs} compared after each")
    assert points > 5
    assert sum(outputs.values()) > 0
    for messages in expected.values():
        assert max(Counter(identity for identity, _content in messages).values(), default=1) == 1


def test_two_crashes_after_every_pair_of_steps(tmp_path: Path) -> None:
    plain = world(market(2).write(tmp_path / "recording"))
    expected = finished(plain)
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
            assert finished(here) == expected, f"crashes after steps {first} and {second}"
            pairs += 1
    print(f"{pairs} pairs of crash points")
    assert pairs > 100


def test_without_any_snapshot_the_journal_is_read_again(tmp_path: Path) -> None:
    here = world(market(3, instruments=2).write(tmp_path / "recording"))
    expected = finished(here)
    here.snapshots.clear()
    assert finished(here) == expected
    assert sum(map(len, expected.values())) > 0


def test_a_snapshot_before_its_outputs_would_be_noticed(tmp_path: Path) -> None:
    plain = world(market(3, instruments=2).write(tmp_path / "recording"))
    expected = finished(plain)
    different = points = 0
    while True:
        points += 1
        here = plain.again()
        if not crashed(here, points, forgetful=True):
            break
        different += finished(here) != expected
    print(f"{different} of {points - 1} crash points lose something")
    assert different > 0


def test_a_finding_on_a_refused_record_says_nothing_of_places(tmp_path: Path) -> None:
    """The same record refused elsewhere and at another moment is the same alert, byte for byte."""
    plain = world(market(3).write(tmp_path / "recording"))
    entries = [entry for frame in plain.journal for entry in codec.decode_frame(frame)]
    first = next(number for number, entry in enumerate(entries) if isinstance(entry, OrderEntry))
    order = entries[first]
    assert isinstance(order, OrderEntry)
    compared = 0
    for reason in ("duplicate", "conflict", "partition_mismatch"):
        contents = set()
        for offset, place in ((17, first + 1), (3_000, len(entries))):
            refused = RefusedEntry(
                src=Source("orders", offset % 4, offset), reason=reason, detail=f"at {offset}", raw=b"{}",
                instrument=order.instrument, seq=order.seq, ts=order.ts,
            )  # fmt: skip
            runner = Runner(strict=True)
            for entry in [*entries[:place], refused]:
                outputs = runner.apply(entry)
            [alert] = outputs
            contents.add(codec.canonical(alert))
            compared += 1
        assert len(contents) == 1, contents
    print(f"{compared} findings compared")
    assert compared > 0


def test_a_rulebook_without_an_instance_can_be_restored(tmp_path: Path) -> None:
    """A rule that is taken out in mid-run leaves no state behind, so snapshots go on to be usable."""
    head, *instances = RULEBOOK.split("[[instance]]\n")
    shorter = "[[instance]]\n".join([head, *(one for one in instances if "self_trade" not in one)])
    plain = world(market(3).write(tmp_path / "recording"))
    entries = [entry for frame in plain.journal for entry in codec.decode_frame(frame)]
    middle = len(entries) - 10
    entries[middle:middle] = [RulebookEntry(digest="shorter", text=shorter)]
    straight, passed_on = Runner(strict=True), Runner(strict=True)
    compared = 0
    for entry in entries:
        expected = [codec.canonical(output) for output in straight.apply(entry)]
        assert [codec.canonical(output) for output in passed_on.apply(entry)] == expected
        passed_on = Runner.restore(passed_on.snapshot(), strict=True)
        compared += 1
    print(f"handed over after each of {compared} entries")
    assert shorter != RULEBOOK
    assert compared > middle
