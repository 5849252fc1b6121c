"""A landed day, read back, is the journal it was, and the rules say the same of it to the byte."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from lake_journal import FOLDERS, RULEBOOK, Kept, kept, messages, simulated

from detectors.runner import Output, Runner
from detectors.sequence import MAX_GAPS
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import Entry, OrderEntry, Position, ReferenceEntry, RulebookEntry, Source
from streams.lake import landed
from streams.lake.writer import LakeWriter
from streams.land_worker import LandPartition
from streams.replay import second_pass


def content(output: Output) -> bytes:
    """What is published of an output."""
    return codec.encode_alert(output) if isinstance(output, Alert) else codec.encode_metric(output)


def said(entries: Iterable[Entry]) -> list[bytes]:
    """All that the rules say of a journal, in both passes if it has facts that were recorded later."""
    entries = list(entries)
    runner = Runner()
    first = [output for entry in entries for output in runner.apply(entry)]
    facts = [entry.fact for entry in entries if isinstance(entry, ReferenceEntry)]
    second: list[Output] = []
    if any(fact.recorded_at is not None for fact in facts):
        alerts = [output for output in first if isinstance(output, Alert)]
        second = list(second_pass(entries, facts, alerts))
    return [content(output) for output in first + second]


def check(original: Kept, lake: Path) -> int:
    """Compare the lake at `lake` with what was landed in it; return how many things were compared."""
    assert landed.partitions(lake) == [0]
    found = list(landed.entries(lake, 0))
    assert [position for position, _entry in found] == [position for position, _entry in original.entries]
    for (_, one), (_, other) in zip(found, original.entries, strict=True):
        assert codec.encode_frame([one]) == codec.encode_frame([other])
    answers = said(entry for _position, entry in found)
    assert answers == [content(output) for _position, output in original.outputs]
    compared = len(found) + len(answers)
    print(f"compared {len(found)} entries and {len(answers)} outputs")
    return compared


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_replayed_recording_comes_back_and_says_the_same(folder: Path, tmp_path: Path) -> None:
    original = kept(folder)
    writer = LakeWriter(tmp_path / "lake", "replay")
    for position, entry in original.entries:
        writer.entry(position, entry)
    for position, output in original.outputs:
        writer.output(position, output)
    writer.close()
    assert check(original, tmp_path / "lake") > 10


def test_a_simulated_day_landed_live_comes_back_and_says_the_same(tmp_path: Path) -> None:
    original = kept(simulated(tmp_path / "recording", 5_000))
    lake = tmp_path / "lake"
    part = LandPartition(lake, "journal", 0)
    feed = [message for message in messages(original, 500) if message.topic() == "journal"]
    for number, message in enumerate(feed):
        part.take(message)
        if number % 3 == 2:
            part.flush()
            part = LandPartition(lake, "journal", 0)
    part.flush()
    assert check(original, lake) > 5_000


def test_what_two_tag_workers_wrote_twice_lands_once_and_changes_nothing(tmp_path: Path) -> None:
    entries = [entry for _position, entry in kept(FOLDERS[0]).entries]
    twice = [*entries[:-1], *(entry for entry in entries if isinstance(entry, OrderEntry)), entries[-1]]
    lake = tmp_path / "lake"
    writer = LakeWriter(lake, "replay")
    for index, entry in enumerate(twice):
        writer.entry(Position(0, 0, index), entry)
    writer.close()
    found = [entry for _position, entry in landed.entries(lake, 0)]
    assert writer.repeats == len(twice) - len(entries) > 0
    assert [codec.encode_frame([entry]) for entry in found] == [
        codec.encode_frame([entry]) for entry in entries
    ]
    assert said(found) == said(twice) != []


def test_an_event_from_a_forgotten_gap_is_kept_and_told(tmp_path: Path) -> None:
    seqs = [*range(1, 2 * MAX_GAPS + 5, 2), 2]
    entries: list[Entry] = [RulebookEntry(digest="d", text=RULEBOOK)]
    entries += [
        OrderEntry(
            instrument="X", seq=seq, ts=1_772_409_606_000_000_000 + at, exec_type="mm_protection_start",
            src=Source("orders", 0, at), start=at == 0,
        )
        for at, seq in enumerate(seqs)
    ]  # fmt: skip
    lake = tmp_path / "lake"
    writer = LakeWriter(lake, "replay")
    for index, entry in enumerate(entries):
        writer.entry(Position(0, 0, index), entry)
    writer.close()
    found = [entry for _position, entry in landed.entries(lake, 0)]
    assert len(found) == len(entries)
    assert codec.encode_frame(found) == codec.encode_frame(entries)
    with landed.catalog.connect(lake) as connection:
        rows = connection.sql("select reason, seq, place from quarantine").fetchall()
    assert rows == [("evicted", 2, f"orders:0:{len(seqs) - 1}")]
