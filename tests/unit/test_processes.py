"""What a worker's process is started with, secrets on no command line; and when one is started again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from streams import processes, settings
from streams.processes import Slot, WorkerFailed, Workers
from streams.supervision import TRY_AGAIN


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


@pytest.mark.parametrize(
    ("statuses", "begun", "fails"),
    [
        ([TRY_AGAIN, None], 2, None),
        ([TRY_AGAIN, TRY_AGAIN, None], 3, None),
        ([TRY_AGAIN, TRY_AGAIN, TRY_AGAIN], 3, "status 75:\nstart 2"),
        ([1], 1, "status 1:\nstart 0"),
        ([TRY_AGAIN, 4], 2, "status 4:\nstart 1"),
        ([0], 1, "status 0:\nstart 0"),
    ],
)
def test_a_worker_that_cannot_work_for_now_is_started_again(
    statuses: list[int | None], begun: int, fails: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`statuses`: how each start ends; None: it becomes ready. What an earlier one said is kept."""
    left = list(enumerate(statuses))

    def started(_settings: Any, slot: Slot, output: IO[bytes]) -> subprocess.Popen[bytes]:
        assert slot == Slot("land", 0)
        number, status = left.pop(0)
        ending = "print('land: ready'); time.sleep(60)" if status is None else f"sys.exit({status})"
        code = f"import sys, time; print('start {number}', flush=True); {ending}"
        return subprocess.Popen([sys.executable, "-u", "-c", code], stdout=output)

    monkeypatch.setattr(processes, "start", started)
    with Workers(settings.load(broker="127.0.0.1:1", state=tmp_path), ("land",)) as workers:
        if fails is None:
            workers.wait_until_ready()
        else:
            with pytest.raises(WorkerFailed, match=f"^worker land ended with {fails}$"):
                workers.wait_until_ready()
    logs = sorted(path.name for path in (tmp_path / "log").iterdir())
    assert logs == ["worker-land.log", "worker-land.log.1", "worker-land.log.2"][:begun]
    assert len(statuses) - len(left) == begun
