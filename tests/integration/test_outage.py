"""The broker goes away and comes back, the workers stand still for a while: they go on where they were."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from pipeline import Pipeline, replayed, same, same_rows, simulated

from schemas.events import Topic
from streams import broker as local_broker
from streams import feed

AWAY = 4.0  # seconds: more than a fetch, a heartbeat and a commit; less than a producer keeps trying
STILL = 4.5  # twice: more than the session time-out together, and than gap_timeout each


def test_workers_outlive_their_broker_and_their_own_sleep(tmp_path: Path, kafka_libs: Path) -> None:
    day = simulated(seed=71, events=2_500, violations=1)
    expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
    state = tmp_path / "broker"
    address = local_broker.up(None, state, kafka_libs).address
    first, second, third, fourth = _parts(day.records)
    try:
        with Pipeline(address, tmp_path, "outage.") as pipeline:
            pipeline.know(day)
            pipeline.start()
            feed.Feed(pipeline.settings).records(first)
            local_broker.down(state)
            time.sleep(AWAY)
            local_broker.up(int(address.rpartition(":")[2]), state, kafka_libs)
            pipeline.workers.check()
            publisher = feed.Feed(pipeline.settings)
            publisher.records(second)
            _tell(pipeline, signal.SIGSTOP)
            time.sleep(STILL)
            publisher.records(third)
            time.sleep(STILL)
            _tell(pipeline, signal.SIGCONT)
            publisher.records(fourth)
            publisher.end_of_recording(day.latest)
            pipeline.settle()
            pipeline.stop()
            assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
            assert sum(same_rows(pipeline.settings.lake, tmp_path / "replayed").values()) > 0
    finally:
        local_broker.down(state)


def _parts(records: list[tuple[Topic, bytes]]) -> list[list[tuple[Topic, bytes]]]:
    size = -(-len(records) // 4)
    return [records[start : start + size] for start in range(0, len(records), size)]


def _tell(pipeline: Pipeline, number: signal.Signals) -> None:
    for process in pipeline.workers.running.values():
        process.send_signal(number)
