"""The detect stage without a broker, crashed after every step that others can see: nothing lost or doubled.

Recordings of a seed, in frames of several entries; each rule's own cases, entry by entry, are crashed in
tests/checks/test_battery.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from markets import market
from stages import World, crashed, finished

from detectors.runner import Runner
from schemas import codec
from schemas.journal import Entry, OrderEntry, RefusedEntry, RulebookEntry, Source
from streams import reference_data
from streams.replay import journal
from streams.settings import resource

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
FRAME = 9  # entries
SEEDS = (0, 2, 3, 4, 5)


def world(folder: Path) -> World:
    """A recording as a journal in frames."""
    entries: list[Entry] = list(journal(folder, reference_data.load(folder / "reference.toml"), RULEBOOK))
    return World([codec.encode_frame(entries[at : at + FRAME]) for at in range(0, len(entries), FRAME)])


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
