"""A simulated day: what was planted is found, by breach, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agreement import KNOWN_RULEBOOK

from schemas import codec
from schemas.alerts import breach_id
from schemas.events import SOURCE_TOPICS
from streams.replay import replay
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml, simulate

EVENTS = 6_000
SEEDS = 5


def recorded(folder: Path, config: SimulatorConfig) -> tuple[Simulation, int]:
    """Write a simulated run as a recording; return the run, which knows its labels, and how many records."""
    folder.mkdir()
    run = simulate(config)
    files = {topic: (folder / f"{topic}.jsonl").open("wb") for topic in SOURCE_TOPICS}
    count = 0
    for topic, record in run:
        files[topic].write(codec.encode(record) + b"\n")
        count += 1
    for file in files.values():
        file.close()
    (folder / "reference.toml").write_text(reference_toml(config), encoding="utf-8")
    return run, count


def expected(run: Simulation) -> dict[str, tuple[Any, ...]]:
    """Return the labels: breach -> status, reason, harm left (nothing is left of what was retracted)."""
    found = {}
    for row in run.labels:
        label: Any = row
        breach = breach_id(
            label["rule"], label["instance"], label["instrument"], tuple(label["anchor"].values())
        )
        harm = label.get("harm_qty")
        if harm is not None and label["status"] == "retracted":
            harm = "0"
        found[breach] = (label["status"], label["status_reason"], harm)
    return found


def judged(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return what a replay says, in the same form; data quality's findings as well."""
    latest = replay(folder, rulebook_text=KNOWN_RULEBOOK, strict=True).latest().values()
    return {alert.breach_id: (alert.status, alert.status_reason, alert.harm_qty) for alert in latest}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_alerts_are_the_labels(seed: int, tmp_path: Path) -> None:
    config = SimulatorConfig(
        seed=seed, events=EVENTS, violations=Violations.each(3), fill_records=bool(seed % 2)
    )
    run, records = recorded(tmp_path / "day", config)
    said, labels = judged(tmp_path / "day"), expected(run)
    kinds = Counter(str(label["kind"]) for label in run.labels)
    print(
        f"compared {len(labels)} labels of {len(kinds)} kinds with {len(said)} alerts over {records} records"
    )
    assert len(labels) > 0
    assert run.unplanted == []
    assert said == labels


def test_a_clean_day_is_silent(tmp_path: Path) -> None:
    config = SimulatorConfig(seed=11, events=2 * EVENTS, violations=Violations.none(), fill_records=True)
    _run, records = recorded(tmp_path / "day", config)
    said = judged(tmp_path / "day")
    print(f"{records} records, {len(said)} alerts")
    assert records >= 2 * EVENTS
    assert said == {}
