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
from streams import feed, snapshots
from streams.detect_worker import DetectSnapshot
from streams.processes import STAGES
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
    parts = list(chunks(day, 3))
    with Pipeline(broker, tmp_path, "spoilt.") as pipeline:
        pipeline.know(day)
        publisher = feed.Feed(pipeline.settings)
        for spoil, chunk in zip((None, _damage, _of_another_rulebook), parts, strict=True):
            if spoil is not None:
                counts = spoil(pipeline.settings.state / "snapshots")
                print(f"{spoil.__name__}: {counts}")
                assert min(counts.values()) > 0
            pipeline.start("tag", "detect")
            publisher.records(chunk)
            pipeline.settle("tag", "detect")
            if spoil is not None:
                log = pipeline.workers.log("detect").read_text()
                assert log.count("refused") > 0, log
            pipeline.stop()
        shutil.rmtree(pipeline.settings.state / "snapshots")
        publisher.end_of_recording(day.latest)
        pipeline.start()
        pipeline.settle()
        pipeline.stop()
        compare(pipeline, day, tmp_path)


def _damage(folder: Path) -> dict[str, int]:
    """Flip a bit of every snapshot of detect, cut every one of tag short."""
    counts = {"tag": 0, "detect": 0}
    for path in folder.glob("*/*.snapshot"):
        data = bytearray(path.read_bytes())
        stage = path.name.partition("-")[0]
        if stage == "detect":
            data[len(data) // 2] ^= 1
        path.write_bytes(data if stage == "detect" else data[:-1])
        counts[stage] += 1
    return counts


def _of_another_rulebook(folder: Path) -> dict[str, int]:
    """Make every snapshot of detect one that another rulebook's rules wrote; it is whole."""
    counts = {"detect": 0}
    for path in folder.glob("*/detect-*.snapshot"):
        data = path.read_bytes()
        snapshot = msgspec.msgpack.decode(data[snapshots._CHECKSUM :], type=DetectSnapshot)
        try:
            runner = codec.decode(snapshot.runner)
        except codec.DecodeError:
            continue  # an older one, damaged before
        if runner["rulebook"] is None:
            continue
        runner["rulebook"] = RULEBOOK.replace('clock_skew = "1 ms"', 'clock_skew = "2 ms"')
        _stage, number, label = path.stem.split("-")
        state = msgspec.msgpack.encode(DetectSnapshot(snapshot.ends, codec.encode(runner)))
        snapshots.write(path.parent, "detect", int(number), int(label), state)
        counts["detect"] += 1
    return counts
