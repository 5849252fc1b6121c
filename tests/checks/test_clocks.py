"""Clocks decide earlier, never otherwise: a journal with many of them says what one without them says."""

from __future__ import annotations

from pathlib import Path

from agreement import RULEBOOK
from markets import market

from detectors.runner import Runner
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import ClockEntry, Entry, OrderEntry, QuoteEntry, TradeEntry
from streams import reference_data
from streams.replay import journal

SEEDS = 40
EVENTS = (OrderEntry, TradeEntry, QuoteEntry)


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
    import msgspec

    return msgspec.structs.replace(row, revision=0)  # type: ignore[type-var]


def test_clocks_change_no_answer(tmp_path: Path) -> None:
    compared = 0
    for seed in range(SEEDS):
        folder = market(seed, instruments=1 + seed % 2).write(tmp_path / f"seed-{seed}")
        entries = list(journal(folder, reference_data.load(folder / "reference.toml"), RULEBOOK))
        head = next(i for i, entry in enumerate(entries) if isinstance(entry, (*EVENTS, ClockEntry)))
        first, second = said(entries), said([*entries[:head], *ticking(entries[head:])])
        assert first[0] == second[0], f"seed {seed}: alerts"
        assert first[1] == second[1], f"seed {seed}: measures"
        compared += len(first[0]) + len(first[1])
    print(f"compared {compared} alerts' revisions and measures over {SEEDS} markets")
    assert compared > 1_000
