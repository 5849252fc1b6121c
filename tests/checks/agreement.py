"""Compare what `replay` lands with what the independent oracle says of a recording, to the last unit."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from detectors.registry import PARAMETERS, RULES
from detectors.rulebook import Rulebook
from schemas import decimals
from schemas.alerts import alert_id, breach_id
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import replay
from streams.settings import resource

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "oracles"))

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
# The rules that the oracles and the simulator's labels speak of: where all alerts are compared with theirs,
# only these run, so that a rule that somebody adds is no difference.
KNOWN = (
    "affiliate_flag", "client_priority", "data_quality", "quoting_obligation", "self_trade", "spread_quality",
)  # fmt: skip
_HEAD, *_INSTANCES = RULEBOOK.split("[[instance]]\n")
KNOWN_RULEBOOK = "[[instance]]\n".join(
    [_HEAD, *(one for one in _INSTANCES if any(f'rule = "{rule}"\n' in one for rule in KNOWN))]
)
Facts = dict[tuple[Any, ...], Any]

HARM_KEY = ("instance", "trade_id", "side", "order_id", "instrument")
HARM = ("outcome", "account", "harm_at_fill", "cured_qty", "harm_left", "withdrawn")
COVERAGE = (
    "first_seq",
    "last_seq",
    "received",
    "landed",
    "quarantined",
    "duplicates",
    "missing_seqs",
    "dq_ns",
)
TRADES = (
    "effective_bps", "improvement_bps", "effective_n",
    *(f"{name}_{h}s_{what}" for h in (1, 10, 60)
      for name, what in (("realised", "bps"), ("impact", "bps"), ("realised", "n"))),
)  # fmt: skip
SPREAD = (
    "two_sided_ns", "two_sided_without_affiliates_ns", "common_ns", "one_sided_ns", "crossed_ns",
    "excluded_ns", "unknown_ns", "tw_spread_bps", "tw_spread_bps_without_affiliates", "tw_spread_bps_common",
    "tw_spread_bps_common_without_affiliates", "volume", "afmm_maker_volume", "afmm_taker_volume",
    "afmm_client_volume",
    *(
        f"{side}_depth_{band}bps_{unit}{suffix}"
        for side in ("bid", "ask") for band in (10, 25, 50) for unit in ("base", "quote")
        for suffix in ("", "_without_affiliates")
    ),
    *TRADES,
)  # fmt: skip
EXECUTION_KEY = ("instrument", "trading_day", "taker_role", "maker_role")
DEARER = (
    "fills", "other_fills", "realised_60s_bps", "other_realised_60s_bps", "lower_99_bps", "blocks",
)  # fmt: skip
PRESENCE_KEY = ("instrument", "agreement", "trading_day")
PRESENCE = (
    "session_ns", "exempt_ns", "unknown_ns", "compliant_ns", "presence_pct", "presence_pct_low",
    "presence_pct_high", "required_pct", "verdict",
)  # fmt: skip
EXEMPTIONS = {
    "same_owner": "same_owner_as_counterparty",
    "phase": "not_continuous",
    "order_capacity": "agency",
}
SCALE = {**{name: 6 for name in SPREAD if "bps" in name and "depth" not in name},
         **{name: 16 for name in SPREAD if "_quote" in name}}  # fmt: skip


def landed(folder: Path) -> Facts:
    """Return what the lake says after a replay: (table, key..., column) -> value in the oracle's scales."""
    with tempfile.TemporaryDirectory() as out:
        replay(folder, rulebook_text=KNOWN_RULEBOOK, sink=LakeWriter(Path(out), "agreement"), strict=True)
        connection = catalog.connect(Path(out))

        def rows(query: str) -> list[dict[str, Any]]:
            result = connection.execute(query)
            names = [column[0] for column in result.description or []]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

        facts: Facts = {}
        for row in rows("select * from client_priority_harm"):
            key = ("client_priority_harm", *(row[name] for name in HARM_KEY))
            facts.update({(*key, name): _scaled(row[name], 8) for name in HARM})
        for row in rows("select * from spread_minutes"):
            key = ("spread_minutes", row["instrument"], row["minute_ns"])
            facts.update({(*key, name): _scaled(row[name], SCALE.get(name, 8)) for name in SPREAD})
        for row in rows("select * from spread_days"):
            key = ("spread_days", row["instrument"], str(row["trading_day"]))
            facts.update({(*key, name): _scaled(row[name], 6) for name in TRADES})
            facts[*key, "excluded"] = json.loads(row["excluded"])
        for row in rows("select * from execution_days"):
            key = ("execution_days", *(row[name] for name in EXECUTION_KEY))
            facts.update({(*key, name): _scaled(row[name], 6) for name in TRADES})
        for row in rows("select * from presence_days"):
            key = ("presence_days", *(row[name] for name in PRESENCE_KEY))
            facts.update({(*key, name): _scaled(row[name], 6) for name in PRESENCE})
        for row in rows("select * from coverage_days"):
            key = ("coverage_days", row["instrument"], str(row["trading_day"]))
            facts.update({(*key, name): row[name] for name in COVERAGE})
        for row in rows("select * from alerts where rule <> 'data_quality'"):
            key = ("alerts", row["breach_id"], row["instance"])
            facts[*key, "status"] = row["status"]
            facts[*key, "reason"] = row["status_reason"]
            # A revision of what both passes found says it too; the oracle knows too few measures to tell.
            if row["late_reference"] and (row["revision"] == 0 or row["status_reason"] == "late_reference"):
                facts[*key, "late_reference"] = True
            measures = json.loads(row["measures"])
            if row["instance"] == "self_trade":
                facts[*key, "class"] = measures["class"]
            elif row["rule"] == "quoting_obligation":
                facts[*key, "ts"] = row["ts_ns"]
            elif row["rule"] == "spread_quality":
                facts[*key, "ts"] = row["ts_ns"]
                facts[*key, "measured"] = (
                    measures["tw_spread_bps"]
                    if measures["check"] == "spread"
                    else tuple(str(measures[name]) for name in DEARER)
                )
            elif row["rule"] == "client_priority" and row["status"] != "retracted":
                facts[*key, "undecided_qty"] = decimals.parse(measures["undecided_qty"])
            facts[*key, "harm_qty"] = None if row["status"] == "retracted" else _scaled(row["harm_qty"], 8)
        for row in rows("select * from client_priority_days"):
            for name, count in json.loads(row["exempt"]).items():
                counted = ("exempt", row["instance"], row["instrument"], name)
                facts[counted] = facts.get(counted, 0) + count
        for row in rows("select * from quarantine where reason <> 'conflict'"):
            facts["quarantine", row["topic"], row["offset"], row["index"]] = True
        for row in rows(
            "select distinct kind, instrument, first_seq from data_quality"
            " where place is null and kind <> 'not_price_time'"
        ):
            facts["data_quality", row["kind"], row["instrument"], row["first_seq"]] = True
        return facts


def expected(folder: Path) -> Facts:
    """Return what the oracle says, in the same form."""
    from oracle import judge

    in_force = Rulebook.parse(KNOWN_RULEBOOK, PARAMETERS).parameters("spread_quality", 0)
    assert in_force is not None

    def seed(instrument: str, anchor: tuple[str, str, str]) -> str:
        breach = breach_id("spread_quality", "spread_quality", instrument, anchor)
        return alert_id(breach, RULES["spread_quality"].version, in_force[1])

    said = judge(folder, seed)
    last = max((row["pass"] for row in said["spread_minutes"]), default=1)
    facts: Facts = {}
    for row in said["client_priority_harm"]:
        if row["pass"] == last:
            key = ("client_priority_harm", *(row[name] for name in HARM_KEY))
            facts.update({(*key, name): row[name] for name in HARM})
    for row in said["spread_minutes"]:
        if row["pass"] == last:
            key = ("spread_minutes", row["instrument"], row["minute"])
            facts.update({(*key, name): row[name] for name in SPREAD})
    for row in said["spread_days"]:
        if row["pass"] == last:
            key = ("spread_days", row["instrument"], row["trading_day"])
            facts.update({(*key, name): row[name] for name in (*TRADES, "excluded")})
    for row in said["execution_days"]:
        if row["pass"] == last:
            key = ("execution_days", *(row[name] for name in EXECUTION_KEY))
            facts.update({(*key, name): row[name] for name in TRADES})
    for row in said["presence_days"]:
        if row["pass"] == last:
            key = ("presence_days", *(row[name] for name in PRESENCE_KEY))
            facts.update({(*key, name): row[name] for name in PRESENCE})
    for row in said["coverage_days"]:
        facts.update({("coverage_days", row["instrument"], row["day"], name): row[name] for name in COVERAGE})
    for row in said["alerts"]:
        breach = breach_id(row["rule"], row["instance"], row["instrument"], tuple(row["anchor"]))
        key = ("alerts", breach, row["instance"])
        facts[*key, "status"] = row["status"]
        facts[*key, "reason"] = row["reason"]
        if row["late_reference"] or row["reason"] == "late_reference":
            facts[*key, "late_reference"] = True
        facts[*key, "harm_qty"] = None if row["status"] == "retracted" else row.get("harm_qty")
        if row["instance"] == "self_trade":
            facts[*key, "class"] = row["class"]
        elif row["rule"] == "quoting_obligation":
            facts[*key, "ts"] = row["ts"]
        elif row["rule"] == "spread_quality":
            facts[*key, "ts"] = row["ts"]
            facts[*key, "measured"] = (
                decimals.text(row["tw_spread_bps"], 6)
                if row["anchor"][-1] != "realised"
                else (
                    *(str(row[name]) for name in ("fills", "other_fills")),
                    *(decimals.text(row[name], 6) for name in ("realised", "other_realised", "lower")),
                    str(row["blocks"]),
                )
            )
        elif row["rule"] == "client_priority" and row["status"] != "retracted":
            facts[*key, "undecided_qty"] = row["undecided_qty"]
    for row in said["exemptions"]:
        if row["pass"] == last:
            counted = (
                "exempt",
                row["instance"],
                row["instrument"],
                EXEMPTIONS.get(row["exemption"], row["exemption"]),
            )
            facts[counted] = facts.get(counted, 0) + 1
    for row in said["refused"]:
        facts["quarantine", row["file"].split(".")[0], row["line"], row["index"] or 0] = True
    for row in said["data_quality"]:
        facts["data_quality", row["kind"], row["instrument"], row["first_seq"]] = True
    return facts


def differences(folder: Path, tables: Counter[str] | None = None) -> tuple[int, list[str]]:
    """Return how many facts were compared, and one line for each that differs; count them by table."""
    ours, theirs = landed(folder), expected(folder)
    if tables is not None:
        tables.update(str(key[0]) for key in ours.keys() | theirs.keys())
    lines = [
        f"{key}: replay {ours.get(key, 'has none')}, oracle {theirs.get(key, 'has none')}"
        for key in sorted(ours.keys() | theirs.keys(), key=str)
        if ours.get(key, "has none") != theirs.get(key, "has none")
    ]
    return len(ours.keys() | theirs.keys()), lines


def _scaled(value: Any, scale: int) -> Any:
    """Return a lake's DECIMAL as the scaled integer, anything else as it is."""
    from decimal import Decimal

    return int(value.scaleb(scale)) if isinstance(value, Decimal) else value


if __name__ == "__main__":
    for name in sys.argv[1:]:
        compared, wrong = differences(Path(name))
        print(f"{name}: compared {compared}, {len(wrong)} differ")
        for line in wrong[:40]:
            print("  ", line)
