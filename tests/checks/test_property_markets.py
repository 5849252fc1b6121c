"""I1, P1 in both modes and F2 against brute force, on markets that Hypothesis makes and shrinks.

A market on which they differ is shrunk and printed as a scenario, to be read and kept in tests/scenarios.
`FAIRBOOK_EXAMPLES=5000 pytest tests/checks/test_property_markets.py` looks for longer, elsewhere each time.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import agreement
import pytest
from agreement import EXEMPTIONS, HARM, HARM_KEY, KNOWN_RULEBOOK, Facts
from as_scenario import as_scenario, said
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markets import Recording, build, market

from detectors.runner import Output
from schemas import decimals
from schemas.alerts import Alert
from schemas.journal import Entry, Position
from schemas.metrics import ClientPriorityDay, ClientPriorityHarm
from streams.replay import replay

RULES = ("affiliate_flag", "client_priority", "self_trade")
INSTANCES = ("affiliate_flag", "client_priority.price_time", "client_priority.client_first", "self_trade")
EXAMPLES = os.environ.get("FAIRBOOK_EXAMPLES")
SHOWN = 12  # facts told
MOST = 8  # records that show a rule that says nothing
PROFILE = settings(
    max_examples=int(EXAMPLES or 50),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)
found: Counter[str] = Counter()


class Collect:
    """A replay's sink that keeps the answers."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    def entry(self, _position: Position, _entry: Entry) -> None:
        """Not asked for."""

    def output(self, _position: Position, output: Output) -> None:
        """Keep it."""
        self.outputs.append(output)

    def close(self) -> None:
        """Nothing more comes."""


def ours(folder: Path) -> Facts:
    """Return what the three rules say of a recording, in the oracle's form."""
    sink, facts = Collect(), {}
    result = replay(folder, rulebook_text=KNOWN_RULEBOOK, sink=sink, strict=True)
    for alert in result.latest().values():
        if alert.rule in RULES:
            facts |= _alert(alert)
    rows: dict[Any, ClientPriorityHarm] = {}
    days: dict[Any, ClientPriorityDay] = {}
    latest = max((row.knowledge for row in sink.outputs if not isinstance(row, Alert)), default=0)
    for row in sink.outputs:
        if isinstance(row, ClientPriorityHarm) and row.knowledge == latest:
            rows[tuple(getattr(row, name) for name in HARM_KEY)] = row
        elif isinstance(row, ClientPriorityDay) and row.knowledge == latest:
            days[row.instance, row.instrument, row.trading_day] = row
    for key, harm in rows.items():
        facts.update({("client_priority_harm", *key, name): getattr(harm, name) for name in HARM})
    for day in days.values():
        for name, count in day.exempt.items():
            counted = ("exempt", day.instance, day.instrument, EXEMPTIONS.get(name, name))
            facts[counted] = facts.get(counted, 0) + count
    return facts


def _alert(alert: Alert) -> Facts:
    key, gone = ("alerts", alert.breach_id, alert.instance), alert.status == "retracted"
    facts: Facts = {(*key, "status"): alert.status, (*key, "reason"): alert.status_reason}
    if alert.late_reference and (alert.revision == 0 or alert.status_reason == "late_reference"):
        facts[*key, "late_reference"] = True
    if alert.rule == "self_trade":
        facts[*key, "class"] = alert.measures["class"]
    elif alert.rule == "client_priority" and not gone:
        facts[*key, "undecided_qty"] = decimals.parse(str(alert.measures["undecided_qty"]))
    facts[*key, "harm_qty"] = None if gone or alert.harm_qty is None else decimals.parse(alert.harm_qty)
    return facts


def theirs(folder: Path) -> Facts:
    """Return what the oracle says of the same."""
    return {
        key: value
        for key, value in agreement.expected(folder).items()
        if key[0] in ("client_priority_harm", "exempt") or (key[0] == "alerts" and key[2] in INSTANCES)
    }


def compare(recording: Recording) -> int:
    """Return how many facts of a recording were compared; raises with the recording as a scenario."""
    with tempfile.TemporaryDirectory() as folder:
        recording.write(Path(folder))
        mine, other = ours(Path(folder)), theirs(Path(folder))
    differ = [
        f"{key}: rules {mine.get(key, 'nothing')}, oracle {other.get(key, 'nothing')}"
        for key in sorted(mine.keys() | other.keys(), key=str)
        if mine.get(key, "nothing") != other.get(key, "nothing")
    ]
    for key in mine:
        found[key[2] if key[0] == "alerts" else key[0]] += 1
    if differ:
        raise AssertionError(f"rules and oracle differ:\n{as_scenario(recording, differ[:SHOWN])}")
    return len(mine.keys() | other.keys())


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """A market of which any records are left out and the rest numbered anew: it shrinks to the fewest."""
    recording = market(draw(st.integers(0, 1 << 20)))
    kept = [(topic, line) for topic, line in recording.lines if draw(st.integers(0, 19))]
    places: dict[str, list[int]] = {}
    for _, line in kept:
        for record in _records(line):
            places.setdefault(record["instrument"], []).append(record["seq"])
    for instrument, seqs in places.items():
        places[instrument] = sorted(set(seqs))
    return replace(recording, lines=[(topic, _renumbered(line, places)) for topic, line in kept])


def _records(line: bytes) -> list[dict[str, Any]]:
    """Return the records of a line that have a place in the order."""
    try:
        said = json.loads(line)
    except ValueError:
        return []
    rows = said if isinstance(said, list) else [said]
    if not all(isinstance(row, dict) and isinstance(row.get("instrument"), str) for row in rows):
        return []
    return rows if all(type(row.get("seq")) is int for row in rows) else []


def _renumbered(line: bytes, places: dict[str, list[int]]) -> bytes:
    """Return the line with each seq its rank among those kept: the same for records that had the same."""
    rows = [row | {"seq": 1 + places[row["instrument"]].index(row["seq"])} for row in _records(line)]
    if not rows:
        return line
    return json.dumps(rows if line.lstrip()[:1] == b"[" else rows[0]).encode()


def test_rules_and_oracle_agree_on_any_market() -> None:
    compared = 0
    found.clear()

    @PROFILE
    @given(recordings())
    def agree(recording: Recording) -> None:
        nonlocal compared
        compared += compare(recording)

    agree()
    print(f"compared {compared} facts: {dict(found)}")
    # Alerts of client_first are of blocks and rfq only; its rows are in client_priority_harm.
    assert {*INSTANCES, "client_priority_harm", "exempt"} - {"client_priority.client_first"} <= set(found)


def test_rules_and_oracle_agree_whatever_chance_does() -> None:
    """Every choice of the generator is Hypothesis's own: edges that a fair source of chance rarely takes."""
    compared = 0

    @settings(PROFILE, max_examples=int(EXAMPLES or 10))
    @given(st.randoms(use_true_random=False), st.sampled_from([(3,), (6,)]))
    def agree(random: Random, sizes: tuple[int, ...]) -> None:
        nonlocal compared
        compared += compare(build(random, sizes=sizes))

    agree()
    print(f"compared {compared} facts")
    assert compared > 0


def test_a_scenario_says_what_the_recording_says() -> None:
    compared, short = 0, 0
    for seed in range(20):
        recording = market(seed)
        lines = said(text := as_scenario(recording, ["a note"]))
        short += text.count(" at = ")
        for topic, texts in lines.items():
            own = [line.decode("utf-8", "replace") for of, line in recording.lines if of == topic]
            assert len(own) == len(texts)
            for one, other in zip(own, texts, strict=True):
                assert one == other or json.loads(one) == json.loads(other)
                compared += 1
    print(f"{compared} records, {short} of them in the short form")
    assert short > compared // 2 > 0


@pytest.mark.parametrize("instance", INSTANCES)
def test_a_difference_is_shrunk_to_a_scenario(instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that says nothing: the market that shows it has few records."""
    true = ours

    def forgetful(folder: Path) -> Facts:
        return {key: value for key, value in true(folder).items() if instance not in key}

    monkeypatch.setattr(f"{__name__}.ours", forgetful)

    @settings(PROFILE, max_examples=20, derandomize=True)
    @given(recordings())
    def agree(recording: Recording) -> None:
        compare(recording)

    with pytest.raises(AssertionError, match="rules and oracle differ") as failure:
        agree()
    case = str(failure.value).partition("\n")[2]
    count = sum(map(len, said(case).values()))
    print(case[: case.index("[reference]")])
    print(f"{instance}: {count} records")
    assert 0 < count <= MOST
