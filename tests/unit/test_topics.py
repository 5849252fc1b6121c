"""What `topics check` says of a cluster, from what the cluster shows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.settings import Settings
from streams.topics import CONFIG, TOPICS, BrokerAway, Finding, Refused, answered, judge

SETTINGS = Settings(prefix="uat.", partitions=4)
NAMES = ["uat." + spec.name for spec in TOPICS]
COUNTS = {name: 1 if name == "uat.reference" else 4 for name in NAMES}
CONFIGS: Mapping[str, Mapping[str, str] | Refused] = dict.fromkeys(NAMES, CONFIG)


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.topic, finding.kind, finding.level) for finding in findings]


def test_the_topics() -> None:
    by_instrument = [spec.name for spec in TOPICS if spec.by_instrument]
    assert by_instrument == ["orders", "trades", "quotes", "journal", "alerts", "metrics"]
    assert [spec.name for spec in TOPICS if not spec.by_instrument] == ["reference"]


def test_nothing_to_say() -> None:
    assert judge(SETTINGS, COUNTS, CONFIGS) == []


def test_a_missing_topic() -> None:
    counts = {name: count for name, count in COUNTS.items() if name != "uat.trades"}
    findings = judge(SETTINGS, counts, CONFIGS)
    assert told(findings) == [("uat.trades", "missing", "error")]
    assert "fairbook topics create" in findings[0].text


def test_unequal_counts_split_an_instrument() -> None:
    findings = judge(SETTINGS, COUNTS | {"uat.quotes": 6}, CONFIGS)
    assert told(findings) == [("uat.quotes", "partitions", "note"), ("uat.*", "unequal", "error")]
    assert "uat.orders=4, uat.trades=4, uat.quotes=6" in findings[1].text


def test_equal_counts_other_than_the_setting_are_a_note_at_each_topic() -> None:
    counts = {name: 1 if name == "uat.reference" else 12 for name in NAMES}
    assert {(kind, level) for _, kind, level in told(judge(SETTINGS, counts, CONFIGS))} == {
        ("partitions", "note")
    }


def test_reference_has_one_partition() -> None:
    findings = judge(SETTINGS, COUNTS | {"uat.reference": 4}, CONFIGS)
    assert told(findings) == [("uat.reference", "partitions", "error")]


def test_a_wrong_timestamp_type() -> None:
    wrong = {**CONFIG, "message.timestamp.type": "CreateTime"}
    findings = judge(SETTINGS, COUNTS, {**CONFIGS, "uat.orders": wrong})
    assert told(findings) == [("uat.orders", "config", "error")]
    assert findings[0].text == "expected message.timestamp.type=LogAppendTime, found CreateTime"


def test_a_compacted_journal() -> None:
    findings = judge(
        SETTINGS, COUNTS, {**CONFIGS, "uat.journal": {**CONFIG, "cleanup.policy": "compact,delete"}}
    )
    assert told(findings) == [("uat.journal", "config", "error")]


def test_retention_is_an_error_where_we_recover_from_and_else_a_note() -> None:
    short = {**CONFIG, "retention.ms": "604800000"}
    findings = judge(SETTINGS, COUNTS, {**CONFIGS, "uat.journal": short, "uat.orders": short})
    assert told(findings) == [("uat.orders", "config", "note"), ("uat.journal", "config", "error")]


def test_larger_messages_are_welcome_and_smaller_ones_are_not() -> None:
    larger = {**CONFIG, "max.message.bytes": "33554432"}
    smaller = {**CONFIG, "max.message.bytes": "1048588"}
    findings = judge(SETTINGS, COUNTS, {**CONFIGS, "uat.orders": larger, "uat.trades": smaller})
    assert told(findings) == [("uat.trades", "config", "error")]


def test_a_configuration_that_may_not_be_read_is_said_so_and_counts_are_still_checked() -> None:
    refused = dict.fromkeys(NAMES, Refused("Topic authorization failed"))
    findings = judge(SETTINGS, COUNTS | {"uat.alerts": 5}, refused)
    assert [kind for _, kind, _ in told(findings)].count("unreadable") == len(NAMES)
    assert told(findings)[-1] == ("uat.*", "unequal", "error")
    assert "Topic authorization failed" in findings[0].text


@pytest.mark.parametrize(
    "passing",
    [KafkaError._TIMED_OUT, KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE,
     KafkaError.COORDINATOR_LOAD_IN_PROGRESS],
)  # fmt: skip
def test_what_the_cluster_has_not_told_is_asked_again(passing: int) -> None:
    waits: list[float] = []

    def ask(wait: float) -> str:
        waits.append(wait)
        if len(waits) < 3:
            raise KafkaException(KafkaError(passing))
        return "told"

    assert answered("who is there", ask, 9.0) == "told"
    assert waits == [5.0, 5.0, 5.0]  # one request never takes all the time there is


def test_a_refusal_is_not_asked_again() -> None:
    waits: list[float] = []

    def ask(wait: float) -> str:
        waits.append(wait)
        raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))

    with pytest.raises(KafkaException):
        answered("who is there", ask)
    assert waits == [5.0]


def test_a_cluster_that_never_tells_is_away_and_the_question_is_named() -> None:
    waits: list[float] = []

    def ask(wait: float) -> str:
        waits.append(wait)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    with pytest.raises(BrokerAway, match=r"^the broker does not tell who is in group g within 0 s \(.*ime"):
        answered("who is in group g", ask, 0.1)
    assert waits == [0.1, 0.1]
