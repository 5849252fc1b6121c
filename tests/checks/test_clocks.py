"""Clocks decide earlier, never otherwise: a journal with many of them says what one without them says."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
from arrivals import EVENTS, recorded
from maker_markets import maker_market
from markets import market

from detectors.runner import Runner
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import ClockEntry, Entry, OrderEntry

SEEDS = 40
MAKERS = 60


def ticking(entries: list[Entry]) -> list[Entry]:
    """Return the journal with every clock that keeps its promise: no event with ts <= T is to come."""
    out: list[Entry] = []
    ahead = 1 << 62  # the least ts of what follows
    for entry in reversed(entries):
        out.append(entry)
        if isinstance(entry, EVENTS) and not (
            isinstance(entry, OrderEntry) and entry.exec_type == "restated"
        ):
            ahead = min(ahead, entry.ts)
        if ahead < 1 << 62:
            out += [ClockEntry(ts=ahead - 1), ClockEntry(ts=max(0, ahead - 1_700_000_000))]
    return out[::-1]


def said(entries: list[Entry]) -> tuple[list[bytes], set[bytes]]:
    """Return every revision of every alert, sorted, and the latest row of every measure."""
    runner = Runner(strict=True)
    alerts: list[bytes] = []
    rows: dict[tuple[object, ...], bytes] = {}
    for entry in entries:
        for output in runner.apply(entry):
            if isinstance(output, Alert):
                alerts.append(codec.encode_alert(output))
            else:
                names = ("instance", "instrument", "minute", "trading_day", "trade_id", "side", "order_id")
                key = (type(output).__name__, *(getattr(output, name, None) for name in names))
                rows[key] = codec.canonical(_unnumbered(output))
    return sorted(alerts), set(rows.values())


def _unnumbered(row: object) -> object:
    return msgspec.structs.replace(row, revision=0)  # type: ignore[type-var]


def test_clocks_change_no_answer(tmp_path: Path) -> None:
    compared = 0
    for seed in range(SEEDS):
        entries = recorded(market(seed, instruments=1 + seed % 2).write(tmp_path / f"seed-{seed}"))
        head = next(i for i, entry in enumerate(entries) if isinstance(entry, (*EVENTS, ClockEntry)))
        first, second = said(entries), said([*entries[:head], *ticking(entries[head:])])
        assert first[0] == second[0], f"seed {seed}: alerts"
        assert first[1] == second[1], f"seed {seed}: measures"
        compared += len(first[0]) + len(first[1])
    print(f"compared {compared} alerts' revisions and measures over {SEEDS} markets")
    assert compared > 1_000


def test_what_is_due_is_told_by_the_first_clock_that_has_it(tmp_path: Path) -> None:
    """A quoting obligation's warning or breach of T comes with a clock of T, not with one before."""
    compared: Counter[str] = Counter()
    for seed in range(MAKERS):
        entries = whole(recorded(maker_market(seed, tmp_path / f"seed-{seed}")))
        events = [entry.ts for entry in entries if isinstance(entry, EVENTS)]
        in_order = next((n for n, pair in enumerate(pairwise(stamps(entries))) if pair[1] < pair[0]), 1 << 62)
        for alert in obligations(entries):
            if not min(events) < alert.ts < max(events) or len(until(entries, alert.ts)) > in_order:
                continue  # its time has come and gone again
            for moment in (alert.ts - 1, alert.ts):
                runner = Runner(strict=True)
                for entry in until(entries, moment):
                    runner.apply(entry)
                said_ = [
                    one.breach_id for one in runner.apply(ClockEntry(ts=moment)) if isinstance(one, Alert)
                ]
                assert (alert.breach_id in said_) == (moment == alert.ts), f"seed {seed}: {alert.measures}"
            compared[str(alert.measures["kind"])] += 1
    print(f"compared {dict(compared)}")
    assert min(compared["warning"], compared["breach"]) > 10


def obligations(entries: list[Entry]) -> list[Alert]:
    """The first revisions of L1's alerts."""
    runner = Runner(strict=True)
    said_ = [output for entry in entries for output in runner.apply(entry) if isinstance(output, Alert)]
    return [alert for alert in said_ if alert.rule == "quoting_obligation" and alert.revision == 0]


def whole(entries: list[Entry]) -> list[Entry]:
    """The entries with none missing: what a clock lets be known, no gap takes back."""
    seq, found = 0, []
    for entry in entries:
        if isinstance(entry, EVENTS):
            seq += 1
            entry = msgspec.structs.replace(entry, seq=seq)
        found.append(entry)
    return found


def stamps(entries: list[Entry]) -> list[int]:
    """The entries' times; what is no event's is before all."""
    return [entry.ts if isinstance(entry, EVENTS) else 0 for entry in entries[:-1]]


def until(entries: list[Entry], moment: int) -> list[Entry]:
    """The entries up to the last event of `moment` or before."""
    last = max(n for n, entry in enumerate(entries) if isinstance(entry, EVENTS) and entry.ts <= moment)
    return entries[: last + 1]
