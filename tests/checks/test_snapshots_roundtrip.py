"""A Runner restored from its snapshot goes on as the one it was taken of, after every single entry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agreement import RULEBOOK
from markets import market

from detectors.runner import Output, Runner
from schemas import codec
from schemas.journal import Entry
from streams import reference_data
from streams.replay import journal

ROOT = Path(__file__).resolve().parents[2]
HANDMADE = sorted(path for path in (ROOT / "tests" / "oracles" / "handmade").iterdir() if path.is_dir())
SEEDS = 20


def entries(folder: Path) -> list[Entry]:
    """Return a recording as journal entries."""
    return list(journal(folder, reference_data.load(folder / "reference.toml"), RULEBOOK))


def said(outputs: list[Output]) -> list[bytes]:
    """Return outputs as the bytes that would be published."""
    return [codec.canonical(output) for output in outputs]


def compare(folder: Path) -> tuple[int, int]:
    """Hand over at every entry; return how many hand-overs and how many outputs were compared."""
    lines = entries(folder)
    straight, passed_on = Runner(strict=True), Runner(strict=True)
    outputs = 0
    for number, entry in enumerate(lines, 1):
        expected = said(straight.apply(entry))
        assert said(passed_on.apply(entry)) == expected, f"{folder.name}: entry {number}, {entry}"
        outputs += len(expected)
        snapshot = passed_on.snapshot()
        passed_on = Runner.restore(snapshot, strict=True)
        assert json.loads(passed_on.snapshot()) == json.loads(snapshot), (
            f"{folder.name}: after entry {number}"
        )
    return len(lines), outputs


@pytest.mark.parametrize("folder", HANDMADE, ids=lambda path: path.name)
def test_handmade_recordings_go_on_from_any_entry(folder: Path) -> None:
    handovers, outputs = compare(folder)
    print(f"compared {outputs} outputs over {handovers} hand-overs")
    assert handovers > 0
    assert outputs > 0


def test_generated_markets_go_on_from_any_entry(tmp_path: Path) -> None:
    handovers = outputs = 0
    for seed in range(SEEDS):
        more = compare(market(seed).write(tmp_path / f"seed-{seed}"))
        handovers, outputs = handovers + more[0], outputs + more[1]
    print(f"compared {outputs} outputs over {handovers} hand-overs of {SEEDS} markets")
    assert handovers > 0
    assert outputs > 0
