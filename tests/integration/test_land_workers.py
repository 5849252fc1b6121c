"""Several land workers of one lake: whatever becomes of them, every entry lands once and no query fails."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import Day, Pipeline, replayed, same_rows, simulated, wait_for

from streams import feed
from streams.lake import catalog

READER = Path(__file__).resolve().parents[1] / "unit" / "lake_reader.py"
PARTITIONS = 4
ALL = 3 * PARTITIONS  # of the three topics that are landed


@contextmanager
def reading(lake: Path) -> Iterator[None]:
    """Query the lake from another process meanwhile; no query may fail, no row be seen twice."""
    catalog.publish(lake)
    reader = subprocess.Popen(
        [sys.executable, str(READER), str(lake)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield
    finally:
        (lake / "stop").touch()
        said = reader.communicate(timeout=60)[0].decode()
    queries, failed, *_rest = map(int, said.splitlines()[-1].split())
    print(f"{queries} queries meanwhile, {failed} failed")
    assert failed == 0 and queries > 20, said


def shares(pipeline: Pipeline, slots: tuple[int, ...]) -> list[int]:
    """How many partitions the land workers of these slots say that they have."""
    found = []
    for slot in slots:
        said = re.findall(r"ready: ([0-9]+) partitions", pipeline.workers.log(f"land-{slot}").read_text())
        found.append(int(said[-1]) if said else -1)
    return found


def shared(pipeline: Pipeline, *slots: int) -> None:
    """Wait until the workers of these slots share all partitions, and each has one at least."""
    wait_for(
        lambda: sum(found := shares(pipeline, slots)) == ALL and min(found) > 0,
        f"slots {slots} to share {ALL} partitions",
    )


def compare(pipeline: Pipeline, day: Day, folder: Path) -> None:
    replayed(day.write(folder / "recording"), folder / "replayed")
    assert sum(same_rows(pipeline.settings.lake, folder / "replayed").values()) > 0
    for table in ("orders", "trades", "quotes"):
        count, different = pipeline.sql(f"select count(*), count(distinct (instrument, seq)) from {table}")[0]
        assert count == different > 0


def test_land_workers_die_join_leave_and_stand_still(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=71, events=12_000, violations=1)
    size = -(-len(day.records) // 8)
    parts = [day.records[at : at + size] for at in range(0, len(day.records), size)]
    with (
        Pipeline(broker, tmp_path, "lands.", partitions=PARTITIONS) as pipeline,
        reading(pipeline.settings.lake),
    ):
        publisher = feed.Feed(pipeline.settings)

        def publish() -> None:
            publisher.records(parts.pop(0))
            time.sleep(0.5)

        pipeline.know(day)
        pipeline.start("tag", "detect", "land-0", "land-1")
        publish()
        shared(pipeline, 0, 1)
        publish()
        pipeline.kill("land-0")  # with what it had gathered; its partitions go to the other
        publish()
        shared(pipeline, 1)
        pipeline.start("land-0", "land-2")  # they join
        publish()
        shared(pipeline, 0, 1, 2)

        still = pipeline.workers.running["land-1"]
        still.send_signal(signal.SIGSTOP)  # it keeps its fences: nobody may land what it has gathered
        publish()
        logs = [pipeline.workers.log(f"land-{slot}") for slot in (0, 2)]
        wait_for(
            lambda: any(f"waits for process {still.pid}" in log.read_text() for log in logs),
            "the others to say whom they wait for",
        )
        before = pipeline.workers.log("land-1").read_text().count("ready:")
        still.send_signal(signal.SIGCONT)
        wait_for(
            lambda: pipeline.workers.log("land-1").read_text().count("ready:") > before, "it to come back"
        )
        publish()
        shared(pipeline, 0, 1, 2)

        still.send_signal(signal.SIGSTOP)
        publish()
        said = sum(log.read_text().count("waits for process") for log in logs)
        wait_for(
            lambda: sum(log.read_text().count("waits for process") for log in logs) > said, "the fences again"
        )
        pipeline.kill("land-1")  # now dead: the others land what it had
        shared(pipeline, 0, 2)
        publish()
        pipeline.workers.running["land-2"].terminate()  # it leaves
        assert pipeline.workers.running.pop("land-2").wait(30) == 0
        shared(pipeline, 0)
        assert not parts
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        compare(pipeline, day, tmp_path)
        logs = list(pipeline.workers.folder.glob("worker-land*"))
        changes = sum(path.read_text().count("ready:") for path in logs)
        print(f"{changes} times a worker's share changed")
        assert {status for status, _took in pipeline.stop().values()} == {0}
