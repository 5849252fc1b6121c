"""Where the cluster, the state and the lake are, and how to log in: from options, environment and one file.

An option wins over its environment variable, which wins over the default. One Kafka properties file (`key=value`
lines under librdkafka's names) serves both kinds of clients: `Settings.confluent` for librdkafka, `Settings.faust`
for Faust, which uses aiokafka. A key that one of the two could not honour is refused, so that no client ever
connects with less protection than was asked for.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

BROKER = "FAIRBOOK_BROKER"
KAFKA_PROPERTIES = "FAIRBOOK_KAFKA_PROPERTIES"
PREFIX = "FAIRBOOK_PREFIX"
STATE = "FAIRBOOK_STATE"
LAKE = "FAIRBOOK_LAKE"
PARTITIONS = "FAIRBOOK_PARTITIONS"

DEFAULT_STATE = Path(".fairbook")
DEFAULT_PARTITIONS = 8
DEFAULT_CLIENT_ID = "fairbook"

ACCEPTED_PROPERTIES = frozenset(
    {
        "bootstrap.servers",
        "client.id",
        "security.protocol",
        "sasl.mechanism",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    }
)
SECURITY_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SSL_FILES = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location")

_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_TOPIC_CHARACTERS = re.compile(r"[A-Za-z0-9._-]{0,200}")

_PACKAGE = Path(__file__).resolve().parent


class SettingsError(ValueError):
    """A setting is missing or cannot be used; the message says which, where from, and what would do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that differs between one place of work and another. Made by `load`, which checks it.

    broker      HOST:PORT, several separated by commas; None where none is named and none of ours runs
    prefix      goes in front of every topic and consumer group, as it is ("uat." gives "uat.orders")
    state       folder of snapshots and of the local broker
    lake        folder of the Parquet files and the catalog
    partitions  of each partitioned topic, where we create it
    properties  librdkafka properties of the cluster, checked; holds secrets, never printed
    """

    broker: str | None = None
    prefix: str = ""
    state: Path = DEFAULT_STATE
    lake: Path = DEFAULT_STATE / "lake"
    partitions: int = DEFAULT_PARTITIONS
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

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
                f" (looked in {local_address_file(self.state)})"
            )
        return self.broker.split(",")

    def confluent(self, **extra: str | int | float | bool) -> dict[str, str | int | float | bool]:
        """The configuration of a confluent-kafka client; `extra` (group.id, linger.ms, ...) wins."""
        return {
            "client.id": DEFAULT_CLIENT_ID,
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
        credentials = self._credentials()
        if credentials is not None:
            settings["broker_credentials"] = credentials
        return settings

    def _credentials(self) -> Any:
        import faust  # heavy: only the Faust workers pay for it

        protocol = self.properties.get("security.protocol", "plaintext")
        context = self._ssl_context() if protocol in ("ssl", "sasl_ssl") else None
        if protocol.startswith("sasl"):
            return faust.SASLCredentials(
                username=self.properties["sasl.username"],
                password=self.properties["sasl.password"],
                mechanism=self.properties["sasl.mechanism"],
                ssl_context=context,
            )
        return None if context is None else faust.SSLCredentials(context)

    def _ssl_context(self) -> ssl.SSLContext:
        get = self.properties.get
        try:
            context = ssl.create_default_context(cafile=get("ssl.ca.location"))
            if certificate := get("ssl.certificate.location"):
                context.load_cert_chain(certificate, get("ssl.key.location"), get("ssl.key.password") or "")
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(f"{key}={get(key)}" for key in SSL_FILES if get(key))
            raise SettingsError(f"the TLS files could not be used ({files}): {error}") from None
        if get("ssl.endpoint.identification.algorithm", "https") == "none":
            context.check_hostname = False
        if get("enable.ssl.certificate.verification", "true") == "false":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def load(
    *,
    broker: str | None = None,
    kafka_properties: Path | None = None,
    prefix: str | None = None,
    state: Path | None = None,
    lake: Path | None = None,
    partitions: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings from options (None: not given), environment and defaults; SettingsError where one is wrong.

    The broker: the option, FAIRBOOK_BROKER, the file's bootstrap.servers, or else the one that
    `fairbook broker up` started in the state folder.
    """
    env = os.environ if environment is None else environment
    file = kafka_properties or _path(env, KAFKA_PROPERTIES)
    properties = read_properties(file) if file else {}
    folder = state or _path(env, STATE) or DEFAULT_STATE
    named = broker or env.get(BROKER) or properties.pop("bootstrap.servers", None) or local_address(folder)
    properties.pop("bootstrap.servers", None)
    return Settings(
        broker=None if named is None else _addresses(named),
        prefix=_prefix(env.get(PREFIX, "") if prefix is None else prefix),
        state=folder,
        lake=lake or _path(env, LAKE) or folder / "lake",
        partitions=_partitions(env.get(PARTITIONS, DEFAULT_PARTITIONS) if partitions is None else partitions),
        properties=MappingProxyType(properties),
    )


def read_properties(file: Path) -> dict[str, str]:
    """The cluster's properties from a file of `key=value` lines; blank lines and lines with # are skipped.

    SettingsError names file, line and key, and never shows a value that may be a secret.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"Kafka properties {file}: expected a readable text file: {error}") from None
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        place = f"Kafka properties {file}:{number}"
        if not equals or not value:
            raise SettingsError(f"{place}: expected key=value")
        key = "sasl.mechanism" if key == "sasl.mechanisms" else key
        if key not in ACCEPTED_PROPERTIES:
            raise SettingsError(
                f"{place}: {key!r} cannot be applied to all of our clients; accepted (librdkafka's names): "
                + ", ".join(sorted(ACCEPTED_PROPERTIES))
            )
        if key in properties:
            raise SettingsError(f"{place}: {key} is given twice")
        properties[key] = value
    _check_security(file, properties)
    return properties


def resource(path: str) -> Path:
    """A file that ships with the programs, by its path in the source tree ("infra/rulebook/default.toml").

    In an installed wheel `infra` lies inside the package; in a source tree (and an editable install) beside it.
    """
    places = [_PACKAGE / path, _PACKAGE.parent / path]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"{path} is not among the installed files; looked for {places[0]} and {places[1]}")


def local_address_file(state: Path) -> Path:
    """Where `fairbook broker up` leaves the address of the broker it started."""
    return state / "kafka" / "address"


def local_address(state: Path) -> str | None:
    """The address of the state folder's own broker; None where none was started."""
    try:
        return local_address_file(state).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def _check_security(file: Path, properties: dict[str, str]) -> None:
    def one_of(key: str, allowed: tuple[str, ...], fold: bool) -> None:
        if key in properties:
            value = properties[key].lower() if fold else properties[key].upper()
            if value not in allowed:
                expected = ", ".join(allowed)
                raise SettingsError(f"Kafka properties {file}: {key}: expected one of {expected}")
            properties[key] = value

    one_of("security.protocol", SECURITY_PROTOCOLS, fold=True)
    one_of("sasl.mechanism", SASL_MECHANISMS, fold=False)
    one_of("enable.ssl.certificate.verification", ("true", "false"), fold=True)
    one_of("ssl.endpoint.identification.algorithm", ("https", "none"), fold=True)
    protocol = properties.get("security.protocol", "plaintext")
    for layer in ("sasl", "ssl"):
        given = sorted(key for key in properties if layer in key.split("."))
        if given and layer not in protocol.split("_"):
            raise SettingsError(
                f"Kafka properties {file}: {given[0]} has no effect with security.protocol={protocol}"
            )
    if protocol.startswith("sasl"):
        for key in ("sasl.mechanism", "sasl.username", "sasl.password"):
            if key not in properties:
                raise SettingsError(f"Kafka properties {file}: security.protocol={protocol} needs {key}")
    for key in SSL_FILES:
        if key in properties and not Path(properties[key]).is_file():
            raise SettingsError(f"Kafka properties {file}: {key}: no such file: {properties[key]}")


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


def _prefix(value: str) -> str:
    if not _TOPIC_CHARACTERS.fullmatch(value):
        raise SettingsError(f"prefix {value!r}: expected at most 200 of the characters A-Z a-z 0-9 . _ -")
    return value


def _partitions(value: int | str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if not 1 <= number <= 10_000:
        raise SettingsError(f"partitions {value!r}: expected a whole number from 1 to 10000")
    return number
