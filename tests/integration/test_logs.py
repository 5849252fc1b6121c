"""What workers log over a day with faults: JSON lines with the identity of events, and never an account."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from pipeline import Pipeline, simulated

from schemas import codec
from schemas.reference import Account
from streams import feed
from streams.processes import STAGES, Workers
from streams.sources.simulator_faults import Faults


def test_lines_are_json_and_name_no_account(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=95, events=3_000, violations=1, faults=Faults.each(2))
    accounts = {fact.account for fact in day.facts if isinstance(fact, Account)}
    seen = {account for _topic, data in day.records for account in accounts if account.encode() in data}
    assert len(seen) > 5
    with Pipeline(broker, tmp_path, "logs.") as pipeline:
        pipeline.settings = dataclasses.replace(pipeline.settings, log_format="json")
        pipeline.workers = Workers(pipeline.settings, ())
        pipeline.start()
        pipeline.know(day)
        publisher = feed.Feed(pipeline.settings)
        publisher.records(day.records)
        stray = _stray(pipeline, day.records[0])
        began_anew = [codec.decode(data) for topic, data in day.records if topic == "quotes"][:1]
        rows = [{**began_anew[0], "seq": 1, "ts": day.latest + number} for number in range(1, 80)]
        publisher.records(("quotes", codec.encode(row)) for row in rows)
        publisher.end_of_recording(day.latest + 100)
        pipeline.settle()
        for stage in STAGES:
            assert pipeline.workers.running[stage].poll() is None
        pipeline.kill("land")  # and what one says that is told to end, or dies
        pipeline.stop()

        lines: list[dict[str, Any]] = []
        for path in sorted(pipeline.workers.folder.glob("*.log")):
            for text in path.read_text().splitlines():
                assert not [account for account in accounts if account in text], text
                lines.append(json.loads(text))
        print(f"{len(lines)} lines, {len(accounts)} accounts looked for, {len(seen)} of them in the records")
        assert {line["stage"] for line in lines} == set(STAGES)
        assert all(line["time"] and line["level"] and line["message"] for line in lines)
        [mismatch] = [line for line in lines if line["message"].startswith("partition_mismatch")]
        assert {name: mismatch[name] for name in stray} == stray
        assert [line["instrument"] for line in lines if "SERIES BEGAN ANEW" in line["message"]] == [
            rows[0]["instrument"]
        ]


def _stray(pipeline: Pipeline, record: tuple[str, bytes]) -> dict[str, Any]:
    """Send a record to a partition that is not its instrument's; return its identity."""
    topic, data = record
    peek = codec.peek(data)
    home = {m.key.decode(): m.partition for m in pipeline.messages(topic) if m.key}[peek.instrument or ""]
    elsewhere = (home + 1) % pipeline.settings.partitions
    producer = Producer(pipeline.settings.confluent())
    offsets: list[int] = []
    producer.produce(
        pipeline.settings.topic(topic), data, partition=elsewhere,
        on_delivery=lambda _error, message: offsets.append(message.offset()),
    )  # fmt: skip
    producer.flush(20)
    return {
        "topic": topic, "partition": elsewhere, "offset": offsets[0], "index": 0,
        "instrument": peek.instrument, "seq": peek.seq,
    }  # fmt: skip
