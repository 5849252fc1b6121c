"""What a worker's process is started with: the same place of work, and secrets on no command line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from streams import settings
from streams.processes import Workers


class FakeProcess:
    """Remembers how it was started; has ended already."""

    started: tuple[list[str], dict[str, str]]

    def __init__(self, command: list[str], *, env: dict[str, str], **_files: Any) -> None:
        FakeProcess.started = command, env

    def poll(self) -> int:
        return 0

    def wait(self, _seconds: float) -> int:
        return 0


@pytest.mark.parametrize("named_by", ["option", "environment", "nobody"])
def test_a_worker_logs_in_as_its_settings_say(
    named_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=ann\nsasl.password=hush\n"
    )
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    monkeypatch.setenv(settings.KAFKA_PROPERTIES, str(file if named_by == "environment" else ""))
    there = settings.load(
        broker="127.0.0.1:1", state=tmp_path, kafka_properties=file if named_by == "option" else None
    )
    monkeypatch.setenv(settings.KAFKA_PROPERTIES, "another.properties")  # it is not looked at again
    with Workers(there, ("tag",)):
        command, environment = FakeProcess.started
    assert settings.KAFKA_PROPERTIES not in environment
    assert "hush" not in " ".join([*command, *environment.values()])
    given = command[command.index("--kafka-properties") + 1 :][:1] if "--kafka-properties" in command else []
    assert given == ([] if named_by == "nobody" else [str(file)])
