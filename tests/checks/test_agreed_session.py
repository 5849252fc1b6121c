"""An agreement's session: which segment holds a moment, and how much is left of it, by counting."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from maker_markets import maker_market

from detectors.affiliation import Directory
from detectors.liquidity.agreed_session import Schedule
from detectors.trading_day import trading_day
from schemas.journal import OrderEntry
from streams import reference_data
from streams.replay import journal

MARKETS = 60


def schedules(folder: Path) -> list[Schedule]:
    """Those of a market's agreements around its first record, with hindsight."""
    facts = reference_data.load(folder / "reference.toml")
    directory = Directory(facts, hindsight=True)
    ts = next(entry.ts for entry in journal(folder, facts, "") if isinstance(entry, OrderEntry))
    found = []
    for agreed in directory.agreement_versions("X").values():
        for shift in (-1, 0, 1):
            day = trading_day(ts + shift * 86_400 * 10**9, agreed[0].zone or "UTC")
            found.append(Schedule(directory, "X", agreed, day, "UTC"))
    return found


def test_what_holds_a_moment_and_what_is_left(tmp_path: Path) -> None:
    compared = holes = 0
    for seed in range(MARKETS):
        for schedule in schedules(maker_market(seed, tmp_path / f"seed-{seed}")):
            segments = schedule.segments
            edges = {edge for segment in segments for edge in segment[:2]}
            holes += sum(a.end < b.start for a, b in pairwise(segments))
            for moment in {edge + beside for edge in edges for beside in (-1, 0, 1)}:
                expected = sum(segment.end <= moment for segment in segments)
                assert schedule.index(moment) == expected, f"seed {seed}"
                left = sum(
                    max(0, segment.end - max(segment.start, moment))
                    for segment in segments
                    if segment.phase == "continuous"
                )
                assert schedule.available(moment) == left, f"seed {seed}"
                compared += 2
    print(f"compared {compared} moments of {MARKETS} markets, {holes} holes")
    assert compared > 1_000
    assert holes
