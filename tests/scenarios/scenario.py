"""Scenarios as data: reads a case, writes it as a recording, runs it, and compares what came out, exactly.

README.md beside this file says how a case is written.
"""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import soundness

from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from detectors.runner import Output, Runner
from schemas.alerts import Alert
from schemas.decimals import parse, text
from schemas.events import SOURCE_TOPICS
from schemas.journal import ClockEntry, Entry, OrderEntry, Position, QuoteEntry, RefusedEntry, TradeEntry
from schemas.metrics import (
    ClientPriorityDay,
    ClientPriorityHarm,
    PresenceDay,
    RoleExecution,
    SpreadDay,
    SpreadMinute,
)
from schemas.reference import Fact
from streams import reference_data
from streams.replay import journal, replay, second_pass
from streams.settings import resource

FOLDER = Path(__file__).parent
EDGES = FOLDER / "edges"  # which case shows which clause: no cases themselves
ROOT = FOLDER.parents[1]
RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
START = int(datetime(2026, 3, 2, 2, tzinfo=UTC).timestamp()) * 10**9
NOWHERE = Position(0, 0, 0)
Row = dict[str, Any]

UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
CASE_KEYS = {
    "shows", "tests", "kind", "xfail", "reference", "parameters", "venue", "given", "then", "harm", "days",
    "minutes", "presence", "spread_days", "execution_days", "refused", "faults",
}  # fmt: skip
ORDER_VERBS = (
    "new", "restated", "rejected", "replaced", "canceled", "expired", "triggered", "suspended", "resumed",
    "fill",
)  # fmt: skip
TRADE_VERBS = {"trade": "trade", "bust": "trade_cancel", "correct": "trade_correct"}
SHORT = {
    "type": "ord_type", "tif": "time_in_force", "leaves": "leaves_qty", "display": "display_qty",
    "capacity": "order_capacity", "match": "match_type", "inst": "exec_inst",
}  # fmt: skip
SAME_TIME = (*TRADE_VERBS, "fill", "quote", "line")  # rows that, unless they say so, come at the ts before
KEYS = {  # which rows of reference data say something about the same thing: a case's replace the base's
    "accounts": ("account",), "instruments": ("symbol",), "entities": ("id",),
    "affiliations": ("parent", "child"), "mm_registrations": ("account",),
}  # fmt: skip
# Cases say all alerts of all of these, so each case runs with their instances and those of its own rule: what
# somebody adds to the rulebook disturbs no case that knows nothing of it.
SHARED = {
    "affiliate_flag", "client_priority", "data_quality", "quoting_obligation", "self_trade", "spread_quality",
}  # fmt: skip
NEEDED: dict[str, tuple[str, ...]] = {  # what an expected alert must say, by rule; of another: nothing more
    "client_priority": ("trade_id", "side", "harm"), "affiliate_flag": ("code", "accounts"),
    "self_trade": ("class", "trade_id"), "spread_quality": ("check", "trading_day"),
    "data_quality": ("kind", "first_seq"),
    "quoting_obligation": ("kind", "agreement", "ts"),
}  # fmt: skip


class CaseError(ValueError):
    """A case is not written as README.md says."""


def duration(said: str) -> int:
    """Return nanoseconds of "1 s", "-1 ms", "1 s 1 ns"."""
    if not re.fullmatch(r"[+-]?\d+ (ns|us|ms|s|min|h|d)( \d+ (ns|us|ms|s|min|h|d))*", said):
        raise CaseError(f"expected a time like '1 s', '+1 ms', '14 h 1 ns', got {said!r}")
    total = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+) (\w+)", said))
    return -total if said.startswith("-") else total


@dataclass
class Case:
    """One case: what was given, as lines by topic, and what must come out."""

    path: Path
    data: Row
    lines: dict[str, list[str]] = field(default_factory=lambda: {topic: [] for topic in SOURCE_TOPICS})
    arrival: dict[int, int] = field(default_factory=dict)  # seq of a late record -> it arrives after this seq
    clocks: list[tuple[int, int]] = field(default_factory=list)  # (after this seq, promised ts)
    orderly: bool = True  # each seq once, every line readable: arrival order says nothing

    @property
    def name(self) -> str:
        """Folder and file, as in a test's name."""
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def rule(self) -> str:
        """The rule the case is about."""
        return self.path.parent.name

    @property
    def kinds(self) -> list[str]:
        """What kinds of case this is."""
        said = self.data["kind"]
        return [said] if isinstance(said, str) else list(said)


def load(path: Path) -> Case:
    """Return the case in a file. Raises CaseError if it says what no case can."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CaseError(f"{path}: {error}") from error
    for key in ("shows", "tests", "kind", "given", "then"):
        if key not in data:
            raise CaseError(f"{path}: expected `{key}`; a quiet case writes then = [] out")
    if unknown := data.keys() - CASE_KEYS:
        raise CaseError(f"{path}: unknown keys {sorted(unknown)}")
    case = Case(path, data)
    _Records(case).write()
    return case


def cases() -> list[Case]:
    """Return all cases, by rule and name."""
    return [load(path) for path in case_paths()]


def case_paths() -> list[Path]:
    """Return the files of all cases, by rule and name."""
    return sorted(path for path in FOLDER.glob("*/*.toml") if path.parent != EDGES)


class _Records:
    """Turns the rows of `given` into the venue's records."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.base = tomllib.loads((FOLDER / "base.toml").read_text(encoding="utf-8"))
        self.orders: dict[str, Row] = {}
        self.seq = 0
        self.ts = START
        self.seen: set[tuple[str, int]] = set()

    def write(self) -> None:
        for number, given in enumerate(self.case.data["given"], 1):
            try:
                self._row(dict(given), first=number == 1)
            except (KeyError, CaseError) as error:
                raise CaseError(f"{self.case.path}: row {number} of given: {error!r}") from error

    def _row(self, row: Row, *, first: bool) -> None:
        if "line" in row:
            self.case.lines[row.pop("topic")].append(row.pop("line"))
            self.case.orderly = False
            if row:
                raise CaseError(f"a `line` says only its topic, not {sorted(row)}")
            return
        if "clock" in row:
            self.case.clocks.append((self.seq, START + duration(row["clock"])))
            return
        verb = next((key for key in (*ORDER_VERBS, *TRADE_VERBS, "quote", "protection") if key in row), None)
        if verb is None:
            raise CaseError(f"expected one of {ORDER_VERBS}, {tuple(TRADE_VERBS)}, quote, line")
        self._time(row.pop("at", None), verb, first)
        self.seq = row.pop("seq", self.seq + 1)
        if "after" in row:
            self.case.arrival[self.seq] = row.pop("after")
        record: Row = {"instrument": row.pop("instrument", "X"), "seq": self.seq, "ts": self.ts}
        place = (record["instrument"], self.seq)
        if place in self.seen:
            self.case.orderly = False
        self.seen.add(place)
        subject = row.pop(verb)
        if verb in TRADE_VERBS:
            topic, said = "trades", self._trade(verb, subject, row)
        elif verb == "quote":
            topic, said = "quotes", {"quote_id": subject, **self._flag(row.get("account"), row)}
        else:
            topic, said = "orders", self._order(verb, subject, row)
        record |= said | {SHORT.get(key, key): value for key, value in row.items()}
        for key in [key for key, value in record.items() if value == "absent"]:
            del record[key]
        for key, value in record.items():
            if value == "null":
                record[key] = None
            elif key in ("ts_gateway", "ts_ack", "ts_published") and isinstance(value, str):
                record[key] = START + duration(value)
        self.case.lines[topic].append(json.dumps(record))

    def _time(self, at: str | None, verb: str, first: bool) -> None:
        if at is None:
            self.ts += 0 if first or verb in SAME_TIME else 10**6
        elif at[0] in "+-":
            self.ts += duration(at)
        else:
            self.ts = START + duration(at)

    def _flag(self, account: str | None, row: Row) -> Row:
        return {"mm_flag": True} if account in self.base["flagged"] and "mm_flag" not in row else {}

    def _order(self, verb: str, order_id: str, row: Row) -> Row:
        if verb == "protection":
            return {"exec_type": f"mm_protection_{order_id}"}
        record: Row = {"exec_type": verb, "order_id": order_id}
        if verb in ("new", "restated", "rejected"):
            for side in ("buy", "sell"):
                if side in row:
                    qty = row.pop(side)
                    record |= {"side": side, "order_qty": qty}
                    if verb != "rejected":
                        record["leaves_qty"] = row.pop("leaves", qty)
            record |= {"ord_type": row.pop("type", "limit"), "time_in_force": row.pop("tif", "gtc")}
            record |= self._flag(row.get("account"), row)
            kept = record | row
            self.orders[order_id] = {
                key: kept[key] for key in ("account", "side", "mm_flag", "price") if kept.get(key) is not None
            }
            return record
        known = self.orders.get(order_id, {})
        record |= {
            key: known[key] for key in ("account", "side", "mm_flag") if key in known and key not in row
        }
        if verb == "replaced":
            known["price"] = row.get("price", known.get("price", "absent"))
            record["price"] = known["price"]
        if verb == "canceled" and "reason" not in row:
            record["reason"] = "user"
        return record

    def _trade(self, verb: str, trade_id: str, row: Row) -> Row:
        record: Row = {"exec_type": TRADE_VERBS[verb]}
        if verb == "trade":
            record["trade_id"] = trade_id
        else:
            record["orig_trade_id"] = trade_id
        for side, party in (("buy", "buyer"), ("sell", "seller")):
            order_id = row.pop(party, None)
            if order_id is None:
                continue
            record[f"{side}_order_id"] = order_id
            known = self.orders.get(order_id, {})
            for name in ("account", "mm_flag"):
                if name in known and f"{side}_{name}" not in row:
                    record[f"{side}_{name}"] = known[name]
        return record


# ---- reference data and rulebook ------------------------------------------------------------------------


def _toml(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value)


def _tables(name: str, rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield f"[[{name}]]"
        for key, value in row.items():
            if key in ("valid_from", "valid_to", "recorded_at", "from", "to") and isinstance(value, str):
                value = START + duration(value)
            yield f"{key} = {_toml(value)}"


def reference_toml(case: Case) -> str:
    """Return the case's reference data: its own rows, and the base's about everything else."""
    said = dict(case.data.get("reference", {}))
    tables: dict[str, list[Row]] = {}
    if said.pop("extends", "base.toml") == "base.toml":
        base = tomllib.loads((FOLDER / "base.toml").read_text(encoding="utf-8"))
        tables = {name: rows for name, rows in base.items() if name != "flagged"}
    defaults = said.pop("defaults", {})
    gone = said.pop("without", {})
    for name, values in gone.items():
        tables[name] = [row for row in tables[name] if row[KEYS[name][-1]] not in values]
    for name, rows in said.items():
        key = KEYS.get(name)
        own = {tuple(row[part] for part in key) for row in rows} if key else set()
        kept = [row for row in tables.get(name, []) if key is None or tuple(row[k] for k in key) not in own]
        tables[name] = kept + rows
    lines = (
        ["[defaults]", *(f"{key} = {_toml(value)}" for key, value in defaults.items())] if defaults else []
    )
    for name, rows in tables.items():
        lines.extend(_tables(name, rows))
    return "\n".join(lines) + "\n"


def rulebook_toml(case: Case) -> str:
    """Return the default rulebook's instances of the case's rules, its parameters in place of some."""
    venue, own = case.data.get("venue", {}), case.data.get("parameters", {})
    book = tomllib.loads(RULEBOOK)
    book["instance"] = [instance for instance in book["instance"] if instance["rule"] in SHARED | {case.rule}]
    lines = ["[venue]", *(f"{key} = {_toml(value)}" for key, value in (book["venue"] | venue).items())]
    names = {instance["name"] for instance in book["instance"]}
    if unknown := own.keys() - names:
        raise CaseError(f"{case.path}: no instances {sorted(unknown)}")
    for instance in book["instance"]:
        versions = instance.pop("parameters")
        lines += ["[[instance]]", *(f"{key} = {_toml(value)}" for key, value in instance.items())]
        for version in versions:
            values = version | own.get(instance["name"], {})
            for key in values.keys() & {"valid_from", "valid_to"}:
                if isinstance(values[key], str):  # a case's; the rulebook's own are dates
                    values[key] = START + duration(values[key])
            lines += [
                "[[instance.parameters]]",
                *(f"{key} = {_toml(value)}" for key, value in values.items()),
            ]
    return "\n".join(lines) + "\n"


@contextmanager
def rulebooks_read_once() -> Iterator[None]:
    """Parse each rulebook's text once: the same few are read for every run."""
    original = Rulebook.parse

    @lru_cache(maxsize=128)
    def parse(text: str) -> Rulebook:
        return original(text, PARAMETERS)

    Rulebook.parse = lambda text, _registry: parse(text)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Rulebook.parse = original  # type: ignore[method-assign]


# ---- running --------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a run gave, as the sink saw it."""

    outputs: list[Output] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    landed: int = 0

    def entry(self, _position: Position, entry: Entry) -> None:
        """Count what landed."""
        self.landed += isinstance(entry, OrderEntry | TradeEntry | QuoteEntry)

    def output(self, _position: Position, output: Output) -> None:
        """Keep it."""
        self.outputs.append(output)

    def close(self) -> None:
        """Nothing more comes."""

    @property
    def by_instrument(self) -> list[Output]:
        """What came out, by instrument: between instruments there is no order."""
        return sorted(self.outputs, key=lambda output: output.instrument)

    def alerts(self) -> list[Alert]:
        """Return every revision, in order."""
        return [output for output in self.outputs if isinstance(output, Alert)]


Arrange = Callable[[str, list[str]], list[str]]


def as_written(_topic: str, lines: list[str]) -> list[str]:
    """Leave a topic's lines as they are."""
    return lines


def backwards(*topics: str) -> Arrange:
    """Reverse these topics: their first record then arrives after all of the other topics'."""
    return lambda topic, lines: lines[::-1] if topic in topics else lines


def shuffled(seed: int) -> Arrange:
    """Put every topic's lines in some other order."""
    return lambda topic, lines: random.Random(f"{seed}{topic}").sample(lines, len(lines))


def as_arrays(_topic: str, lines: list[str]) -> list[str]:
    """Put each topic into arrays of three records."""
    return [f"[{','.join(lines[at : at + 3])}]" for at in range(0, len(lines), 3)]


ARRANGEMENTS: dict[str, Arrange] = {
    "orders after all else": backwards("orders"),
    "trades after all else": backwards("trades"),
    "quotes after all else": backwards("quotes"),
    "shuffled": shuffled(1),
    "arrays": as_arrays,
}


def record(case: Case, folder: Path, arrange: Arrange = as_written) -> None:
    """Write the case as a recording."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reference.toml").write_text(reference_toml(case), encoding="utf-8")
    for topic, lines in case.lines.items():
        (folder / f"{topic}.jsonl").write_text("\n".join(arrange(topic, lines)), encoding="utf-8")


def run(case: Case, folder: Path) -> Outcome:
    """Run the recording in `folder`; records marked `after` come late, which no recording can show."""
    if case.arrival or case.clocks:
        return _prepared(case, folder).run()
    outcome = Outcome()
    result = replay(folder, rulebook_text=rulebook_toml(case), sink=outcome, strict=True)
    outcome.refused, outcome.faults = result.refused, result.faults
    return outcome


def _late(case: Case, entries: list[Entry]) -> Iterator[Entry]:
    """Return the entries with the case's clocks, and its late records where they arrive."""
    late = {entry.seq: entry for entry in entries if getattr(entry, "seq", None) in case.arrival}
    for entry in entries:
        seq = getattr(entry, "seq", None)
        if seq in late:
            continue
        yield entry
        yield from (late[number] for number, after in case.arrival.items() if after == seq)
        yield from (ClockEntry(ts=ts) for after, ts in case.clocks if after == seq)


@dataclass
class Prepared:
    """A case as journal entries, to run it many times without reading a file."""

    case: Case
    facts: list[Fact]
    entries: list[Entry]

    def run(self) -> Outcome:
        """Run the rules over the entries, in both passes where there are two; raises what a rule raises."""
        outcome, runner = Outcome(), Runner(strict=True)
        for entry in self.entries:
            outcome.entry(NOWHERE, entry)
            outcome.outputs.extend(runner.apply(entry))
            if isinstance(entry, RefusedEntry):
                outcome.refused[entry.reason] += 1
        if any(fact.recorded_at is not None for fact in self.facts):
            outcome.outputs.extend(second_pass(self.entries, self.facts, outcome.alerts(), strict=True))
        return outcome


def prepare(case: Case, folder: Path) -> Prepared:
    """Write the case as a recording in `folder` and read its journal."""
    record(case, folder)
    return _prepared(case, folder)


def _prepared(case: Case, folder: Path) -> Prepared:
    facts = reference_data.load(folder / "reference.toml")
    return Prepared(case, facts, list(_late(case, list(journal(folder, facts, rulebook_toml(case))))))


# ---- comparing ------------------------------------------------------------------------------------------


class Comparison:
    """Compares an outcome with a case and counts what it compared; `differences` in words."""

    def __init__(self, case: Case, outcome: Outcome) -> None:
        self.case = case
        self.outcome = outcome
        self.compared = 0
        self.differences: list[str] = []
        self._alerts()
        self._harm()
        self._days()
        self._minutes()
        self._presence()
        self._spread_days()
        self._execution_days()
        self._same("refused records", dict(case.data.get("refused", {})), dict(outcome.refused))
        self._same("faults", case.data.get("faults", []), outcome.faults)
        self._sound()
        self._ordered()

    def _same(self, what: str, expected: object, got: object) -> None:
        self.compared += 1
        if expected != got:
            self.differences.append(f"{what}: expected {expected}, got {got}")

    def _sound(self) -> None:
        """Each revision rests on the case's records, and its ids are those of what it says."""
        records = soundness.records(self.case.lines)
        rulebook = soundness.parsed(rulebook_toml(self.case))
        for alert in self.outcome.alerts():
            self.compared += 1
            wrong = soundness.unsound(alert, records, rulebook)
            self.differences += [f"{alert.instance} {alert.breach_id}: {what}" for what in wrong]

    def _ordered(self) -> None:
        """Breaches of a day that are found at one moment are told in the order of their ids."""
        found: dict[object, list[str]] = {}
        for alert in self.outcome.alerts():
            if "trading_day" in alert.measures and alert.revision == 0:
                what = alert.measures.get("check") or alert.measures.get("kind")
                place = (alert.knowledge, alert.instrument, alert.instance, what, alert.ts, alert.decided_ts)
                found.setdefault(place, []).append(alert.breach_id)
        for place, breaches in found.items():
            self._same(f"order of {place}", sorted(breaches), breaches)

    def _pair(self, what: str, expected: list[Row], got: list[Row]) -> None:
        """Compare two sets of rows; a row of `got` may say more than the expected one asks."""
        left = list(got)
        for row in expected:
            self.compared += len(row)
            found = next((other for other in left if _says(row, other)), None)
            if found is None:
                near = [{key: other.get(key) for key in row} for other in left]
                self.differences.append(f"{what}: expected {row}, got {near}")
            else:
                left.remove(found)
        self.compared += 1
        if left and not self.differences:
            self.differences.append(f"{what}: not expected {left}")

    def _alerts(self) -> None:
        revisions: dict[str, list[Alert]] = {}
        for alert in self.outcome.alerts():
            revisions.setdefault(alert.breach_id, []).append(alert)
        expected = []
        for row in self.case.data["then"]:
            rule = row["alert"].partition(".")[0]
            statuses = "final" if "final" in row else "status"
            if missing := [key for key in (*NEEDED.get(rule, ()), "evidence", statuses) if key not in row]:
                raise CaseError(f"{self.case.path}: an expected alert of {rule} lacks {missing}")
            sound = {} if rule == "data_quality" else {"degraded": False}  # a finding is itself about a fault
            row = sound | {"late_reference": False, "instrument": "X"} | row
            if "ts" in row:
                row["ts"] = START + duration(row["ts"])
            if "decided" in row:
                row["decided"] = [START + duration(moment) for moment in row["decided"]]
            expected.append(row)
        self._pair("alerts", expected, [_seen(alerts) for alerts in revisions.values()])

    def _harm(self) -> None:
        expected: list[Row] = []
        said = {
            (row["alert"], row["trade_id"], row["side"]) for row in self.case.data["then"] if "side" in row
        }
        for row in self.case.data.get("harm", []):
            for mode in [row["mode"]] if "mode" in row else ["price_time", "client_first"]:
                instance = f"client_priority.{mode}"
                cured = row.get("cured", "0")
                left = "0" if row["outcome"] == "busted" else text(parse(row["harm"]) - parse(cured))
                expected.append(
                    {"cured": cured, "left": left, "withdrawn": False, "side": "buy"}
                    | row
                    | {"mode": mode, "alerts": (instance, row["trade"], row.get("side", "buy")) in said}
                )
        got = [
            {
                "mode": row.instance.partition(".")[2], "trade": row.trade_id, "side": row.side,
                "order": row.order_id, "account": row.account, "outcome": row.outcome,
                "harm": text(row.harm_at_fill), "cured": text(row.cured_qty), "left": text(row.harm_left),
                "withdrawn": row.withdrawn, "alerts": row.alert_id is not None,
            }
            for row in _latest(self.outcome, ClientPriorityHarm, "instance", "trade_id", "side", "order_id")
        ]  # fmt: skip
        self._pair("client_priority_harm", expected, got)

    def _days(self) -> None:
        if "days" not in self.case.data:
            return
        got = [
            {
                "mode": row.instance.partition(".")[2], "day": row.trading_day,
                "fills_judged": row.fills_judged, "fills_with_harm": row.fills_with_harm,
                "pairs": row.pairs_with_harm, "harm_left": text(row.harm_left),
                "undecided": text(row.undecided_qty), "gateway_overtakes": row.gateway_overtakes,
                "exempt": row.exempt,
            }
            for row in _latest(self.outcome, ClientPriorityDay, "instance", "instrument", "trading_day")
        ]  # fmt: skip
        expected = [
            row | {"mode": mode}
            for row in self.case.data["days"]
            for mode in ([row["mode"]] if "mode" in row else ["price_time", "client_first"])
        ]
        self._pair("client_priority_days", expected, got)

    def _minutes(self) -> None:
        if "minutes" not in self.case.data:
            return
        expected = [row | {"minute": START + duration(row["minute"])} for row in self.case.data["minutes"]]
        rows = _latest(self.outcome, SpreadMinute, "instrument", "minute")
        self._pair("spread_minutes", expected, [_minute(row) for row in rows])

    def _spread_days(self) -> None:
        if "spread_days" in self.case.data:
            rows = _latest(self.outcome, SpreadDay, "instrument", "trading_day")
            self._pair("spread_days", self.case.data["spread_days"], [_minute(row) for row in rows])

    def _execution_days(self) -> None:
        if "execution_days" in self.case.data:
            rows = _latest(self.outcome, SpreadDay, "instrument", "trading_day")
            got = [_execution(row, pair) for row in rows for pair in row.by_role]
            self._pair("execution_days", self.case.data["execution_days"], got)

    def _presence(self) -> None:
        if "presence" not in self.case.data:
            return
        rows = _latest(self.outcome, PresenceDay, "instance", "instrument", "agreement", "trading_day")
        self._pair("presence_days", self.case.data["presence"], [_presence(row) for row in rows])


def _says(expected: Row, got: Row) -> bool:
    return all(
        value in got[key] if key == "says" else got.get(key) == value for key, value in expected.items()
    )


def _latest(outcome: Outcome, table: type, *key: str) -> list[Any]:
    """Return each row's latest revision, of the latest knowledge: a second pass repeats all that holds."""
    rows = [row for row in outcome.outputs if not isinstance(row, Alert)]
    latest = max((row.knowledge for row in rows), default=0)
    found: dict[object, Any] = {}
    for row in rows:
        if isinstance(row, table) and row.knowledge == latest:
            found[tuple(getattr(row, name) for name in key)] = row  # revisions come in their order
    return list(found.values())


def _status(alert: Alert) -> str:
    return f"{alert.status}: {alert.status_reason}" if alert.status_reason else alert.status


def _seen(alerts: list[Alert]) -> Row:
    last = max(alerts, key=lambda alert: (alert.knowledge, alert.revision))
    return last.measures | {
        "alert": last.instance, "instrument": last.instrument,
        "accounts": list(last.accounts), "groups": list(last.grps),
        "evidence": sorted(item.seq for item in last.evidence), "harm": last.harm_qty,
        "notional": last.harm_notional or last.measures.get("notional"), "severity": last.severity,
        "says": last.narrative,
        "ts": last.ts, "status": [_status(alert) for alert in alerts], "final": _status(last),
        "decided": [alert.decided_ts for alert in alerts], "degraded": last.dq_degraded,
        "late_reference": last.late_reference,
    }  # fmt: skip


def _minute(row: SpreadMinute | SpreadDay) -> Row:
    found: Row = {name: getattr(row, name) for name in row.__struct_fields__ if name != "depth"}
    for name, value in found.items():
        if value is None:
            found[name] = "null"
        elif name.endswith("_bps") or name.startswith("tw_"):
            found[name] = text(value, 6)
        elif name in ("volume", "afmm_maker_volume", "afmm_taker_volume", "afmm_client_volume"):
            found[name] = text(value)
    for band, depth in row.depth.items():
        side, width = band.split("_")
        for unit, scale in (("base", 8), ("quote", 16)):
            for suffix in ("", "_without_affiliates"):
                value = getattr(depth, unit + suffix)
                found[f"{side}_depth_{width}_{unit}{suffix}"] = (
                    "null" if value is None else text(value, scale)
                )
    return found


def _execution(row: SpreadDay, pair: RoleExecution) -> Row:
    """Quantities in base, sums in bps x base."""
    found: Row = {"instrument": row.instrument, "trading_day": row.trading_day}
    for name in pair.__struct_fields__:
        value = getattr(pair, name)
        scale = {"qty": 8, "sum": 14}.get(name.rpartition("_")[2])
        found[name] = value if scale is None else text(value, scale)
    return found


def _presence(row: PresenceDay) -> Row:
    found: Row = {"day": row.trading_day, "agreement": row.agreement, "instrument": row.instrument}
    found |= {"verdict": row.verdict, "exempt": row.exempt}
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if name.endswith("_pct") or name.startswith("presence_pct"):
            found[name] = "null" if value is None else text(value, 6)
        elif name.endswith("_ns"):
            found[name.removesuffix("_ns")] = f"{text(value, 9)} s"
    found["exempt_total"], found["exempt"] = found["exempt"], row.exempt
    return found


def same(first: Outcome, second: Outcome) -> bool:
    """Return True if two runs gave each instrument the same contents in the same order."""
    return all(
        getattr(first, name) == getattr(second, name) for name in ("refused", "landed", "by_instrument")
    )
