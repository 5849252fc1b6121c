"""Writes the golden day's answers anew: after a change that is meant to change answers, and only then.

.venv/bin/python tests/golden/renew.py          # then read the diff: every changed line is a changed answer
.venv/bin/python tests/golden/renew.py --day    # also makes the day anew, from the simulator
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

import zstandard

from detectors.runner import Output, Runner
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import Entry, Position
from streams.lake.writer import LakeWriter
from streams.replay import replay
from streams.settings import resource
from streams.sources import recording
from streams.sources.simulator import NearViolations, Simulation, SimulatorConfig, Violations, reference_toml
from streams.sources.simulator_faults import Faults, FaultyStream

DAY = Path(__file__).resolve().parent / "day"
ALERTS, METRICS, STATE = (DAY / name for name in ("alerts.jsonl", "metrics.jsonl", "state.blake2b"))


class Answers(NamedTuple):
    """What the rules say of a day: alerts and metrics as published, and a hash of the state they end in."""

    alerts: bytes
    metrics: bytes
    state: bytes


class Landing:
    """A replay's sink that keeps all answers, and lands them where `lake` is given."""

    def __init__(self, lake: Path | None = None) -> None:
        self.alerts: list[bytes] = []
        self.metrics: list[bytes] = []
        self._lake = None if lake is None else LakeWriter(lake, "golden")

    def entry(self, position: Position, entry: Entry) -> None:
        if self._lake is not None:
            self._lake.entry(position, entry)

    def output(self, position: Position, output: Output) -> None:
        if isinstance(output, Alert):
            self.alerts.append(codec.encode_alert(output))
        else:
            self.metrics.append(codec.encode_metric(output))
        if self._lake is not None:
            self._lake.output(position, output)

    def close(self) -> None:
        if self._lake is not None:
            self._lake.close()

    def answers(self, runner: Runner) -> Answers:
        """All that came, and the runner's state."""
        state = hashlib.blake2b(runner.snapshot(), digest_size=32).hexdigest()
        return Answers(b"\n".join(self.alerts), b"\n".join(self.metrics), f"{state}\n".encode())


def answers(lake: Path | None = None) -> Answers:
    """What the rules say of the golden day; it lands in `lake`."""
    sink = Landing(lake)
    result = replay(DAY, rulebook_text="", sink=sink, strict=True)
    assert result.runner is not None
    return sink.answers(result.runner)


def _make_day() -> None:
    config = SimulatorConfig(
        seed=77, rate=80, events=4_000, violations=Violations.each(1), near=NearViolations.each(1),
        quoting="all", fill_records=True,
    )  # fmt: skip
    run = Simulation(config)
    stream = FaultyStream(run, Faults(duplicate=2, conflict=2, gap=2, garbage=2), config.total, config.seed)
    records = [(topic, row if isinstance(row, bytes) else codec.encode(row)) for topic, row in stream]
    recording.write(DAY, records, reference_toml(config))
    for plain in DAY.glob("*.jsonl"):
        if plain not in (ALERTS, METRICS):
            plain.with_name(f"{plain.name}.zst").write_bytes(zstandard.compress(plain.read_bytes(), 19))
            plain.unlink()
    (DAY / "rulebook.toml").write_text(
        resource("infra/rulebook/default.toml").read_text(encoding="utf-8"), encoding="utf-8"
    )


if __name__ == "__main__":
    if "--day" in sys.argv:
        _make_day()
    found = answers()
    for path, data in zip((ALERTS, METRICS, STATE), found, strict=True):
        path.write_bytes(data)
    print(f"{len(found.alerts.splitlines())} alerts, {len(found.metrics.splitlines())} rows of metrics")
