"""A broker that asks who is there: its certificate, its passwords, and how each of its users logs in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme
from confluent_kafka.admin import (
    AclBindingFilter,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization
from pipeline import wait_for

from streams import acls, topics
from streams import broker as local_broker
from streams.settings import Settings, load, resource

SCRAM = "SCRAM-SHA-512"


class Cluster(NamedTuple):
    """A secured broker, and the folder of its files."""

    address: str
    folder: Path
    authorities: Path
    passwords: dict[str, str]

    def log_in(self, user: str, mechanism: str = SCRAM, **changes: str) -> Path:
        """Write a user's properties file, which only its owner may read; `changes`: by librdkafka's names."""
        properties = {
            "bootstrap.servers": self.address,
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": mechanism,
            "sasl.username": user,
            "sasl.password": self.passwords.get(user, ""),
            "ssl.ca.location": str(self.authorities),
            **{name.replace("_", "."): value for name, value in changes.items()},
        }
        file = self.folder / f"{user}-{secrets.token_hex(3)}.properties"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        return file

    @property
    def admin(self) -> Path:
        """The properties file of the administrator."""
        return self.log_in("admin", "PLAIN")

    def settings(self, file: Path, prefix: str, folder: Path) -> Settings:
        """Settings as a command with `--kafka-properties` has them."""
        return load(
            kafka_properties=file, prefix=prefix, state=folder / "state", lake=folder / "lake", partitions=4,
            environment={},
        )  # fmt: skip

    def add(self, user: str) -> None:
        """Let a user log in with SCRAM."""
        self.passwords[user] = f"hush-{secrets.token_hex(8)}"
        admin = AdminClient(self.settings(self.admin, "", self.folder).confluent())
        kind = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        asked = UserScramCredentialUpsertion(user, kind, self.passwords[user].encode())
        for future in admin.alter_user_scram_credentials([asked]).values():
            future.result()

    def audit(self) -> str:
        """What the broker allowed and refused."""
        logs = sorted((self.folder / "kafka" / "log").glob("authorizer*.log"))
        return "".join(log.read_text(encoding="utf-8") for log in logs)


@contextmanager
def cluster(folder: Path, libs: Path) -> Iterator[Cluster]:
    """Run a secured broker of our own."""
    authority = trustme.CA()
    authorities = folder / "authorities.pem"
    authority.cert_pem.write_to_path(authorities)
    server = authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(server.private_key_pem.bytes(), None)
    pkcs8 = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = folder / "server.pem"
    both.touch(mode=0o600)
    both.write_bytes(pkcs8 + b"".join(certificate.bytes() for certificate in server.cert_chain_pems))
    passwords = {"admin": f"hush-{secrets.token_hex(8)}", "node": f"hush-{secrets.token_hex(8)}"}
    login = {
        "security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "admin",
        "sasl.password": passwords["admin"], "ssl.ca.location": str(authorities),
    }  # fmt: skip
    values = {
        "KEY_AND_CERTIFICATES": str(both), "AUTHORITIES": str(authorities),
        "NODE_PASSWORD": passwords["node"], "ADMIN_PASSWORD": passwords["admin"],
    }  # fmt: skip
    template = resource("infra/kafka/secured.properties").read_text(encoding="ascii")
    secured = local_broker.Secured(template, values, login)
    try:
        address = local_broker.up(None, folder, libs, secured).address
        yield Cluster(address, folder, authorities, passwords)
    finally:
        local_broker.down(folder)


@contextmanager
def revoked(admin: Settings, line: acls.Line) -> Iterator[None]:
    """One ACL is missing for the length of a `with`; both ends wait until the broker has heard of it."""
    client = topics.connect(admin)
    (binding,) = acls.bindings([line])
    one = AclBindingFilter(
        binding.restype, binding.name, binding.resource_pattern_type, binding.principal, binding.host,
        binding.operation, binding.permission_type,
    )  # fmt: skip

    def is_there() -> bool:
        return bool(client.describe_acls(one).result())

    assert client.delete_acls([one])[one].result()
    wait_for(lambda: not is_there(), "an ACL to be gone")
    try:
        yield
    finally:
        acls.apply(admin, [line])
        wait_for(is_there, "an ACL to be back")
