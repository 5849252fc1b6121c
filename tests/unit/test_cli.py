"""The command line: every help reads, what a person can put right is one line, replay to answers and back."""

from __future__ import annotations

import fcntl
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from schemas import codec
from schemas.events import SOURCE_TOPICS, Topic
from schemas.journal import RefusedEntry
from streams.cli import app
from streams.commands import record_schema
from streams.settings import resource
from streams.tagger import Directory, Tagger

ROOT = Path(__file__).resolve().parents[2]
HANDMADE = ROOT / "tests" / "oracles" / "handmade"
RUN = CliRunner()


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command."""
    found: list[tuple[str, ...]] = []

    def walk(command: object, words: tuple[str, ...]) -> None:
        children = getattr(command, "commands", {})
        if not children:
            found.append(words)
        for name, child in children.items():
            walk(child, (*words, name))

    walk(get_command(app), ())
    return found


def fairbook(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_command_has_help_with_a_sentence_and_every_option_says_what_it_is() -> None:
    words = commands()
    print(f"looked at {len(words)} commands")
    assert len(words) >= 20
    for command in words:
        result = RUN.invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
        assert result.exit_code == 0, command
        text = result.output.split("Usage:")[1].splitlines()
        assert any(line.strip().endswith((".", ":")) for line in text[1:6]), (command, text[:6])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "no-such-folder"], "expected the folder of a recording; it does not exist"),
        (["sql", "--lake", "no-such-lake", "select 1"], "expected a lake; the folder does not exist"),
        (["alerts", "list", "--lake", "no-such-lake"], "expected a lake; the folder does not exist"),
        (["reference", "check", "no-such.toml"], "no-such.toml"),
        (["topics", "check", "--broker", "nonsense"], "expected HOST:PORT"),
        (["topics", "check", "--broker", "127.0.0.1:1", "--prefix", "a b"], "expected at most 200 of"),
        (["status", "--kafka-properties", "no-such-file"], "expected a readable text file"),
        (["rules", "--rulebook", "no-such-file"], "no-such-file"),
    ],
)
def test_what_a_person_can_put_right_is_one_line(words: list[str], said: str) -> None:
    result = fairbook(*words)
    told = (result.stderr + result.stdout).strip()
    assert result.returncode == 1, told
    assert said in told
    assert "Traceback" not in told


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_the_schemas_examples_are_accepted_and_of_every_kind(topic: Topic) -> None:
    tagger = Tagger(Directory())
    examples = record_schema.examples(topic)
    entries = [entry for data in examples for entry, _raw in tagger.tag(topic, data, 0, 0)]
    print(f"{len(entries)} examples of {topic}")
    assert entries
    assert not [entry for entry in entries if isinstance(entry, RefusedEntry)]
    schema = json.loads(RUN.invoke(app, ["schema", topic]).output.split("\n\n")[0])
    definition = next(iter(schema["$defs"].values()))
    kinds = {codec.decode(data).get("exec_type") for data in examples}
    stated = definition["properties"].get("exec_type", {}).get("enum", [None])
    assert kinds == set(stated)


def test_a_replay_lands_and_can_be_asked_and_shown(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    first = fairbook("replay", str(HANDMADE / "01_queue_jump"), "--lake", str(lake))
    assert first.returncode == 0, first.stderr
    again = fairbook("replay", str(HANDMADE / "01_queue_jump"), "--lake", str(lake))  # takes its own place
    assert again.returncode == 0, again.stderr
    rows = fairbook(
        "sql", "--lake", str(lake), "--json", "select alert_id, harm_qty from alerts order by all"
    )
    alerts = [json.loads(line) for line in rows.stdout.splitlines()]
    assert alerts
    shown = fairbook("alerts", "show", "--lake", str(lake), alerts[0]["alert_id"])
    assert shown.returncode == 0, shown.stderr
    for part in (
        "Evidence: the records",
        "The queue just before seq",
        "The arithmetic",
        "The rule",
        "Source (",
    ):
        assert part in shown.stdout
    missing = fairbook("alerts", "show", "--lake", str(lake), "zzz")
    assert missing.returncode == 1
    assert "no alert begins with 'zzz'" in missing.stdout
    csv = fairbook("sql", "--lake", str(lake), "--csv", "select 0::decimal(18,8) as zero, [1, 2] as list")
    assert csv.stdout == 'zero,list\n0.00000000,"[1,2]"\n'


def test_a_replay_does_not_touch_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    replay = ("replay", str(HANDMADE / "01_queue_jump"), "--lake", str(tmp_path))
    assert fairbook(*replay).returncode == 0
    assert fairbook(*replay).returncode == 0
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
    (tmp_path / "replay-of.txt").unlink()
    refused = fairbook(*replay)
    assert refused.returncode == 1
    assert (
        "expected a new folder or an earlier replay's, found another lake's 'catalog.duckdb'"
        in refused.stderr
    )


def test_a_replay_of_damaged_files_says_so_in_its_status(tmp_path: Path) -> None:
    day = tmp_path / "day"
    shutil.copytree(HANDMADE / "01_queue_jump", day)
    packed = gzip.compress((day / "orders.jsonl").read_bytes())
    (day / "orders.jsonl").unlink()
    (day / "orders.jsonl.gz").write_bytes(packed[:-9])
    result = fairbook("replay", str(day), "--lake", str(tmp_path / "lake"))
    assert result.returncode == 1
    assert "the answers are of what could be read, not of the day" in result.stderr
    assert (tmp_path / "lake" / "catalog.duckdb").exists()


def test_a_simulated_day_is_a_recording_that_is_checked_and_has_labels(tmp_path: Path) -> None:
    day, labels = tmp_path / "day", tmp_path / "labels.jsonl"
    made = fairbook("simulate", "--events", "3000", "--to", str(day), "--labels", str(labels), "--seed", "3")
    assert made.returncode == 0, made.stderr
    assert len(labels.read_bytes().splitlines()) > 20
    assert fairbook("recording", "check", str(day)).returncode == 0
    same = tmp_path / "same"
    fairbook("simulate", "--events", "3000", "--to", str(same), "--seed", "3")
    assert (day / "orders.jsonl").read_bytes() == (same / "orders.jsonl").read_bytes()


def test_kept_agreements_are_in_the_labels_and_the_recording_is_sound(tmp_path: Path) -> None:
    day, labels = tmp_path / "day", tmp_path / "labels.jsonl"
    made = fairbook(
        "simulate", "--events", "1000", "--violations", "0", "--quoting", "kept",
        "--to", str(day), "--labels", str(labels),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    lines = [json.loads(line) for line in labels.read_bytes().splitlines()]
    assert len(lines) > 20 and all(set(line) == {"presence"} for line in lines)
    assert fairbook("recording", "check", str(day)).returncode == 0
    assert fairbook("reference", "check", str(day / "reference.toml")).returncode == 0
    refused = fairbook("simulate", "--quoting", "some", "--to", str(tmp_path / "none"))
    assert refused.returncode == 2 and "off" in refused.stderr


def test_a_dead_broker_is_one_line_and_no_long_wait() -> None:
    for words in (["status"], ["reference", "load", str(resource("infra/reference/reference.toml"))]):
        result = fairbook(*words, "--broker", "127.0.0.1:1")
        assert result.returncode == 1
        assert "the broker does not answer within" in result.stderr
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr


def test_the_example_of_reference_data_is_sound_and_says_what_matching_does() -> None:
    example = resource("infra/reference/reference.toml")
    assert fairbook("reference", "check", str(example)).stdout.startswith("0 errors, 0 warnings")


def test_another_matching_is_told(tmp_path: Path) -> None:
    text = resource("infra/reference/reference.toml").read_text(encoding="utf-8")
    other = tmp_path / "reference.toml"
    other.write_text(text.replace('matching = "price_time"', 'matching = "fifo"'), encoding="utf-8")
    told = fairbook("reference", "check", str(other)).stdout
    assert "BTC-USD has matching 'fifo': client_priority.price_time does not judge its book fills" in told
    assert "0 errors, 1 warnings" in told


def test_a_wrong_rulebook_is_named_with_its_line(tmp_path: Path) -> None:
    book = tmp_path / "mine.toml"
    book.write_text('[venue]\nzome = "UTC"\n', encoding="utf-8")
    result = fairbook("rules", "--rulebook", str(book))
    assert result.returncode == 1
    assert f"{book}: line 2: " in result.stderr


def test_a_second_demo_in_one_place_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = fairbook("demo", "--state", str(tmp_path))
    assert result.returncode == 1
    assert "a demo already runs in" in result.stderr


@pytest.mark.parametrize("what", ["reference", "alerts"])
def test_what_is_no_venues_topic_has_a_schema_too(what: str) -> None:
    schema = json.loads(RUN.invoke(app, ["schema", what]).output)
    assert len(schema["$defs"]) >= 2
