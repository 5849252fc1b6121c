"""What the work on one partition adds up to since its state was loaded.

Fed once a frame, read by another thread. Nothing here is an input of an answer: losing it, or reading it in
mid-change, costs nobody anything.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from detectors.runner import Output
from schemas.alerts import Alert
from schemas.journal import Entry, RefusedEntry


class Saved(NamedTuple):
    """The latest snapshot: its label, when it was written (ns since 1970), bytes, seconds of writing."""

    label: int
    at: int
    size: int
    seconds: float


class Tally:
    """Counts of one partition.

    `watermark`: the greatest event time or clock seen at a frame's end, ns; `appended`: when the broker took
    the last message worked off, ns (0: none yet). Keys: of `refused` the reason, of `alerts` instance and
    status, of `findings` the kind, of `rule_errors` the instance, of the others the table.
    """

    def __init__(self) -> None:
        self.entries = 0
        self.frames = 0
        self.frame_bytes = 0
        self.watermark = 0
        self.appended = 0
        self.refused: Counter[str] = Counter()
        self.alerts: Counter[tuple[str, str]] = Counter()
        self.findings: Counter[str] = Counter()
        self.rule_errors: Counter[str] = Counter()
        self.metrics_rows: Counter[str] = Counter()
        self.landed_rows = 0
        self.landed_files: Counter[str] = Counter()
        self.landed_bytes: Counter[str] = Counter()
        self.saved: Saved | None = None
        self.snapshots = 0

    def frame(self, entries: list[Entry], size: int) -> None:
        """Count a frame of the journal, of `size` bytes."""
        self.entries += len(entries)
        self.frames += 1
        self.frame_bytes += size
        self.refused.update([entry.reason for entry in entries if type(entry) is RefusedEntry])
        last = getattr(entries[-1], "ts", None) if entries else None
        if last is not None and last > self.watermark:
            self.watermark = last

    def output(self, output: Output) -> None:
        """Count an alert's revision, a finding or a row of metrics."""
        if not isinstance(output, Alert):
            self.metrics_rows[output.__struct_config__.tag] += 1  # type: ignore[index]
        elif output.rule != "data_quality":
            self.alerts[output.instance, output.status] += 1
        else:
            kind = str(output.measures["kind"])
            self.findings[kind] += 1
            if kind == "rule_error":
                self.rule_errors[str(output.measures["detail"]).partition(" ")[0]] += 1

    def wrote(self, label: int, size: int, seconds: float) -> None:
        """Note a snapshot that has been written."""
        self.saved = Saved(label, time.time_ns(), size, seconds)
        self.snapshots += 1

    def loaded(self, label: int) -> None:
        """Note the snapshot that this partition's state came from."""
        self.saved = Saved(label, time.time_ns(), 0, 0.0)

    def landed(self, root: Path, paths: list[Path], rows: int) -> None:
        """Count files written below the lake's folder `root`, one folder a table."""
        self.landed_rows += rows
        for path in paths:
            table = path.relative_to(root).parts[0]
            self.landed_files[table] += 1
            self.landed_bytes[table] += path.stat().st_size
