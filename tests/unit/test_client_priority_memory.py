"""Fills that are no longer kept count as if they were: memory decides no answer that no bust can change."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from markets import market
from scenario import RULEBOOK, rulebooks_read_once

from detectors.priority import client_priority
from detectors.runner import Runner
from schemas import codec
from schemas.journal import Entry, TradeEntry
from streams import reference_data
from streams.replay import journal

SEEDS = range(300)


def run(entries: list[Entry]) -> tuple[list[bytes], int]:
    """Return what is published for a journal, in order, and how many fills have been forgotten."""
    runner = Runner(strict=True)
    said = [codec.canonical(output) for entry in entries for output in runner.apply(entry)]
    states = [one.states["client_priority.client_first"] for one in runner.markets().values()]
    return said, sum(day.fills for state in states for day in state.days.values())


def rows(said: list[bytes]) -> list[dict[str, object]]:
    """Return the daily totals among what is published."""
    return [row for row in map(msgspec.json.decode, said) if row.get("table") == "client_priority_days"]


@pytest.mark.parametrize("totals", [100, 1])
def test_a_short_memory_gives_the_same_answers(
    totals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With totals of one client order only, one harmed again may count beyond its size, never less."""
    compared = forgotten = again = 0
    with rulebooks_read_once():
        for seed in SEEDS:
            place = market(seed).write(tmp_path / f"{seed}")
            facts = reference_data.load(place / "reference.toml")
            entries = [
                entry
                for entry in journal(place, facts, RULEBOOK)
                if not isinstance(entry, TradeEntry) or entry.exec_type == "trade"
            ]
            monkeypatch.undo()
            expected, none = run(entries)
            assert none == 0
            monkeypatch.setattr(client_priority, "MAX_JUDGED", 1)
            monkeypatch.setattr(client_priority, "MAX_TOTALS", totals)
            said, count = run(entries)
            if totals == 1 and said != expected:
                again += 1
                for row, other in zip(rows(said), rows(expected), strict=True):
                    assert row | {"harm_left": 0} == other | {"harm_left": 0}
                    assert row["harm_left"] >= other["harm_left"]
            else:
                assert said == expected, f"seed {seed}: {count} fills forgotten"
            compared, forgotten = compared + len(said), forgotten + count
    print(f"{len(SEEDS)} markets, {forgotten} fills forgotten, {compared} outputs compared, {again} say more")
    assert forgotten > 20
    assert again < 5
