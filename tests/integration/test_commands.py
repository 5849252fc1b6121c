"""The commands as a person types them, against a real Kafka: the demo, and publishing to a cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def fairbook(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *words],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_demo_finds_what_was_planted_and_leaves_nothing(kafka_libs: Path, tmp_path: Path) -> None:
    demo = fairbook(
        "demo", "--events", "8000", "--state", str(tmp_path / "a state"), FAIRBOOK_KAFKA_LIBS=str(kafka_libs)
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    said = r"(\d+) breaches were planted and \1 found with the right outcome; 0 alerts of"
    planted = re.search(said, demo.stdout)
    assert planted and int(planted[1]) > 50, demo.stdout
    for part in ("Did it see everything?", "Whose flow was it?", "What did the affiliated maker do", "next"):
        assert part in demo.stdout
    left = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in left


def test_publishing_to_a_cluster_that_is_there(broker: str, tmp_path: Path) -> None:
    where = {"FAIRBOOK_BROKER": broker, "FAIRBOOK_PREFIX": "typed.", "FAIRBOOK_STATE": str(tmp_path)}
    day = tmp_path / "day"
    made = [
        fairbook("simulate", "--events", "600", "--to", str(day)),
        fairbook("topics", "create", **where),
        fairbook("topics", "check", **where),
        fairbook("reference", "load", str(day), **where),
        fairbook("simulate", "--events", "600", **where),
        fairbook("ingest", "recording", str(day), **where),
        fairbook("status", **where),
    ]
    for command in made:
        assert command.returncode == 0, command.stdout + command.stderr
        assert "Traceback" not in command.stderr
    first, second, status = made[-3:]
    assert "the topics hold" not in first.stderr
    assert "the topics hold" in second.stderr
    assert "NOT RUNNING HERE" in status.stdout
    print(f"ran {len(made)} commands")
