"""What the lake's tests feed it: a small journal of awkward records, its outputs, and messages of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError

from detectors.runner import Output
from schemas import codec
from schemas.alerts import Alert
from schemas.events import SOURCE_TOPICS
from schemas.journal import Entry, Position
from streams.detect_worker import envelope, output_id
from streams.replay import replay
from streams.settings import resource
from streams.sources.simulator import SimulatorConfig, Violations, reference_toml, simulate

TESTS = Path(__file__).resolve().parents[1]
HANDMADE = TESTS / "oracles" / "handmade"
FOLDERS = sorted(path for path in HANDMADE.iterdir() if path.is_dir())
RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")


class Kept:
    """A Sink that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[tuple[Position, Entry]] = []
        self.outputs: list[tuple[Position, Output]] = []

    def entry(self, position: Position, entry: Entry) -> None:
        self.entries.append((position, entry))

    def output(self, position: Position, output: Output) -> None:
        self.outputs.append((position, output))

    def close(self) -> None:
        pass


def kept(folder: Path) -> Kept:
    """A recording's journal and all that both passes say of it."""
    sink = Kept()
    replay(folder, rulebook_text=RULEBOOK, sink=sink)
    return sink


def simulated(folder: Path, events: int, seed: int = 1, **more: Any) -> Path:
    """A simulated day as a recording."""
    run = simulate(SimulatorConfig(seed=seed, events=events, violations=Violations.each(2), **more))
    lines: dict[str, list[bytes]] = {topic: [] for topic in SOURCE_TOPICS}
    for topic, record in run:
        lines[topic].append(codec.encode(record))
    folder.mkdir()
    for name, rows in lines.items():
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(rows))
    (folder / "reference.toml").write_text(reference_toml(run.config))
    return folder


class FakeMessage:
    """A message as confluent-kafka hands it out, as far as landing looks at it."""

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        value: bytes,
        headers: dict[str, bytes] | None = None,
        error: KafkaError | None = None,
    ) -> None:
        self._topic, self._partition, self._offset, self._value = topic, partition, offset, value
        self._headers, self._error = headers, error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000

    def headers(self) -> list[tuple[str, bytes]] | None:
        return None if self._headers is None else list(self._headers.items())

    def error(self) -> KafkaError | None:
        return self._error


def messages(kept: Kept, frame: int = 20) -> list[Any]:
    """The topics' messages of a journal with frames of so many entries, and of its outputs."""
    found: list[Any] = []
    entries = [entry for _position, entry in kept.entries]
    for offset, at in enumerate(range(0, len(entries), frame)):
        found.append(FakeMessage("journal", 0, offset, codec.encode_frame(entries[at : at + frame])))
    ends = {"alerts": 0, "metrics": 0}
    for position, output in kept.outputs:
        owed = envelope(output, output_id(output), position, "a-run")
        assert owed.topic == ("alerts" if isinstance(output, Alert) else "metrics")
        found.append(FakeMessage(owed.topic, 0, ends[owed.topic], owed.value, owed.headers))
        ends[owed.topic] += 1
    return found
