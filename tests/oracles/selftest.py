"""Checks the oracles on the recordings in handmade/, whose answers were worked out by hand from SPEC.md.

`python tests/oracles/selftest.py` prints how many facts it compared; exit code 1 where one differs, or none
was compared.

`handmade/<case>/expected.toml` holds, by table of `oracle.judge`, the complete list of rows that are
expected, each with the columns that were worked out (the arithmetic is in its comments). A table that is not
named is not compared. `<table>_pass1` is a table as pass 1 has it; `<table>` alone is pass 2 (and all of a
table without passes). Quantities are decimal strings; in a column named here as scaled they are multiplied by
10**8 (10**16 for notional and quote depth). `ms` is a time in milliseconds after 2026-03-02T00:00:00Z. "null"
is None.
"""

from __future__ import annotations

import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from oracle import judge

HANDMADE = Path(__file__).resolve().parent / "handmade"
START = 1_772_409_600 * 10**9
QUANTITIES = (
    "harm_at_fill",
    "cured_qty",
    "harm_left",
    "harm_qty",
    "undecided_qty",
    "volume",
    "afmm_maker_volume",
    "afmm_taker_volume",
    "afmm_client_volume",
)


def expected_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of expected.toml in the oracles' units."""
    wanted: dict[str, Any] = {}
    for name, value in row.items():
        if value == "null":
            wanted[name] = None
        elif name in ("ms", "minute_ms"):
            wanted["ts" if name == "ms" else "minute"] = START + value * 10**6
        elif name == "harm_notional" or ("_depth_" in name and "_quote" in name):
            wanted[name] = int(Decimal(value) * 10**16)
        elif name in QUANTITIES or "_depth_" in name:
            wanted[name] = int(Decimal(value) * 10**8)
        elif name == "history":
            wanted[name] = [tuple(item.split()) if " " in item else (item, None) for item in value]
        else:
            wanted[name] = value
    return wanted


def actual_rows(answers: dict[str, list[dict[str, Any]]], table: str) -> list[dict[str, Any]]:
    """The oracle's rows of a table named as in expected.toml."""
    which = 1 if table.endswith("_pass1") else 2
    return [row for row in answers[table.removesuffix("_pass1")] if row.get("pass", which) == which]


def check(case: Path) -> tuple[int, list[str]]:
    """Facts compared, and what differed."""
    expected = tomllib.loads((case / "expected.toml").read_text("utf-8"))
    answers = judge(case)
    compared, wrong = 0, []
    for table, rows in expected.items():
        if table == "case":
            continue
        actual = actual_rows(answers, table)
        compared += 1
        if len(actual) != len(rows):
            wrong.append(
                f"{case.name} {table}: expected {len(rows)} rows, the oracle has {len(actual)}: {actual}"
            )
            continue
        left = list(actual)
        for row in rows:
            wanted = expected_row(row)
            compared += len(wanted)
            found = [a for a in left if all(name in a and a[name] == value for name, value in wanted.items())]
            if found:
                left.remove(found[0])
            else:
                wrong.append(f"{case.name} {table}: no row {wanted} among {left}")
    return compared, wrong


def main() -> int:
    """Run every case."""
    total, failures, cases = 0, 0, 0
    for case in sorted(p for p in HANDMADE.iterdir() if (p / "expected.toml").exists()):
        compared, wrong = check(case)
        cases += 1
        total += compared
        failures += len(wrong)
        print(f"{'ok  ' if not wrong else 'FAIL'} {case.name}: {compared} facts")
        for line in wrong:
            print("     " + line)
    print(f"{cases} recordings, {total} facts compared, {failures} wrong")
    return 1 if failures or not total else 0


if __name__ == "__main__":
    sys.exit(main())
