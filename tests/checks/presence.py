"""L1 of a recording, by `replay` and by the oracle, in one form; and recordings of a maker to try it on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from agreement import ROOT, RULEBOOK

from schemas.alerts import Alert
from schemas.journal import Entry, Position
from schemas.metrics import PresenceDay
from streams.replay import Output, replay

sys.path.insert(0, str(ROOT / "tests" / "oracles"))

SECOND = 1_000_000_000
START = 1_772_409_600 * SECOND  # 2026-03-02T00:00:00Z, 08:00 in Hong Kong
COLUMNS = (
    "session_ns", "exempt_ns", "unknown_ns", "compliant_ns", "presence_pct", "presence_pct_low",
    "presence_pct_high", "required_pct", "verdict",
)  # fmt: skip

Rows = dict[tuple[str, str, str], dict[str, Any]]  # by instrument, agreement, trading day
Alerts = dict[tuple[str, str, str, str], tuple[str, int]]  # by the same and kind: status, ts


class Collect:
    """A Sink that keeps L1's answers."""

    def __init__(self) -> None:
        self.rows: list[PresenceDay] = []
        self.alerts: list[Alert] = []
        self.knowledge = 0  # the latest pass's

    def entry(self, position: Position, entry: Entry) -> None:
        """Ignore it."""

    def output(self, position: Position, output: Output) -> None:
        """Keep what is L1's."""
        if isinstance(output, Alert):
            self.alerts += [output] if output.rule == "quoting_obligation" else []
            return
        self.knowledge = max(self.knowledge, output.knowledge)
        self.rows += [output] if isinstance(output, PresenceDay) else []

    def close(self) -> None:
        """Do nothing."""


def said(folder: Path, rulebook: str = RULEBOOK) -> tuple[Rows, Alerts, Collect]:
    """Return the rows and alerts that `replay` leaves, and every revision of them."""
    sink = Collect()
    replay(folder, rulebook_text=rulebook, sink=sink, strict=True)
    rows: Rows = {}
    for row in sink.rows:
        if row.knowledge == sink.knowledge:
            key = (row.instrument, row.agreement, row.trading_day)
            rows[key] = {name: getattr(row, name) for name in COLUMNS}
    alerts: Alerts = {}
    for alert in sink.alerts:
        measures = alert.measures
        key4 = (alert.instrument, *(str(measures[name]) for name in ("agreement", "trading_day", "kind")))
        alerts[key4] = (alert.status, alert.ts)
    return rows, alerts, sink


def expected(folder: Path) -> tuple[Rows, Alerts]:
    """Return the same from the oracle: the last pass's rows, and the two passes' alerts put together."""
    from oracle_market import Market
    from oracle_quoting_obligation import QuotingObligation
    from oracle_recording import load

    recording = load(folder)
    rows: Rows = {}
    alerts: Alerts = {}
    passes = (1,) if recording.reference.same_in_both_passes else (1, 2)
    for instrument, entries in sorted(recording.entries.items()):
        found: Alerts = {}
        for which in passes:
            view = recording.reference.view(which)
            judge = QuotingObligation(view)
            Market(instrument, entries, recording.end_ts, view).run(judge)
            if which == passes[-1]:
                for row in judge.rows:
                    rows[instrument, row["agreement"], row["trading_day"]] = {n: row[n] for n in COLUMNS}
            these = {
                (instrument, a["anchor"][0], a["anchor"][1], a["anchor"][2]): (a["status"], a["ts"])
                for a in judge.alerts
            }
            for key, before in found.items():
                these.setdefault(key, ("retracted", before[1]))  # in pass 1 only
            found = these
        alerts |= found
    return rows, alerts


def write(folder: Path, reference: str, records: list[tuple[str, dict[str, Any]]]) -> Path:
    """Write a recording: records with their topic; seqs are given in order where a record has none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reference.toml").write_text(reference, encoding="utf-8")
    lines: dict[str, list[str]] = {"orders": [], "trades": [], "quotes": []}
    for number, (topic, record) in enumerate(records, 1):
        lines[topic].append(json.dumps({"instrument": "X", "seq": number, **record}))
    for topic, of in lines.items():
        (folder / f"{topic}.jsonl").write_text("".join(line + "\n" for line in of), encoding="utf-8")
    return folder
