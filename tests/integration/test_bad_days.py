"""A venue's bad days under `fairbook up`: each is told, loses nothing, and the work goes on when it can."""

from __future__ import annotations

import time
from pathlib import Path

from pipeline import Pipeline, replayed, same, same_rows, simulated, wait_for
from test_up import Up

from schemas import codec
from schemas.events import Topic
from streams import broker as local_broker
from streams import feed

AWAY = 25.0  # seconds: more than a producer keeps trying, so workers die and are started again
ANEW = "BTC-USD"
LISTED = "XRP-HKD"
Records = list[tuple[Topic, bytes]]


def of(records: Records, instrument: str) -> Records:
    return [(topic, data) for topic, data in records if codec.place_of(data).instrument == instrument]


def anew(records: Records, since: int) -> Records:
    """An instrument's records once more, as those of a series that begins again at 1, after `since`."""
    found = []
    for topic, data in records:
        record = codec.decode(data)
        record["ts"] = since + 1 + len(found)
        found.append((topic, codec.encode(record)))
    return found


def test_the_broker_is_away_for_longer_than_anything_waits(tmp_path: Path, kafka_libs: Path) -> None:
    day = simulated(seed=91, events=2_500, violations=1)
    state = tmp_path / "broker"
    address = local_broker.up(None, state, kafka_libs).address
    half = len(day.records) // 2
    try:
        with Pipeline(address, tmp_path, "away.") as pipeline:
            pipeline.know(day)
            with Up(pipeline.settings) as up:
                publisher = feed.Feed(pipeline.settings)
                publisher.records(day.records[:half])
                for stage in ("tag", "detect", "land"):
                    up.wait(f"{stage} 0 ready")
                local_broker.down(state)
                time.sleep(AWAY)
                local_broker.up(int(address.rpartition(":")[2]), state, kafka_libs)
                assert "broker_away" in up.text
                publisher = feed.Feed(pipeline.settings)
                publisher.records(day.records[half:])
                publisher.end_of_recording(day.latest)
                pipeline.settle()
                for stage in ("tag", "detect", "land"):
                    wait_for(lambda stage=stage: _is_well(up.text, stage), f"{stage} to be well\n{up.text}")
                print(up.text)
                expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
                assert same(pipeline.said("alerts"), expected.alerts, "alerts") > 0
                assert same(pipeline.said("metrics"), expected.metrics, "metrics") > 0
                assert sum(same_rows(pipeline.settings.lake, tmp_path / "replayed").values()) > 0
    finally:
        local_broker.down(state)


def _is_well(said: str, stage: str) -> bool:
    """What was said last of the stage's worker."""
    lines = [line for line in said.splitlines() if f"{stage} 0 " in line]
    return lines[-1].endswith(("is well again", "ready"))


def test_an_instrument_is_listed_at_noon_and_another_begins_its_series_anew(
    broker: str, tmp_path: Path
) -> None:
    """The new one is judged from its first record on; of the other what is refused is kept, and told once."""
    day = simulated(seed=92, events=3_000, violations=1)
    later = of(day.records, LISTED)
    morning = [record for record in day.records if record not in later]
    again = anew(of(day.records, ANEW)[:200], day.latest)
    facts = [fact for fact in day.facts if getattr(fact, "symbol", "") != LISTED]
    assert len(facts) == len(day.facts) - 1
    with Pipeline(broker, tmp_path, "noon.") as pipeline, Up(pipeline.settings) as up:
        publisher = feed.Feed(pipeline.settings)
        publisher.reference(facts, None)
        publisher.records(morning)
        for stage in ("tag", "detect", "land"):
            up.wait(f"{stage} 0 ready")
        pipeline.settle()
        pipeline.know(day)  # the instrument's own fact is the only new one
        publisher.records(later)
        pipeline.settle()
        publisher.records(again)
        log = pipeline.settings.state / "log"
        wait_for(lambda: "SERIES BEGAN ANEW?" in _logs(log), "the series to be told")
        publisher.end_of_recording(day.latest + len(again))
        pipeline.settle()
        assert _logs(log).count("SERIES BEGAN ANEW?") == 1
        kept = pipeline.sql("select instrument, count(*) from quarantine group by all")
        assert kept == [(ANEW, len(again))]

        # Otherwise it is the day that a replay sees; what a refused record contradicts is doubted.
        expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
        said = pipeline.said("alerts")
        for name in said.keys() - expected.alerts.keys():
            alert = codec.decode_alert(said.pop(name))
            assert alert.instrument == ANEW
            assert alert.rule == "data_quality" or (alert.dq_degraded and alert.revision), alert
        assert same(said, expected.alerts, "alerts") > 0
        listed = [data for data in said.values() if codec.decode_alert(data).instrument == LISTED]
        print(f"{len(listed)} alerts of the instrument that was listed at noon; {len(again)} records refused")
        assert listed


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.glob("worker-tag*.log"))
