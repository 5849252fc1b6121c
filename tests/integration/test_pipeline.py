"""A simulated day through a real Kafka and the three workers: as planted, and as a replay says."""

from __future__ import annotations

from pathlib import Path

from pipeline import PLANTED, Pipeline, replayed, same, same_rows, simulated

from schemas import codec
from streams.commands.demo import label_breach
from streams.sources.simulator_faults import Faults


def test_a_day_through_kafka_is_the_day_replayed(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=11, events=8_000, violations=2, faults=Faults.each(2), quoting="all")
    expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
    with Pipeline(broker, tmp_path, "day.") as pipeline:
        pipeline.start()
        pipeline.publish(day)
        pipeline.settle()
        ended = pipeline.stop()
    print("stopped:", {stage: f"status {status}, {took:.1f} s" for stage, (status, took) in ended.items()})
    assert {status for status, _took in ended.values()} == {0}, pipeline.logs()
    assert all(took < 10 for _status, took in ended.values()), ended

    alerts = pipeline.said("alerts")
    assert same(alerts, expected.alerts, "alerts") > 0
    assert same(pipeline.said("metrics"), expected.metrics, "metrics") > 0
    assert same(*map(dict, (alerts, pipeline.judged_again()[0])), "alerts of the journal read again") > 0
    for message in pipeline.messages("alerts"):
        assert message.key.decode() == message.headers["ce_subject"]
        assert message.headers["ce_specversion"] == "1.0"

    found = {}
    for content in alerts.values():
        alert = codec.decode_alert(content)
        if alert.rule in PLANTED and alert.revision >= found.get(alert.breach_id, (-1,))[0]:
            found[alert.breach_id] = alert.revision, alert.status, alert.status_reason
    planted = {label_breach(label): (label["status"], label["status_reason"]) for label in day.labels}
    assert {breach: outcome[1:] for breach, outcome in found.items()} == planted
    print(f"{len(planted)} planted breaches found with the right outcome, none else")
    assert len(planted) > 0

    counts = same_rows(pipeline.settings.lake, tmp_path / "replayed")
    events = counts["orders"] + counts["trades"] + counts["quotes"]
    assert events + counts["refused"] == len(day.records), "every record is an event or refused, once"
    [(seqs,)] = pipeline.sql(
        "select count(distinct (instrument, seq)) from (select instrument, seq from orders union all "
        "select instrument, seq from trades union all select instrument, seq from quotes)"
    )
    assert seqs == events, "every event exactly once"
