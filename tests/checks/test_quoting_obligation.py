"""L1 on generated markets: replay, hand-over and oracle agree to the nanosecond and the last digit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from agreement import differences
from arrivals import facts_in_mid_day, recorded, with_clocks
from drawn import draw
from maker_markets import drawn_makers, maker_market
from presence import expected, said

from detectors.affiliation import Directory
from detectors.liquidity.agreed_session import Schedule
from detectors.runner import Output, Runner
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import ClockEntry
from schemas.metrics import PresenceDay
from streams import reference_data

HANDED_OVER = 15
LANDED = 4
MARKETS = 100
BLOCK = 20
DRAWN = 60
LONGEST = 60  # steps


@pytest.mark.parametrize("first", range(0, MARKETS, BLOCK))
def test_generated_makers_agree_with_the_oracle(first: int, tmp_path: Path) -> None:
    compared = 0
    verdicts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(first, first + BLOCK):
        folder = maker_market(seed, tmp_path / f"seed-{seed}")
        rows, alerts, _ = said(folder)
        their_rows, their_alerts = expected(folder)
        for ours, theirs in ((rows, their_rows), (alerts, their_alerts)):
            for key in sorted(ours.keys() | theirs.keys()):
                compared += 1
                if ours.get(key) != theirs.get(key):
                    wrong.append(f"seed {seed}: {key}: replay {ours.get(key)}, oracle {theirs.get(key)}")
        verdicts.update(row["verdict"] for row in rows.values())
        kinds.update(f"{key[3]} {status}" for key, (status, _ts) in alerts.items())
    print(f"compared {compared} rows and alerts: {dict(verdicts)}, {dict(kinds)}")
    assert compared > 0
    assert not wrong, "\n".join(wrong[:20])


def test_drawn_makers_agree_with_the_oracle() -> None:
    """The same on markets that Hypothesis draws: what differs is shown on the smallest that it finds."""
    seen: Counter[str] = Counter()

    def judge(folder: Path) -> None:
        (rows, alerts, _), (their_rows, their_alerts) = said(folder), expected(folder)
        seen.update(markets=1, rows=len(their_rows), alerts=len(their_alerts))
        assert rows == their_rows
        assert alerts == their_alerts

    draw(DRAWN, LONGEST, drawn_makers, judge)
    print(f"compared {dict(seen)}")
    assert min(seen[name] for name in ("markets", "rows")) > 0


def test_what_lands_agrees_with_the_oracle_in_all_tables(tmp_path: Path) -> None:
    compared, wrong = 0, []
    for seed in range(MARKETS, MARKETS + LANDED):
        number, lines = differences(maker_market(seed, tmp_path / f"seed-{seed}"))
        compared += number
        wrong += [f"seed {seed}: {line}" for line in lines]
    print(f"compared {compared} facts of {LANDED} markets")
    assert compared > 0
    assert not wrong, "\n".join(wrong[:20])


def test_every_nanosecond_of_a_session_is_of_one_kind(tmp_path: Path) -> None:
    compared = 0
    for seed in range(MARKETS):
        folder = maker_market(seed, tmp_path / f"seed-{seed}")
        _rows, _alerts, sink = said(folder)
        sessions = {(row.knowledge, row.agreement, row.trading_day): row.session_ns for row in sink.rows}
        for alert in sink.alerts:
            measures = alert.measures
            if measures["kind"] == "breach" and alert.status == "confirmed":
                kinds = ("compliant_ns", "not_compliant_ns", "unknown_ns", "exempt_ns")
                key = (alert.knowledge, str(measures["agreement"]), str(measures["trading_day"]))
                assert sum(int(str(measures[kind])) for kind in kinds) == sessions[key], f"seed {seed}: {key}"
                compared += 1
        facts = reference_data.load(folder / "reference.toml")
        agreements = Directory(facts, hindsight=True).agreement_versions("X")
        for hindsight in (False, True):
            directory = Directory(facts, hindsight=hindsight)
            for _knowledge, agreement, day in sessions:
                schedule = Schedule(directory, "X", agreements[agreement], day, "Asia/Hong_Kong")
                edges = [edge for segment in schedule.segments for edge in segment[:2]]
                assert edges == sorted(edges)
                assert all(segment.start < segment.end for segment in schedule.segments)
                if hindsight and schedule.segments:
                    left = sum(s.end - s.start for s in schedule.segments if s.phase == "continuous")
                    assert schedule.available(schedule.start) == left
                compared += len(schedule.segments)
    print(f"compared {compared} sessions and segments")
    assert compared > 0


def stands(outputs: list[Output]) -> dict[str, bytes]:
    """Return what L1 says in the end: rows without their revision, alerts that are not retracted."""
    found: dict[str, bytes] = {}
    for output in outputs:
        said_ = json.loads(codec.canonical(output))
        if isinstance(output, PresenceDay):
            key = f"row {output.agreement} {output.trading_day}"
        elif isinstance(output, Alert) and output.rule == "quoting_obligation":
            key = output.breach_id
        else:
            continue
        for name in ("revision", "dq_degraded"):
            said_.pop(name, None)
        found[key] = json.dumps(said_, sort_keys=True).encode()
        if isinstance(output, Alert) and output.status == "retracted":
            del found[key]
    return found


def test_clocks_decide_earlier_and_nothing_else(tmp_path: Path) -> None:
    compared = early = taken_back = 0
    for seed in range(MARKETS):
        folder = maker_market(seed, tmp_path / f"seed-{seed}")
        runners = Runner(strict=True), Runner(strict=True)
        lines = recorded(folder)
        without = [output for entry in lines for output in runners[0].apply(entry)]
        early_said: list[Output] = []
        for entry in with_clocks(lines, Random(seed)):
            outputs = runners[1].apply(entry)
            early += isinstance(entry, ClockEntry) and not entry.end and bool(stands(outputs))
            taken_back += sum(isinstance(o, Alert) and o.status_reason == "unknown_time" for o in outputs)
            early_said += outputs
        assert stands(early_said) == stands(without), f"seed {seed}"
        compared += len(stands(without))
    print(
        f"compared {compared} rows and alerts; clocks decided {early} times, {taken_back} taken back by gaps"
    )
    assert compared > 0
    assert early > 0
    assert taken_back > 0


def test_a_runner_restored_at_any_entry_goes_on(tmp_path: Path) -> None:
    compared = outputs = 0
    for seed in range(HANDED_OVER):
        straight, passed_on = Runner(strict=True), Runner(strict=True)
        lines = with_clocks(recorded(maker_market(seed, tmp_path / f"seed-{seed}")), Random(seed))
        for entry in facts_in_mid_day(lines, Random(seed)) if seed % 2 else lines:
            wanted = [codec.canonical(output) for output in straight.apply(entry)]
            assert [codec.canonical(output) for output in passed_on.apply(entry)] == wanted, (seed, entry)
            snapshot = passed_on.snapshot()
            passed_on = Runner.restore(snapshot, strict=True)
            assert json.loads(passed_on.snapshot()) == json.loads(snapshot), (seed, entry)
            compared, outputs = compared + 1, outputs + len(wanted)
    print(f"compared {outputs} outputs over {compared} hand-overs")
    assert compared > 0
    assert outputs > 0
