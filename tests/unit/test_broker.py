"""What can be said of the local broker without starting one."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from streams import broker, kafka_jars
from streams.broker import BrokerError
from streams.settings import resource


def empty_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv(kafka_jars.LIBS, raising=False)


def program(folder: Path, name: str, says: str, code: int = 0) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n", encoding="ascii")
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ('openjdk version "24-ea" 2025-03-18', 24),
        ("no such thing", None),
    ],
)
def test_java_versions(text: str, version: int | None) -> None:
    assert kafka_jars.java_version(text) == version


def test_no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_path(monkeypatch, tmp_path)
    with pytest.raises(BrokerError, match=r"^Java is missing \(looked in PATH\): install Java 17 or later"):
        broker.up(None, tmp_path)


def test_old_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_path(monkeypatch, tmp_path)
    program(tmp_path, "java", 'openjdk version "11.0.2"')
    with pytest.raises(BrokerError, match="is Java 11: install Java 17 or later"):
        broker.up(None, tmp_path)


def test_no_maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_path(monkeypatch, tmp_path)
    program(tmp_path, "java", 'openjdk version "17.0.2"')
    with pytest.raises(BrokerError, match=r"^Maven is missing: install Maven"):
        broker.up(None, tmp_path)


def test_maven_that_fails_leaves_no_jars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_path(monkeypatch, tmp_path)
    program(tmp_path, "mvn", "no network", code=1)
    with pytest.raises(BrokerError, match="Maven could not resolve Kafka's jars"):
        kafka_jars.resolve(tmp_path / "libs")
    assert [file.name for file in tmp_path.iterdir()] == ["mvn"]


def test_jars_that_are_there_need_no_maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_path(monkeypatch, tmp_path)
    pom = resource("infra/kafka/pom.xml").read_bytes()
    (tmp_path / "pom.sha256").write_text(hashlib.sha256(pom).hexdigest(), encoding="ascii")
    assert kafka_jars.resolve(tmp_path) == tmp_path


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"^port {port} is in use: choose another"):
            broker.up(port, tmp_path)


def test_nothing_runs_in_an_empty_folder(tmp_path: Path) -> None:
    assert broker.status(tmp_path / "none") is None
    assert broker.down(tmp_path / "none") is False
    assert not (tmp_path / "none").exists()


def test_a_folder_that_kafka_would_misread(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="choose a state folder without"):
        broker.up(None, tmp_path / "a,b")
