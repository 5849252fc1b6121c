"""Writes a recording as a scenario of tests/scenarios: what a failing property test leaves to read."""

from __future__ import annotations

import json
import tempfile
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any

from markets import Recording
from scenario import ORDER_VERBS, SHORT, START, TRADE_VERBS, CaseError, load

Row = dict[str, Any]
LONG = {name: short for short, name in SHORT.items()}
VERBS = {exec_type: verb for verb, exec_type in TRADE_VERBS.items()}
HEAD = """shows = "A market that a property test shrank."
tests = "Rules and oracle say the same."
kind = "edge"
"""


def as_scenario(recording: Recording, notes: list[str]) -> str:
    """Return the recording as a case that `scenario.load` reads; `notes` become comments, `then` is empty.

    A line that the short form cannot say exactly is written as it is.
    """
    lines = [(topic, line.decode("utf-8", "replace")) for topic, line in recording.lines]
    rows, before = [], START
    for topic, line in lines:
        row, before = _row(topic, line, before)
        rows.append(row)
    rows = [
        row if exact else _raw(*line)
        for row, exact, line in zip(rows, _exact(recording, lines, rows), lines, strict=True)
    ]
    return _case(recording, rows, notes)


def said(text: str) -> dict[str, list[str]]:
    """Return the lines by topic that a case's text stands for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.toml"
        path.write_text(text, encoding="utf-8")
        return load(path).lines


def _exact(recording: Recording, lines: list[tuple[Any, str]], rows: list[Row]) -> list[bool]:
    """Return for each row whether it stands for exactly its line, which rows before it may decide."""
    exact = [True] * len(rows)
    while True:
        tried = [row if good else _raw(*line) for row, good, line in zip(rows, exact, lines, strict=True)]
        written = {topic: iter(texts) for topic, texts in said(_case(recording, tried, [])).items()}
        wrong = [
            number for number, (topic, line) in enumerate(lines)
            if not _same(next(written[topic]), line) and exact[number]
        ]  # fmt: skip
        if not wrong:
            return exact
        exact[wrong[0]] = False


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def _case(recording: Recording, rows: list[Row], notes: list[str]) -> str:
    text = "".join(f"# {note}\n" for note in notes) + HEAD + "given = [\n"
    text += "".join(f"  {_toml(row)},\n" for row in rows) + "]\nthen = []\n"
    text += '\n[reference]\nextends = "none"\n'
    for table, facts in tomllib.loads(recording.reference).items():
        if isinstance(facts, dict):
            facts = [facts]
            text += f"[reference.{table}]\n" + "".join(
                f"{key} = {_toml(value)}\n" for key, value in facts[0].items()
            )
            continue
        for fact in facts:
            text += f"[[reference.{table}]]\n" + "".join(
                f"{key} = {_toml(value)}\n" for key, value in fact.items()
            )
    return text


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, date | time):
        return value.isoformat()
    return json.dumps(value)


def _raw(topic: str, line: str) -> Row:
    return {"topic": topic, "line": line}


def _row(topic: str, line: str, before: int) -> tuple[Row, int]:
    """Return a row in the short form, or else the line, and the time after it."""
    try:
        record = json.loads(line)
        return _short(topic, record, before), record["ts"]
    except (CaseError, KeyError, TypeError, ValueError, AttributeError):
        return _raw(topic, line), before


def _short(topic: str, record: Row, before: int) -> Row:
    left = {key: "null" if value is None else value for key, value in record.items()}
    ts, seq = left.pop("ts"), left.pop("seq")
    place: Row = {"seq": seq, "at": f"{ts - START} ns" if ts >= START else f"{ts - before:+d} ns"}
    if left.get("instrument") == "X":
        del left["instrument"]
    if topic == "quotes":
        row: Row = {"quote": left.pop("quote_id"), **left}
        return row | {"mm_flag": left.get("mm_flag", "absent")} | place
    kind = left.pop("exec_type")
    if topic == "trades":
        verb = VERBS[kind]
        row = {verb: left.pop("trade_id" if verb == "trade" else "orig_trade_id")}
        for side, party in (("buy", "buyer"), ("sell", "seller")):
            if f"{side}_order_id" in left:
                row[party] = left.pop(f"{side}_order_id")
                left |= {key: left.get(key, "absent") for key in (f"{side}_account", f"{side}_mm_flag")}
        return row | {LONG.get(key, key): value for key, value in left.items()} | place
    if kind not in ORDER_VERBS:
        raise CaseError(f"no verb for {kind}")
    row = {kind: left.pop("order_id")}
    wanted = ["account", "mm_flag"]
    if kind in ("new", "restated", "rejected"):
        row[left.pop("side")] = left.get("order_qty", "1")
        wanted += ["ord_type", "time_in_force", "order_qty"] + (["leaves_qty"] if kind != "rejected" else [])
    else:
        wanted += ["side", *{"replaced": ["price"], "canceled": ["reason"]}.get(kind, [])]
    left = {key: left.get(key, "absent") for key in wanted} | left
    if left.get("order_qty") == row.get("buy", row.get("sell")):
        del left["order_qty"]
    return row | {LONG.get(key, key): value for key, value in left.items()} | place
