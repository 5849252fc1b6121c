"""Where a setting comes from, and what every client of a guarded cluster is given."""

from __future__ import annotations

import ssl
from pathlib import Path

import faust
import pytest

from streams.settings import Settings, SettingsError, load, local_address_file, placed, resource

SASL = """security.protocol=SASL_PLAINTEXT
sasl.mechanisms=scram-sha-512
sasl.username=fair
sasl.password=a=b#c
"""


def file_of(folder: Path, text: str) -> Path:
    file = folder / "kafka.properties"
    file.write_text(text, encoding="utf-8")
    return file


def loaded(folder: Path, text: str) -> Settings:
    return load(broker="k1:9092", kafka_properties=file_of(folder, text), environment={})


def test_defaults() -> None:
    settings = load(environment={"FAIRBOOK_STATE": "nowhere"})
    expected = Settings(state=Path("nowhere"), lake=Path("nowhere/lake"), snapshots="nowhere/snapshots")
    assert settings == expected
    assert (settings.partitions, settings.topic("orders")) == (8, "orders")


def test_an_option_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    file = file_of(tmp_path, "bootstrap.servers=file:1")
    environment = {"FAIRBOOK_BROKER": "env:2", "FAIRBOOK_KAFKA_PROPERTIES": str(file)}
    assert load(environment={"FAIRBOOK_KAFKA_PROPERTIES": str(file)}).broker == "file:1"
    assert load(environment=environment).broker == "env:2"
    assert load(broker="option:3", environment=environment).confluent()["bootstrap.servers"] == "option:3"


def test_without_a_name_the_local_broker_is_used(tmp_path: Path) -> None:
    file = local_address_file(tmp_path)
    file.parent.mkdir()
    file.write_text("127.0.0.1:4567\n", encoding="ascii")
    assert load(state=tmp_path, environment={}).broker == "127.0.0.1:4567"


def test_no_broker_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--broker HOST:PORT.*FAIRBOOK_BROKER.*fairbook broker up"):
        load(state=tmp_path, environment={}).confluent()


def test_the_prefix_goes_in_front_of_topics_and_groups() -> None:
    settings = load(prefix="uat.", environment={})
    assert (settings.topic("orders"), settings.group("tag")) == ("uat.orders", "uat.fairbook-tag")


@pytest.mark.parametrize("broker", ["localhost", "h:0", "h:65536", "kafka://h:1", "h:1,", "h:1 h:2", "h:x"])
def test_a_broker_is_host_and_port(broker: str) -> None:
    with pytest.raises(SettingsError, match="expected HOST:PORT"):
        load(broker=broker, environment={})


def test_several_brokers_reach_both_kinds_of_clients() -> None:
    settings = load(broker="k1:9092, [::1]:9093", environment={})
    assert settings.confluent()["bootstrap.servers"] == "k1:9092,[::1]:9093"
    app = faust.App("several", **settings.faust())
    assert [str(url) for url in app.conf.broker] == ["kafka://k1:9092", "kafka://[::1]:9093"]


@pytest.mark.parametrize("partitions", ["0", "8.0", "many", "10001"])
def test_partitions_are_a_whole_number(partitions: str) -> None:
    with pytest.raises(SettingsError, match="whole number from 1"):
        load(environment={"FAIRBOOK_PARTITIONS": partitions})


@pytest.mark.parametrize("prefix", ["a b", "ä", "x/y", "p" * 201])
def test_a_prefix_has_the_characters_of_a_topic(prefix: str) -> None:
    with pytest.raises(SettingsError, match="A-Z a-z 0-9"):
        load(prefix=prefix, environment={})


def test_sasl_reaches_both_kinds_of_clients(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "# who we are\n\nclient.id = desk-7\n" + SASL)
    assert settings.confluent(**{"group.id": "g", "client.id": "mine"}) == {
        "bootstrap.servers": "k1:9092",
        "client.id": "mine",
        "log_level": 4,
        "group.id": "g",
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "fair",
        "sasl.password": "a=b#c",
    }
    told = settings.faust()
    login = told["broker_credentials"]
    assert told["broker_client_id"] == "desk-7"
    assert (login.protocol.value, login.mechanism.value) == ("SASL_PLAINTEXT", "SCRAM-SHA-512")
    assert (login.username, login.password, login.ssl_context) == ("fair", "a=b#c", None)


def test_tls_checks_name_and_certificate_unless_told_not_to(tmp_path: Path) -> None:
    context = loaded(tmp_path, "security.protocol=ssl").faust()["broker_credentials"].context
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    text = "security.protocol=ssl\nssl.endpoint.identification.algorithm=none\n"
    context = loaded(tmp_path, text).faust()["broker_credentials"].context
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)
    context = loaded(tmp_path, text + "enable.ssl.certificate.verification=false")
    assert context.faust()["broker_credentials"].context.verify_mode == ssl.CERT_NONE


def test_sasl_over_tls_has_a_tls_context(tmp_path: Path) -> None:
    login = loaded(tmp_path, SASL.replace("SASL_PLAINTEXT", "SASL_SSL")).faust()["broker_credentials"]
    assert login.protocol.value == "SASL_SSL"
    assert login.ssl_context.verify_mode == ssl.CERT_REQUIRED


def test_a_tls_file_that_is_none_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate", encoding="ascii")
    settings = loaded(tmp_path, f"security.protocol=ssl\nssl.ca.location={broken}")
    with pytest.raises(SettingsError, match=r"TLS files could not be used \(ssl.ca.location=.*ca.pem\)"):
        settings.faust()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sasl.jaas.config=x", "'sasl.jaas.config' cannot be applied to all of our clients"),
        ("acks=1", "'acks' cannot be applied"),
        ("security.protocol", ":1: expected key=value"),
        ("\nclient.id=", ":2: expected key=value"),
        ("client.id=a\nclient.id=b", "client.id is given twice"),
        ("security.protocol=tls", "expected one of plaintext, ssl, sasl_plaintext, sasl_ssl"),
        (SASL + "sasl.mechanism=PLAIN", "sasl.mechanism is given twice"),
        (SASL.replace("scram-sha-512", "OAUTHBEARER"), "expected one of PLAIN, SCRAM-SHA-256"),
        (SASL.replace("sasl.username=fair\n", ""), "sasl.username is missing"),
        ("sasl.username=fair", "sasl.username has no effect with security.protocol=plaintext"),
        (SASL + "ssl.key.password=s3cret", "ssl.key.password has no effect"),
        ("security.protocol=ssl\nssl.ca.location=/no/such.pem", "no such file: /no/such.pem"),
    ],
)
def test_what_cannot_be_honoured_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace(".", r"\.")) as refused:
        loaded(tmp_path, text)
    assert "s3cret" not in str(refused.value)
    assert "a=b#c" not in str(refused.value)


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    settings = loaded(tmp_path, SASL)
    assert "a=b#c" not in f"{settings!r} {settings}"
    assert "a=b#c" not in repr(settings.faust()["broker_credentials"])


def test_resources_are_found() -> None:
    assert resource("infra/kafka/pom.xml").read_text(encoding="utf-8").startswith("<?xml")
    with pytest.raises(FileNotFoundError, match=r"infra/none\.toml is not installed; looked for"):
        resource("infra/none.toml")


def test_a_worker_has_a_slot_and_a_place_for_snapshots() -> None:
    settings = load(environment={"FAIRBOOK_SLOT": "3", "FAIRBOOK_SNAPSHOTS": "s3://bucket/x"})
    assert (settings.slot, settings.snapshots) == (3, "s3://bucket/x")
    assert placed(settings, None, None) == settings
    there = placed(settings, 0, "elsewhere")
    assert (there.slot, there.snapshots) == (0, "elsewhere")


@pytest.mark.parametrize("slot", ["-1", "one", "10000", "0x1"])
def test_a_slot_is_a_whole_number(slot: str) -> None:
    with pytest.raises(SettingsError, match=r"slot .*from 0 to 9999"):
        load(environment={"FAIRBOOK_SLOT": slot})


def test_a_url_of_snapshots_holds_no_secret() -> None:
    with pytest.raises(SettingsError, match="without a key or password") as error:
        load(environment={"FAIRBOOK_SNAPSHOTS": "s3://key:hush@bucket/x"})
    assert "hush" not in str(error.value)
