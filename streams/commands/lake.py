"""The lake in order: is it whole, what may go."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streams.commands.options import Lake, State, lake_of, progress
from streams.settings import RETENTION, resource
from streams.text_table import Content, console, show

lake = typer.Typer(help="The lake in order: is it whole, what may go.", no_args_is_help=True)

LISTED = 200  # findings


@lake.command("check")
def lake_check(lake: Lake = None, state: State = None) -> None:
    """Check every file: checksum, columns, rows without hole or overlap, positions, the catalog.

    Changes nothing; can run while landing goes on. Exit status 1 if anything is wrong.
    """
    from streams.lake import check

    root = lake_of(lake, state)
    with progress(f"checking {root}", len(check.paths(root)), Console(stderr=True)) as advance:
        result = check.run(root, advance)
    screen = console()
    wrong = {kind: sum(one.kind == kind for one in result.findings) for kind in check.KINDS}
    rows = [[kind, f"{result.looked[kind]:,}", f"{wrong[kind]:,}"] for kind in check.KINDS]
    show(screen, Content(["check", "looked at", "wrong"], [False, True, True], rows))
    if result.findings:
        listed = [list(one) for one in result.findings[:LISTED]]
        note = f"{LISTED} of {len(result.findings):,}" if len(result.findings) > LISTED else ""
        show(screen, Content(["check", "where", "what", "what to do"], [False] * 4, listed, note=note))
        raise typer.Exit(1)
    screen.print(f"{root} is whole")


@lake.command("retain")
def lake_retain(
    retention: Annotated[
        Path | None,
        typer.Option(envvar=RETENTION, metavar="FILE", help="Days by table. Default: the one that ships."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
    lake: Lake = None,
    state: State = None,
) -> None:
    """Remove rows that are older than their table keeps them. Whoever reads goes on undisturbed.

    A land worker does the same once a day if FAIRBOOK_RETENTION names a file; this is for without one.
    """
    from streams import worker
    from streams.lake import catalog, position
    from streams.lake import retention as rules
    from streams.lake.compaction import SETTLE, Compactor
    from streams.land_upkeep import NAME

    root = lake_of(lake, state)
    if not (root / catalog.NAME).exists():
        raise FileNotFoundError(f"{root}: expected a lake; it has no {catalog.NAME}")
    kept = rules.load(retention or resource(rules.DEFAULT))
    lock = worker.locked(root / position.FOLDER, NAME)
    if lock is None:
        pid = worker.holder(root / position.FOLDER, NAME) or "unknown"
        raise OSError(f"{root}: a land worker (process {pid}) keeps it in order; stop the land workers first")
    with lock:
        compactor = Compactor(root, lambda: catalog.publish(root))
        plans = rules.plan(compactor, kept, datetime.now(UTC).date())
        rows = [[one.table, str(one.days), f"{len(one.paths):,}", f"{one.size:,}"] for one in plans]
        names = ["table", "days kept", "files to go", "bytes"]
        screen = console()
        show(screen, Content(names, [False, True, True, True], rows or [["none named", "", "0", "0"]]))
        if dry_run or not any(one.paths for one in plans):
            return
        rules.apply(compactor, plans)
        import time

        time.sleep(SETTLE)  # whoever is opening the catalog now has locked it by then
        compactor.step(0)
        left = "; files that somebody reads go later" if compactor.state.paths else ""
        screen.print(f"removed from the tables{left}")
