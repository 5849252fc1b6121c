"""The real broker: started, crashed, ended, and the topics on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams import broker as local_broker
from streams import topics
from streams.settings import Settings, load


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    local_broker.down(tmp_path)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def settings(broker: str, prefix: str = "", partitions: int = 8) -> Settings:
    return load(broker=broker, prefix=prefix, partitions=partitions, environment={})


def others_make(broker: str, name: str, partitions: int, config: Mapping[str, str]) -> None:
    """A topic that somebody else made; returns when it can be seen."""
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(name, partitions, config=dict(config))])[name].result()
    for _ in range(200):
        if name in admin.list_topics(timeout=10).topics:
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} was made but is not seen")


def test_a_life(state: Path, kafka_libs: Path, broker: str) -> None:
    """Up in another process, found, a crash, up again with its data, down; the other broker lives."""
    start = "import sys; from pathlib import Path; from streams import broker; "
    start += "print(broker.up(None, Path(sys.argv[1]), Path(sys.argv[2])).pid)"
    command = [sys.executable, "-c", start, str(state), str(kafka_libs)]
    pid = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    first = local_broker.up(None, state, kafka_libs)
    assert first.pid == pid, "it outlived the command that started it, and is not started twice"
    assert first.answers
    assert first.address != broker
    assert os.getsid(pid) == pid, "a session of its own"
    listening = {c.laddr.ip for c in psutil.Process(pid).net_connections("tcp") if c.status == "LISTEN"}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    other_port = int(first.address.rpartition(":")[2]) + 1
    with pytest.raises(local_broker.BrokerError, match="end it first"):
        local_broker.up(other_port, state, kafka_libs)

    made = topics.create(settings(first.address))
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert local_broker.status(state) is None

    second = local_broker.up(None, state, kafka_libs)
    assert (second.address, second.pid != pid) == (first.address, True)
    assert sorted(AdminClient({"bootstrap.servers": second.address}).list_topics(timeout=10).topics) == made

    assert local_broker.down(state) is True
    assert gone(second.pid)
    assert local_broker.status(state) is None
    assert local_broker.down(state) is False
    assert load(state=state, environment={}).broker is None
    assert AdminClient({"bootstrap.servers": broker}).list_topics(timeout=10).brokers, "the other one lives"


def test_topics_are_made_once_and_pass_the_check(broker: str) -> None:
    wanted = settings(broker, prefix="made-once.", partitions=3)
    assert [finding.kind for finding in topics.check(wanted)] == ["missing"] * 7
    assert len(topics.create(wanted)) == 7
    assert topics.create(wanted) == []
    assert topics.check(wanted) == []


def test_a_missing_topic_gets_as_many_partitions_as_its_sisters(broker: str) -> None:
    wanted = settings(broker, prefix="sisters.", partitions=3)
    others_make(broker, "sisters.orders", 3, topics.CONFIG)
    assert len(topics.create(replace(wanted, partitions=8))) == 6
    assert topics.check(wanted) == []


def test_topics_of_others_are_judged(broker: str) -> None:
    others_make(broker, "others.orders", 5, {"message.timestamp.type": "CreateTime"})
    findings = topics.check(settings(broker, prefix="others.", partitions=2))
    assert [(finding.kind, finding.level) for finding in findings if finding.topic == "others.orders"] == [
        ("partitions", "note"),
        ("config", "error"),  # its timestamps; the rest are this broker's defaults
    ]


def test_a_large_record_stamped_by_the_broker_comes_back(broker: str) -> None:
    wanted = settings(broker, prefix="large.", partitions=1)
    topics.create(wanted)
    value = os.urandom(12 * 1024 * 1024)
    producer = Producer(wanted.confluent(**{"message.max.bytes": 16 * 1024 * 1024}))
    producer.produce("large.journal", value, timestamp=1)
    assert producer.flush(30) == 0
    consumer = Consumer(wanted.confluent(**{"group.id": "large", "enable.auto.commit": False}))
    consumer.assign([TopicPartition("large.journal", 0, 0)])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.value() == value
    assert message.timestamp()[0] == 2, "the broker's clock (LogAppendTime), not the sender's 1"


def test_a_misspelt_topic_is_not_made(broker: str) -> None:
    producer = Producer({"bootstrap.servers": broker, "message.timeout.ms": 3000})
    told = []
    producer.produce("oders", b"x", on_delivery=lambda error, message: told.append(error))
    producer.flush(10)
    assert len(told) == 1
    assert told[0] is not None
    assert "oders" not in AdminClient({"bootstrap.servers": broker}).list_topics(timeout=10).topics
