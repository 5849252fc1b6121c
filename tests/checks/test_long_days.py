"""Whole simulated days: replay and the oracles, which share no code, say the same of all, to the last unit.

Short here; FAIRBOOK_LONG_DAYS=60000 (`make long-days`) says how many records a day has.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agreement import differences

from schemas import codec
from streams.sources import recording
from streams.sources.simulator import (
    NearViolations,
    Simulation,
    SimulatorConfig,
    Violations,
    many_instruments,
    reference_toml,
)
from streams.sources.simulator_faults import Faults, FaultyStream

EVENTS = int(os.environ.get("FAIRBOOK_LONG_DAYS", "12000"))
ACTS = 2 + EVENTS // 20_000
DAYS: dict[str, dict[str, Any]] = {
    "makers under agreement": {"seed": 31, "quoting": "all", "rate": 100},
    "fills as order records": {"seed": 32, "fill_records": True, "rate": 2_000, "clients": 40},
    "twenty instruments": {"seed": 33, "instruments": many_instruments(20), "rate": 500},
}
EVERY_DAY = {
    "alerts", "client_priority_harm", "coverage_days", "data_quality", "execution_days", "exempt",
    "quarantine", "spread_days", "spread_minutes",
}  # fmt: skip


@pytest.mark.parametrize("name", DAYS)
def test_a_day_agrees(name: str, tmp_path: Path) -> None:
    config = SimulatorConfig(
        events=EVENTS, violations=Violations.each(ACTS), near=NearViolations.each(ACTS), **DAYS[name]
    )
    run = Simulation(config)
    stream = FaultyStream(run, Faults.each(ACTS), config.total, config.seed)
    records = [(topic, row if isinstance(row, bytes) else codec.encode(row)) for topic, row in stream]
    recording.write(tmp_path, records, reference_toml(config))
    tables: Counter[str] = Counter()
    compared, wrong = differences(tmp_path, tables)
    print(
        f"{name}: {len(records):,} records, {compared:,} facts compared, {len(wrong)} differ: {dict(tables)}"
    )
    assert tables.keys() >= EVERY_DAY | ({"presence_days"} if config.quoting == "all" else set())
    assert not wrong, "\n".join(wrong[:20])
