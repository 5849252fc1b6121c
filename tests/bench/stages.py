"""How fast each stage is on one core, as a ratio to decoding the same records with msgspec beside it.

    make bench      # 60,000 simulated records; appends a line a stage to tests/bench/results.csv
    python tests/bench/stages.py EVENTS

Never asserted: a machine's speed is no property of the program. Each stage runs three times, in turn with the
baseline, and the best run of each counts.
"""

from __future__ import annotations

import csv
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from detectors.runner import Runner
from schemas import codec
from schemas.journal import Entry, Position
from streams import reference_data
from streams.lake.writer import LakeWriter
from streams.replay import journal
from streams.settings import resource
from streams.sources import recording
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml

RESULTS = Path(__file__).with_name("results.csv")
ROUNDS = 3


def best(run: Callable[[], object], beside: Callable[[], object]) -> tuple[float, float]:
    """Return the shortest of the runs of both, in seconds, run in turn."""
    took: tuple[list[float], list[float]] = ([], [])
    for _round in range(ROUNDS):
        for work, times in zip((run, beside), took, strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    return min(took[0]), min(took[1])


def main(events: int) -> None:
    """Measure every stage on a simulated day of `events` records and print and keep the figures."""
    config = SimulatorConfig(seed=1, events=events, rate=2_000, violations=Violations.each(3))
    rulebook = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        day = Path(folder) / "day"
        recording.write(day, Simulation(config), reference_toml(config))
        lines = list(recording.read(day))
        facts = reference_data.load(day / "reference.toml")
        entries = list(journal(day, facts, rulebook))
        frames = [codec.encode_frame(entries[at : at + 500]) for at in range(0, len(entries), 500)]

        def decode() -> None:
            for line in lines:
                codec.decode_record(line.topic, line.data)

        def tag() -> None:
            for _entry in journal(day, facts, rulebook):
                pass

        def detect() -> Runner:
            runner = Runner()
            for frame in frames:
                for entry in codec.decode_frame(frame):
                    runner.apply(entry)
            return runner

        def land() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as lake:
                _land(Path(lake), entries)

        stages: dict[str, Callable[[], object]] = {"tag": tag, "detect": detect, "land": land}
        rows = []
        for name, stage in stages.items():
            took, beside = best(stage, decode)
            rows.append((name, len(lines), took / len(lines), len(lines) / took, took / beside))
    print(f"{'stage':<8}{'events':>10}{'us/event':>12}{'events/s':>12}{'x decode':>10}")
    for name, count, each, rate, ratio in rows:
        print(f"{name:<8}{count:>10,}{each * 1e6:>12.1f}{rate:>12,.0f}{ratio:>10.1f}")
    _keep(rows)


def _land(lake: Path, entries: list[Entry]) -> None:
    writer = LakeWriter(lake, "bench")
    for number, entry in enumerate(entries):
        writer.entry(Position(0, number // 500, number % 500), entry)
    writer.close()


def _keep(rows: list[tuple[str, int, float, float, float]]) -> None:
    new = not RESULTS.exists()
    with RESULTS.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if new:
            writer.writerow(("date", "python", "stage", "events", "events_per_second", "times_decode"))
        for name, count, _each, rate, ratio in rows:
            today = time.strftime("%Y-%m-%d", time.gmtime())
            writer.writerow((today, platform.python_version(), name, count, round(rate), round(ratio, 2)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000)
