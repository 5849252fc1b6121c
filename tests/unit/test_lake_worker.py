"""The land worker's loop over messages that a test hands it in place of a broker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from lake_crash import visible
from lake_journal import HANDMADE, RULEBOOK, FakeMessage
from test_lake_landing import FEED, land

from streams import land_upkeep, land_worker, settings, tail, topics
from streams.commands import replaying
from streams.lake import catalog, landed
from streams.lake.compaction import Compactor
from streams.supervision import BackOff


class FakeConsumer:
    """A member of a group: gets all partitions, hands out messages, stops the worker at their end."""

    def __init__(self) -> None:
        self.worker: land_worker.LandWorker | None = None
        self.given: list[TopicPartition] = []  # by the group, at the next poll
        self.left: list[Any] = []
        self.closed = False

    def subscribe(self, names: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.on_assign, self.on_revoke = on_assign, on_revoke
        self.given = [TopicPartition(name, 0) for name in names]

    def assign(self, places: list[TopicPartition]) -> None:
        starts = {(place.topic, place.partition): place.offset for place in places}
        self.left = [
            message
            for message in FEED
            if message.offset() >= starts.get((message.topic(), message.partition()), 10**9)
        ]

    def unassign(self) -> None:
        self.assign([])

    def consume(self, _most: int, _seconds: float) -> list[Any]:
        worker = self.worker
        assert worker is not None
        if self.given:
            given, self.given = self.given, []
            self.on_assign(self, given)
            return []
        taken, self.left = self.left[:4], self.left[4:]
        if not taken and worker.parts:
            worker.stop(15, None)
        return taken

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    monkeypatch.setattr(tail, "bounds", lambda _reader, _topic, _partition: (0, 1_000))
    monkeypatch.setattr(BackOff, "died", lambda _self, after: 0.0)
    monkeypatch.setattr(land_worker, "TAKE_SECONDS", 0.0)
    return FakeConsumer()


def worker_of(root: Path, consumer: FakeConsumer) -> land_worker.LandWorker:
    consumer.worker = land_worker.LandWorker(settings.load(lake=root, state=root.parent), consumer)  # type: ignore[arg-type]
    return consumer.worker


def test_a_worker_lands_everything_and_goes_on_where_it_was(
    tmp_path: Path, consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(land_worker, "FLUSH_ROWS", 5)
    monkeypatch.setattr(land_upkeep, "SECONDS", 0.0)
    worker_of(tmp_path / "lake", consumer).run()
    assert consumer.closed and not consumer.left
    again = worker_of(tmp_path / "lake", consumer)
    again.run()
    land(tmp_path / "whole")
    assert visible(tmp_path / "lake") == visible(tmp_path / "whole")
    with catalog.connect(tmp_path / "lake") as connection:
        assert connection.sql("select count(*) from orders").fetchall() > [(0,)]


class FakeProbe:
    """Says that the broker answered `ago` seconds ago."""

    def __init__(self, ago: float) -> None:
        self.ago = ago

    def heard(self) -> int:
        return time.time_ns() - int(self.ago * 1e9)


@pytest.mark.parametrize(
    ("out", "heard", "ends"),
    [(61.0, 1.0, True), (59.0, 1.0, False), (61.0, 11.0, False), (None, 1.0, False)],
    ids=["forgotten", "joining", "the broker is away", "in the group"],
)
def test_a_worker_that_its_group_forgets_ends_to_be_started_again(
    out: float | None, heard: float, ends: bool, tmp_path: Path, consumer: FakeConsumer
) -> None:
    worker = worker_of(tmp_path / "lake", consumer)
    worker.probe = FakeProbe(heard)  # type: ignore[assignment]
    worker._out = None if out is None else time.monotonic() - out
    if ends:
        with pytest.raises(topics.BrokerAway, match=r"^group .*land has not let this worker in for 60 s"):
            worker._expect_an_answer()
        return
    worker._expect_an_answer()
    if heard > 10:  # it is waited for anew once the broker answers
        worker.probe = FakeProbe(1.0)  # type: ignore[assignment]
        worker._expect_an_answer()


def test_a_worker_is_out_of_its_group_from_the_start_and_when_it_is_put_out(
    tmp_path: Path, consumer: FakeConsumer
) -> None:
    worker = worker_of(tmp_path / "lake", consumer)
    assert worker._out is not None
    worker._assign(consumer, [])  # type: ignore[arg-type]
    assert worker._out is None  # a member that has nothing to do is none the less one
    worker._revoke(consumer, [])  # type: ignore[arg-type]
    assert worker._out is not None


def test_an_error_in_place_of_a_message_ends_it_unless_it_passes(
    tmp_path: Path, consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[KafkaError] = []

    def with_errors(_most: int, _seconds: float) -> list[Any]:
        errors = [FakeMessage("journal", -1, -1, b"", error=error) for error in told]
        told.clear()
        return errors + FakeConsumer.consume(consumer, _most, _seconds)

    monkeypatch.setattr(consumer, "consume", with_errors)
    told.append(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    worker_of(tmp_path / "lake", consumer).run()
    land(tmp_path / "whole")
    assert visible(tmp_path / "lake") == visible(tmp_path / "whole")
    told.append(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(RuntimeError, match=r"reading journal: .*TOPIC_AUTHORIZATION_FAILED"):
        worker_of(tmp_path / "lake", consumer).run()


def test_a_replay_that_did_not_end_can_be_replayed_into_its_folder_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = tmp_path / "OUT"
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            replaying.run(HANDMADE / "11_two_passes", lake, RULEBOOK)
    assert list(lake.glob("orders/*/*/*.parquet"))
    assert replaying.run(HANDMADE / "14_bad_input", lake, RULEBOOK) == 0
    with catalog.connect(lake) as connection:
        assert connection.sql("select count(*) from quarantine").fetchall() == [(5,)]


def test_a_failing_compaction_does_not_stop_landing(
    tmp_path: Path, consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_self: Compactor, _now: float) -> bool:
        raise ValueError("an error of its own")

    monkeypatch.setattr(land_upkeep, "SECONDS", 0.0)
    monkeypatch.setattr(Compactor, "step", fail)
    worker_of(tmp_path / "lake", consumer).run()
    assert "landing goes on" in capfd.readouterr().err
    land(tmp_path / "whole")
    assert visible(tmp_path / "lake") == visible(tmp_path / "whole")


def test_a_journal_that_does_not_hold_the_position_is_told(
    tmp_path: Path, consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_of(tmp_path / "lake", consumer).run()
    monkeypatch.setattr(tail, "bounds", lambda _reader, _topic, _partition: (0, 0))
    with pytest.raises(
        land_worker.LakeError, match=r"expected alerts 0 to hold offset .*, it has 0 to 0: made anew"
    ):
        worker_of(tmp_path / "lake", consumer).run()


def test_a_recording_can_be_replayed_into_the_same_folder_again(tmp_path: Path) -> None:
    lake = tmp_path / "OUT"
    for name in ("11_two_passes", "14_bad_input", "14_bad_input"):
        assert replaying.run(HANDMADE / name, lake, RULEBOOK) == 0
    assert [path.name for path in lake.glob("*.duckdb")] == ["catalog.duckdb"]
    with catalog.connect(lake) as connection:
        assert connection.sql("select count(*) from quarantine").fetchall() == [(5,)]
    assert landed.partitions(lake) == [0]
