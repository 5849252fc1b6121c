"""A recording replayed: its journal, its places, both passes, and the same answers however it is written."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from pathlib import Path

import msgspec
import pytest

from detectors.rulebook import RulebookError
from detectors.runner import Output
from schemas import codec
from schemas.alerts import Alert
from schemas.events import SOURCE_TOPICS
from schemas.journal import (
    ClockEntry,
    Entry,
    OrderEntry,
    Position,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    RulebookEntry,
    TradeEntry,
)
from streams import reference_data
from streams.reference_data import ReferenceDataError
from streams.replay import FRAME, Coverage, journal, replay, second_pass
from streams.settings import resource
from streams.sources.recording import RecordingError

TESTS = Path(__file__).resolve().parents[1]
HANDMADE = TESTS / "oracles" / "handmade"
RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
TWO_PASSES = HANDMADE / "11_two_passes"
BAD_INPUT = HANDMADE / "14_bad_input"
FOLDERS = sorted(path for path in HANDMADE.iterdir() if path.is_dir())


class Kept:
    """A Sink that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[tuple[Position, Entry]] = []
        self.outputs: list[tuple[Position, Output]] = []
        self.closed = 0

    def entry(self, position: Position, entry: Entry) -> None:
        self.entries.append((position, entry))

    def output(self, position: Position, output: Output) -> None:
        self.outputs.append((position, output))

    def close(self) -> None:
        self.closed += 1


def contents(folder: Path) -> list[bytes]:
    """Every revision of every alert, as it is published."""
    return [codec.encode_alert(alert) for alert in replay(folder, rulebook_text=RULEBOOK).alerts]


def copied(folder: Path, to: Path) -> Path:
    """Copy a recording, to change it."""
    return Path(shutil.copytree(folder, to / folder.name))


def test_a_journal_begins_with_facts_and_rulebook_and_ends_with_a_clock() -> None:
    facts = reference_data.load(BAD_INPUT / "reference.toml")
    entries = list(journal(BAD_INPUT, facts, RULEBOOK))
    assert entries[: len(facts)] == [ReferenceEntry(fact=fact) for fact in facts]
    rulebook, last = entries[len(facts)], entries[-1]
    assert isinstance(rulebook, RulebookEntry) and rulebook.text == RULEBOOK
    assert last == ClockEntry(ts=1_772_409_606_000_000_000, end=True)
    assert not any(isinstance(entry, ReferenceEntry | RulebookEntry) for entry in entries[len(facts) + 1 :])


def test_a_journal_orders_by_seq_and_keeps_what_is_refused() -> None:
    entries = list(journal(BAD_INPUT, [], RULEBOOK))
    seqs = [entry.seq for entry in entries if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry)]
    assert seqs == [1, 2, 5, 9, 10, 11, 12, 13]
    refused = [entry for entry in entries if isinstance(entry, RefusedEntry)]
    assert [(entry.src.offset, entry.reason) for entry in refused] == [
        (3, "duplicate"), (4, "conflict"), (5, "not_json"), (6, "wrong_type"), (7, "bad_value"),
        (11, "bad_decimal"),
    ]  # fmt: skip
    lines = (BAD_INPUT / "orders.jsonl").read_bytes().splitlines()
    assert all(entry.raw == lines[entry.src.offset - 1] for entry in refused)


def test_places_are_frames_of_500_in_partition_0(tmp_path: Path) -> None:
    records = [
        {"instrument": "X", "seq": seq, "ts": seq, "exec_type": "canceled", "order_id": "O"}
        for seq in range(1, 1_201)
    ]
    (tmp_path / "orders.jsonl").write_text("\n".join(map(json.dumps, records)))
    sink = Kept()
    progress: list[int] = []
    result = replay(tmp_path, rulebook_text=RULEBOOK, sink=sink, progress=progress.append)
    places = [position for position, _ in sink.entries]
    assert places == [Position(0, number // FRAME, number % FRAME) for number in range(1_202)]
    assert (result.events, sink.closed, progress) == (1_200, 1, [0, 1_000])
    assert result.faults == ["reference.toml: missing, so every account is unknown"]


def test_outputs_stand_at_the_entry_that_decided_them() -> None:
    sink = Kept()
    result = replay(BAD_INPUT, rulebook_text=RULEBOOK, sink=sink)
    entries = dict(sink.entries)
    assert len(sink.outputs) == len(result.alerts) + result.metrics > 0
    for position, output in sink.outputs:
        if isinstance(output, Alert) and output.measures.get("kind") in ("duplicate", "conflict"):
            assert isinstance(entries[position], RefusedEntry)
    assert {type(entries[position]) for position, _ in sink.outputs} >= {RefusedEntry, OrderEntry, ClockEntry}


def test_what_a_result_counts() -> None:
    result = replay(BAD_INPUT, rulebook_text=RULEBOOK)
    assert result.coverage() == {"X": Coverage(first=1, last=13, landed=8, missing=5)}
    assert dict(result.refused) == {
        "duplicate": 1, "conflict": 1, "not_json": 1, "wrong_type": 1, "bad_value": 1, "bad_decimal": 1,
    }  # fmt: skip
    counts = replay(HANDMADE / "01_queue_jump", rulebook_text=RULEBOOK).counts()
    assert {key: count for key, count in counts.items() if key[0] == "client_priority"} == {
        ("client_priority", "client_priority.price_time", "confirmed"): 1
    }


# ---- two passes -------------------------------------------------------------------------------------

K = 1_772_416_800_000_000_000  # 2026-03-02T02:00:00Z, the latest recorded_at


def test_the_second_pass_adds_and_takes_back() -> None:
    result = replay(TWO_PASSES, rulebook_text=RULEBOOK)
    rules = ("affiliate_flag", "client_priority")
    said = [
        (alert.rule, alert.knowledge, alert.revision, alert.status, alert.status_reason, alert.late_reference)
        for alert in result.alerts
        if alert.rule in rules
    ]
    assert [*said[:3], *sorted(said[3:], key=lambda row: (row[0], row[2]))] == [
        ("affiliate_flag", 0, 0, "confirmed", None, False),
        ("client_priority", 0, 0, "provisional", None, False),
        ("client_priority", 0, 1, "confirmed", None, False),
        ("affiliate_flag", K, 1, "retracted", "late_reference", True),
        ("client_priority", K, 0, "confirmed", None, True),
        ("client_priority", K, 2, "retracted", "late_reference", True),
    ]
    assert {key: count for key, count in result.counts().items() if key[0] in rules} == {
        ("affiliate_flag", "affiliate_flag", "retracted"): 1,
        ("client_priority", "client_priority.price_time", "retracted"): 1,
        ("client_priority", "client_priority.price_time", "confirmed"): 1,
    }


def test_the_second_pass_repeats_all_metrics_with_its_knowledge() -> None:
    sink = Kept()
    replay(TWO_PASSES, rulebook_text=RULEBOOK, sink=sink)
    metrics = [(position, output) for position, output in sink.outputs if not isinstance(output, Alert)]
    known = {row.knowledge for _, row in metrics}
    assert known == {0, K}
    end = Position(0, len(sink.entries) // FRAME, len(sink.entries) % FRAME)
    assert {position for position, row in metrics if row.knowledge == K} == {end}


def test_what_the_first_pass_took_back_itself_is_not_taken_back_again() -> None:
    facts = reference_data.load(TWO_PASSES / "reference.toml")
    rulebook = [RulebookEntry(digest="", text=RULEBOOK)]
    alerts = replay(HANDMADE / "01_queue_jump", rulebook_text=RULEBOOK).alerts
    alert = [alert for alert in alerts if alert.rule == "client_priority"][-1]
    retracted = msgspec.structs.replace(alert, revision=2, status="retracted", status_reason="busted")
    assert list(second_pass(rulebook, facts, [alert, retracted])) == []
    [taken_back] = second_pass(rulebook, facts, [alert])
    assert isinstance(taken_back, Alert)
    assert (taken_back.revision, taken_back.status_reason) == (alert.revision + 1, "late_reference")


def test_without_recorded_at_there_is_one_pass() -> None:
    sink = Kept()
    replay(HANDMADE / "01_queue_jump", rulebook_text=RULEBOOK, sink=sink)
    assert {output.knowledge for _, output in sink.outputs} == {0}


# ---- the same answers -------------------------------------------------------------------------------


def test_replayed_twice_the_alerts_are_the_same_bytes() -> None:
    compared = 0
    for folder in FOLDERS:
        first = contents(folder)
        assert first == contents(folder)
        compared += len(first)
    print(f"compared {compared} revisions")
    assert compared > 20


@pytest.mark.parametrize(
    "folder", [path for path in FOLDERS if path != BAD_INPUT], ids=lambda path: path.name
)
def test_lines_in_another_order_give_the_same_alerts(folder: Path, tmp_path: Path) -> None:
    shuffled = copied(folder, tmp_path)
    moved = 0
    for topic in SOURCE_TOPICS:
        path = shuffled / f"{topic}.jsonl"
        if path.exists():
            lines = path.read_text().splitlines()
            random.Random(7).shuffle(lines)
            path.write_text("\n".join(lines))
            moved += len(lines)
    assert moved > 0
    assert contents(shuffled) == contents(folder)


def test_arrays_give_the_same_alerts_as_lines(tmp_path: Path) -> None:
    packed = copied(TWO_PASSES, tmp_path)
    for topic in SOURCE_TOPICS:
        path = packed / f"{topic}.jsonl"
        path.write_text(f"[{','.join(path.read_text().splitlines())}]")
    assert contents(packed) == contents(TWO_PASSES) != []


def test_one_poisoned_line_changes_no_answer(tmp_path: Path) -> None:
    poisoned = copied(TWO_PASSES, tmp_path)
    with (poisoned / "orders.jsonl").open("ab") as stream:
        stream.write(b'{"instrument":"\xff"}\n' + b"[" * 100_000 + b'\n{"u":1,"instrument":')
    result = replay(poisoned, rulebook_text=RULEBOOK)
    assert dict(result.refused) == {"not_json": 3}
    assert [codec.encode_alert(alert) for alert in result.alerts] == contents(TWO_PASSES)


# ---- what it is given -------------------------------------------------------------------------------


def test_a_recordings_own_rulebook_takes_the_place_of_the_default(tmp_path: Path) -> None:
    own = copied(HANDMADE / "01_queue_jump", tmp_path)
    text = RULEBOOK.replace('zone = "Asia/Hong_Kong"', 'zone = "UTC"')
    assert text != RULEBOOK
    (own / "rulebook.toml").write_text(text)
    sink = Kept()
    replay(own, rulebook_text=RULEBOOK, sink=sink)
    assert [entry.text for _, entry in sink.entries if isinstance(entry, RulebookEntry)] == [text]
    (own / "rulebook.toml").write_text("[venue]\nzones = 1\n")
    with pytest.raises(RulebookError, match="zones"):
        replay(own, rulebook_text=RULEBOOK)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        replay(tmp_path / "none", rulebook_text=RULEBOOK)
    broken = copied(TWO_PASSES, tmp_path)
    (broken / "reference.toml").write_text("[[entities]]\nid = 7\n")
    with pytest.raises(ReferenceDataError, match=r"reference\.toml:"):
        replay(broken, rulebook_text=RULEBOOK)


def test_a_truncated_file_is_a_fault_and_the_rest_is_judged(tmp_path: Path) -> None:
    cut = copied(TWO_PASSES, tmp_path)
    quotes = cut / "quotes.jsonl"
    (cut / "quotes.jsonl.gz").write_bytes(gzip.compress(quotes.read_bytes())[:-4])
    quotes.unlink()
    result = replay(cut, rulebook_text=RULEBOOK)
    assert [fault.split(": ")[0] for fault in result.faults] == ["quotes.jsonl.gz:1"]
    assert [codec.encode_alert(alert) for alert in result.alerts] == contents(TWO_PASSES)


def test_a_retracted_alert_says_why_in_its_sentence() -> None:
    alerts = [
        alert
        for folder in (HANDMADE / "08_busts", TWO_PASSES)
        for alert in replay(folder, rulebook_text=RULEBOOK, strict=True).latest().values()
        if alert.status == "retracted" and alert.status_reason != "cured"
    ]
    print(f"looked at {len(alerts)} retracted alerts")
    assert {alert.status_reason for alert in alerts} == {"busted", "late_reference"}
    assert all(" Taken back: " in alert.narrative for alert in alerts)
    assert {alert.harm_qty for alert in alerts} == {None, "0"}
