"""The three workers on topics of their own, what they published and landed, and what a replay says."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from agreement import KNOWN
from confluent_kafka import Message

from detectors.runner import Output, Runner
from schemas import codec
from schemas.alerts import Alert
from schemas.events import Topic
from schemas.journal import Entry, Position
from schemas.reference import Fact
from schemas.tables import TABLES
from streams import feed, reference_data, status, tail, topics
from streams.detect_worker import output_id
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.processes import STAGES, WorkerFailed, Workers
from streams.replay import replay
from streams.settings import Settings, load, resource
from streams.sources import recording
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml
from streams.sources.simulator_config import Quoting
from streams.sources.simulator_faults import Faults, FaultyStream

RULEBOOK = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
PLANTED = tuple(rule for rule in KNOWN if rule != "data_quality")  # of whose alerts the labels tell all
PARTITIONS = 4
SETTLE_SECONDS = 120.0

# What two ways of getting the same rows into a lake may differ in: where they stood, and who decided.
PLACES = {"partition", "offset", "index", "place", "detail", "run", "date", "hour"}
PLACES |= {"src_partition", "src_offset", "src_index", "fairbook_version", "fairbook_build"}


class Published(NamedTuple):
    """One message of an output topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, str]


class Said:
    """A replay's sink: outputs by identity, as the bytes that are published; rows go to a lake."""

    def __init__(self, lake: Path) -> None:
        self.alerts: dict[str, bytes] = {}
        self.metrics: dict[str, bytes] = {}
        self._writer = LakeWriter(lake, "replay")

    def entry(self, position: Position, entry: Entry) -> None:
        self._writer.entry(position, entry)

    def output(self, position: Position, output: Output) -> None:
        self.note(output)
        self._writer.output(position, output)

    def note(self, output: Output) -> None:
        """Remember one output."""
        if isinstance(output, Alert):
            self.alerts[output_id(output)] = codec.encode_alert(output)
        else:
            self.metrics[output_id(output)] = codec.encode_metric(output)

    def close(self) -> None:
        self._writer.close()


class Day(NamedTuple):
    """A day's records as bytes, who is who, and what was planted."""

    records: list[tuple[Topic, bytes]]
    reference: str
    labels: list[dict[str, Any]]
    faults: list[dict[str, str | int]]

    @property
    def facts(self) -> list[Fact]:
        """The facts of `reference`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "reference.toml"
            path.write_text(self.reference, encoding="utf-8")
            return list(reference_data.load(path))

    @property
    def latest(self) -> int:
        """The greatest `ts` of a readable record."""
        return max(codec.place_of(data).ts or 0 for _topic, data in self.records)

    def write(self, folder: Path) -> Path:
        """Write the day as a recording."""
        recording.write(folder, self.records, self.reference)
        return folder


def simulated(
    seed: int, events: int, violations: int, faults: Faults | None = None, quoting: Quoting = "off"
) -> Day:
    """A simulated day of four instruments, and of those with makers under agreement."""
    config = SimulatorConfig(
        seed=seed, rate=80, events=events, violations=Violations.each(violations), quoting=quoting
    )
    run = Simulation(config)
    stream: Any = FaultyStream(run, faults, config.total, seed) if faults else run
    records = [(topic, row if isinstance(row, bytes) else codec.encode(row)) for topic, row in stream]
    assert not run.unplanted, run.unplanted
    if faults:
        assert not stream.unplanted, stream.unplanted
    return Day(records, reference_toml(config), run.labels, stream.labels if faults else [])


def replayed(folder: Path, lake: Path, rulebook: str = RULEBOOK) -> Said:
    """What `fairbook replay` says of a recording, landed in `lake`."""
    said = Said(lake)
    result = replay(folder, rulebook_text=rulebook, sink=said, strict=True)
    assert not result.faults, result.faults
    return said


class Pipeline:
    """Topics with a prefix, a state folder, a lake, and workers to be started, killed and stopped."""

    def __init__(
        self,
        broker: str,
        folder: Path,
        prefix: str,
        *,
        partitions: int = PARTITIONS,
        lake: Path | None = None,
    ) -> None:
        self.settings: Settings = load(
            broker=broker, prefix=prefix, state=folder / "state", lake=lake or folder / "lake",
            partitions=partitions, environment={},
        )  # fmt: skip
        topics.create(self.settings)
        self.workers = Workers(self.settings, ())

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.workers.stop()

    def start(self, *stages: str) -> None:
        """Start workers, all three by default, and wait until they are ready."""
        for stage in stages or STAGES:
            self.workers.start(stage)
        self.workers.wait_until_ready()

    def kill(self, *stages: str) -> None:
        """End workers at once (SIGKILL), all three by default."""
        for stage in stages or STAGES:
            self.workers.kill(stage)

    def stop(self) -> dict[str, tuple[int, float]]:
        """Tell all workers to finish; return (exit status, seconds it took) by stage."""
        running = dict(self.workers.running)
        began = time.monotonic()
        for process in running.values():
            process.terminate()
        ended = {stage: (process.wait(30), time.monotonic() - began) for stage, process in running.items()}
        self.workers.running.clear()
        return ended

    def know(self, day: Day, rulebook: str | None = RULEBOOK) -> None:
        """Publish a day's reference data."""
        feed.Feed(self.settings).reference(day.facts, rulebook)

    def publish(self, day: Day, rulebook: str | None = RULEBOOK) -> None:
        """Publish a whole day: who is who, the records, the end."""
        self.know(day, rulebook)
        publisher = feed.Feed(self.settings)
        assert publisher.records(day.records) == len(day.records)
        publisher.end_of_recording(day.latest)

    def settle(self, *stages: str) -> None:
        """Return once all that was published is tagged, judged and landed, or what the stages do of it."""
        deadline = time.monotonic() + SETTLE_SECONDS
        quiet = 0
        while quiet < 2:
            self.workers.check()
            behind = status.behind(self.settings)
            quiet = 0 if any(behind[stage] for stage in stages or STAGES) else quiet + 1
            if time.monotonic() > deadline:
                raise WorkerFailed(f"not worked off in {SETTLE_SECONDS:.0f} s: {dict(behind)}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """What the workers have said."""
        paths = sorted(self.workers.folder.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3_000:]}" for path in paths)

    # ---- what came of it ----------------------------------------------------------------------------

    def messages(self, topic: str) -> list[Published]:
        """Every message of a topic."""
        found: list[Published] = []

        def take(message: Message) -> None:
            headers = {name: bytes(data or b"").decode() for name, data in message.headers() or ()}
            found.append(
                Published(
                    message.partition() or 0, message.offset() or 0, message.key() or b"",
                    message.value() or b"", headers,
                )
            )  # fmt: skip

        starts = dict.fromkeys(range(self.settings.partitions), 0)
        tail.read(self.settings, self.settings.topic(topic), starts, take)
        return found

    def said(self, topic: str) -> dict[str, bytes]:
        """Contents by `ce_id`; fails if one was published twice."""
        found = self.messages(topic)
        twice = [name for name, count in Counter(m.headers["ce_id"] for m in found).items() if count > 1]
        assert not twice, f"{topic}: {len(twice)} published more than once, {twice[:3]}\n{self.logs()}"
        return {message.headers["ce_id"]: message.value for message in found}

    def journal(self) -> Iterator[tuple[int, list[Entry]]]:
        """The entries of each partition's journal, in order."""
        found = self.messages("journal")
        for number in range(self.settings.partitions):
            mine = sorted((m for m in found if m.partition == number), key=lambda m: m.offset)
            yield number, [entry for message in mine for entry in codec.decode_frame(message.value)]

    def judged_again(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """What the rules say of the journal as it stands on its topic: alerts, metrics by identity."""
        alerts: dict[str, bytes] = {}
        metrics: dict[str, bytes] = {}
        for _number, entries in self.journal():
            runner = Runner(strict=True)
            for entry in entries:
                for output in runner.apply(entry):
                    if isinstance(output, Alert):
                        alerts[output_id(output)] = codec.encode_alert(output)
                    else:
                        metrics[output_id(output)] = codec.encode_metric(output)
        return alerts, metrics

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the lake."""
        with catalog.connect(self.settings.lake) as connection:
            return connection.sql(query).fetchall()


def same(ours: Mapping[str, bytes], theirs: Mapping[str, bytes], what: str) -> int:
    """Compare contents by identity, byte for byte; return how many."""
    lost = [theirs[name] for name in theirs.keys() - ours.keys()]
    more = [ours[name] for name in ours.keys() - theirs.keys()]
    assert not lost and not more, (
        f"{what}: {len(lost)} lost, {len(more)} too many\nlost: {lost[:2]}\ntoo many: {more[:2]}"
    )
    for name, content in theirs.items():
        assert ours[name] == content, f"{what} {name}: expected\n{content!r}\ngot\n{ours[name]!r}"
    print(f"{what}: {len(theirs)} compared, byte for byte")
    return len(theirs)


def rows(lake: Path, table: str) -> Counter[tuple[str, ...]]:
    """A table's rows without their places, as text."""
    with catalog.connect(lake) as connection:
        relation = connection.sql(f"select * from {table}")
        columns = [name for name in relation.columns if name not in PLACES]
        selected = relation.project(", ".join(f'"{name}"' for name in columns))
        return Counter(tuple(map(repr, row)) for row in selected.fetchall())


def same_rows(ours: Path, theirs: Path, tables: Iterable[str] = TABLES) -> dict[str, int]:
    """Compare the tables of two lakes, every row as often as it is there; return how many rows of each."""
    counts: dict[str, int] = {}
    for table in tables:
        if table == "journal_marks":
            continue  # clocks and starts are a live journal's own
        got, expected = rows(ours, table), rows(theirs, table)
        lost, more = expected - got, got - expected
        assert not lost and not more, (
            f"{table}: {lost.total()} rows lost, {more.total()} too many\nlost: {list(lost)[:2]}\n"
            f"too many: {list(more)[:2]}"
        )
        counts[table] = expected.total()
    print("rows compared: " + ", ".join(f"{table} {count:,}" for table, count in counts.items()))
    return counts


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Return once a condition holds; fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)
