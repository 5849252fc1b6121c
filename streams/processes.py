"""The three workers as processes of ours: started, watched until they are ready, ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from streams import worker
from streams.settings import KAFKA_PROPERTIES, Settings
from streams.supervision import TRY_AGAIN

STAGES = ("tag", "detect", "land")
READY_SECONDS = 60.0
STOP_SECONDS = 30.0
AGAIN = 2  # starts, after the first, of a worker that says that it cannot work for now


class WorkerFailed(RuntimeError):
    """A worker ended, or did not become ready; the message has the last lines of its log."""


class Slot(NamedTuple):
    """One worker's place: the `number`-th of its stage, from 0."""

    stage: str
    number: int

    def __str__(self) -> str:
        return f"{self.stage} {self.number}"


def start(
    settings: Settings, slot: Slot, output: IO[bytes], *, apart: bool = False
) -> subprocess.Popen[bytes]:
    """Start the worker of a slot; `apart`: out of reach of this terminal's Ctrl-C."""
    command = [
        *(sys.executable, "-m", "streams.cli", "worker", slot.stage, "--slot", str(slot.number)),
        *("--snapshots", settings.snapshots, "--http", settings.http),
        *("--log-format", settings.log_format),
        *("--broker", ",".join(settings.addresses()), "--prefix", settings.prefix),
        *("--state", str(settings.state.resolve()), "--lake", str(settings.lake.resolve())),
    ]
    if settings.properties_file is not None:
        command += ["--kafka-properties", str(settings.properties_file.resolve())]
    # The settings say how to log in, also that there is nothing to say.
    environment = {name: value for name, value in os.environ.items() if name != KAFKA_PROPERTIES}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        process_group=0 if apart else None,
    )


def running_here(settings: Settings) -> dict[Slot, str]:
    """Return the process ids of the workers of this state folder that run, by their locks."""
    return {
        Slot(stage, number): pid
        for stage in STAGES
        for number, pid in worker.running(settings, stage).items()
    }


class Workers:
    """One process a stage; what each says is in `<state>/log/worker-<stage>.log`.

    One that says that it cannot work for now is started again, and what it said kept beside its log.
    """

    def __init__(self, settings: Settings, stages: tuple[str, ...] = STAGES) -> None:
        self.settings = settings
        self.stages = stages
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.again: Counter[str] = Counter()
        self.folder = settings.state / "log"
        self.folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Workers:
        for stage in self.stages:
            self.start(stage)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log(self, stage: str) -> Path:
        """Return where a worker's lines are."""
        return self.folder / f"worker-{stage}.log"

    def start(self, stage: str) -> None:
        """Start one worker: "detect" is slot 0 of its kind, "detect-1" slot 1."""
        kind, _, slot = stage.partition("-")
        with self.log(stage).open("wb") as output:
            self.running[stage] = start(self.settings, Slot(kind, int(slot or 0)), output)

    def check(self) -> None:
        """Raise WorkerFailed if a worker has ended, unless starting it again may help."""
        for stage, process in [*self.running.items()]:
            status = process.poll()
            if status == TRY_AGAIN and self.again[stage] < AGAIN:
                self.again[stage] += 1
                self.log(stage).rename(self.folder / f"worker-{stage}.log.{self.again[stage]}")
                self.start(stage)
            elif status is not None:
                raise WorkerFailed(f"worker {stage} ended with status {status}:\n{self._tail(stage)}")

    def wait_until_ready(self) -> None:
        """Return once every worker has said that it is ready. Raises WorkerFailed."""
        deadline = time.monotonic() + READY_SECONDS
        while waiting := [stage for stage in self.running if not self._is_ready(stage)]:
            self.check()
            if time.monotonic() > deadline:
                stage = waiting[0]
                raise WorkerFailed(f"worker {stage} not ready in {READY_SECONDS:.0f} s:\n{self._tail(stage)}")
            time.sleep(0.1)

    def kill(self, stage: str) -> None:
        """End a worker at once, as a crash would."""
        process = self.running.pop(stage)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Tell every worker to finish, in the order of the flow; what does not is killed."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def _is_ready(self, stage: str) -> bool:
        return re.search(rb'[ "]ready', self.log(stage).read_bytes()) is not None

    def _tail(self, stage: str) -> str:
        lines = self.log(stage).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-15:])


@contextmanager
def running(settings: Settings) -> Iterator[Workers]:
    """Run the three workers, ready, for the length of a `with`."""
    with Workers(settings) as workers:
        workers.wait_until_ready()
        yield workers
