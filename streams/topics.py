"""`fairbook topics`: the topics as data, made where we may, checked where we may not.

An instrument has one partition number, the same in every topic that is partitioned by instrument; so their
partition counts must be equal. Kafka can add partitions but not take any away, and adding them moves
instruments: `create` never alters a topic that is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from streams import logs
from streams.settings import Settings, SettingsError

SECONDS: Final = 15.0
STEP: Final = 1.0  # of asking again: a refusal is known long before the end
ANSWER_SECONDS: Final = 5.0  # after which one request is taken for lost

# What is said of a group by a broker that has just started: it has yet to find out who looks after it. Or
# nothing: a client can wait in vain for the answer of one that was made a moment ago.
MOVING: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._TIMED_OUT,
)

NOT_LET: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
ADVICE: Final = "ask who administers the cluster for what `fairbook topics acls` lists"

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
    """One topic: its name without prefix and what it holds.

    by_instrument  partitioned by instrument, with as many partitions as the others; else one partition
    is_record      what is recovered from: it must never lose its beginning
    """

    name: str
    holds: str
    by_instrument: bool = True
    is_record: bool = False


TOPICS: Final = (
    TopicSpec("orders", "the venue's order events"),
    TopicSpec("trades", "the venue's trades"),
    TopicSpec("quotes", "the venue's best quotes and makers' two-sided quotes"),
    TopicSpec("journal", "the day in order: tagged events, clocks, facts, rulebook", is_record=True),
    TopicSpec("alerts", "revisions of alerts"),
    TopicSpec("metrics", "minute and day rows of the liquidity rules"),
    TopicSpec("reference", "facts and rulebooks, read whole", by_instrument=False, is_record=True),
)

Config = Mapping[str, str]


@dataclass(frozen=True)
class Refused:
    """The cluster did not show a topic's configuration."""

    reason: str


@dataclass(frozen=True)
class Finding:
    """What `check` found at one topic. error: Fairbook must not run on it; note: people should know."""

    topic: str
    kind: Literal["missing", "partitions", "unequal", "config", "unreadable"]
    level: Literal["error", "note"]
    text: str


class BrokerAway(SettingsError):
    """The cluster does not answer: its address or log-in may be wrong, or it may be there again soon."""


Answer = TypeVar("Answer")


def answered(what: str, ask: Callable[[float], Answer], seconds: float = SECONDS) -> Answer:
    """Ask the cluster `what` until it tells; `ask` is given the seconds that one request may take.

    KafkaException where it says no; BrokerAway, with the question, where it has not told in `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask(min(seconds, ANSWER_SECONDS))
        except KafkaException as error:
            if error.args[0].code() not in MOVING:
                raise
            if time.monotonic() > deadline:
                raise BrokerAway(
                    f"the broker does not tell {what} within {seconds:.0f} s ({reason(error)})"
                ) from None
        time.sleep(0.2)


def create(settings: Settings) -> list[str]:
    """Makes the topics that are missing, with the cluster's own replication; returns their full names.

    Topics that are there stay as they are, and missing ones get as many partitions as those have.
    SettingsError where the cluster does not answer or does not let us.
    """
    admin = _Admin(settings)
    there = _partition_counts(admin)
    count = max(_counts_by_instrument(settings, there).values(), default=settings.partitions)
    new = [
        NewTopic(settings.topic(spec.name), count if spec.by_instrument else 1, config=dict(CONFIG))
        for spec in TOPICS
        if settings.topic(spec.name) not in there
    ]
    made = sorted(_create(admin, new)) if new else []
    _wait_until_seen(admin, made)
    return made


def reach(settings: Settings) -> None:
    """Asks the cluster for its topics, so that one that cannot be reached is a message and no long wait.

    BrokerAway where it does not answer.
    """
    connect(settings)


def delete(settings: Settings) -> None:
    """Deletes the topics of the settings' prefix, with what is in them. SettingsError without one."""
    if not settings.prefix:
        raise SettingsError("expected a prefix: topics without one are never deleted")
    admin = _Admin(settings)
    there = _partition_counts(admin)
    names = [name for spec in TOPICS if (name := settings.topic(spec.name)) in there]
    for future in admin.delete_topics(names, operation_timeout=SECONDS).values() if names else ():
        future.result()


def check(settings: Settings) -> list[Finding]:
    """What is wrong with the topics on the cluster; empty where nothing is.

    Partition counts come from metadata, which whoever may read a topic may ask for; a configuration that
    the cluster refuses to show is a note. SettingsError where the cluster does not answer.
    """
    admin = _Admin(settings)
    counts = _partition_counts(admin)
    names = [name for spec in TOPICS if (name := settings.topic(spec.name)) in counts]
    return judge(settings, counts, _configs(admin, names))


def judge(
    settings: Settings, counts: Mapping[str, int], configs: Mapping[str, Config | Refused]
) -> list[Finding]:
    """The findings of `check`, in the order of TOPICS; counts and configurations are by full topic name."""
    findings = []
    for spec in TOPICS:
        name = settings.topic(spec.name)
        if name not in counts:
            text = f"is not there, or may not be seen; it holds {spec.holds}: `fairbook topics create`"
            findings.append(Finding(name, "missing", "error", text))
            continue
        findings += _wrong_count(name, spec, counts[name], settings)
        config = configs[name]
        if isinstance(config, Refused):
            text = f"its configuration cannot be read ({config.reason}); expected {_shown(CONFIG)}"
            findings.append(Finding(name, "unreadable", "note", text))
        else:
            findings += _wrong_config(name, spec, config)
    by_instrument = _counts_by_instrument(settings, counts)
    if len(set(by_instrument.values())) > 1:
        text = f"expected equal partition counts, found {_shown(by_instrument)}: an instrument would be split"
        findings.append(Finding(settings.prefix + "*", "unequal", "error", text))
    return findings


def _counts_by_instrument(settings: Settings, counts: Mapping[str, int]) -> dict[str, int]:
    names = [settings.topic(spec.name) for spec in TOPICS if spec.by_instrument]
    return {name: counts[name] for name in names if name in counts}


def _wrong_count(name: str, spec: TopicSpec, count: int, settings: Settings) -> list[Finding]:
    if not spec.by_instrument and count != 1:
        text = f"expected 1 partition, found {count}: facts would have no order"
        return [Finding(name, "partitions", "error", text)]
    if spec.by_instrument and count != settings.partitions:
        text = f"has {count} partitions and the settings say {settings.partitions}; the cluster's count holds"
        return [Finding(name, "partitions", "note", text)]
    return []


def _wrong_config(name: str, spec: TopicSpec, config: Config) -> list[Finding]:
    findings = []
    for key, wanted in CONFIG.items():
        value = config.get(key, "")
        at_least = key == "max.message.bytes" and value.isdigit() and int(value) >= int(wanted)
        if value == wanted or at_least:
            continue
        spared = key.startswith("retention.") and not spec.is_record
        text = f"expected {key}={wanted}, found {value or 'nothing'}"
        findings.append(Finding(name, "config", "note" if spared else "error", text))
    return findings


def _shown(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())


class _Admin(AdminClient):
    """A client that keeps what librdkafka says of the connection.

    librdkafka would log a lost one again and again; we say it once, as an error.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.said: list[KafkaError] = []
        super().__init__(settings.confluent(error_cb=self.said.append), logger=logs.SILENT)

    def refused(self) -> str | None:
        """Return why the cluster does not let us in; None where it has not said so."""
        self.poll(0)
        properties = self.settings.properties
        for error in self.said:
            if error.code() == KafkaError._AUTHENTICATION:
                who = f"{properties.get('sasl.username')} ({properties.get('sasl.mechanism')})"
                where = f"sasl.password in {self.settings.properties_file}"
                return f"the broker refuses to log in {who}: is {where} right? It said: {error.str()}"
            if error.code() == KafkaError._SSL:
                file = properties.get("ssl.ca.location", "not given: the system's authorities")
                return (
                    f"no TLS connection to the broker: does ssl.ca.location ({file}) hold the authority of "
                    f"its certificate, and is the certificate for this address? It said: {error.str()}"
                )
        return None


def connect(settings: Settings) -> AdminClient:
    """Returns a client of the cluster, which has answered it.

    BrokerAway where it does not answer; SettingsError, in one line, where it does not let us in.
    """
    admin = _Admin(settings)
    _partition_counts(admin)
    return admin


def _partition_counts(admin: _Admin) -> dict[str, int]:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            topics = admin.list_topics(timeout=STEP).topics
        except KafkaException as error:
            refused = admin.refused()
            if refused is not None:
                raise SettingsError(refused) from None
            if time.monotonic() < deadline:
                continue
            said = admin.said[-1].str() if admin.said else reason(error)
            raise BrokerAway(
                f"the broker does not answer within {SECONDS:.0f} s ({said}):"
                " is the address right, and security.protocol?"
            ) from None
        return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def _create(admin: AdminClient, new: list[NewTopic]) -> Iterator[str]:
    for name, future in admin.create_topics(new, operation_timeout=SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was faster
                continue
            raise SettingsError(f"topic {name} could not be created: {reason(error)}") from None
        yield name


def _wait_until_seen(admin: _Admin, names: list[str]) -> None:
    """A topic exists when the controller says so, and can be used when a broker has heard of it."""
    deadline = time.monotonic() + SECONDS
    while missing := set(names) - _partition_counts(admin).keys():
        if time.monotonic() > deadline:
            raise SettingsError(f"topics {', '.join(sorted(missing))} were created but cannot be seen")
        time.sleep(0.05)


def _configs(admin: AdminClient, names: list[str]) -> dict[str, Config | Refused]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs: dict[str, Config | Refused] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=SECONDS).items():
        try:
            entries = future.result()
        except KafkaException as error:
            configs[resource.name] = Refused(reason(error))
        else:
            configs[resource.name] = {key: str(entry.value) for key, entry in entries.items()}
    return configs


def reason(error: KafkaException) -> str:
    """Returns what the cluster said, without librdkafka's wrapping, and what to do where it says no."""
    return explained(error.args[0])


def explained(error: KafkaError) -> str:
    """Returns the error's text, and what to do where it says no."""
    return f"{error.str()}: {ADVICE}" if error.code() in NOT_LET else error.str()
