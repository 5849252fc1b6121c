"""`fairbook worker detect`: journal -> book and rules -> alerts, metrics. DESIGN.md 4.11 to 4.13."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import faust
import msgspec
from confluent_kafka import Message
from faust.types import TP

from detectors.runner import Output, Runner
from schemas import codec
from schemas.alerts import Alert, digest, timestamp
from schemas.journal import Position
from streams import app as apps
from streams import build, tail, worker
from streams.settings import Settings
from streams.snapshots import Snapshots
from streams.watch import stages
from streams.watch.latency import Latency
from streams.watch.server import Watch
from streams.watch.tally import Tally

STAGE = "detect"
OUTPUTS = ("alerts", "metrics")
SNAPSHOT_SECONDS = 1.0
SNAPSHOT_SHARE = 50  # a snapshot is taken at most once in 50 times the time it takes
SEND_SECONDS = 0.005
FAILURES_TOLD = 1_000  # of rules: one line in the log for so many


class DetectSnapshot(msgspec.Struct):
    """State at a label, and where each output topic ended when everything owed had been acknowledged.

    `said`: identities of outputs that lie before those ends and are decided only beyond the label: a crash
    came after they were published, and one may come again before they are decided again.
    """

    ends: dict[str, int]
    runner: bytes
    said: list[str] = []


class Owed(msgspec.Struct):
    """An output that must be acknowledged before its place in the journal may be committed."""

    topic: str
    key: bytes
    value: bytes
    headers: dict[str, bytes]
    ts: int | None = None  # of an alert: the event's, ns
    acknowledged: Any = None  # a future of the record's metadata, once it is sent


class DetectPartition:
    """One journal partition: its rules' state up to `label`, and the outputs owed for it.

    `said`: identities of outputs published already though not yet decided, which are not sent again.
    `unsent` are the last of `owed`.
    """

    def __init__(self, number: int, label: int, runner: Runner, ends: dict[str, int]) -> None:
        self.number = number
        self.label = self.written = label
        self.runner = runner
        self.ends = ends
        self.generation = 0  # the latest of the group's generations that has it here
        self.said: set[str] = set()
        self.owed: list[Owed] = []
        self.unsent: deque[Owed] = deque()
        self.snapshot_due = 0.0
        self.tally = Tally()

    @classmethod
    def restored(cls, number: int, data: bytes) -> DetectPartition:
        """Return the partition of a snapshot, its label to be set. Raises if other rules wrote it."""
        snapshot = msgspec.msgpack.decode(data, type=DetectSnapshot)
        ends = {name: snapshot.ends[name] for name in OUTPUTS}
        part = cls(number, 0, Runner.restore(snapshot.runner), ends)
        part.said = set(snapshot.said)
        return part

    def state(self) -> tuple[int, list[Owed], DetectSnapshot]:
        """Return the label, what is owed for it, and its snapshot; `ends` is still to be brought up to date.

        What is owed from here on is the next snapshot's.
        """
        owed, self.owed = self.owed, []
        return self.label, owed, DetectSnapshot(self.ends, self.runner.snapshot(), sorted(self.said))

    def apply(self, frame: bytes, offset: int, run: str) -> None:
        """Apply one frame. Nothing is awaited: state, outputs owed and label move together."""
        entries = codec.decode_frame(frame)
        self.tally.frame(entries, len(frame))
        for index, entry in enumerate(entries):
            for output in self.runner.apply(entry):
                identity = output_id(output)
                if identity in self.said:
                    self.said.discard(identity)
                    continue
                owed = envelope(output, identity, Position(self.number, offset, index), run)
                self.owed.append(owed)
                self.tally.output(output)
                _tell_failure(output, Position(self.number, offset, index), self.tally)
                self.unsent.append(owed)
        self.label = offset + 1


class DetectWorker:
    """One detect process."""

    def __init__(self, settings: Settings, snapshots: Snapshots, membership: worker.Membership) -> None:
        self.settings = settings
        self.snapshots = snapshots
        self.membership = membership
        self.run_id = f"live-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        self.parts: dict[int, DetectPartition] = {}
        self.ready = False
        self.latency = Latency()
        self.sending = asyncio.Lock()
        self.app = apps.make_app(settings, STAGE, membership.instance)
        self.journal_name = settings.topic("journal")
        self.journal = self.app.topic(self.journal_name, acks=False, key_type=bytes, value_type=bytes)
        self.outputs = {
            name: self.app.topic(settings.topic(name), acks=False, key_type=bytes, value_type=bytes)
            for name in OUTPUTS
        }
        self.app.agent(self.journal, name=STAGE)(self._agent)
        self.app.on_rebalance_complete.connect(self._ready)
        self.app.task(self._send)
        self.app.task(self._take_snapshots)

    # ---- loading ------------------------------------------------------------------------------------

    async def _ready(self, _sender: Any, /, *_: Any, signal: Any, **_names: Any) -> None:
        """Awaited by Faust before it seeks: load what is newly ours, drop what is no longer."""
        await worker.guarded(STAGE, self.app, self._take_over())

    async def _take_over(self) -> None:
        started = time.monotonic()
        consumer = apps.consumer(self.app)
        consumer.seek_hook = self._seek
        consumer.revoked_hook = self._give_up
        self.membership.joined(consumer.member_id())
        generation = self.app.consumer_generation_id
        mine = {tp.partition for tp in consumer.assignment() if tp.topic == self.journal_name}
        # Whoever had a partition in a generation that passed us by has published for it: ours is stale.
        self.parts = {
            number: part
            for number, part in self.parts.items()
            if number in mine and part.generation in (generation - 1, generation)
        }
        parts = await asyncio.to_thread(self._load, sorted(mine - self.parts.keys()))
        self.parts.update(parts)
        self.ready = True
        for part in self.parts.values():
            part.generation = generation
        labels = ", ".join(f"{number} at {part.label}" for number, part in parts.items() if part.label)
        took = f"slot {self.membership.slot}: ready in {time.monotonic() - started:.1f} s"
        worker.log(STAGE, f"{took}: {len(mine)} partitions, resumed {labels or 'none'}")

    async def _give_up(self) -> None:
        """Awaited before the group is joined again: whoever gets a partition must see all that we have sent.

        Nothing is sent from here on (`rebalancing`); what is on its way Faust waits for.
        """
        async with self.sending:
            pass
        await asyncio.to_thread(self.membership.leave_if_taken)

    def _load(self, numbers: list[int]) -> dict[int, DetectPartition]:
        parts: dict[int, DetectPartition] = {}
        reader = tail.consumer(self.settings, "tail")
        try:
            for number in numbers:
                low, end = tail.bounds(reader, self.journal_name, number)
                restore = partial(DetectPartition.restored, number)
                found = self.snapshots.newest(number, restore, end=end)
                if found is None:
                    part = DetectPartition(number, 0, Runner(), dict.fromkeys(OUTPUTS, 0))
                else:
                    part = found[1]
                    part.label = part.written = found[0]
                part.tally.loaded(part.label)
                if part.label < low:
                    raise tail.Expired(
                        f"expected {self.journal_name} {number} from offset {part.label}, it begins at {low}"
                    )
                parts[number] = part
        finally:
            reader.close()
        for name in OUTPUTS:
            self._find_said(name, parts)
        return parts

    def _find_said(self, name: str, parts: dict[int, DetectPartition]) -> None:
        """Find what was published after the snapshots were taken, so that it is not said again."""

        def take(message: Message) -> None:
            identity = dict(message.headers() or ()).get("ce_id")
            if isinstance(identity, bytes):
                parts[message.partition() or 0].said.add(identity.decode())

        topic = self.settings.topic(name)
        starts = {number: part.ends[name] for number, part in parts.items()}
        for number, end in tail.read(self.settings, topic, starts, take, from_first_kept=True).items():
            parts[number].ends[name] = end

    def _seek(self, assignment: set[TP]) -> dict[TP, int]:
        return {
            tp: self.parts[tp.partition].label
            for tp in assignment
            if tp.topic == self.journal_name and tp.partition in self.parts
        }

    # ---- applying and publishing --------------------------------------------------------------------

    async def _agent(self, stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            message = event.message
            part = self.parts.get(message.partition)
            if part is None:
                continue
            try:
                records: Any = message.value
                for record in records:
                    if record.offset < part.label:
                        continue
                    if record.offset > part.label:
                        await self._go_back(part, message.tp, record.offset)
                        break
                    part.apply(record.value, record.offset, self.run_id)
                    part.tally.appended = record.timestamp * 1_000_000
                while len(part.unsent) > 10_000 and self.parts.get(part.number) is part:
                    await asyncio.sleep(SEND_SECONDS)
            except Exception:
                worker.die(STAGE)
            await asyncio.sleep(0)

    async def _go_back(self, part: DetectPartition, tp: TP, offset: int) -> None:
        worker.log(STAGE, f"journal {part.number}: expected offset {part.label}, got {offset}: going back")
        consumer = apps.consumer(self.app)
        if tp in consumer.assignment():
            await consumer.seek_wait({tp: part.label})

    async def _send(self) -> None:
        await worker.guarded(STAGE, self.app, self._send_loop())

    async def _send_loop(self) -> None:
        """Send what is owed in the order in which it was decided."""
        while not self.app.should_stop:
            for part in list(self.parts.values()):
                await self._send_owed(part)
            await asyncio.sleep(SEND_SECONDS)

    async def _send_owed(self, part: DetectPartition) -> None:
        async with self.sending:
            while part.unsent and not self.app.rebalancing and self.parts.get(part.number) is part:
                owed = part.unsent[0]
                owed.acknowledged = await self.outputs[owed.topic].send(
                    partition=part.number, key=owed.key, value=owed.value, headers=owed.headers
                )
                self.latency.note(owed.ts, owed.acknowledged)
                part.unsent.popleft()

    # ---- snapshots ----------------------------------------------------------------------------------

    async def _take_snapshots(self) -> None:
        await worker.guarded(STAGE, self.app, self._snapshot_loop())

    async def _snapshot_loop(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(0.1)
            for part in list(self.parts.values()):
                if time.monotonic() >= part.snapshot_due and not self.app.rebalancing:
                    await self._snapshot(part)

    async def _snapshot(self, part: DetectPartition) -> None:
        if part.label > part.written:
            started = time.monotonic()
            label, owed, snapshot = part.state()
            took = time.monotonic() - started
            await self._acknowledged(part, owed)
            if self.parts.get(part.number) is not part:
                return
            data = msgspec.msgpack.encode(snapshot)
            began = time.monotonic()
            if await asyncio.to_thread(self.snapshots.write, part.number, label, data):
                part.written = label
                part.tally.wrote(label, len(data), time.monotonic() - began)
            part.snapshot_due = time.monotonic() + max(SNAPSHOT_SECONDS, SNAPSHOT_SHARE * took)
        consumer, tp = apps.consumer(self.app), TP(self.journal_name, part.number)
        if part.written and tp in consumer.assignment():
            consumer.safe[tp] = part.written  # said again if unchanged: a rebalance may have dropped it

    async def _acknowledged(self, part: DetectPartition, owed: list[Owed]) -> None:
        for output in owed:
            while output.acknowledged is None:
                if self.parts.get(part.number) is not part:
                    return
                await asyncio.sleep(SEND_SECONDS)
            metadata = await output.acknowledged
            part.ends[output.topic] = max(part.ends[output.topic], metadata.offset + 1)


def _tell_failure(output: Output, position: Position, tally: Tally) -> None:
    """Log a rule that raised, once in so many; the finding has the words, which may name an account."""
    if not isinstance(output, Alert) or output.measures.get("kind") != "rule_error":
        return
    if tally.rule_errors.total() % FAILURES_TOLD != 1:
        return
    rules = ", ".join(sorted(tally.rule_errors))
    text = f"RULE FAILED ({rules}): a finding says how, no event is lost"
    place = {"partition": position.partition, "offset": position.offset, "index": position.index}
    seq = output.measures["first_seq"]
    event: dict[str, Any] = {"topic": "journal", **place, "instrument": output.instrument, "seq": seq}
    worker.log(STAGE, text, level=logging.ERROR, **event)


def output_id(output: Output) -> str:
    """Return an output's identity: of a metrics row, a hash of its content."""
    if isinstance(output, Alert):
        return output.ce_id
    return digest(("metric", codec.canonical(output).decode()))


def envelope(output: Output, identity: str, position: Position, run: str) -> Owed:
    """Return an output as CloudEvents 1.0 (Kafka binding, binary mode); its journal place is an extension."""
    is_alert = isinstance(output, Alert)
    encode: Callable[[Any], bytes] = codec.encode_alert if is_alert else codec.encode_metric
    headers = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": identity,
        "ce_type": "fairbook.alert" if is_alert else "fairbook.metric",
        "ce_source": "/fairbook/detect",
        "ce_subject": output.instrument,
        "ce_journalpartition": str(position.partition),
        "ce_journaloffset": str(position.offset),
        "ce_journalindex": str(position.index),
        "ce_run": run,
        "ce_fairbookversion": build.version(),
        "ce_fairbookbuild": build.build(),
    }
    if isinstance(output, Alert):
        headers["ce_time"] = timestamp(output.ts)
    return Owed(
        topic="alerts" if is_alert else "metrics",
        key=output.instrument.encode(),
        value=encode(output),
        headers={name: value.encode() for name, value in headers.items()},
        ts=output.ts if isinstance(output, Alert) else None,
    )


def run_detect(settings: Settings) -> None:
    """Run the detect worker until SIGTERM; does not return, the process ends with a status.

    Status 0 after SIGTERM, 1 where one runs already or the topics are wrong, 4 after an error of its own.
    """
    snapshots = worker.snapshot_store(settings, STAGE)
    with worker.membership(settings, STAGE) as place:
        detect = DetectWorker(settings, snapshots, place)
        looks, more = partial(stages.detect, detect), detect.latency.histogram
        with Watch(settings, STAGE, place.slot, looks, more) as watch:
            detect.app.task(watch.beating)
            apps.run(detect.app)
