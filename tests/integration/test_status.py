"""`fairbook status`: what it says of workers that are well, dead, hanging, and of a broker that is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline import Pipeline, simulated, wait_for

from streams import feed
from streams.sources.simulator_faults import Faults

WORKERS = ("tag-0", "tag-1", "detect", "land")


def asked(pipeline: Pipeline, *options: str, broker: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, at 100 columns."""
    settings = pipeline.settings
    where = ("--broker", broker or settings.broker or "", "--prefix", settings.prefix)
    folders = ("--state", str(settings.state), "--lake", str(settings.lake))
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", "status", *options, *where, *folders],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip


def told(pipeline: Pipeline) -> dict[str, Any]:
    result = asked(pipeline, "--json")
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {f"{worker['stage']} {worker['slot']}": worker["state"] for worker in found["workers"]}


def behind(found: dict[str, Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in found["partitions"]:
        counts[one["stage"]] += one["behind"]
    return counts


def test_status_says_how_each_worker_and_partition_is(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=91, events=3_000, violations=1, faults=Faults.each(1))
    half = len(day.records) // 2
    with Pipeline(broker, tmp_path, "status.") as pipeline:
        pipeline.start(*WORKERS)
        pipeline.know(day)
        publisher = feed.Feed(pipeline.settings)
        publisher.records(day.records[:half])
        wait_for(
            lambda: set(states(told(pipeline)).values()) == {"well"}, f"all to be well\n{told(pipeline)}"
        )
        pipeline.settle()
        found = told(pipeline)
        assert list(states(found)) == ["tag 0", "tag 1", "detect 0", "land 0"]
        assert found["broker"] is None
        assert behind(found).total() == 0
        assert {(one["stage"], one["partition"]) for one in found["partitions"]} == {
            (stage, number) for stage in ("tag", "detect", "land") for number in range(4)
        }
        tagged = [one for one in found["partitions"] if one["stage"] == "tag"]
        assert all(one["snapshot_age_seconds"] is not None for one in tagged)
        assert sum(worker["partitions"] for worker in found["workers"] if worker["stage"] == "tag") == 4

        pipeline.kill("detect")
        os.kill(pipeline.workers.running["tag-1"].pid, signal.SIGSTOP)
        publisher.records(day.records[half:])
        wait_for(lambda: behind(told(pipeline))["detect"] > 0, "the journal to grow")
        found = told(pipeline)
        assert states(found) == {"tag 0": "well", "tag 1": "silent", "detect 0": "dead", "land 0": "well"}
        detect = [one for one in found["partitions"] if one["stage"] == "detect"]
        assert all(one["snapshot_age_seconds"] is None for one in detect), "it cannot say"
        text = asked(pipeline).stdout
        print(text)
        for words in ("DEAD: it ended without being told", "DOES NOT ANSWER", "Events landed", "Alerts, by"):
            assert words in text
        assert max(map(len, text.splitlines())) <= 100
        os.kill(pipeline.workers.running["tag-1"].pid, signal.SIGCONT)

        pipeline.start("detect")
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        found = told(pipeline)
        lake = found["lake"]
        for name, query, count in (
            ("quarantine", "select count(*) from quarantine", "records"),
            ("data_quality", "select count(*) from data_quality where place is null", "findings"),
            ("alerts", "select count(*) from alerts where rule <> 'data_quality'", "alerts"),
        ):
            expected = pipeline.sql(query)[0][0]
            assert sum(row[count] for row in lake[name]) == expected > 0, name
            print(f"{name}: {expected} compared")

        away = asked(pipeline, broker="127.0.0.1:1")
        assert away.returncode == 1
        assert "the broker does not answer" in away.stderr
        assert "Quarantine" in away.stdout, "what does not need the broker is there"
        ended = pipeline.stop()
        assert {status for status, _seconds in ended.values()} == {0}, ended
        assert not told(pipeline)["workers"], "told to end: none is missing"
