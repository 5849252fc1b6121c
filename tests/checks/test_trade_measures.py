"""L2's trade measures on generated markets: replay, clocks, hand-over and oracle agree to the last digit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from agreement import RULEBOOK, TRADES, differences
from arrivals import recorded, with_clocks
from drawn import draw
from trade_markets import affiliated_market, drawn_affiliates, drawn_takers, trade_market

from detectors.runner import Output, Runner
from schemas import codec
from schemas.alerts import Alert, breach_id
from schemas.decimals import text
from schemas.metrics import SpreadDay, SpreadMinute
from streams.replay import replay

MARKETS = 60
BLOCK = 10
WITH_CLOCKS = 60
DRAWN = 40
LONGEST = 60  # steps
HANDED_OVER = 15
AFFILIATED = 120
AgreedSpreads = dict[str, tuple[str, int, str]]  # by breach: status, ts, mean
Generate = Callable[[int, Path], Path]
OURS = ("spread_minutes", "spread_days", "execution_days")


@pytest.mark.parametrize("first", range(0, MARKETS, BLOCK))
def test_generated_takers_agree_with_the_oracle(first: int, tmp_path: Path) -> None:
    compared, measured, wrong = 0, 0, []
    for seed in range(first, first + BLOCK):
        folder = trade_market(seed, tmp_path / f"seed-{seed}")
        number, lines = differences(folder)
        compared += number
        # others' rules have tests of their own: corrections that name a fill by its first id are not I1's
        wrong += [f"seed {seed}: {line}" for line in lines if any(name in line for name in OURS)]
        measured += sum(row.effective_n for row in minutes(run(folder, None)))
    print(f"compared {compared} facts of {BLOCK} markets with {measured} measured trades")
    assert compared > 0
    assert measured > 0
    assert not wrong, "\n".join(wrong[:20])


def test_drawn_takers_agree_with_the_oracle() -> None:
    """The same on markets that Hypothesis draws: what differs is shown on the smallest that it finds."""
    seen: Counter[str] = Counter()

    def judge(folder: Path) -> None:
        number, lines = differences(folder)
        seen.update(
            markets=1, facts=number, trades=sum(row.effective_n for row in minutes(run(folder, None)))
        )
        assert not [line for line in lines if any(name in line for name in OURS)]

    draw(DRAWN, LONGEST, drawn_takers, judge)
    print(f"compared {dict(seen)}")
    assert min(seen[name] for name in ("markets", "facts")) > 0


def test_drawn_affiliates_quote_as_the_oracle_says() -> None:
    seen: Counter[str] = Counter()

    def judge(folder: Path) -> None:
        ours, theirs = agreed_spreads(folder)
        seen.update(markets=1, alerts=len(theirs))
        assert ours == theirs

    draw(DRAWN, LONGEST, drawn_affiliates, judge)
    print(f"compared {dict(seen)}")
    assert seen["markets"] > 0


def run(folder: Path, clocks: Random | None) -> Iterator[Output]:
    """Return what a recording's entries decide."""
    runner = Runner(strict=True)
    lines = recorded(folder)
    for entry in with_clocks(lines, clocks) if clocks is not None else lines:
        yield from runner.apply(entry)


def minutes(outputs: Iterator[Output]) -> list[SpreadMinute]:
    """Return the minutes as they stand."""
    found = {output.minute: output for output in outputs if isinstance(output, SpreadMinute)}
    return list(found.values())


def stands(outputs: Iterator[Output]) -> dict[str, bytes]:
    """Return what L2 says in the end: rows without their revision, alerts that are not retracted."""
    found: dict[str, bytes] = {}
    for output in outputs:
        said = json.loads(codec.canonical(output))
        if isinstance(output, SpreadMinute | SpreadDay):
            key = f"{output.minute if isinstance(output, SpreadMinute) else output.trading_day}"
        elif isinstance(output, Alert) and output.rule == "spread_quality":
            key = output.breach_id
        else:
            continue
        for name in ("revision", "dq_degraded"):
            said.pop(name, None)
        found[key] = json.dumps(said, sort_keys=True).encode()
        if isinstance(output, Alert) and output.status == "retracted":
            del found[key]
    return found


def agreed_spreads(folder: Path) -> tuple[AgreedSpreads, AgreedSpreads]:
    """Return the alerts on own quotes by breach, as `replay` and as the oracle has them."""
    from oracle import _together
    from oracle_agreed_spread import AgreedSpread
    from oracle_market import Market
    from oracle_recording import load

    alerts = replay(folder, rulebook_text=RULEBOOK, strict=True).latest().values()
    ours = {
        alert.breach_id: (alert.status, alert.ts, str(alert.measures["tw_spread_bps"]))
        for alert in alerts
        if alert.rule == "spread_quality"
    }
    recording, findings = load(folder), []
    for which in (1, 2):
        if which == 1 or not recording.reference.same_in_both_passes:
            judge = AgreedSpread(recording.reference.view(which))
            Market("X", recording.entries["X"], recording.end_ts, judge.view).run(judge)
            more = {"pass": which, "instance": "spread_quality", "instrument": "X"}
            findings += [{**alert, **more} for alert in judge.alerts]
    if recording.reference.same_in_both_passes:
        findings += [{**alert, "pass": 2} for alert in findings]
    theirs = {
        breach_id(one["rule"], one["instance"], "X", tuple(one["anchor"])): (
            one["status"],
            one["ts"],
            text(one["tw_spread_bps"], 6),
        )
        for one in _together(findings)
    }
    return ours, theirs


def test_own_quotes_agree_with_the_oracle(tmp_path: Path) -> None:
    statuses: Counter[str] = Counter()
    for seed in range(AFFILIATED):
        ours, theirs = agreed_spreads(affiliated_market(seed, tmp_path / f"seed-{seed}"))
        assert ours == theirs, f"seed {seed}"
        statuses.update(value[0] for value in ours.values())
    print(f"compared the alerts of {AFFILIATED} markets: {dict(statuses)}")
    assert statuses["confirmed"] > 5


@pytest.mark.parametrize("generate", [trade_market, affiliated_market])
def test_clocks_publish_earlier_and_nothing_else(generate: Generate, tmp_path: Path) -> None:
    compared = 0
    for seed in range(WITH_CLOCKS):
        folder = generate(seed, tmp_path / f"seed-{seed}")
        without = stands(run(folder, None))
        assert stands(run(folder, Random(seed))) == without, f"seed {seed}"
        compared += len(without)
    print(f"compared {compared} rows and alerts")
    assert compared > 0


def test_a_minute_is_published_at_its_end_and_with_what_became_of_its_trades(tmp_path: Path) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(MARKETS):
        first: dict[int, SpreadMinute] = {}
        for output in run(trade_market(seed, tmp_path / f"seed-{seed}"), None):
            if not isinstance(output, SpreadMinute):
                continue
            before = first.setdefault(output.minute, output)
            kinds[f"revision {min(output.revision, 2)}"] += 1
            if output.revision == 0:
                later = [name for name in TRADES if name.startswith(("realised", "impact"))]
                assert not any(getattr(output, name) for name in later)
            else:
                assert output.volume == before.volume
                assert output.tw_spread_bps == before.tw_spread_bps
    print(f"published: {dict(kinds)}")
    assert kinds["revision 0"] == kinds["revision 1"]
    assert kinds["revision 2"] > 0  # busts and corrections of minutes that are over


@pytest.mark.parametrize("generate", [trade_market, affiliated_market])
def test_a_runner_restored_at_any_entry_goes_on(generate: Generate, tmp_path: Path) -> None:
    compared = outputs = 0
    for seed in range(HANDED_OVER):
        straight, passed_on = Runner(strict=True), Runner(strict=True)
        for entry in with_clocks(recorded(generate(seed, tmp_path / f"seed-{seed}")), Random(seed)):
            wanted = [codec.canonical(output) for output in straight.apply(entry)]
            assert [codec.canonical(output) for output in passed_on.apply(entry)] == wanted, (seed, entry)
            snapshot = passed_on.snapshot()
            passed_on = Runner.restore(snapshot, strict=True)
            assert json.loads(passed_on.snapshot()) == json.loads(snapshot), (seed, entry)
            compared, outputs = compared + 1, outputs + len(wanted)
    print(f"compared {outputs} outputs over {compared} hand-overs")
    assert compared > 0
    assert outputs > 0
