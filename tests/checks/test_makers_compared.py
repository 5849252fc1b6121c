"""L2's alert on a dearer maker, on drawn markets: replay and an oracle written from the docstring agree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from agreement import KNOWN_RULEBOOK
from drawn import draw
from trade_markets import drawn_dear

from detectors.registry import PARAMETERS, RULES
from detectors.rulebook import Rulebook
from schemas.alerts import alert_id, breach_id
from schemas.decimals import parse
from streams.replay import replay

MARKETS = 60
LONGEST = 120
SEEDED = 60
LEAST = 1  # of blocks: the letter, with most alerts to compare; STRICTER asks for more
STRICTER = 2


def test_a_dearer_maker_is_found_as_the_docstring_says(tmp_path: Path) -> None:
    said: Counter[str] = Counter()

    def judge(folder: Path) -> None:
        alerts = judged(folder, LEAST)
        several = judged(folder, STRICTER)
        said.update(markets=1, alerts=len(alerts), more_than_a_block=len(several))
        assert replayed(folder, LEAST) == alerts
        assert replayed(folder, STRICTER) == several

    for seed in range(SEEDED):
        judge(drawn_dear(Random(seed), LONGEST, tmp_path / f"seed-{seed}"))
    print(f"compared {dict(said)}")
    assert said["alerts"] > 5
    assert said["more_than_a_block"] > 0
    draw(MARKETS, LONGEST, drawn_dear, judge)  # which they are depends on what else has been imported
    print(f"and with drawn ones {dict(said)}")


def rulebook(least: int) -> str:
    """Return the rulebook with few fills and blocks asked for."""
    text = KNOWN_RULEBOOK.replace("min_fills = 200", "min_fills = 3")
    assert "min_blocks = 1 " in text
    return text.replace("min_blocks = 1 ", f"min_blocks = {least} ")


def replayed(folder: Path, least: int) -> dict[str, tuple[Any, ...]]:
    """Return what a replay says: alert id -> time, numbers, means, bound, blocks."""
    found = {}
    for alert in replay(folder, rulebook_text=rulebook(least), strict=True).latest().values():
        measures: Any = alert.measures
        if measures.get("check") == "realised" and alert.status != "retracted":
            bps = ("realised_60s_bps", "other_realised_60s_bps", "lower_99_bps")
            found[alert.alert_id] = (
                alert.ts, measures["fills"], measures["other_fills"],
                *(parse(measures[name]) // 100 for name in bps), measures["blocks"],
            )  # fmt: skip
    return found


def judged(folder: Path, least: int) -> dict[str, tuple[Any, ...]]:
    """Return the same from the oracle."""
    from oracle_market import Market
    from oracle_realised_excess import RealisedExcess
    from oracle_recording import load

    in_force = Rulebook.parse(rulebook(least), PARAMETERS).parameters("spread_quality", 0)
    assert in_force is not None
    digest, recording = in_force[1], load(folder)

    def seed_of(anchor: tuple[str, str, str]) -> str:
        breach = breach_id("spread_quality", "spread_quality", "X", anchor)
        return alert_id(breach, RULES["spread_quality"].version, digest)

    judge = RealisedExcess(recording.reference.view(1))
    market = Market("X", recording.entries["X"], recording.end_ts, judge.view).run(judge)
    return {
        seed_of(alert["anchor"]): (
            alert["ts"], alert["fills"], alert["other_fills"], alert["realised"], alert["other_realised"],
            alert["lower"], alert["blocks"],
        )
        for alert in judge.alerts(market, seed_of, 10**6, 3, least)
    }  # fmt: skip
