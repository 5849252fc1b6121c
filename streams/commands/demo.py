"""`fairbook demo`: the main job on a real broker, from nothing to a summary."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any

from rich.console import Console

from schemas.alerts import breach_id
from streams import broker as local_broker
from streams import kafka_jars, status, topics
from streams.commands import feeding, summary
from streams.commands.options import spinner
from streams.commands.publish import rulebook_text
from streams.lake import catalog
from streams.processes import WorkerFailed, Workers, running
from streams.settings import Settings
from streams.sources.simulator import Simulation

CAUGHT_UP_SECONDS = 300.0


def run(settings: Settings, console: Console, *, seed: int, events: int, hyperliquid: str | None) -> int:
    """Run the demo; returns the exit status: 0 if what was planted was found and nothing else."""
    signal.signal(signal.SIGTERM, _interrupted)
    folder = settings.state / "demo"
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "demo.lock").open("w") as lock:  # beside the folder, which is begun anew
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(
                f"fairbook: a demo already runs in {settings.state}: wait for it, or name another --state",
                file=sys.stderr,
            )
            return 1
        return _run(settings, folder, console, seed=seed, events=events, hyperliquid=hyperliquid)


def _run(
    settings: Settings, folder: Path, console: Console, *, seed: int, events: int, hyperliquid: str | None
) -> int:
    own = settings.broker is None or settings.broker == _own_broker(folder)
    started = time.monotonic()
    with _cluster(settings, folder, own=own, console=console) as there:
        labels: list[dict[str, Any]] | None = None
        try:
            with running(there) as workers:
                console.print("three workers run: tag, detect, land", style="dim")
                if hyperliquid is not None:
                    from streams.sources import hyperliquid as source

                    capture = source.read(Path(hyperliquid), "by_block")
                    feeding.captured(there, capture, "hyperliquid by_block", None, rulebook_text(None))
                else:
                    labels = _simulate(there, seed, events).labels
                wait_until_landed(there, workers, console)
        except WorkerFailed as error:
            print(f"fairbook demo: {error}", file=sys.stderr)
            return 1
    console.print(f"done in {time.monotonic() - started:.0f} s; no process is left behind\n", style="dim")
    summary.show(there.lake, console)
    right = labels is None or _compare(there.lake, labels, console)
    summary.what_next(there.lake, console)
    return 0 if right else 1


def _simulate(settings: Settings, seed: int, events: int) -> Simulation:
    return feeding.simulation(
        settings,
        seed=seed,
        seconds=60,
        rate=max(1, events // 120),
        events=events,
        violations=2,
        faults=1,
        labels=None,
        live=False,
        to=None,
        rulebook=rulebook_text(None),
    )


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _own_broker(folder: Path) -> str | None:
    info = local_broker.status(folder)
    return None if info is None else info.address


@contextmanager
def _cluster(settings: Settings, folder: Path, *, own: bool, console: Console) -> Iterator[Settings]:
    """A cluster with our topics: a Kafka of the demo's own, begun anew, or topics of its own on another's."""
    lake = folder / "lake"
    if own:
        local_broker.down(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    there = dataclasses.replace(settings, state=folder, lake=lake)
    made: list[str] = []
    try:
        if own:
            named = os.environ.get(kafka_jars.LIBS)
            libs = Path(named) if named else settings.state / "kafka" / "libs"
            with spinner("starting Kafka"):
                info = local_broker.up(None, folder, libs.absolute())
            there = dataclasses.replace(
                there, broker=info.address, properties=MappingProxyType({}), properties_file=None
            )
            console.print(f"Kafka runs on {info.address}", style="dim", highlight=False)
        elif not there.prefix:
            there = dataclasses.replace(there, prefix=f"fairbook-demo-{time.time_ns() // 1_000_000}.")
        made = topics.create(there)
        console.print(f"{len(made)} topics made", style="dim", highlight=False)
        yield there
    finally:
        if own:
            local_broker.down(folder)
        elif there.prefix != settings.prefix:
            topics.delete(there)


def wait_until_landed(settings: Settings, workers: Workers, console: Console | None = None) -> None:
    """Return once all that was published is tagged, judged and landed. Raises WorkerFailed."""
    deadline = time.monotonic() + CAUGHT_UP_SECONDS
    quiet = 0
    with spinner("working it off", console) as say:
        while quiet < 2:  # the first time may have looked at the journal's end before the tag worker's commit
            workers.check()
            behind = status.behind(settings)
            quiet = 0 if behind.total() else quiet + 1
            say("still to be worked off: " + ", ".join(f"{name} {left:,}" for name, left in behind.items()))
            if time.monotonic() > deadline:
                raise WorkerFailed(f"not worked off in {CAUGHT_UP_SECONDS:.0f} s: {dict(behind)}")
            time.sleep(0.2)


def _compare(lake: Path, labels: list[dict[str, Any]], console: Console) -> bool:
    """Compare these rules' alerts with what was planted, which no worker has seen, breach by breach."""
    planted = {label_breach(label): label for label in labels}
    with catalog.connect(lake) as connection:
        rows = connection.sql(
            f"select breach_id, status, status_reason from alerts where rule in {tuple(_ANCHORS)}"
        ).fetchall()
    found = {breach: (state, reason) for breach, state, reason in rows}
    right = sum(found.get(b) == (label["status"], label["status_reason"]) for b, label in planted.items())
    others = len(found.keys() - planted.keys())
    console.rule("Against what was planted", align="left")
    console.print(
        f"{len(planted)} breaches were planted and {right} found with the right outcome; "
        f"{others} alerts of their rules beside them.",
        highlight=False,
    )
    return right == len(planted) and not others


_ANCHORS: dict[str, Callable[[dict[str, str]], tuple[str, ...]]] = {
    "client_priority": lambda a: (a["trade_id"], a["side"]),
    "self_trade": lambda a: (a["trade_id"],),
    "affiliate_flag": lambda a: tuple(a.values()),
    "quoting_obligation": lambda a: tuple(a.values()),
    "spread_quality": lambda a: tuple(a.values()),
}


def label_breach(label: dict[str, Any]) -> str:
    """Return the breach id that SPEC.md section 3 gives to a label of the simulator."""
    anchor = _ANCHORS[label["rule"]](label["anchor"])
    return breach_id(label["rule"], label["instance"], label["instrument"], anchor)
