"""Coverage per instrument and trading day, and the data quality findings that a recording can have.

Readings
C1  A record's day is the trading day (Asia/Hong_Kong) of its own ts, restated ones too.
C2  received = every record of the instrument and day that came: kept + duplicates + quarantined; quarantined
    = refused lines whose instrument and ts can be read + conflicts. `kept` is given beside (`landed`, as
    nothing is lost here).
C3  first_seq, last_seq: of kept records. missing_seqs: seqs between kept neighbours, on the day of the later
    one; a refused or conflicting-only seq is missing too. Seqs below the first kept one are not missing.
C4  dq_ns: ns of the day inside sequence gaps, [time before the missing seqs, ts of the next entry).
C5  Findings are (kind, instrument, first seq): `sequence_gap` the first missing seq, `duplicate` and
    `conflict` the seq, one each however often it came; the others are in oracle_market. `stale_reference`,
    `partition_mismatch`, `late` cannot come of a recording.
"""

from __future__ import annotations

from typing import Any

from oracle_market import Market
from oracle_recording import Recording
from oracle_reference import day_start, trading_day

DAY = 86400 * 10**9


def coverage_days(recording: Recording, instrument: str, market: Market | None) -> list[dict[str, Any]]:
    """One row a trading day on which the instrument has a record or a gap."""
    days: dict[str, dict[str, Any]] = {}

    def row(day: str) -> dict[str, Any]:
        return days.setdefault(
            day,
            {
                "instrument": instrument,
                "day": day,
                "first_seq": None,
                "last_seq": None,
                "received": 0,
                "landed": 0,
                "quarantined": 0,
                "duplicates": 0,
                "missing_seqs": 0,
                "dq_ns": 0,
            },
        )

    before = None
    for entry in recording.entries.get(instrument, []):
        r = row(trading_day(entry["ts"]))
        r["received"] += 1
        r["landed"] += 1
        r["first_seq"] = entry["seq"] if r["first_seq"] is None else min(r["first_seq"], entry["seq"])
        r["last_seq"] = entry["seq"] if r["last_seq"] is None else max(r["last_seq"], entry["seq"])
        if before is not None:
            r["missing_seqs"] += entry["seq"] - before - 1
        before = entry["seq"]
    for name, records in (("duplicates", recording.duplicates), ("quarantined", recording.conflicts)):
        for record in records.get(instrument, []):
            r = row(trading_day(record["ts"]))
            r["received"] += 1
            r[name] += 1
    for line in recording.refused:
        if line["instrument"] == instrument and line["ts"] is not None and 0 <= line["ts"] < 2**63:
            r = row(trading_day(line["ts"]))
            r["received"] += 1
            r["quarantined"] += 1
    for start, end in market.gaps if market is not None else []:
        while start < end:
            day = trading_day(start)
            stop = min(end, day_start(day) + DAY)
            row(day)["dq_ns"] += stop - start
            start = stop
    return [days[day] for day in sorted(days)]


def data_quality(recording: Recording, instrument: str, market: Market | None) -> list[tuple[str, str, int]]:
    """(kind, instrument, first seq), sorted, each once."""
    found = set(market.findings) if market is not None else set()
    found |= {("duplicate", instrument, r["seq"]) for r in recording.duplicates.get(instrument, [])}
    found |= {("conflict", instrument, r["seq"]) for r in recording.conflicts.get(instrument, [])}
    return sorted(found)
