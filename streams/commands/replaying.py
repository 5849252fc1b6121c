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
from streams import reference_data
from streams.commands.options import progress
from streams.kafka_properties import SettingsError
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import ReplayResult, replay
from streams.sources import recording

MARK = "replay-of.txt"


def run(folder: Path, lake: Path | None, rulebook_text: str) -> int:
    """Replay `folder`, land it in `lake` if given, and print a summary.

    Returns the exit status: 1 if a file is damaged, so that not all of the day was seen.

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
    _report(result, _doubts(folder), Console())
    damaged = [fault for fault in result.faults if not fault.startswith("reference.toml")]
    if damaged:
        print("fairbook replay: the answers are of what could be read, not of the day", file=sys.stderr)
    if lake is not None:
        place, database = (shlex.quote(str(path)) for path in (lake, lake / catalog.NAME))
        print(f"\nlanded in {lake}: try `fairbook summary --lake {place}`, or `duckdb {database}`")
    return 1 if damaged else 0


def _make_room(lake: Path) -> None:
    """Take away an earlier replay. Another lake is not ours to remove, and files beside one are left alone.

    The mark comes first: also of a replay that did not end, the place is known to be its own.
    """
    lake.mkdir(parents=True, exist_ok=True)
    others = [name for name in (catalog.NAME, "_landed", *TABLES) if (lake / name).exists()]
    if others and not (lake / MARK).exists():
        raise SettingsError(
            f"--lake {lake}: expected a new folder or an earlier replay's, found another lake's {others[0]!r}"
        )
    for table in TABLES:
        shutil.rmtree(lake / table, ignore_errors=True)


def _doubts(folder: Path) -> list[str]:
    """Return a line if the reference data can be read and is wrong all the same."""
    reference = folder / "reference.toml"
    problems = reference_data.check(reference) if reference.exists() else []
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return []
    return [f"reference.toml: {len(errors)} errors, used as it is (`fairbook reference check`): {errors[0]}"]


def _report(result: ReplayResult, doubts: list[str], console: Console) -> None:
    for fault in (*result.faults, *doubts):
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
