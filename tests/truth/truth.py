"""`make truth`: is everything that is planted found, and nothing else? Exit status 1 if not.

Days of the simulator go through the rules, two at a time; per rule and kind of case it prints how many
breaches were planted, found and missed, how many near violations there were, and how many false alarms. The
last run is kept in `results/truth.csv`, a line of each in `results/runs.csv`.

The rulebook is the one that ships, but for `min_blocks` of the comparison of makers: 4 instead of 1. The
letter of SPEC.md bounds a difference also where all fills lie within five minutes; then a maker that was
dearer for that long by chance is alerted, truly and not as planted.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import Pool, TimeoutError, Value
from pathlib import Path
from typing import Any

from day import RULEBOOK, Verdict, judge
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from streams.sources.simulator import NearViolations, SimulatorConfig, Violations, many_instruments

RESULTS = Path(__file__).resolve().parent / "results"
COLUMNS = (
    "instance", "kind", "planted", "found", "missed", "wrong", "near", "false alarms", "precision", "recall",
)  # fmt: skip
BOUNDED = RULEBOOK.replace("min_blocks = 1 ", "min_blocks = 4 ")
_done: Any = Value("q", 0)


def days(seeds: int, events: int, clean: int, each: int) -> list[SimulatorConfig]:
    """The days to run: no two alike, and first the clean one, of `clean` events.

    Those with makers under agreement last four blocks of time and more, if 500,000 events long.
    """
    found = []
    for seed in range(1, seeds + 1):
        found.append(SimulatorConfig(
            seed=seed, events=events, violations=Violations.each(each), near=NearViolations.each(each),
            quoting="all" if seed % 3 else "off", fill_records=seed % 2 == 0, clients=8 + 4 * (seed % 9),
            rate=(4_000, 250, 350)[seed % 3], independent_maker=seed % 7 != 0,
            instruments=many_instruments(50 if seed % 5 == 0 else 4),
        ))  # fmt: skip
    if not clean:
        return found
    quiet = replace(
        found[0], seed=1_001, events=clean, violations=Violations.none(), near=NearViolations.none(),
        quoting="kept",
    )  # fmt: skip
    return [quiet, *found]


def _one(job: tuple[SimulatorConfig, str]) -> tuple[SimulatorConfig, Verdict]:
    def advance(count: int) -> None:
        with _done.get_lock():
            _done.value += count

    return job[0], judge(job[0], job[1], advance)


def run(
    configs: list[SimulatorConfig], processes: int, rulebook: str = BOUNDED
) -> list[tuple[SimulatorConfig, Verdict]]:
    """Run the days, with a bar; returns what came of each, as they end."""
    found, _done.value = [], 0
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Pool(processes) as pool, Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("events", total=sum(config.total for config in configs))
        pending = pool.imap_unordered(_one, [(config, rulebook) for config in configs])
        while len(found) < len(configs):
            try:
                found.append(pending.next(timeout=1))
            except TimeoutError:
                bar.update(task, completed=_done.value)
                continue
            config, verdict = found[-1]
            total = verdict.total
            bar.console.print(
                f"seed {config.seed}: {verdict.events:,} events, {total.found} of {total.planted} found, "
                f"{total.near} near, {total.alarms} false alarms"
            )  # fmt: skip
    return found


def rows(verdict: Verdict) -> list[tuple[str, ...]]:
    """One row for each kind of case, and the total last."""
    found = []
    for (instance, kind), tally in [*sorted(verdict.tallies.items()), (("all", ""), verdict.total)]:
        alerts = tally.found + tally.wrong + tally.alarms
        counts = (tally.planted, tally.found, tally.missed, tally.wrong, tally.near, tally.alarms)
        ratios = (_ratio(tally.found, alerts), _ratio(tally.found, tally.planted))
        found.append((instance, kind, *map(str, counts), *ratios))
    return found


def show(lines: list[tuple[str, ...]]) -> None:
    """Print a table: text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        print("  ".join(cells).rstrip())


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.6f}" if whole else ""


def keep(
    verdicts: Iterable[tuple[SimulatorConfig, Verdict]], total: Verdict, seconds: float, exact: bool
) -> None:
    """Write the last run's table, and a line about the run."""
    seeds = " ".join(str(config.seed) for config, _ in sorted(verdicts, key=lambda pair: pair[0].seed))
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "truth.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *rows(total)])
    line = {
        "date": datetime.now(UTC).date().isoformat(), "seeds": seeds, "events": total.events,
        "planted": total.total.planted, "found": total.total.found, "near": total.total.near,
        "false_alarms": total.total.alarms, "events_per_second": round(total.events / seconds),
        "exact": exact,
    }  # fmt: skip
    runs = RESULTS / "runs.csv"
    new = not runs.exists()
    with runs.open("a", newline="") as file:
        writer = csv.DictWriter(file, line, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(line)


def main() -> int:
    """Run, print, keep; returns the exit status."""
    parser = argparse.ArgumentParser(description="Is all that is planted found, and nothing else?")
    parser.add_argument("--seeds", type=int, default=20, help="days with planted acts")
    parser.add_argument("--events", type=int, default=500_000, help="events a day")
    parser.add_argument("--clean", type=int, default=1_000_000, help="events of the clean day; 0: none")
    parser.add_argument("--each", type=int, default=20, help="acts of each kind a day")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    verdicts = run(days(options.seeds, options.events, options.clean, options.each), options.processes)
    seconds = time.monotonic() - began
    total = Verdict()
    for _, verdict in verdicts:
        total.add(verdict)
    quiet = [verdict.alerts for config, verdict in verdicts if config.violations == Violations.none()]
    exact = total.exact and total.total.planted > 0 and not any(quiet)
    show([COLUMNS, *rows(total)])
    for example in total.examples[:20]:
        print(example)
    if total.unplanted:
        print(f"not planted: {' '.join(total.unplanted)}")
    print(f"clean days: {len(quiet)}, alerts on them: {sum(quiet)}")
    print(
        f"{total.events:,} events in {seconds:.0f} s, {total.events / seconds:,.0f} a second: "
        f"{'exact' if exact else 'NOT exact'}"
    )
    keep(verdicts, total, seconds, exact)
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
