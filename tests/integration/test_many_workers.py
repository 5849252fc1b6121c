"""Several workers of a kind: partitions go from one to another under load, and the answers are a replay's."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline import Day, Pipeline, replayed, same, same_rows, simulated, wait_for
from s3_store import BUCKET, store

from streams import feed
from streams.sources.simulator_faults import Faults

KINDS = ("tag", "detect")
SESSION = 6.0  # seconds after which the group gives a dead worker's partitions to others
FAULTS = Faults(duplicate=3, conflict=3, gap=3, garbage=3)


@pytest.fixture(scope="module")
def day() -> Day:
    return simulated(seed=29, events=12_000, violations=1, faults=FAULTS)


def pieces(day: Day, count: int) -> list[list[tuple[str, bytes]]]:
    size = -(-len(day.records) // count)
    return [day.records[start : start + size] for start in range(0, len(day.records), size)]


def shares(pipeline: Pipeline, kind: str, *slots: int) -> list[int]:
    """How many partitions each of a kind's workers says that it has."""
    found = []
    for slot in slots:
        log = pipeline.workers.log(f"{kind}-{slot}").read_text()
        said = re.findall(r"ready in [0-9.]+ s: ([0-9]+) partitions", log)
        found.append(int(said[-1]) if said else -1)
    return found


def shared(pipeline: Pipeline, *slots: int) -> None:
    """Wait until the workers of these slots share all partitions, and each has one at least."""
    total = pipeline.settings.partitions

    def done() -> bool:
        found = [shares(pipeline, kind, *slots) for kind in KINDS]
        return all(sum(each) == total and min(each) > 0 for each in found)

    wait_for(done, f"slots {slots} to share {total} partitions\n{pipeline.logs()}")


def compare(pipeline: Pipeline, day: Day, folder: Path) -> None:
    expected = replayed(day.write(folder / "recording"), folder / "replayed")
    assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
    assert same(pipeline.said("metrics"), expected.metrics, "metrics") > 0
    assert sum(same_rows(pipeline.settings.lake, folder / "replayed").values()) > 0


def test_partitions_move_under_load(broker: str, tmp_path: Path, day: Day) -> None:
    """Workers join, are killed and not started again, leave, and come back: nothing lost, nothing doubled.

    What they share is a store that any machine could reach: whoever takes over goes on from there.
    """
    parts = pieces(day, 10)
    with store() as query, Pipeline(broker, tmp_path, "many.", partitions=8) as pipeline:
        place = f"s3://{BUCKET}/snapshots?{query}"
        pipeline.settings = pipeline.workers.settings = replace(pipeline.settings, snapshots=place)
        publisher = feed.Feed(pipeline.settings)

        def publish(count: int) -> None:
            for _ in range(count):
                publisher.records(parts.pop(0))
                time.sleep(0.3)

        pipeline.know(day)
        pipeline.start("tag-0", "detect-0", "land")
        publish(2)
        pipeline.start("tag-1", "detect-1")  # they join
        publish(2)
        shared(pipeline, 0, 1)
        publish(1)
        pipeline.kill("tag-0", "detect-0")  # they die, and their partitions go to the others
        publish(1)
        shared(pipeline, 1)
        pipeline.start("tag-0", "detect-0", "tag-2", "detect-2")
        publish(1)
        shared(pipeline, 0, 1, 2)
        publish(1)
        for name in ("tag-1", "detect-1"):  # they leave
            pipeline.workers.running[name].terminate()
            assert pipeline.workers.running.pop(name).wait(30) == 0
        publish(2)
        assert not parts
        shared(pipeline, 0, 2)
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        compare(pipeline, day, tmp_path)
        taken = sum(path.read_text().count("ready in") for path in pipeline.workers.folder.glob("*.log"))
        print(f"{taken} times a worker's share of the partitions changed")
        resumed = [
            re.findall(r"resumed (.*)", pipeline.workers.log(f"detect-{n}").read_text()) for n in (1, 2)
        ]
        print(f"slots 1 and 2 went on from others' snapshots: {resumed}")
        assert all(any(" at " in line for line in lines) for lines in resumed)
        assert not (pipeline.settings.state / "snapshots").exists()
        pipeline.stop()


def test_workers_that_stand_still(broker: str, tmp_path: Path, day: Day) -> None:
    """One hangs for longer than its session, others take over, it comes back: the same alerts.

    It may publish a revision a second time (README), never another one; consumers go by `ce_id`.
    """
    parts = pieces(day, 6)
    with Pipeline(broker, tmp_path, "zombie.", partitions=8) as pipeline:
        publisher = feed.Feed(pipeline.settings)
        pipeline.know(day)
        pipeline.start("tag-0", "detect-0", "tag-1", "detect-1", "land")
        shared(pipeline, 0, 1)
        publisher.records(parts[0])
        publisher.records(parts[1])
        still = [pipeline.workers.running[name] for name in ("tag-0", "detect-0")]
        for process in still:
            process.send_signal(signal.SIGSTOP)
        publisher.records(parts[2])
        shared(pipeline, 1)
        publisher.records(parts[3])
        time.sleep(1)
        for process in still:
            process.send_signal(signal.SIGCONT)
        publisher.records(parts[4])
        shared(pipeline, 0, 1)
        publisher.records(parts[5])
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        pipeline.workers.check()
        expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
        for topic, theirs in (("alerts", expected.alerts), ("metrics", expected.metrics)):
            found = pipeline.messages(topic)
            ours = {message.headers["ce_id"]: message.value for message in found}
            assert all(ours[message.headers["ce_id"]] == message.value for message in found)
            assert same(ours, theirs, topic) > 0
            print(f"{topic}: {len(found) - len(ours)} of {len(found)} messages came a second time")
        pipeline.stop()
