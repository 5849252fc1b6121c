"""How to log in to a Kafka cluster: one file for all our clients.

It has `key=value` lines under librdkafka's names. librdkafka takes them as they are; Faust (aiokafka) gets
the same as a credentials object. A key that one of the two could not honour is refused, so that no client
connects with less protection than was asked for.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

ACCEPTED = frozenset(
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
SECRETS = frozenset({"sasl.password", "ssl.key.password"})
FILES = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location")
CHOICES = {
    "security.protocol": ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
    "ssl.endpoint.identification.algorithm": ("https", "none"),
    "enable.ssl.certificate.verification": ("true", "false"),
    "sasl.mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
}


class SettingsError(ValueError):
    """A setting is missing or cannot be used; the message says which, where from, and what would do."""


def read(file: Path) -> dict[str, str]:
    """The properties in a file; blank lines and lines that begin with # are skipped.

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
        place = f"Kafka properties {file}:{number}"
        key, _, value = (part.strip() for part in line.partition("="))
        if not value:
            raise SettingsError(f"{place}: expected key=value")
        key = "sasl.mechanism" if key == "sasl.mechanisms" else key  # librdkafka has both names
        if key not in ACCEPTED:
            raise SettingsError(
                f"{place}: {key!r} cannot be applied to all of our clients; accepted (librdkafka's names): "
                + ", ".join(sorted(ACCEPTED))
            )
        if key in properties:
            raise SettingsError(f"{place}: {key} is given twice")
        properties[key] = _value(place, key, value)
    _check_together(file, properties)
    return properties


def exposed(file: Path, properties: Mapping[str, str]) -> list[str]:
    """Return a sentence for each file with a secret that every user of this machine can read."""
    holding = {file: "a password"} if SECRETS & properties.keys() else {}
    if "ssl.key.location" in properties:
        holding[Path(properties["ssl.key.location"])] = "a private key"
    return [
        f"{path} holds {what} and every user of this machine can read it: chmod 600"
        for path, what in holding.items()
        if path.stat().st_mode & stat.S_IROTH
    ]


def credentials(properties: Mapping[str, str]) -> CredentialsT | None:
    """The same log-in for `faust.App(broker_credentials=...)`; None for a cluster that asks for none.

    Reads the certificate files: SettingsError where one cannot be used.
    """
    import faust  # heavy: only the Faust workers pay for it

    protocol = properties.get("security.protocol", "plaintext")
    context = _ssl_context(properties) if protocol in ("ssl", "sasl_ssl") else None
    if protocol.startswith("sasl"):
        return faust.SASLCredentials(
            username=properties["sasl.username"],
            password=properties["sasl.password"],
            mechanism=properties["sasl.mechanism"],
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def _ssl_context(properties: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=properties.get("ssl.ca.location"))
        if certificate := properties.get("ssl.certificate.location"):
            # Never None: OpenSSL would stop and ask for the password on the terminal.
            password = properties.get("ssl.key.password", "")
            context.load_cert_chain(certificate, properties.get("ssl.key.location"), password)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(f"{key}={properties[key]}" for key in FILES if key in properties)
        raise SettingsError(f"the TLS files could not be used ({files}): {error}") from None
    if properties.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    if properties.get("enable.ssl.certificate.verification") == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _value(place: str, key: str, value: str) -> str:
    choices = CHOICES.get(key)
    if choices is not None:
        folded = value.lower() if choices[0].islower() else value.upper()
        if folded not in choices:
            raise SettingsError(f"{place}: {key}: expected one of {', '.join(choices)}")
        return folded
    if key in FILES and not Path(value).is_file():
        raise SettingsError(f"{place}: {key}: no such file: {value}")
    return value


def _check_together(file: Path, properties: Mapping[str, str]) -> None:
    protocol = properties.get("security.protocol", "plaintext")
    for layer in ("sasl", "ssl"):
        given = sorted(key for key in properties if layer in key.split("."))
        if given and layer not in protocol.split("_"):
            raise SettingsError(
                f"Kafka properties {file}: {given[0]} has no effect with security.protocol={protocol}"
            )
    needed = ("sasl.mechanism", "sasl.username", "sasl.password") if protocol.startswith("sasl") else ()
    if "ssl.key.location" in properties:
        needed = (*needed, "ssl.certificate.location")
    for key in needed:
        if key not in properties:
            raise SettingsError(f"Kafka properties {file}: {key} is missing (security.protocol={protocol})")
