"""What the workers share: a slot of their kind each, loud deaths, log lines without account ids."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, MemberDescription

from streams import acls, logs, topics
from streams.settings import Settings
from streams.snapshots import Snapshots

if TYPE_CHECKING:
    import faust

ERROR = 4  # exit status of a worker that ends at an error of its own
ASK_SECONDS = 3.0  # before a group is joined again: while a broker comes back nobody answers
MEMBER_SECONDS = 10.0  # more than the session time-out, after which a group forgets a dead member


log = logs.say


def slot_name(settings: Settings, stage: str, slot: int) -> str:
    """Return the name of a worker: of its lock, and of its static membership in the consumer group."""
    return f"{settings.group(stage)}-{slot}"


def locked(folder: Path, name: str) -> IO[str] | None:
    """Take a lock of a folder, None if another process has it.

    It lasts as long as the stream that is returned is open, at most as long as the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / f"{name}.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def holder(folder: Path, name: str) -> str | None:
    """Return the process id of whoever holds the lock of `locked`; None where nobody does."""
    path = folder / f"{name}.lock"
    if not path.exists():
        return None
    with path.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return lock.read().strip() or "unknown"
    return None


def running(settings: Settings, stage: str) -> dict[int, str]:
    """Return the process id of each worker of a stage that runs with this state folder, by slot."""
    start = f"{settings.group(stage)}-"
    slots = [path.stem.removeprefix(start) for path in settings.state.glob(f"{start}*.lock")]
    held = {int(slot): holder(settings.state, f"{start}{slot}") for slot in slots if slot.isdigit()}
    return {slot: pid for slot, pid in sorted(held.items()) if pid}


def leave(stage: str, message: str) -> NoReturn:
    """End a worker that cannot start as it was asked to (status 1): starting it again would not help."""
    logs.refuse(stage, message)


def check_topics(settings: Settings, stage: str) -> None:
    """Leave (status 1) if the topics are wrong."""
    errors = [finding for finding in topics.check(settings) if finding.level == "error"]
    if errors:
        leave(stage, "; ".join(f"topic {finding.topic} {finding.text}" for finding in errors))


def snapshot_store(settings: Settings, stage: str) -> Snapshots:
    """Check the topics and return the store of this journal's snapshots; leave if they are wrong (status 1).

    Its folder is named after the journal's id on the cluster: of a journal that was deleted and made again,
    or of another cluster, no snapshot can be taken for ours.
    """
    acls.require(settings, stage)
    check_topics(settings, stage)
    name = settings.topic("journal")
    admin = AdminClient(settings.confluent(), logger=logs.KAFKA)

    def ask(wait: float) -> Any:  # a TopicDescription, which the stubs do not know
        return admin.describe_topics(TopicCollection([name]), request_timeout=wait)[name].result()

    described = topics.answered(f"the id of topic {name}", ask)
    identity = str(described.topic_id).replace("/", "_").replace("+", "-")
    try:
        return Snapshots(settings.snapshots, f"{name}-{identity}", stage, lambda line: log(stage, line))
    except ValueError as error:
        leave(stage, f"snapshots {settings.snapshots}: expected a folder or a URL such as s3://...: {error}")


class Membership:
    """This process's slot in its stage's consumer group, which one process holds at a time.

    A slot is a static member, so that a restart takes its place at once; so would a worker of another state
    folder, and the two would take it from each other for ever. Who holds it is asked of the broker, and our
    own member's id is kept in the state folder: a dead worker of ours is no other.
    """

    def __init__(self, settings: Settings, stage: str, slot: int) -> None:
        self.stage = stage
        self.slot = slot
        self.group = settings.group(stage)
        self.instance = slot_name(settings, stage, slot)
        self.member = ""
        self._path = settings.state / f"{self.instance}.member"
        self._admin = AdminClient(settings.confluent(), logger=logs.KAFKA)

    def holder(self, seconds: float = 20.0) -> str | None:
        """Return the id of the member that holds the slot, None if nobody does. Blocks on the broker.

        Raises KafkaException, BrokerAway.
        """

        def ask(wait: float) -> list[MemberDescription]:
            asked = self._admin.describe_consumer_groups([self.group], request_timeout=wait)[self.group]
            return asked.result().members or []

        try:
            members = topics.answered(f"who is in group {self.group}", ask, seconds)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return None
            raise
        return next((one.member_id for one in members if one.group_instance_id == self.instance), None)

    def other(self) -> str | None:
        """Return the id of a member that holds the slot and is not our own, which may be dead."""
        known = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        holder = self.holder()
        return None if holder == known else holder

    def wait(self) -> None:
        """Wait until a dead member of another state folder is forgotten; leave (status 1) if it lives."""
        deadline = time.monotonic() + MEMBER_SECONDS
        while (other := self.other()) is not None:
            if time.monotonic() > deadline:
                leave(
                    self.stage,
                    f"slot {self.slot} is taken: a worker of another state folder is already running "
                    f"(member {other} of group {self.group}); give another --slot, or none for a free one",
                )
            time.sleep(0.5)

    def joined(self, member: str) -> None:
        """Remember our own member's id."""
        self.member = member
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_text(member, encoding="utf-8")
        unfinished.rename(self._path)

    def leave_if_taken(self) -> None:
        """End the process (status 4) if somebody else holds our slot: taking it back would never end."""
        try:
            other = self.holder(ASK_SECONDS) if self.member else None
        except (KafkaException, topics.BrokerAway) as error:  # a broker in trouble: joining again will tell
            log(self.stage, f"who holds the place in group {self.group} could not be asked: {error}")
            return
        if other is not None and other != self.member:
            log(
                self.stage,
                f"slot {self.slot} is taken: another {self.stage} worker has this one's place (member "
                f"{other} of group {self.group}); stopped (status {ERROR})",
            )
            os._exit(ERROR)


@contextmanager
def membership(settings: Settings, stage: str) -> Iterator[Membership]:
    """Take the slot asked for, or the lowest that nobody has, here or in the group; leave if it is taken."""
    for slot in count() if settings.slot is None else [settings.slot]:
        name = slot_name(settings, stage, slot)
        lock = locked(settings.state, name)
        if lock is None:
            if settings.slot is None:
                continue
            pid = holder(settings.state, name) or "unknown"
            leave(
                stage,
                f"slot {slot} is taken: process {pid} runs it; give another --slot, or none for a free one",
            )
        with lock:
            place = Membership(settings, stage, slot)
            if settings.slot is None and place.other() is not None:
                continue
            place.wait()
            yield place
            return


async def guarded(stage: str, app: faust.App, work: Coroutine[Any, Any, None]) -> None:
    """Run a background task; if it dies, the process dies: a dead task is a silent stall."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException:
        die(stage, app)


def die(stage: str, app: faust.App | None = None) -> None:
    """End the process with the exception in hand; nothing is lost, the journal is the truth.

    `app`: one that may be stopping. Its clients are then gone before its background tasks are, and what these
    run into is no error: it stops on. Never for a task that applies records: it may have applied half of one.
    """
    if app is not None and app.should_stop:
        return
    text = f"stopped at an error (status {ERROR}); what was not acknowledged will be read again"
    log(stage, text, level=logging.ERROR, error=True)
    os._exit(ERROR)
