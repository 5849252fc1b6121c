"""Workers as processes: one of a kind, an end on SIGTERM, nothing left behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from pipeline import Pipeline, replayed, same, same_rows, simulated

from streams import feed, worker
from streams.processes import STAGES


def second(pipeline: Pipeline, stage: str, state: Path, lake: Path) -> subprocess.Popen[bytes]:
    """Start another worker of a slot that is taken."""
    settings = pipeline.settings
    command = [
        *(
            sys.executable,
            "-m",
            "streams.cli",
            "worker",
            stage,
            "--slot",
            "0",
            "--broker",
            settings.broker or "",
        ),
        *("--prefix", settings.prefix, "--state", str(state), "--lake", str(lake)),
    ]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_a_second_worker_of_a_slot_leaves(broker: str, tmp_path: Path) -> None:
    """Of the same state folder or another: it says so and leaves, and nothing is corrupted."""
    day = simulated(seed=41, events=2_500, violations=1)
    expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
    third = len(day.records) // 3
    with Pipeline(broker, tmp_path, "second.") as pipeline:
        pipeline.know(day)
        pipeline.start()
        publisher = feed.Feed(pipeline.settings)
        publisher.records(day.records[:third])
        settings = pipeline.settings
        others = {stage: second(pipeline, stage, settings.state, settings.lake) for stage in STAGES}
        for stage, process in others.items():
            output, _ = process.communicate(timeout=60)
            assert b"is taken: process" in output or b"already running" in output, output
            assert process.returncode == 1, stage
        pipeline.workers.check()
        publisher.records(day.records[third : 2 * third])

        elsewhere = tmp_path / "elsewhere"
        others = {stage: second(pipeline, stage, elsewhere, settings.lake) for stage in ("tag", "detect")}
        for stage, process in others.items():
            output, _ = process.communicate(timeout=60)
            assert b"of another state folder is already running" in output, output
            assert process.returncode == 1, stage
        pipeline.workers.check()

        # One that thinks it is a restart of ours takes the place; ours sees that and leaves.
        ours = {stage: pipeline.workers.running[stage] for stage in others}
        for path in settings.state.glob("*.member"):
            shutil.copy(path, elsewhere)
        others = {stage: second(pipeline, stage, elsewhere, settings.lake) for stage in ours}
        for stage, process in ours.items():
            assert process.wait(60) == worker.ERROR, stage
            assert "has this one's place" in pipeline.workers.log(stage).read_text()
        for process in others.values():
            assert process.poll() is None
            process.terminate()
            process.communicate(timeout=60)
        for stage in ours:
            pipeline.workers.start(stage)
        publisher.records(day.records[2 * third :])
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
        assert sum(same_rows(settings.lake, tmp_path / "replayed").values()) > 0
        pipeline.stop()


def test_workers_end_when_told(broker: str, tmp_path: Path) -> None:
    """SIGTERM ends each, while it starts and in mid-work; how long it took is printed, not judged."""
    day = simulated(seed=43, events=2_000, violations=0)
    with Pipeline(broker, tmp_path, "stop.") as pipeline:
        for seconds in (1.0, 2.5):
            for stage in STAGES:
                pipeline.workers.start(stage)
            time.sleep(seconds)
            _told_to_end(pipeline, f"{seconds} s after the start", {0, -signal.SIGTERM})
        pipeline.start()
        pipeline.know(day)
        feed.Feed(pipeline.settings).records(day.records)
        _told_to_end(pipeline, "busy", {0})


def _told_to_end(pipeline: Pipeline, when: str, statuses: set[int]) -> None:
    pids = [process.pid for process in pipeline.workers.running.values()]
    children = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    ended = pipeline.stop()
    print(
        f"{when}: " + ", ".join(f"{s} status {status}, {took:.1f} s" for s, (status, took) in ended.items())
    )
    assert {status for status, _took in ended.values()} <= statuses, pipeline.logs()
    assert len(pids) == len(STAGES)
    assert not [pid for pid in pids + children if psutil.pid_exists(pid)]
