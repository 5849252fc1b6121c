"""`replay` and the oracle, which share no code, say the same of every recording, to the last unit."""

from __future__ import annotations

from pathlib import Path

import pytest
from agreement import differences
from markets import market

ROOT = Path(__file__).resolve().parents[2]
HANDMADE = sorted(path for path in (ROOT / "tests" / "oracles" / "handmade").iterdir() if path.is_dir())
MARKETS = 100
BLOCK = 10
SHOWN = 20  # differing facts told


@pytest.mark.parametrize("folder", HANDMADE, ids=lambda path: path.name)
def test_handmade_recordings_agree(folder: Path) -> None:
    compared, wrong = differences(folder)
    print(f"compared {compared} facts")
    assert compared > 0
    assert wrong == []


@pytest.mark.parametrize("first", range(0, MARKETS, BLOCK))
def test_generated_markets_agree(first: int, tmp_path: Path) -> None:
    compared, wrong = 0, []
    for seed in range(first, first + BLOCK):
        number, lines = differences(market(seed, instruments=1 + seed % 2).write(tmp_path / f"seed-{seed}"))
        compared += number
        wrong += [f"seed {seed}: {line}" for line in lines]
    print(f"compared {compared} facts of {BLOCK} markets")
    assert compared > 0
    assert not wrong, "\n".join(["replay and oracle differ:", *wrong[:SHOWN], f"({len(wrong)} in all)"])
