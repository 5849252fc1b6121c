"""What must be true of every alert, whatever its rule: it rests on the record, and its ids are its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, get_args

from detectors.registry import PARAMETERS, RULES
from detectors.rulebook import Rulebook
from schemas import alerts
from schemas.alerts import Alert, Evidence, Severity

UNITS = {"base", "quote", "count", "bps", "%", "ns", "ratio"}
NAMES = {"order": ("order_id",), "trade": ("trade_id", "orig_trade_id"), "quote": ("quote_id", "account")}
_NUMBER = re.compile(r"-?\d+(\.\d+)?").fullmatch
Records = dict[tuple[str, str], set[int]]  # (kind, id) -> the seqs at which the venue's record names it


def records(lines: Mapping[str, Iterable[str | bytes]]) -> Records:
    """Return what a venue's record says, by what an alert may point at; a line nobody can read says nothing.

    A trade names its orders: an order's latest record may be its fill.
    """
    found: Records = {}
    for topic in lines:
        for line in lines[topic]:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            for record in value if isinstance(value, list) else [value]:
                if isinstance(record, dict):
                    note(found, topic.removesuffix("s"), record)
    return found


def note(found: Records, kind: str, record: Mapping[str, Any]) -> None:
    """Add what one record of a kind says."""
    named = [(kind, record.get(name)) for name in NAMES[kind]]
    named += [("order", record.get(name)) for name in ("buy_order_id", "sell_order_id")]
    if record.get("exec_type") == "mm_protection_start":
        named.append(("order", record.get("account")))
    if record.get("exec_type") == "trade_correct":  # a fill with the new values, and id, at the old seq
        old = found.get(("trade", str(record.get("orig_trade_id"))), set())
        found.setdefault(("trade", str(record.get("trade_id"))), set()).update(old)
    for of, name in named:
        if isinstance(name, str) and isinstance(record.get("seq"), int):
            found.setdefault((of, name), set()).add(record["seq"])


def unsound(alert: Alert, known: Records, rulebook: Rulebook) -> list[str]:
    """Return, in words, what cannot be true of an alert."""
    rule, wrong = RULES[alert.rule], []
    wrong += [f"evidence {item} is not in the record" for item in alert.evidence if not _there(item, known)]
    decimals = {name for name, value in alert.measures.items() if isinstance(value, str) and _NUMBER(value)}
    if bare := decimals - alert.units.keys():  # whole numbers may be counts and seqs
        wrong.append(f"decimals without a unit: {sorted(bare)}")
    if strange := alert.units.keys() - alert.measures.keys():
        wrong.append(f"units of what is not measured: {sorted(strange)}")
    if strange := set(alert.units.values()) - UNITS:
        wrong.append(f"expected units of {sorted(UNITS)}, got {sorted(strange)}")
    if alert.severity not in get_args(Severity):
        wrong.append(f"severity {alert.severity}")
    if alert.version != rule.version:
        wrong.append(f"expected version {rule.version}, got {alert.version}")
    in_force = {
        version.parameter_hash
        for instance in rulebook.instances
        if instance.name == alert.instance
        for version in instance.versions
    }
    if rulebook.parameters(alert.instance, alert.ts) is None and alert.rule == "data_quality":
        in_force = {""}  # a fault is told under any rulebook
    if alert.parameter_hash not in in_force:
        wrong.append(f"the hash of no parameters of {alert.instance}: {alert.parameter_hash}")
    if alert.alert_id != alerts.alert_id(alert.breach_id, alert.version, alert.parameter_hash):
        wrong.append("its id is not that of its breach, version and parameters")
    if not alert.narrative.endswith("."):
        wrong.append(f"expected a sentence, got {alert.narrative!r}")
    return wrong


def _there(item: Evidence, known: Records) -> bool:
    if item.kind == "seq":  # a finding of data quality: about what is not there
        return item.seq > 0
    return item.seq in known.get((item.kind, item.id), ())


@lru_cache(maxsize=64)
def parsed(text: str) -> Rulebook:
    """Return a rulebook of the registry's rules."""
    return Rulebook.parse(text, PARAMETERS)
