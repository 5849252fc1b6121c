"""`fairbook replay`: a recording or a landed day through the rules, a bar while it runs, what came of it."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from schemas.alerts import Alert, timestamp
from schemas.tables import TABLES
from streams import history, reference_data, text_table
from streams.commands.options import progress
from streams.kafka_properties import SettingsError
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import ReplayResult, replay
from streams.sources import recording
from streams.text_table import Content

MARK = "replay-of.txt"
LISTED = 50  # differences


def run(folder: Path, lake: Path | None, rulebook_text: str, *, other: str | None = None) -> int:
    """Replay the recording in `folder`, land it in `lake` if given, and print a summary.

    `other`: the text of another rulebook, which is then in force; what it changes is printed too. Returns the
    exit status: 1 if a file is damaged, so that not all of the day was seen.

    Raises SettingsError if `lake` holds something else than an earlier replay, which is replaced.
    """
    total = sum(1 for topic, path in recording.files(folder).items() for _ in recording.lines(path, topic))
    sink = None
    if lake is not None:
        _make_room(lake)
        (lake / MARK).write_text(f"{folder.resolve()}\n", encoding="utf-8")
        sink = LakeWriter(lake, f"replay-{folder.resolve().name}")
    screen = Console(stderr=True)
    before: Mapping[str, Alert] = {}
    if other is not None:
        with progress(f"replaying {folder.name} as it was", total, screen) as advance:
            before = history.latest(replay(folder, rulebook_text=rulebook_text, progress=advance).alerts)
            advance(total)
    with progress(f"replaying {folder.name}", total, screen) as advance:
        result = replay(
            folder,
            rulebook_text=other or rulebook_text,
            own_rulebook=other is None,
            sink=sink,
            progress=advance,
        )
        advance(total)
    console = text_table.console()
    _report(result, _doubts(folder), console)
    if other is not None:
        _differences(before, history.latest(result.alerts), console)
    damaged = [fault for fault in result.faults if not fault.startswith("reference.toml")]
    if damaged:
        print("fairbook replay: the answers are of what could be read, not of the day", file=sys.stderr)
    if lake is not None:
        place, database = (shlex.quote(str(path)) for path in (lake, lake / catalog.NAME))
        print(f"\nlanded in {lake}: try `fairbook summary --lake {place}`, or `duckdb {database}`")
    return 1 if damaged else 0


def check(lake: Path) -> int:
    """Replay a landed day and compare all answers with what landed. Returns 1 if any differs, else 0."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        progress(f"replaying {lake}", None, Console(stderr=True)) as advance,
    ):
        found = history.check(lake, Path(scratch) / "lake", advance)
    rows = [
        [one.table, *(f"{n:,}" for n in (one.same, one.only_landed, one.only_replayed, one.ahead))]
        for one in found
    ]
    names = ["answers", "equal", "only landed", "only replayed", "not landed yet"]
    console = text_table.console()
    text_table.show(console, Content(names, [False, True, True, True, True], rows))
    wrong = sum(one.only_landed + one.only_replayed for one in found)
    same = sum(one.same for one in found)
    if wrong:
        console.print(
            f"{wrong:,} rows differ: is the lake whole, and were its answers given by these rules?",
            highlight=False,
        )
    elif same:
        console.print(f"all {same:,} rows are what the landed journal gives", highlight=False)
    else:
        console.print("nothing was compared: no answers have landed here")
    return 0 if same and not wrong else 1


def compare(lake: Path, other: str) -> int:
    """Replay a landed day as it was and under another rulebook, and print what differs."""
    screen = Console(stderr=True)
    with progress(f"replaying {lake} as it was", None, screen) as advance:
        before = history.latest(output for _, output in history.outputs(lake, None, advance))
    with progress(f"replaying {lake} under the other rulebook", None, screen) as advance:
        after = history.latest(output for _, output in history.outputs(lake, other, advance))
    _differences(before, after, text_table.console())
    return 0


def _differences(before: Mapping[str, Alert], after: Mapping[str, Alert], console: Console) -> None:
    found = history.differences(before, after)
    counts = Counter((one.alert.instance, one.change) for one in found)
    was = Counter(alert.instance for alert in before.values())
    now = Counter(alert.instance for alert in after.values())
    changes: tuple[history.Change, ...] = ("gained", "lost", "changed")
    rows = [
        [name, *(f"{n:,}" for n in (was[name], now[name], *(counts[name, change] for change in changes)))]
        for name in sorted(was.keys() | now.keys())
    ]
    names = ["instance", "as it was", "other rulebook", *changes]
    empty = [["none", *[""] * (len(names) - 1)]]
    title = "Alerts under the two rulebooks, by breach"
    text_table.show(console, Content(names, [name != "instance" for name in names], rows or empty, title))
    listed = [
        [one.change, one.alert.instance, one.alert.breach_id, _what(one), one.alert.narrative]
        for one in found[:LISTED]
    ]
    if listed:
        note = f"{LISTED} of {len(found):,}" if len(found) > LISTED else ""
        heads = ["change", "instance", "breach_id", "what differs", "narrative"]
        text_table.show(console, Content(heads, [False] * len(heads), listed, note=note))


def _what(one: history.Difference) -> str:
    """Return what differs: the values where they are short, else the names."""
    if one.before is None or one.after is None:
        return ""
    parts = []
    for name in one.fields:
        was, now = getattr(one.before, name), getattr(one.after, name)
        if name == "ts":
            parts.append(f"ts {timestamp(was)} -> {timestamp(now)}")
        elif isinstance(was, str | int | None) and isinstance(now, str | int | None) and name != "narrative":
            parts.append(f"{name} {was} -> {now}")
        elif name != "narrative":
            parts.append(name)
    return ", ".join(parts) or "narrative"


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
    rows = [
        [instance, status, f"{count:,}"]
        for (_rule, instance, status), count in sorted(result.counts().items())
    ]
    names = ["instance", "status", "alerts"]
    text_table.show(console, Content(names, [False, False, True], rows or [["none", "", "0"]]))
