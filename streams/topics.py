"""`fairbook topics`: the topics as data, made where we may, checked where we may not.

An instrument has one partition number, the same in every topic that is partitioned by instrument; so their
partition counts must be equal. Kafka can add partitions but not take any away, and adding them moves
instruments: `create` never alters a topic that is there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from streams.settings import Settings, SettingsError

SECONDS: Final = 15.0

CONFIG: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cleanup.policy": "delete",  # never compacted: the journal is a sequence, not a table
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(16 * 1024 * 1024),
        # The broker's clock, not the sender's: `max_future` and the lander's file grid are measured by it.
        "message.timestamp.type": "LogAppendTime",
    }
)


@dataclass(frozen=True)
class TopicSpec:
    """One topic: its name without prefix, what it holds, and whether it is partitioned by instrument."""

    name: str
    holds: str
    by_instrument: bool = True


TOPICS: Final = (
    TopicSpec("orders", "the venue's order events"),
    TopicSpec("trades", "the venue's trades"),
    TopicSpec("quotes", "the venue's best quotes and makers' two-sided quotes"),
    TopicSpec("journal", "the day in order: tagged events, clocks, facts, rulebook"),
    TopicSpec("alerts", "revisions of alerts"),
    TopicSpec("metrics", "minute and day rows of the liquidity rules"),
    TopicSpec("reference", "effective-dated facts and rulebooks; one partition, read whole", by_instrument=False),
)


@dataclass(frozen=True)
class Finding:
    """What `check` found at one topic. `error`: Fairbook must not run on it; `note`: could not be seen."""

    topic: str
    kind: Literal["missing", "partitions", "unequal", "config", "unreadable"]
    level: Literal["error", "note"]
    text: str


def partitions(spec: TopicSpec, settings: Settings) -> int:
    """How many partitions the topic gets where we create it."""
    return settings.partitions if spec.by_instrument else 1


def create(settings: Settings) -> list[str]:
    """Makes the topics that are missing, with the cluster's own replication; returns their full names.

    Topics that are there stay as they are: `check` says whether they will do. SettingsError where the
    cluster does not answer or does not let us.
    """
    admin = _admin(settings)
    there = _partition_counts(admin)
    new = [
        NewTopic(settings.topic(spec.name), num_partitions=partitions(spec, settings), config=dict(CONFIG))
        for spec in TOPICS
        if settings.topic(spec.name) not in there
    ]
    made = []
    if new:
        for name, future in admin.create_topics(new, operation_timeout=SECONDS).items():
            try:
                future.result()
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was faster
                    continue
                raise SettingsError(
                    f"topic {name} could not be created: {reason.str()}; let the cluster's"
                    " administrator make it (`fairbook topics check` says what is missing)"
                ) from None
            made.append(name)
    return sorted(made)


def check(settings: Settings) -> list[Finding]:
    """What is wrong with the topics on the cluster, in the order of TOPICS; empty where nothing is.

    Partition counts come from metadata, which every client may read. Where the cluster refuses to show a
    topic's configuration a note says so. SettingsError where the cluster does not answer.
    """
    admin = _admin(settings)
    counts = _partition_counts(admin)
    shown = [spec for spec in TOPICS if settings.topic(spec.name) in counts]
    configs = _configs(admin, [settings.topic(spec.name) for spec in shown])
    findings = []
    for spec in TOPICS:
        name = settings.topic(spec.name)
        if name not in counts:
            findings.append(_missing(name, spec, settings))
            continue
        findings += _wrong_count(name, spec, counts[name])
        findings += _wrong_config(name, configs[name])
    return findings + _unequal({settings.topic(s.name): counts[settings.topic(s.name)] for s in shown if s.by_instrument})


def _admin(settings: Settings) -> AdminClient:
    # librdkafka tells a lost connection to its log again and again; we say it once, as an error.
    quiet = logging.Logger("fairbook.topics", level=logging.CRITICAL)
    return AdminClient(settings.confluent(), logger=quiet)


def _partition_counts(admin: AdminClient) -> dict[str, int]:
    try:
        topics: dict[str, TopicMetadata] = admin.list_topics(timeout=SECONDS).topics
    except KafkaException as error:
        raise SettingsError(f"the broker does not answer within {SECONDS:.0f} s: {error.args[0].str()}") from None
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}
