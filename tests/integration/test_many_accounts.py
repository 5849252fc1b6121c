"""As many accounts as a large venue has: who is who is read, journaled and kept; the answers are a replay's.

make soak      # the same with a million accounts: some minutes
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pipeline as pipelines
import psutil
import pytest
from pipeline import Pipeline, replayed, same, simulated

from schemas.reference import Account, Entity
from streams import feed

ACCOUNTS = int(os.environ.get("FAIRBOOK_ACCOUNTS", "20000"))
A_HOLDER = 20  # accounts


def test_many_accounts(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "SETTLE_SECONDS", 120 + ACCOUNTS / 1_000)
    day = simulated(seed=61, events=2_000, violations=1)
    recording = day.write(tmp_path / "recording")
    holders = range(ACCOUNTS // A_HOLDER)
    rows = "".join(f"X{n},HOLDER-{n % len(holders)},retail\n" for n in range(ACCOUNTS))
    (recording / "accounts.csv").write_text("account,entity,kind\n" + rows)
    (recording / "entities.csv").write_text(
        "id,name\n" + "".join(f"HOLDER-{n},Holder {n}\n" for n in holders)
    )
    facts = pipelines.reference_data.load(recording / "reference.toml")
    assert sum(isinstance(fact, Account) for fact in facts) > ACCOUNTS
    assert sum(isinstance(fact, Entity) for fact in facts) > len(holders)
    expected = replayed(recording, tmp_path / "replayed")
    with Pipeline(broker, tmp_path, "accounts.") as pipeline:
        publisher = feed.Feed(pipeline.settings)
        assert publisher.reference(facts, pipelines.RULEBOOK) == len(facts)
        began = time.monotonic()
        pipeline.start()
        ready = time.monotonic()
        publisher.records(day.records)
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        settled = time.monotonic()
        pipeline.kill()
        pipeline.start()
        again = time.monotonic()
        pipeline.settle()
        memory = {
            stage: psutil.Process(process.pid).memory_info().rss >> 20
            for stage, process in pipeline.workers.running.items()
        }
        assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
        print(
            f"{len(facts):,} facts, {pipeline.settings.partitions} times: ready in {ready - began:.0f} s, "
            f"worked off in {settled - ready:.0f} s, ready again in {again - settled:.0f} s; MiB {memory}"
        )
        pipeline.stop()
