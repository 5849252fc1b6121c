"""`fairbook up`: runs the workers of one state folder and keeps them running, until it is told to stop.

A worker that dies is started again (`BackOff`); one that does not answer at /healthz, or whose main loop does
not move on, is killed first. One that says that its configuration is wrong ends everything: starting it again
would change nothing, and somebody has to read why. To stop, each stage is told before the next, in the order
of the flow, and what has not ended in its time is killed; nothing is lost by that, the journal is the truth.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from schemas import codec
from streams import processes, worker
from streams.processes import STAGES, Slot
from streams.settings import Settings
from streams.supervision import TRY_AGAIN, WRONG, BackOff
from streams.watch import said

NAME = "up"
LOOK_SECONDS = 0.1
ASK_SECONDS = 2.0
START_SECONDS = 90.0  # until a worker that has just been started answers
STOP_SECONDS = 3.0  # a stage
DOWN_SECONDS = 30.0
LOG_BYTES = 10 * 1024 * 1024  # of a worker's log; at its next start it is set aside once


def say(text: str) -> None:
    """Tell one event, with its time."""
    worker.log(NAME, text)


class Supervisor:
    """Keeps `counts` workers of each stage running."""

    def __init__(self, settings: Settings, counts: Mapping[str, int], patience: float) -> None:
        self.settings = settings
        self.slots = [Slot(stage, number) for stage in STAGES for number in range(counts[stage])]
        self.patience = patience
        self.running: dict[Slot, subprocess.Popen[bytes]] = {}
        self.stopping = asyncio.Event()
        self.status = 0
        self.logs = settings.state / "log"
        self.logs.mkdir(parents=True, exist_ok=True)

    async def run(self) -> int:
        """Run until a signal, or until a worker's configuration is wrong; return the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._told, number)
        keeping = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        for task in keeping:
            task.add_done_callback(self._kept)
        await self.stopping.wait()
        for task in keeping:
            task.cancel()
        await self._stop()
        return self.status

    def _told(self, number: int) -> None:
        if not self.stopping.is_set():
            say(f"{signal.Signals(number).name}: stopping {', '.join(STAGES)}, in this order")
            self.stopping.set()

    def _kept(self, task: asyncio.Task[None]) -> None:
        """Stop everything if keeping a worker has failed: one that nobody keeps is worse."""
        if not task.cancelled() and (error := task.exception()) is not None:
            say(f"stopping: {type(error).__name__}: {error}")
            self.status = worker.ERROR
            self.stopping.set()

    # ---- keeping one worker running -----------------------------------------------------------------

    async def _keep(self, slot: Slot) -> None:
        waits = BackOff()
        while True:
            began = time.monotonic()
            process = self._start(slot)
            status = await self._ended(slot, process)
            why = self._last_line(slot)
            if status == WRONG:
                say(f"{slot} says that its configuration is wrong, all end. {why}")
                self.status = WRONG
                self.stopping.set()
                return
            wait = waits.died(time.monotonic() - began)
            again = f"again in {wait:.0f} s" if wait else "again at once"
            say(f"{slot} {_how(status)}, {again}" + (f". {why}" if status > 0 else ""))
            await asyncio.sleep(wait)

    def _start(self, slot: Slot) -> subprocess.Popen[bytes]:
        path = self._log(slot)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.rename(path.with_suffix(".log.1"))
        with path.open("ab") as output:
            process = processes.start(self._place(slot), slot, output, apart=True)
        self.running[slot] = process
        say(f"{slot} started (process {process.pid})")
        return process

    def _place(self, slot: Slot) -> Settings:
        """Return a worker's settings: each has a port of its own."""
        host, _, port = self.settings.http.rpartition(":")
        if int(port) == 0:
            return self.settings
        return replace(self.settings, http=f"{host}:{int(port) + self.slots.index(slot)}")

    async def _ended(self, slot: Slot, process: subprocess.Popen[bytes]) -> int:
        """Return a worker's exit status once it has ended; kill it if it does not move."""
        answered, limit = time.monotonic(), START_SECONDS
        due = answered
        told: list[str] | None = None
        while (status := process.poll()) is None:
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() < due:
                continue
            answer = await asyncio.to_thread(self._ask, slot, process.pid)
            now = time.monotonic()
            due = now + ASK_SECONDS
            if answer is not None and answer.alive:
                answered, limit = now, self.patience
                told = _tell(slot, answer, told)
            elif now - answered > limit and process.poll() is None:
                say(f"{slot} has not answered for {now - answered:.0f} s: killed")
                process.kill()
        return status

    def _ask(self, slot: Slot, pid: int) -> said.Said | None:
        where = said.address(self.settings, slot.stage, slot.number)
        if where is None or where.pid != pid:
            return None
        try:
            return said.ask(where)
        except OSError:
            return None

    # ---- stopping -----------------------------------------------------------------------------------

    async def _stop(self) -> None:
        began = time.monotonic()
        for number, stage in enumerate(STAGES, 1):
            mine = {slot: process for slot, process in self.running.items() if slot.stage == stage}
            for process in mine.values():
                process.terminate()
            while any(process.poll() is None for process in mine.values()):
                await asyncio.sleep(LOOK_SECONDS / 2)
                if time.monotonic() - began > number * STOP_SECONDS:
                    break
            for slot, process in mine.items():
                if process.poll() is None:
                    say(f"{slot} did not end in time: killed")
                    process.kill()
                process.wait()
        say(f"all {len(self.running)} workers have ended, in {time.monotonic() - began:.1f} s")

    # ---- logs ---------------------------------------------------------------------------------------

    def _log(self, slot: Slot) -> Path:
        return self.logs / f"worker-{slot.stage}-{slot.number}.log"

    def _last_line(self, slot: Slot) -> str:
        lines = self._log(slot).read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "its log says nothing")
        try:
            return str(codec.decode(last)["message"])
        except (codec.DecodeError, KeyError, TypeError):
            return last


def _tell(slot: Slot, answer: said.Said, told: list[str] | None) -> list[str] | None:
    """Say when a worker is ready, when it is no more well, and when it is again; return what was told."""
    reasons = [why.reason for why in answer.troubles]
    if told is None:
        if "starting" in reasons:
            return None
        say(f"{slot} ready")
        told = []
    if reasons != told:
        details = "; ".join(f"{why.reason}: {why.detail}" for why in answer.troubles)
        say(f"{slot} is not well: {details}" if reasons else f"{slot} is well again")
    return reasons


def _how(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    if status == TRY_AGAIN:
        return "cannot work for now"
    return f"ended with status {status}"


# ---- one a state folder ---------------------------------------------------------------------------------


def run(settings: Settings, counts: Mapping[str, int], patience: float) -> int:
    """Run `fairbook up`; return its exit status: 1 too if one runs already."""
    settings.addresses()
    lock = worker.locked(settings.state, NAME)
    if lock is None:
        pid = worker.holder(settings.state, NAME)
        print(
            f"fairbook up: one already runs in {settings.state} (process {pid}); `fairbook down` ends it",
            file=sys.stderr,
        )
        return 1
    with lock:
        left = processes.running_here(settings)
        if left:
            named = ", ".join(f"{slot} (process {pid})" for slot, pid in left.items())
            print(f"fairbook up: already running: {named}; `fairbook down` ends them", file=sys.stderr)
            return 1
        return asyncio.run(_supervised(settings, counts, patience))


async def _supervised(settings: Settings, counts: Mapping[str, int], patience: float) -> int:
    return await Supervisor(settings, counts, patience).run()


def down(settings: Settings) -> int:
    """End the `up` of the state folder, or else the workers that one left behind; return the exit status."""
    began = time.monotonic()
    holder = worker.holder(settings.state, NAME)
    left = [(NAME, holder)] if holder else [*processes.running_here(settings).items()]
    if not left:
        print(f"nothing runs in {settings.state}")
        return 0
    for who, pid in left:
        print(f"telling {who} to end (process {pid})")
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    while worker.holder(settings.state, NAME) or processes.running_here(settings):
        if time.monotonic() - began > DOWN_SECONDS:
            print(f"fairbook down: not ended in {DOWN_SECONDS:.0f} s", file=sys.stderr)
            return 1
        time.sleep(LOOK_SECONDS)
    print(f"ended in {time.monotonic() - began:.1f} s")
    return 0
