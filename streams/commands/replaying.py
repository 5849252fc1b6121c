"""`fairbook replay`: a recording through the rules, a bar while it runs, and what came of it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from schemas.tables import TABLES
from streams.commands.options import progress
from streams.kafka_properties import SettingsError
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import ReplayResult, replay
from streams.sources import recording

MARK = "replay-of.txt"


def run(folder: Path, lake: Path | None, rulebook_text: str) -> int:
    """Replay `folder`, land it in `lake` if given, and print a summary. Returns the exit status.

    Raises SettingsError if `lake` holds something else than an earlier replay, which is replaced.
    """
    total = sum(1 for topic, path in recording.files(folder).items() for _ in recording.lines(path, topic))
    sink = None
    if lake is not None:
        _make_room(lake)
        (lake / MARK).write_text(f"{folder.resolve()}\n", encoding="utf-8")
        sink = LakeWriter(lake, f"replay-{folder.resolve().name}")
    with progress(f"replaying {folder.name}", total, Console(stderr=True)) as advance:
        result = replay(folder, rulebook_text=rulebook_text, sink=sink, progress=advance)
        advance(total)
    _report(result, Console())
    if lake is not None:
        place, database = (shlex.quote(str(path)) for path in (lake, lake / catalog.NAME))
        print(f"\nlanded in {lake}: try `fairbook summary --lake {place}`, or `duckdb {database}`")
    return 0


def _make_room(lake: Path) -> None:
    """Take away an earlier replay; anything else that is there is not ours to remove.

    The mark comes first: also of a replay that did not end, the place is known to be its own.
    """
    if not lake.exists() or not any(lake.iterdir()):
        lake.mkdir(parents=True, exist_ok=True)
        return
    ours = {catalog.NAME, MARK, *TABLES}
    strangers = sorted(path.name for path in lake.iterdir() if path.name not in ours)
    if strangers or not (lake / MARK).exists():
        what = f"{strangers[0]!r}" if strangers else "a lake that is no replay's"
        raise SettingsError(f"--lake {lake}: expected a new folder or an earlier replay's, found {what}")
    for table in TABLES:
        shutil.rmtree(lake / table, ignore_errors=True)


def _report(result: ReplayResult, console: Console) -> None:
    for fault in result.faults:
        print(f"fairbook replay: {fault}", file=sys.stderr)
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(result.refused.items())) or "none"
    console.print(f"{result.events:,} events applied; refused: {refused}", highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("instance", "status"):
        table.add_column(name)
    table.add_column("alerts", justify="right")
    for (_rule, instance, status), count in sorted(result.counts().items()):
        table.add_row(instance, status, f"{count:,}")
    if not result.counts():
        table.add_row("none", "", "0")
    console.print(table)
