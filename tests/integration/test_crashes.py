"""Workers killed while records flow, and snapshots lost or spoilt: the answers are those of a replay."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pipeline import RULEBOOK, Day, Pipeline, replayed, same, same_rows, simulated

from schemas import codec
from streams import feed
from streams.detect_worker import DetectSnapshot
from streams.processes import STAGES
from streams.snapshots import CHECKSUM, Snapshots
from streams.sources.simulator_faults import Faults

PAUSE = 1.0  # seconds between chunks: less than gap_timeout, or what is held back would come late
# After each chunk: whom to kill. Some are killed while they start.
VICTIMS: tuple[tuple[str, ...], ...] = (
    (), ("tag",), ("detect",), ("land",), STAGES, ("detect",), ("tag", "detect"), ("land", "tag"), (), STAGES,
    ("tag",),
)  # fmt: skip
FAULTS = Faults(duplicate=3, conflict=3, gap=3, garbage=3)


@pytest.fixture(scope="module")
def day() -> Day:
    return simulated(seed=23, events=6_000, violations=1, faults=FAULTS)


def chunks(day: Day, count: int) -> Iterator[list[tuple[str, bytes]]]:
    size = -(-len(day.records) // count)
    for start in range(0, len(day.records), size):
        yield day.records[start : start + size]


def compare(pipeline: Pipeline, day: Day, folder: Path) -> None:
    """Alerts, metrics and landed rows are those of a replay: none lost, none doubled."""
    expected = replayed(day.write(folder / "recording"), folder / "replayed")
    assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
    assert same(pipeline.said("metrics"), expected.metrics, "metrics") > 0
    assert sum(same_rows(pipeline.settings.lake, folder / "replayed").values()) > 0


def ends(pipeline: Pipeline) -> dict[str, int]:
    return {name: len(pipeline.messages(name)) for name in ("journal", "alerts", "metrics")}


def test_killed_while_records_flow(broker: str, tmp_path: Path, day: Day) -> None:
    with Pipeline(broker, tmp_path, "crash.") as pipeline:
        pipeline.know(day)
        pipeline.start()
        publisher = feed.Feed(pipeline.settings)
        for victims, chunk in zip(VICTIMS, chunks(day, len(VICTIMS)), strict=True):
            publisher.records(chunk)
            time.sleep(PAUSE / 4)  # into the chunk
            pipeline.kill(*victims) if victims else None
            for stage in victims:
                pipeline.workers.start(stage)
            time.sleep(PAUSE)
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        print(f"{sum(map(len, VICTIMS))} kills in {len(VICTIMS)} chunks")
        compare(pipeline, day, tmp_path)

        before = ends(pipeline)
        pipeline.kill()
        pipeline.start()
        pipeline.settle()
        assert ends(pipeline) == before, "nothing new came, nothing may be published"
        assert min(before.values()) > 0


def test_snapshots_lost_and_spoilt(broker: str, tmp_path: Path, day: Day) -> None:
    """Each time the state is rebuilt from the journal, and goes on as if nothing had been."""
    first, second = chunks(day, 2)
    with Pipeline(broker, tmp_path, "spoilt.") as pipeline:
        pipeline.know(day)
        publisher = feed.Feed(pipeline.settings)
        for chunk in (first, second):
            if chunk is second:
                counts = _spoil(pipeline.settings.state / "snapshots")
                print(f"snapshots spoilt: {counts}")
                assert min(counts.values()) > 0
            pipeline.start("tag", "detect")
            publisher.records(chunk)
            pipeline.settle("tag", "detect")
            pipeline.stop()
        for stage in ("tag", "detect"):
            log = pipeline.workers.log(stage).read_text()
            assert log.count("refused") > 0, log
        shutil.rmtree(pipeline.settings.state / "snapshots")
        publisher.end_of_recording(day.latest)
        pipeline.start()
        pipeline.settle()
        pipeline.stop()
        compare(pipeline, day, tmp_path)


def _spoil(folder: Path) -> dict[str, int]:
    """Cut tag's snapshots short; make detect's newest ones another rulebook's, flip a bit of the others."""
    counts = {"cut short": 0, "of another rulebook": 0, "damaged": 0}
    newest: set[str] = set()
    for path in sorted(folder.glob("*/*.snapshot"), reverse=True):
        data = bytearray(path.read_bytes())
        stage, number, label = path.stem.split("-")
        if stage == "tag":
            path.write_bytes(data[:-1])
            counts["cut short"] += 1
        elif number in newest:
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
            counts["damaged"] += 1
        else:
            newest.add(number)
            snapshot = msgspec.msgpack.decode(data[CHECKSUM:], type=DetectSnapshot)
            runner = codec.decode(snapshot.runner)
            if runner["rulebook"] is None:
                continue
            runner["rulebook"] = RULEBOOK.replace('clock_skew = "1 ms"', 'clock_skew = "2 ms"')
            snapshot.runner = codec.encode(runner)
            state = msgspec.msgpack.encode(snapshot)
            assert Snapshots(str(path.parent.parent), path.parent.name, stage, print).write(
                int(number), int(label), state
            )
            counts["of another rulebook"] += 1
    return counts
