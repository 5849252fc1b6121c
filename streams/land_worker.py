"""`fairbook worker land`: journal, alerts and metrics -> Parquet, every entry exactly once.

Any number of land workers share the partitions as a consumer group of static members. The group says who
should land a partition, the partition's fence who does (`streams.land_partition`). When the lake cannot be
written, all that was gathered is dropped, and read again once it can. A client was seen not to find its way
back into the group after the broker had been away: the process then ends, to be started again.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import duckdb
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams import acls, land_partition, tail, topics, worker
from streams.lake import catalog, files, position, stamp, trouble
from streams.lake.seeds import seed
from streams.lake.stamp import LakeError
from streams.land_partition import LandPartition
from streams.land_upkeep import Upkeep
from streams.settings import Settings
from streams.supervision import BackOff
from streams.watch import stages
from streams.watch.probe import ASK_SECONDS, Probe
from streams.watch.server import Watch

STAGE = "land"
TOPICS = ("journal", "alerts", "metrics")
FLUSH_SECONDS = 5.0  # from the first row gathered; a row can be queried 10 s after its event
FLUSH_ROWS = 100_000
ROOM_BYTES = 1 << 20  # that must fit before landing goes on
TAKE_SECONDS = 1.0  # between attempts at partitions that another process still holds
JOIN_SECONDS = 60.0  # out of the group while the broker answers: many times what joining takes
HEARD_SECONDS = 10.0  # since its last answer: the broker is away
FAILURES = (OSError, duckdb.IOException)  # of the lake: they may pass
TAKEN = (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID)
Key = tuple[str, int]


class LandWorker:
    """One land process; `reader` is its member of the group."""

    def __init__(
        self, settings: Settings, reader: Consumer, joined: Callable[[], None] = lambda: None
    ) -> None:
        self.settings = settings
        self.root = settings.lake
        self.reader = reader
        self.joined = joined
        self.names = {settings.topic(topic): topic for topic in TOPICS}
        self.stopping = self.ready = False
        self.assigned: set[Key] = set()
        self.parts: dict[Key, LandPartition] = {}
        self.held: dict[Key, str] = {}  # by whom, of those that we should have and another process holds
        self.failure: str | None = None  # why the lake cannot be written
        self.upkeep = Upkeep(self.root, settings.retention)
        self._lake = ""  # its id, once it is known
        self._waits = BackOff()
        self._failed = 0.0
        self._due = 0.0  # when partitions that are not ours yet are tried
        self._since: float | None = None  # when the first of what is gathered came
        self._out: float | None = time.monotonic()  # since when the group has given us no answer
        self.probe = Probe(settings)

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Land until told to stop; `beat` is called as it goes on. Raises LakeError, BrokerAway."""
        self.reader.subscribe(
            list(self.names), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )
        while not self.stopping:
            beat()
            self._expect_an_answer()
            self._guarded(self._open)
            for message in self.reader.consume(500, 0.2):
                self._take(message)
            if self._is_due():
                self._guarded(self._flush)
            if self.failure is None and self._lake:
                self.upkeep.step(time.monotonic())
        self._guarded(self._flush)
        self._let_go()
        self.upkeep.close()
        self.reader.close()

    # ---- the group's side ---------------------------------------------------------------------------

    def _assign(self, reader: Consumer, places: list[TopicPartition]) -> None:
        self._out = None
        self.assigned = {(self.names[place.topic], place.partition) for place in places}
        self._due = 0.0
        reader.assign([])  # nothing is read before its fence is taken
        self.joined()
        if not places:
            self._ready()

    def _revoke(self, reader: Consumer, _places: list[TopicPartition]) -> None:
        """Finish what is gathered, then let go: whoever has a partition next begins at its position.

        Also of what was lost while this process stood still: as long as it holds the fences, nobody else
        has landed anything.
        """
        self._guarded(self._flush)
        self._let_go()
        self.assigned.clear()
        self._out = time.monotonic()
        reader.unassign()

    def _expect_an_answer(self) -> None:
        """Raise BrokerAway if the group has not answered for long, and the broker does."""
        now = time.monotonic()
        if self._out is None or now - self._out < ASK_SECONDS:
            return
        if time.time_ns() - self.probe.heard() > HEARD_SECONDS * 1e9:
            self._out = now
        elif now - self._out > JOIN_SECONDS:
            raise topics.BrokerAway(
                f"group {self.settings.group(STAGE)} has not let this worker in for {JOIN_SECONDS:.0f} s,"
                " though the broker answers: it has to be started again"
            )

    # ---- partitions ---------------------------------------------------------------------------------

    def _open(self) -> None:
        """Take the partitions that the group gave us and whose fences are free."""
        missing = sorted(self.assigned - self.parts.keys())
        now = time.monotonic()
        if not missing or now < self._due:
            return
        self._due = now + TAKE_SECONDS
        self._know()
        found: land_partition.Written | None = None
        for topic, number in missing:
            fence = land_partition.fence(self.root, f"{topic}-{number}")
            if fence is None:
                self._wait(topic, number)
                continue
            found = land_partition.written(self.root) if found is None else found
            try:
                part = LandPartition(self.root, topic, number, found, fence)
                self._compare(part)
            except BaseException:
                fence.close()
                raise
            self.parts[topic, number] = part
            self.held.pop((topic, number), None)
        self._opened(len(missing) - len(self.held))

    def _opened(self, count: int) -> None:
        if self.failure is not None:
            worker.log(STAGE, f"the lake {self.root} can be written again; landing goes on")
            self.failure = None
        if count:
            self.reader.assign(
                [TopicPartition(self.settings.topic(t), p, part.next) for (t, p), part in self.parts.items()]
            )
            self._ready()

    def _ready(self) -> None:
        self.ready = True
        worker.log(STAGE, f"ready: {len(self.parts)} partitions into {self.root}")

    def _know(self) -> None:
        """Make a lake of the folder; a folder that was our lake and is another one, or none, is a failure."""
        if self._lake:
            there = stamp.load(self.root)
            if there is None or there.id != self._lake:
                raise FileNotFoundError(
                    2,
                    f"expected lake {self._lake}, found {'none' if there is None else there.id}",
                    str(self.root),
                )
            if self.failure is not None:
                _try(self.root)
            return
        files.make_folder(self.root)
        with files.alone(self.root):
            seed(self.root)
        known = stamp.load(self.root)
        assert known is not None
        self._lake = known.id

    def _wait(self, topic: str, number: int) -> None:
        if (topic, number) not in self.held:
            self.held[topic, number] = pid = land_partition.fenced_by(self.root, f"{topic}-{number}")
            worker.log(
                STAGE,
                f"{topic} {number} waits for process {pid}, which holds it and is no more in the group; if "
                "it stands still, end it: what it had gathered is then landed by this one",
            )

    def _compare(self, part: LandPartition) -> None:
        low, end = tail.bounds(self.reader, self.settings.topic(part.topic), part.number)
        if not low <= part.next <= end:
            raise LakeError(
                f"{part.stem} of {self.root}: expected {part.topic} {part.number} to hold offset {part.next},"
                f" it has {low} to {end}: made anew, or expired unread? Move the lake away to land anew"
            )

    def _let_go(self) -> None:
        for part in self.parts.values():
            part.close()
        self.parts.clear()
        self.held.clear()
        self._since = None

    # ---- messages -----------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        """Hand a message to its partition. Raises RuntimeError if it is an error that does not pass."""
        error = message.error()
        if error is not None and error.code() in tail.PASSING:
            return
        if error is not None and error.code() in TAKEN:
            worker.log(STAGE, f"another worker has taken this one's slot ({error}); stopped")
            sys.exit(worker.ERROR)
        if error is not None:
            raise RuntimeError(f"reading {message.topic()}: {error}")
        part = self.parts.get((self.names[message.topic() or ""], message.partition() or 0))
        if part is not None:  # not one that has just been taken from us
            self._since = self._since or time.monotonic()
            part.take(message)

    def _is_due(self) -> bool:
        if self._since is None:
            return False
        gathered = sum(part.writer.gathered for part in self.parts.values())
        return gathered >= FLUSH_ROWS or time.monotonic() - self._since >= FLUSH_SECONDS

    def _flush(self) -> None:
        """Publish a changed zone, then write what is gathered: after a failure both come again."""
        if not self.parts:
            return
        self._know()
        for part in self.parts.values():
            if part.topic == "journal" and part.writer.zone != part.zone:
                catalog.publish(self.root, part.writer.zone)
        for part in self.parts.values():
            part.flush()
        self._know()  # it may have gone meanwhile, and what was written lie where it was mounted
        self._since = None

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do what writes to the lake; if it fails, drop what is gathered, to be read again later."""
        try:
            work()
        except FAILURES as error:
            now = time.monotonic()
            wait = self._waits.died(now - self._failed)
            self._failed, self._due = now, now + wait
            said = trouble.explained(self.root, error)
            if said != self.failure:
                worker.log(STAGE, said)
            self.failure = said
            self._let_go()
            self.upkeep.close()
            self.reader.assign([])
        except KafkaException as error:
            worker.log(STAGE, f"the broker did not answer, asked again: {error}")
            self._let_go()

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Finish what is gathered and leave."""
        self.stopping = True


def _try(root: Path) -> None:
    """Write to the lake as a flush would. Raises OSError where that still fails."""
    path = root / position.FOLDER / "room"
    files.write_bytes(path, bytes(ROOM_BYTES))
    path.unlink()


def _member(settings: Settings, place: worker.Membership) -> Consumer:
    return tail.consumer(
        settings,
        STAGE,
        **{
            "group.id": place.group,
            "group.instance.id": place.instance,
            "partition.assignment.strategy": "range",  # the same partition of all three topics together
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 1_000,
        },
    )


def run(settings: Settings) -> None:
    """Run a land worker until it is told to stop."""
    acls.require(settings, STAGE)
    worker.check_topics(settings, STAGE)
    with worker.membership(settings, STAGE) as place:
        reader = _member(settings, place)
        land = LandWorker(settings, reader, lambda: place.joined(reader.memberid() or ""))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, land.stop)
        try:
            with Watch(settings, STAGE, place.slot, stages.Land(land)) as watch:
                land.run(watch.beat)
        except LakeError as error:
            worker.leave(STAGE, str(error))
