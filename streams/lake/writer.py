"""Writes the lake: rows gathered by table and UTC hour, files that appear whole. DESIGN.md 4.14."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from detectors.runner import Output
from detectors.sequence import Sequence, Verdict
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import (
    ClockEntry,
    Entry,
    OrderEntry,
    Position,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    RulebookEntry,
    TradeEntry,
)
from schemas.metrics import ClientPriorityHarm, SpreadMinute
from schemas.tables import to_arrow
from streams import build as fairbook
from streams.lake import catalog, files, ranges, rows
from streams.lake.position import Landed

HOUR = 3_600_000_000_000
MAX_ROWS = 100_000  # gathered before they are written: about 100 MB
Hour = int | None  # start of a UTC hour in ns / HOUR; None: resolved when written


class LakeWriter:
    """Gathers rows and writes them as files named after `stem`; one writer a (topic, partition).

    Applies the journal rule, so an entry that two tag workers wrote lands once. `sequences`, `times` and
    `landed` (rows by table) are the state to go on from.

    Rows lie in the UTC hour of their own `ts`, but those whose `ts` does not say when they came (orders
    restated from long ago, refused records, marks without one, daily rows) lie with what was written then.
    """

    def __init__(
        self,
        root: Path,
        run: str,
        stem: str = "replay",
        sequences: Mapping[str, Sequence] | None = None,
        times: Mapping[str, int] | None = None,
        landed: Mapping[str, int] | None = None,
    ) -> None:
        self.root = root
        self.run = run
        self.version: str | None = fairbook.version()
        self.build: str | None = fairbook.build()
        self.stem = stem
        self.sequences: dict[str, Sequence] = dict(sequences or {})
        self.times: dict[str, int] = dict(times or {})
        self.landed: dict[str, int] = dict(landed or {})
        self.repeats = 0
        self._rows: dict[tuple[str, Hour], list[tuple[Any, ...]]] = {}
        self.gathered = 0
        self._files = 0
        self._restated = 0  # hour of the latest restated order
        self.zone = catalog.ZONE

    # ---- the Sink protocol of a replay --------------------------------------------------------------

    def entry(self, position: Position, entry: Entry) -> None:
        """Take a journal entry."""
        self.take(position, entry)
        self._spill()

    def output(self, position: Position, output: Output) -> None:
        """Take what an entry decided."""
        self.decided(position, output)
        self._spill()  # the second pass has outputs only, and as many as the first

    def close(self) -> None:
        """Write what is left, how much it is, and the catalog."""
        self.flush(f"{self._files:06d}")
        Landed(rows=self.landed).save(self.root, self.stem)
        catalog.publish(self.root, self.zone)

    def _spill(self) -> None:
        if self.gathered >= MAX_ROWS:
            self.flush(f"{self._files:06d}")

    # ---- rows ---------------------------------------------------------------------------------------

    def decided(self, position: Position, output: Output) -> None:
        """Turn an alert's revision or a metrics row into a row."""
        if isinstance(output, Alert):
            self._add(
                "alert_revisions", output.ts, rows.alert(output, position, self.run, self.version, self.build)
            )
        else:
            table, row = rows.metric(output, position, self.run)
            self._add(table, _metric_ts(output), row)

    def take(self, position: Position, entry: Entry) -> None:
        """Turn a journal entry into rows."""
        if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
            self._event(position, entry)
        elif isinstance(entry, RefusedEntry):
            self._add("refused", None, rows.refused(entry, position))
        elif isinstance(entry, ClockEntry):
            self._mark(position, "clock", ts=entry.ts, payload="end" if entry.end else None)
        elif isinstance(entry, ReferenceEntry):
            self._mark(position, "reference", payload=codec.canonical(entry.fact).decode())
        elif isinstance(entry, RulebookEntry):
            self.zone = catalog.zone_of(entry.text)
            self._mark(position, "rulebook", payload=codec.canonical([entry.digest, entry.text]).decode())

    def _event(self, position: Position, entry: OrderEntry | TradeEntry | QuoteEntry) -> None:
        instrument = entry.instrument
        sequence = self.sequences.get(instrument)
        if sequence is None:
            sequence = self.sequences[instrument] = Sequence()
            self._mark(position, "start", instrument, entry.seq, entry.seq, ts=entry.ts)
        verdict = sequence.classify(entry.seq)
        if verdict is Verdict.REPEAT:
            self.repeats += 1
            return
        if verdict is Verdict.EVICTED:
            self._evicted(position, entry)
            return
        time = self.times.get(instrument)
        late = verdict is Verdict.LATE
        if late:
            self._mark(position, "late", instrument, entry.seq, entry.seq, ts=entry.ts)
        elif sequence.skipped is not None:
            low, high = sequence.skipped
            self._mark(position, "gap", instrument, low, high, time, time and max(time, entry.ts), entry.ts)
        restated = isinstance(entry, OrderEntry) and entry.exec_type == "restated"
        if restated:  # its ts is its order's, and never makes time
            self._restated = max(self._restated, entry.ts // HOUR)
        else:
            self.times[instrument] = max(time or 0, entry.ts)
        table = rows.TABLE_OF[type(entry)]
        self._add(table, None if restated else entry.ts, rows.event(entry, position, late))

    def _evicted(self, position: Position, entry: OrderEntry | TradeEntry | QuoteEntry) -> None:
        """Keep an event that came after its gap was forgotten: it is never applied, and never dropped."""
        raw = codec.encode_frame([entry]).rstrip()
        refused = RefusedEntry(
            src=entry.src, reason="evicted", detail="came after its gap was forgotten: not applied", raw=raw,
            instrument=entry.instrument, seq=entry.seq, ts=entry.ts,
        )  # fmt: skip
        self._add("refused", None, rows.refused(refused, position))
        self._mark(position, "evicted", entry.instrument, entry.seq, entry.seq, payload=raw.decode())

    def _mark(
        self,
        position: Position,
        kind: str,
        instrument: str | None = None,
        first_seq: int | None = None,
        last_seq: int | None = None,
        start: int | None = None,
        end: int | None = None,
        ts: int | None = None,
        payload: str | None = None,
    ) -> None:
        row = (
            kind, instrument, first_seq, last_seq, start, end, ts, payload,
            position.partition, position.offset, position.index,
        )  # fmt: skip
        self._add("journal_marks", ts, row)

    def _add(self, table: str, ts: int | None, row: tuple[Any, ...]) -> None:
        hour = None if ts is None else ts // HOUR
        self._rows.setdefault((table, hour), []).append(row)
        self.gathered += 1

    # ---- files --------------------------------------------------------------------------------------

    def flush(self, name: str) -> list[Path]:
        """Write everything gathered to files called `<stem>-<name>-<digest>.parquet`; return them."""
        written: list[Path] = []
        known = [hour for _table, hour in self._rows if hour is not None]
        latest = max(self.times.values(), default=0) // HOUR
        resolved = min(known, default=latest or self._restated)
        gathered: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
        for (table, hour), batch in self._rows.items():
            gathered.setdefault((table, resolved if hour is None else hour), []).extend(batch)
        for (table, hour), batch in sorted(gathered.items()):
            moment = datetime.fromtimestamp(hour * 3_600, UTC)
            folder = self.root / table / f"date={moment:%Y-%m-%d}" / f"hour={moment:%H}"
            first = self.landed.get(table, 0)
            self.landed[table] = first + len(batch)
            data = ranges.marked(to_arrow(table, batch), {self.stem: [(first, self.landed[table])]})
            written.append(files.write_data(folder, f"{self.stem}-{name}", data))
        self._rows.clear()
        self.gathered = 0
        self._files += 1
        return written


def _metric_ts(output: Output) -> int | None:
    """Return what places a metrics row; None for one of a day: it is written at the day's end, or later."""
    if isinstance(output, ClientPriorityHarm):
        return output.ts
    return output.minute if isinstance(output, SpreadMinute) else None
