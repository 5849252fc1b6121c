"""`fairbook status` for people: an overview as tables, readable at 100 columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from streams.overview import Overview, Progress, Worker
from streams.processes import STAGES
from streams.text_table import Content, shown

TITLES = {
    "events": "Events landed, by instrument",
    "quarantine": "Quarantine: records that were refused, by reason",
    "data_quality": "Data quality: findings, by kind",
    "alerts": "Alerts, by rule and status",
}
STATES = {
    "well": "well",
    "not_well": "NOT WELL",
    "silent": "DOES NOT ANSWER",
    "dead": "DEAD: it ended without being told to",
}
NOTHING = "-"


def tables(overview: Overview) -> Iterator[Content]:
    """Return what is printed."""
    yield _workers(overview.workers)
    if overview.partitions:
        yield _partitions(overview.partitions)
    for name, rows in overview.lake.items():
        if rows:
            yield _rows(TITLES[name], rows)


def _workers(workers: list[Worker]) -> Content:
    rows = []
    for stage in STAGES:
        mine = [worker for worker in workers if worker.stage == stage]
        for worker in mine:
            name = f"{worker.stage} {worker.slot}"
            rows.append([
                name, str(worker.pid or NOTHING), _number(worker.partitions),
                _number(worker.entries_per_second), _state(worker),
            ])  # fmt: skip
        if not mine:
            rows.append([stage, NOTHING, NOTHING, NOTHING, "NOT RUNNING HERE"])
    names = ["worker", "process", "partitions", "entries/s", "it is"]
    return Content(names, [False, True, True, True, False], rows, "Workers of this state folder")


def _state(worker: Worker) -> str:
    said = "; ".join(f"{why.reason}: {why.detail}" for why in worker.troubles)
    return STATES[worker.state] + (f": {shown(said)}" if said else "")


def _partitions(found: list[Progress]) -> Content:
    by_place = {(one.stage, one.partition): one for one in found}
    names = ["part", *(f"{stage} behind" for stage in STAGES)]
    names += ["tag/s", "detect/s", "tag saved", "detect saved", "market (UTC)"]
    rows = []
    for partition in sorted({one.partition for one in found}):
        stages = [by_place.get((s, partition), Progress(stage=s, partition=partition)) for s in STAGES]
        watermark = next((one.watermark_ns for one in (stages[1], stages[0]) if one.watermark_ns), None)
        rows.append([
            str(partition),
            *(_number(one.behind) for one in stages),
            *(_number(one.entries_per_second) for one in stages[:2]),
            *(_age(one.snapshot_age_seconds) for one in stages[:2]),
            _time(watermark),
        ])  # fmt: skip
    title = "Partitions: messages behind, entries a second, age of the snapshot, time of the market"
    return Content(names, [True] * len(names), rows, title)


def _rows(title: str, rows: list[dict[str, Any]]) -> Content:
    names = list(rows[0])
    numeric = [all(isinstance(row[name], int | None) for row in rows) for name in names]
    cells = [[_cell(row[name]) for name in names] for row in rows]
    return Content(names, numeric, cells, title)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else shown(str(value))


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _age(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds:,.0f} s"


def _time(ns: int | None) -> str:
    if ns is None:
        return NOTHING
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}"
