"""`fairbook up`: what dies or hangs is started again, nothing is lost; it ends when told, leaving nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import psutil
from pipeline import Pipeline, replayed, same, same_rows, simulated, wait_for

from streams import feed
from streams.processes import STAGES
from streams.settings import Settings

STARTED = re.compile(r"up: (\w+ \d+) started \(process (\d+)\)")


def command(settings: Settings, *words: str) -> list[str]:
    where = ("--broker", settings.broker or "", "--prefix", settings.prefix)
    folders = ("--state", str(settings.state), "--lake", str(settings.lake))
    return [sys.executable, "-m", "streams.cli", *words, *where, *folders]


class Up:
    """A running `fairbook up`, for the length of a `with`."""

    def __init__(self, settings: Settings, *options: str) -> None:
        self.log = settings.state.parent / "up.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command(settings, "up", *options), stdout=output, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Up:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def pid(self, slot: str) -> int:
        """The process of a slot that was started last."""
        return [int(pid) for name, pid in STARTED.findall(self.text) if name == slot][-1]

    def wait(self, what: str, times: int = 1) -> None:
        """Wait until a line was said so often."""
        wait_for(lambda: self.text.count(what) >= times, f"{times} x {what!r} in\n{self.text}")

    def ended(self, number: int) -> int:
        """Send a signal and return the exit status; how long it took is printed, not judged."""
        began = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(60)
        print(
            f"{signal.Signals(number).name}: ended with status {status} in {time.monotonic() - began:.1f} s"
        )
        return status


def test_what_dies_or_hangs_is_started_again_and_nothing_is_lost(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=81, events=4_000, violations=1)
    expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
    slots = ("tag 0", "tag 1", "detect 0", "detect 1", "land 0")
    blows = [(slot, signal.SIGKILL, "was killed by SIGKILL") for slot in ("tag 0", "detect 1", "land 0")]
    blows += [(slot, signal.SIGSTOP, "has not answered for") for slot in ("tag 1", "detect 0", "land 0")]
    counts = ("--tag", "2", "--detect", "2")
    with (
        Pipeline(broker, tmp_path, "up.") as pipeline,
        Up(pipeline.settings, *counts, "--patience", "3") as up,
    ):
        pipeline.know(day)
        publisher = feed.Feed(pipeline.settings)
        share = len(day.records) // len(blows) + 1
        for slot in slots:
            up.wait(f"{slot} ready")
        for number, (slot, blow, told) in enumerate(blows):
            publisher.records(day.records[number * share : (number + 1) * share])
            before = up.text.count(f"{slot} ready")
            os.kill(up.pid(slot), blow)
            up.wait(f"{slot} {told}")
            up.wait(f"{slot} ready", before + 1)
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        print(up.text)
        assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
        assert same(pipeline.said("metrics"), expected.metrics, "metrics") > 0
        assert sum(same_rows(pipeline.settings.lake, tmp_path / "replayed").values()) > 0

        second = subprocess.run(command(pipeline.settings, "up"), capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"one already runs in {pipeline.settings.state} (process {up.process.pid})" in second.stderr

        pids = [up.pid(slot) for slot in slots]
        assert up.ended(signal.SIGTERM) == 0, up.text
        assert not [pid for pid in pids if psutil.pid_exists(pid)]
        print(f"{len(blows)} blows")


def test_a_worker_that_hangs_at_the_end_is_killed(broker: str, tmp_path: Path) -> None:
    with Pipeline(broker, tmp_path, "hang.") as pipeline, Up(pipeline.settings) as up:
        for stage in STAGES:
            up.wait(f"{stage} 0 ready")
        os.kill(up.pid("detect 0"), signal.SIGSTOP)
        assert up.ended(signal.SIGINT) == 0
        assert "detect 0 did not end in time: killed" in up.text
        assert not psutil.pid_exists(up.pid("detect 0"))


def test_wrong_configuration_ends_it_with_the_message(broker: str, tmp_path: Path) -> None:
    with Pipeline(broker, tmp_path, "wrong.") as pipeline:
        settings = pipeline.settings
        missing = command(settings, "up")
        missing[missing.index("--prefix") + 1] = "there are none."
        refused = subprocess.run(missing, capture_output=True, text=True, check=False, timeout=120)
        assert refused.returncode == 1
        assert "expected at most 200 of the characters" in refused.stderr

        missing[missing.index("--prefix") + 1] = "none."
        ended = subprocess.run(missing, capture_output=True, text=True, check=False, timeout=120)
        print(ended.stderr)
        assert ended.returncode == 1
        assert "says that its configuration is wrong, all end" in ended.stderr
        assert "none." in ended.stderr
        assert "`fairbook topics create`" in ended.stderr
        assert "again" not in ended.stderr


def test_down_ends_it_and_what_a_killed_one_left(broker: str, tmp_path: Path) -> None:
    with Pipeline(broker, tmp_path, "down.") as pipeline:
        down = command(pipeline.settings, "down")

        def told() -> str:
            result = subprocess.run(down, capture_output=True, text=True, check=False, timeout=120)
            assert result.returncode == 0, result.stderr
            print(result.stdout)
            return result.stdout

        assert "nothing runs" in told()
        with Up(pipeline.settings, "--detect", "0") as up:
            up.wait("tag 0 ready")
            up.wait("land 0 ready")
            assert f"telling up to end (process {up.process.pid})" in told()
            assert up.process.wait(10) == 0
            assert "detect 0 started" not in up.text
        with Up(pipeline.settings, "--detect", "0", "--land", "0") as up:
            up.wait("tag 0 ready")
            left = up.pid("tag 0")
            assert up.ended(signal.SIGKILL) == -signal.SIGKILL
            again = subprocess.run(
                command(pipeline.settings, "up"), capture_output=True, text=True, check=False, timeout=120
            )
            assert again.returncode == 1
            assert f"already running: tag 0 (process {left})" in again.stderr
            assert f"telling tag 0 to end (process {left})" in told()
        wait_for(lambda: not psutil.pid_exists(left), "the worker to be gone")
