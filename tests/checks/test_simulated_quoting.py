"""A simulated day of makers under agreement: what `replay` says of each is the label, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agreement import KNOWN_RULEBOOK
from presence import Collect, expected

from schemas import codec
from schemas.alerts import Alert, breach_id
from schemas.events import SOURCE_TOPICS
from streams.replay import ReplayResult, replay
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml, simulate

MORNING = 1_772_413_200 * 10**9
ALMOST_MIDNIGHT = MORNING + 53_996 * 10**9 + 1  # not quite four seconds before midnight in Hong Kong
DAYS: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 2, "start": ALMOST_MIDNIGHT},
    {"seed": 3, "independent_maker": False, "fill_records": True},
    {"seed": 4, "violations": Violations.each(2), "rate": 200},
    {"seed": 5, "seconds": 80, "rate": 20},  # long enough for realised spreads
    {"seed": 6, "seconds": 1, "start": MORNING + 54_000 * 10**9 - 1},  # a first day of one nanosecond
]
NS = ("session_ns", "exempt_ns", "unknown_ns", "compliant_ns")


def recorded(folder: Path, **fields: Any) -> Simulation:
    """Write a simulated run, ten seconds unless told, as a recording; return it: it knows its labels."""
    folder.mkdir()
    run = simulate(SimulatorConfig(**{"seconds": 10, "rate": 50, **fields}))
    files = {topic: (folder / f"{topic}.jsonl").open("wb") for topic in SOURCE_TOPICS}
    for topic, record in run:
        files[topic].write(codec.encode(record) + b"\n")
    for file in files.values():
        file.close()
    (folder / "reference.toml").write_text(reference_toml(run.config), encoding="utf-8")
    return run


def judged(folder: Path, rulebook: str = KNOWN_RULEBOOK) -> tuple[ReplayResult, Collect]:
    """Return what a replay says: all of it, and L1's rows."""
    sink = Collect()
    return replay(folder, rulebook_text=rulebook, sink=sink, strict=True), sink


def labelled(run: Simulation) -> dict[str, tuple[Any, ...]]:
    """Return the alerts to expect: breach -> rule, status, reason, and of L1 the exact time."""
    found = {}
    for row in run.labels:
        label: Any = row
        anchor = tuple(label["anchor"].values())
        breach = breach_id(label["rule"], label["instance"], label["instrument"], anchor)
        ts = label["ts"] if label["rule"] == "quoting_obligation" else None
        found[breach] = (label["rule"], label["status"], label["status_reason"], ts)
    assert len(found) == len(run.labels)
    return found


def said(alerts: list[Alert]) -> dict[str, tuple[Any, ...]]:
    return {
        alert.breach_id: (
            alert.rule,
            alert.status,
            alert.status_reason,
            alert.ts if alert.rule == "quoting_obligation" else None,
        )
        for alert in alerts
    }


def presence(run: Simulation, sink: Collect) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return labels and rows by instrument, agreement and trading day, in one form."""
    labels = {
        (row["instrument"], row["agreement"], row["trading_day"]): (
            row["verdict"], *(row[name] for name in NS), row["exempt"],
        )
        for row in run.presence
    }  # fmt: skip
    rows = {
        (row.instrument, row.agreement, row.trading_day): (
            row.verdict, *(getattr(row, name) for name in NS), row.exempt,
        )
        for row in sink.rows
    }  # fmt: skip
    return labels, rows


@pytest.mark.parametrize(
    "fields", DAYS, ids=["day", "over-midnight", "alone", "with-others", "long", "shortest"]
)
def test_presence_and_alerts_are_the_labels(fields: dict[str, Any], tmp_path: Path) -> None:
    run = recorded(tmp_path / "day", quoting="all", **fields)
    result, sink = judged(tmp_path / "day")
    labels, rows = presence(run, sink)
    wanted, got = labelled(run), said(list(result.latest().values()))
    verdicts = Counter(label[0] for label in labels.values())
    kinds = Counter(label[0] for label in wanted.values())
    print(
        f"compared {len(labels)} agreements' days {dict(verdicts)} and {len(wanted)} alerts {dict(kinds)} "
        f"over {result.events} events"
    )
    assert {"met", "breach", "exempt"} <= set(verdicts)
    assert rows == labels
    assert got == wanted
    assert run.unplanted == []


def test_labels_are_what_brute_force_finds(tmp_path: Path) -> None:
    run = recorded(tmp_path / "day", quoting="all", seed=5, start=ALMOST_MIDNIGHT)
    rows, alerts = expected(tmp_path / "day")
    labels: list[Any] = run.presence
    wanted = {}
    for row in labels:
        key = (row["instrument"], row["agreement"], row["trading_day"])
        assert (rows[key]["verdict"], *(rows[key][name] for name in NS)) == (
            row["verdict"], *(row[name] for name in NS)
        )  # fmt: skip
        if row["warning"]:
            wanted[*key, "warning"] = ("confirmed", row["warning_ts"])
    warnings = {key: value for key, value in alerts.items() if key[3] == "warning"}
    breaches = {key[:3] for key in alerts if key[3] == "breach"}
    print(f"compared {len(labels)} agreements' days, {len(wanted)} warnings, {len(breaches)} breaches")
    assert len(wanted) > 0
    assert len(rows) == len(labels)
    assert warnings == wanted
    assert breaches == {key for key, row in rows.items() if row["verdict"] == "breach"}


@pytest.mark.parametrize("fields", [{"seed": 11, "start": ALMOST_MIDNIGHT}, {"seed": 12, "seconds": 80}])
def test_agreements_that_are_kept_only_just_are_quiet(fields: dict[str, Any], tmp_path: Path) -> None:
    run = recorded(tmp_path / "day", quoting="kept", **fields)
    result, sink = judged(tmp_path / "day")
    labels, rows = presence(run, sink)
    verdicts = Counter(label[0] for label in labels.values())
    print(
        f"{len(labels)} agreements' days {dict(verdicts)}, {len(result.alerts)} alerts over "
        f"{result.events} events"
    )
    assert len(labels) > 0 and "breach" not in verdicts
    assert rows == labels
    assert run.labels == []
    assert result.alerts == [] and not result.refused and result.faults == []


def test_a_rule_that_is_a_little_stricter_is_found_out(tmp_path: Path) -> None:
    stricter = KNOWN_RULEBOOK.replace('max_imbalance = "0.5"', 'max_imbalance = "0.499999"')
    assert stricter != KNOWN_RULEBOOK
    run = recorded(tmp_path / "day", quoting="kept", seed=13)
    labels, rows = presence(run, judged(tmp_path / "day", stricter)[1])
    styles = {(row["instrument"], row["agreement"], row["trading_day"]): row["style"] for row in run.presence}
    wrong = {styles[key] for key, label in labels.items() if rows[key] != label}
    print(f"{len(labels)} agreements' days; not as labelled: {sorted(map(str, wrong))}")
    assert wrong == {"imbalance_at_limit", "uneven_by_quotes_as_allowed", "away_and_frozen_as_allowed"}
