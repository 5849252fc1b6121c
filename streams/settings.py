"""Where the cluster, the state and the lake are: from options, environment variables and defaults.

An option wins over its environment variable, which wins over the default. How to log in to a cluster
that is not ours stands in one file (`streams.kafka_properties`): `Settings.confluent` gives it to
librdkafka's clients, `Settings.faust` to Faust.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streams.kafka_properties import SettingsError, credentials, read

__all__ = ["Settings", "SettingsError", "load", "local_address", "local_address_file", "resource"]

BROKER = "FAIRBOOK_BROKER"
KAFKA_PROPERTIES = "FAIRBOOK_KAFKA_PROPERTIES"
PREFIX = "FAIRBOOK_PREFIX"
STATE = "FAIRBOOK_STATE"
LAKE = "FAIRBOOK_LAKE"
PARTITIONS = "FAIRBOOK_PARTITIONS"
SLOT = "FAIRBOOK_SLOT"
SNAPSHOTS = "FAIRBOOK_SNAPSHOTS"
HTTP = "FAIRBOOK_HTTP"
RETENTION = "FAIRBOOK_RETENTION"
LOG_FORMAT = "FAIRBOOK_LOG_FORMAT"

DEFAULT_STATE = Path(".fairbook")
DEFAULT_PARTITIONS = 8
DEFAULT_HTTP = "127.0.0.1:0"
DEFAULT_CLIENT_ID = "fairbook"

_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_TOPIC_CHARACTERS = re.compile(r"[A-Za-z0-9._-]{0,200}")

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that differs between one place of work and another. Made by `load`, which checks it.

    broker      HOST:PORT, several separated by commas; None where none is named and none of ours runs
    prefix      goes in front of every topic and consumer group, as it is ("uat." gives "uat.orders")
    state       folder of the workers' locks, of their logs and of the local broker
    lake        folder of the Parquet files and the catalog
    partitions  of each partitioned topic, where we create it
    slot        which of its kind a worker is, from 0; None: the lowest that nobody has
    snapshots   path or URL of the workers' snapshots: all workers of a kind must reach the same
    properties  librdkafka properties of the cluster, checked; holds secrets, never printed
    log_format  of `up` and the workers: "text" or "json"
    http        HOST:PORT at which a worker answers /metrics and /healthz; port 0: a free one
    retention   file of how long the lake keeps its rows (infra/retention.toml); None: for ever
    properties_file  where they were read, for a process that we start: secrets go on no command line
    """

    broker: str | None = None
    prefix: str = ""
    state: Path = DEFAULT_STATE
    lake: Path = DEFAULT_STATE / "lake"
    partitions: int = DEFAULT_PARTITIONS
    slot: int | None = None
    snapshots: str = str(DEFAULT_STATE / "snapshots")
    http: str = DEFAULT_HTTP
    retention: Path | None = None
    log_format: str = "text"
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    properties_file: Path | None = None

    def topic(self, name: str) -> str:
        """The topic's name on the cluster: `topic("orders")` with prefix "uat." is "uat.orders"."""
        return self.prefix + name

    def group(self, stage: str) -> str:
        """The consumer group of a stage ("tag", "detect", "land"); also the id of its Faust app."""
        return f"{self.prefix}fairbook-{stage}"

    def addresses(self) -> list[str]:
        """The cluster's HOST:PORT addresses. SettingsError where no broker is known."""
        if self.broker is None:
            raise SettingsError(
                f"no broker: give --broker HOST:PORT, set {BROKER}, or start one with `fairbook broker up`"
                f" (none is known in {self.state})"
            )
        return self.broker.split(",")

    def confluent(self, **extra: Any) -> dict[str, Any]:
        """The configuration of a confluent-kafka client; `extra` (group.id, linger.ms, ...) wins."""
        return {
            "client.id": DEFAULT_CLIENT_ID,
            "log_level": 4,  # warnings
            **self.properties,
            "bootstrap.servers": ",".join(self.addresses()),
            **extra,
        }

    def faust(self) -> dict[str, Any]:
        """The `faust.App` settings that reach the same cluster with the same identity.

        Reads the certificate files: SettingsError where one cannot be used.
        """
        settings: dict[str, Any] = {
            "broker": ";".join(f"kafka://{address}" for address in self.addresses()),
            "broker_client_id": self.properties.get("client.id", DEFAULT_CLIENT_ID),
        }
        login = credentials(self.properties)
        if login is not None:
            settings["broker_credentials"] = login
        return settings


def load(
    *,
    broker: str | None = None,
    kafka_properties: Path | None = None,
    prefix: str | None = None,
    state: Path | None = None,
    lake: Path | None = None,
    partitions: int | None = None,
    http: str | None = None,
    log_format: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings from options (None: not given), environment and defaults.

    The broker: the option, FAIRBOOK_BROKER, the file's bootstrap.servers, or else the one that
    `fairbook broker up` started in the state folder. SettingsError where a setting is wrong.
    """
    env = os.environ if environment is None else environment
    file = kafka_properties or _path(env, KAFKA_PROPERTIES)
    properties = read(file) if file else {}
    folder = state or _path(env, STATE) or DEFAULT_STATE
    named = broker or env.get(BROKER) or properties.pop("bootstrap.servers", None) or local_address(folder)
    properties.pop("bootstrap.servers", None)
    return Settings(
        broker=None if named is None else _addresses(named),
        prefix=_prefix(env.get(PREFIX, "") if prefix is None else prefix),
        state=folder,
        lake=lake or _path(env, LAKE) or folder / "lake",
        partitions=_partitions(env.get(PARTITIONS, DEFAULT_PARTITIONS) if partitions is None else partitions),
        slot=_slot(env.get(SLOT)),
        snapshots=_snapshots(env.get(SNAPSHOTS) or str(folder / "snapshots")),
        http=_listening(http or env.get(HTTP) or DEFAULT_HTTP),
        retention=_path(env, RETENTION),
        log_format=_log_format(log_format or env.get(LOG_FORMAT) or "text"),
        properties=MappingProxyType(properties),
        properties_file=file,
    )


def placed(settings: Settings, slot: int | str | None, snapshots: str | None) -> Settings:
    """The settings of a worker, with its own options (None: not given). SettingsError where one is wrong."""
    return replace(
        settings,
        slot=settings.slot if slot is None else _slot(slot),
        snapshots=_snapshots(snapshots or settings.snapshots),
    )


def resource(path: str) -> Path:
    """A file that ships with the programs, by its path in the source tree ("infra/rulebook/default.toml").

    In an installed wheel `infra` lies inside the package; in a source tree, editable or not, beside it.
    """
    places = [_PACKAGE / path, _PACKAGE.parent / path]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"{path} is not installed; looked for {places[0]} and {places[1]}")


def local_address_file(state: Path) -> Path:
    """Where `fairbook broker up` leaves the address of the broker it started."""
    return state / "kafka" / "address"


def local_address(state: Path) -> str | None:
    """The address of the state folder's own broker; None where none was started."""
    try:
        return local_address_file(state).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value) if value else None


def _addresses(value: str) -> str:
    addresses = [address.strip() for address in value.split(",")]
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match[1]) < 65536:
            raise SettingsError(f"broker {value!r}: expected HOST:PORT, several separated by commas")
    return ",".join(addresses)


def _listening(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match[1]) > 65535:
        raise SettingsError(f"http {value!r}: expected HOST:PORT, port 0 for a free one")
    return value


def _log_format(value: str) -> str:
    if value not in ("text", "json"):
        raise SettingsError(f"log format {value!r}: expected text or json")
    return value


def _prefix(value: str) -> str:
    if not _TOPIC_CHARACTERS.fullmatch(value):
        raise SettingsError(f"prefix {value!r}: expected at most 200 of the characters A-Z a-z 0-9 . _ -")
    return value


def _partitions(value: int | str) -> int:
    return _whole("partitions", value, 1, 10_000)


def _slot(value: int | str | None) -> int | None:
    return None if value is None or value == "" else _whole("slot", value, 0, 9_999)


def _whole(name: str, value: int | str, least: int, most: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise SettingsError(f"{name} {value!r}: expected a whole number from {least} to {most}")
    return number


def _snapshots(value: str) -> str:
    """A path, or a URL without a secret in it: command lines and logs show it."""
    if "://" in value and "@" in value.partition("://")[2].partition("/")[0]:
        raise SettingsError(
            "snapshots: expected a URL without a key or password in it; the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...) or files hold them"
        )
    return value
