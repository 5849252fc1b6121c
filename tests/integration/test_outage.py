"""The broker goes away and comes back: the workers wait, and go on where they were."""

from __future__ import annotations

import time
from pathlib import Path

from pipeline import Pipeline, replayed, same, same_rows, simulated

from streams import broker as local_broker
from streams import feed

SECONDS = 4.0  # more than a fetch, a heartbeat and a commit; less than a producer keeps trying


def test_workers_outlive_their_broker(tmp_path: Path, kafka_libs: Path) -> None:
    day = simulated(seed=71, events=2_500, violations=1)
    expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
    state = tmp_path / "broker"
    address = local_broker.up(None, state, kafka_libs).address
    half = len(day.records) // 2
    try:
        with Pipeline(address, tmp_path, "outage.") as pipeline:
            pipeline.know(day)
            pipeline.start()
            feed.Feed(pipeline.settings).records(day.records[:half])
            local_broker.down(state)
            time.sleep(SECONDS)
            local_broker.up(int(address.rpartition(":")[2]), state, kafka_libs)
            pipeline.workers.check()
            publisher = feed.Feed(pipeline.settings)
            publisher.records(day.records[half:])
            publisher.end_of_recording(day.latest)
            pipeline.settle()
            pipeline.stop()
            assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
            assert sum(same_rows(pipeline.settings.lake, tmp_path / "replayed").values()) > 0
    finally:
        local_broker.down(state)
