"""Reference data for the oracles: effective-dated, bitemporal; groups and roles at a time, in either pass.

Written from SPEC.md 2.4 alone. Times are int ns UTC, `valid_from` inclusive, `valid_to` exclusive, absent =
always.

Readings
F1  Key of a fact: instruments (symbol), entities (id), accounts (account), affiliations (parent, child),
    mm_registrations (account, each instrument named, `*` being one of them), trading_phases (instrument).
F2  At time t, of the facts of one key that are valid at t (and known: pass 1 `recorded_at` <= t), the one
    with the latest `recorded_at` (absent = earliest) stands; `withdrawn = true` means that none stands. So a
    fact whose correction is not valid at t still stands at t. With equal `recorded_at` (an error): the last
    in the file, but for registrations affiliated wins.
F3  `unlisted_accounts = "client"`: an account without a fact at t owns itself (owner = `account:<name>`, in
    no group), role client, or market_maker where a registration is in force. With "unknown" (default): role
    unknown, registered or not, no owner.
F4  A record without an account has role unknown and no owner, whatever the default.
F5  An account's entity needs no row in `entities` to be an owner. The operator is the entity with `operator =
    true` in force at t.
F6  A `control_pct` of exactly 50 is watched, not controlled. `control = false` with 75 is still control (or).
F7  Times in reference.toml: date-times with offset, a date (midnight UTC), integers (ns), or ISO text.
    `from`/`to` in trading_phases mean `valid_from`/`valid_to`; both spellings are read everywhere.
F8  A CSV beside reference.toml is named `<table>.csv`, has a header, empty = absent; `instruments` separated
    by `;` or spaces.
F9  A trading day is Asia/Hong_Kong (UTC+8 all year), written YYYY-MM-DD.
"""

from __future__ import annotations

import csv
import tomllib
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

TABLES = (
    "instruments",
    "entities",
    "accounts",
    "affiliations",
    "mm_registrations",
    "mm_agreements",
    "fee_schedule",
    "trading_phases",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WATCHED = ("affiliated_mm", "affiliate")


def nanoseconds(value: Any) -> int | None:
    """A time of reference.toml as ns since the epoch, None where absent."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise TypeError(f"expected a time, got {value!r}")
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        if value.isdigit():
            return int(value)
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"expected a time with an offset, got {value}")
        past = value - EPOCH
        return ((past.days * 86400 + past.seconds) * 1_000_000 + past.microseconds) * 1000
    if isinstance(value, date):
        return (value - EPOCH.date()).days * 86400 * 10**9
    raise TypeError(f"expected a time, got {value!r}")


def trading_day(ts: int) -> str:
    """The Asia/Hong_Kong day of a time."""
    return (EPOCH.date() + timedelta(days=(ts + 8 * 3600 * 10**9) // (86400 * 10**9))).isoformat()


def day_start(day: str) -> int:
    """The first ns of a trading day."""
    return (date.fromisoformat(day) - EPOCH.date()).days * 86400 * 10**9 - 8 * 3600 * 10**9


def _true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


class Reference:
    """All facts of a recording. `view(1)` and `view(2)` are the two passes."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.unlisted = document.get("defaults", {}).get("unlisted_accounts", "unknown")
        self.facts: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
        for table in TABLES:
            for row in document.get(table, []):
                for key in self._keys(table, row):
                    self.facts[table].append(
                        {
                            "key": key,
                            "row": row,
                            "withdrawn": _true(row.get("withdrawn")),
                            "from": nanoseconds(row.get("valid_from", row.get("from"))),
                            "to": nanoseconds(row.get("valid_to", row.get("to"))),
                            "recorded": nanoseconds(row.get("recorded_at")),
                        }
                    )
        times = {
            f[name] for facts in self.facts.values() for f in facts for name in ("from", "to", "recorded")
        }
        self.breaks = sorted(t for t in times if t is not None)
        self.same_in_both_passes = all(f["recorded"] is None for facts in self.facts.values() for f in facts)

    @staticmethod
    def _keys(table: str, row: dict[str, Any]) -> list[tuple[str, ...]]:
        if table == "instruments":
            return [(row["symbol"],)]
        if table in ("entities", "mm_agreements"):
            return [(row["id"],)]
        if table == "accounts":
            return [(row["account"],)]
        if table == "affiliations":
            return [(row["parent"], row["child"])]
        if table == "mm_registrations":
            return [(row["account"], name) for name in row["instruments"]]
        if table == "trading_phases":
            return [(row["instrument"],)]
        return [(row["tier"],)]

    def view(self, which: int) -> View:
        """The reference data as pass 1 or 2 sees it."""
        return View(self, which)


class View:
    """One pass. Everything is constant between two breaks, so answers are kept per stretch between breaks."""

    def __init__(self, reference: Reference, which: int) -> None:
        self.reference, self.which = reference, which
        self._moments: dict[int, Moment] = {}

    def at(self, ts: int) -> Moment:
        """What is known and in force at `ts`."""
        stretch = bisect_right(self.reference.breaks, ts)
        if stretch not in self._moments:
            self._moments[stretch] = Moment(self.reference, ts, self.which)
        return self._moments[stretch]

    def breaks_between(self, start: int, end: int) -> list[int]:
        """The breaks strictly inside (start, end), ascending."""
        breaks = self.reference.breaks
        return [t for t in breaks[bisect_right(breaks, start) :] if t < end] if breaks and start < end else []


class Moment:
    """Reference data at one time in one pass."""

    def __init__(self, reference: Reference, ts: int, which: int) -> None:
        self.unlisted = reference.unlisted
        standing = {table: self._standing(facts, ts, which) for table, facts in reference.facts.items()}
        self.instruments = {f["key"][0]: f["row"] for f in standing["instruments"]}
        self.accounts = {f["key"][0]: f["row"] for f in standing["accounts"]}
        self.phases = {f["key"][0]: f["row"]["phase"] for f in standing["trading_phases"]}
        self.registrations: dict[tuple[str, str], bool] = {}
        for f in standing["mm_registrations"]:
            affiliated = _true(f["row"].get("affiliated"))
            self.registrations[f["key"]] = self.registrations.get(f["key"], False) or affiliated
        self.edges = [
            f["key"]
            for f in standing["affiliations"]
            if Decimal(str(f["row"].get("control_pct") or "0")) > 50 or _true(f["row"].get("control"))
        ]
        self.operators = [f["key"][0] for f in standing["entities"] if _true(f["row"].get("operator"))]
        self.operator_group = set().union(*(self.group(entity) for entity in self.operators))

    @staticmethod
    def _standing(facts: list[dict[str, Any]], ts: int, which: int) -> list[dict[str, Any]]:
        best: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for f in facts:
            valid = (f["from"] is None or f["from"] <= ts) and (f["to"] is None or ts < f["to"])
            known = which == 2 or f["recorded"] is None or f["recorded"] <= ts
            if valid and known:
                best.setdefault(f["key"], []).append(f)
        standing = []
        for same_key in best.values():
            newest = max(-1 if f["recorded"] is None else f["recorded"] for f in same_key)
            last = [f for f in same_key if (-1 if f["recorded"] is None else f["recorded"]) == newest]
            standing += [f for f in last if not f["withdrawn"]]
        return standing

    def group(self, entity: str) -> set[str]:
        """All entities joined to `entity` by control edges, itself included: walk until nothing is added."""
        group = {entity}
        while True:
            more = {e for edge in self.edges if group & set(edge) for e in edge} - group
            if not more:
                return group
            group |= more

    def owner(self, account: str | None) -> str | None:
        """The owning entity; None = unknown."""
        if account is None:
            return None
        if account in self.accounts:
            return str(self.accounts[account]["entity"])
        return f"account:{account}" if self.unlisted == "client" else None

    def registered(self, account: str | None, instrument: str) -> bool | None:
        """None: no registration in force; True: an affiliated one; False: independent only."""
        if account is None:
            return None
        found = [
            self.registrations[key]
            for key in ((account, instrument), (account, "*"))
            if key in self.registrations
        ]
        return any(found) if found else None

    def role(self, account: str | None, instrument: str) -> str:
        """SPEC 2.4's role."""
        owner = self.owner(account)
        if owner is None:
            return "unknown"
        registration = self.registered(account, instrument)
        if owner in self.operator_group:
            return "affiliated_mm" if registration else "affiliate"
        return "client" if registration is None else "market_maker"

    def waiver(self, account: str | None) -> bool:
        """The client's priority_waiver."""
        return account in self.accounts and _true(self.accounts[account].get("priority_waiver"))

    def phase(self, instrument: str) -> str:
        """The trading phase; no row: continuous."""
        return str(self.phases.get(instrument, "continuous"))

    def instrument(self, symbol: str) -> dict[str, Any]:
        """The instrument's row, empty where there is none."""
        return dict(self.instruments.get(symbol, {}))


def load_reference(folder: Path) -> Reference:
    """`reference.toml` and the CSV tables beside it."""
    path = folder / "reference.toml"
    document: dict[str, Any] = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    for table in TABLES:
        beside = folder / f"{table}.csv"
        if beside.exists():
            with beside.open(newline="", encoding="utf-8") as lines:
                for row in csv.DictReader(lines):
                    kept: dict[str, Any] = {
                        name: value for name, value in row.items() if value not in ("", None)
                    }
                    if "instruments" in kept:
                        kept["instruments"] = kept["instruments"].replace(";", " ").split()
                    document.setdefault(table, []).append(kept)
    return Reference(document)
