"""What the workers share: one process a kind, loud deaths, log lines without account ids."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streams import topics
from streams.settings import Settings

if TYPE_CHECKING:
    import faust

ERROR = 4  # exit status of a worker that ends at an error of its own
ASK_SECONDS = 3.0  # before a group is joined again: while a broker comes back nobody answers
MEMBER_SECONDS = 10.0  # more than the session time-out, after which a group forgets a dead member


def log(stage: str, message: str) -> None:
    """Write one line to stderr (Faust redirects print)."""
    print(f"{time.strftime('%H:%M:%S')} {stage}: {message}", file=sys.__stderr__, flush=True)


def only_one(folder: Path, stage: str) -> IO[str]:
    """Take the lock of a stage in a folder, or leave with status 1: a second worker is not supported yet.

    The lock lasts as long as the stream that is returned is open, at most as long as the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / f"{stage}.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        print(
            f"fairbook: not yet supported: a worker {stage} is already running "
            f"(process {lock.read().strip() or 'unknown'})",
            file=sys.stderr,
        )
        sys.exit(1)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def holder(folder: Path, stage: str) -> str | None:
    """Return the process id of the worker that holds the lock of `only_one`; None where nobody does."""
    path = folder / f"{stage}.lock"
    if not path.exists():
        return None
    with path.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return lock.read().strip() or "unknown"
    return None


def snapshot_folder(settings: Settings, stage: str) -> Path:
    """Check the topics and return the folder of this journal's snapshots; leave if they are wrong (status 1).

    The folder is named after the journal's id on the cluster: of a journal that was deleted and made again,
    or of another cluster, no snapshot can be taken for ours.
    """
    errors = [finding for finding in topics.check(settings) if finding.level == "error"]
    if errors:
        for finding in errors:
            print(f"fairbook worker {stage}: topic {finding.topic} {finding.text}", file=sys.stderr)
        sys.exit(1)
    name = settings.topic("journal")
    admin = AdminClient(settings.confluent())
    described = admin.describe_topics(TopicCollection([name]), request_timeout=20)[name].result()
    identity = str(described.topic_id).replace("/", "_").replace("+", "-")
    return settings.state / "snapshots" / f"{name}-{identity}"


# A broker that has just started has yet to find out who looks after a group.
MOVING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class Membership:
    """This process's place in its stage's consumer group, which one process holds at a time.

    The group has one static member, so that a restart takes its place at once; so would a worker of another
    state folder, and the two would take it from each other for ever. Who holds it is asked of the broker, and
    our own member's id is kept in the state folder: a dead worker of ours is no other.
    """

    def __init__(self, settings: Settings, stage: str) -> None:
        self.stage = stage
        self.group = settings.group(stage)
        self.member = ""
        self._path = settings.state / f"{self.group}.member"
        self._admin = AdminClient(settings.confluent())

    @property
    def instance(self) -> str:
        """The id of the group's one static member."""
        return f"{self.group}-0"

    def holder(self, seconds: float = 20.0) -> str | None:
        """Return the id of the member that holds the place, None if nobody does. Blocks on the broker."""
        deadline = time.monotonic() + seconds
        while True:
            asked = self._admin.describe_consumer_groups([self.group], request_timeout=seconds)[self.group]
            try:
                members = asked.result().members
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.GROUP_ID_NOT_FOUND:
                    return None
                if code not in MOVING or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
                continue
            return next((one.member_id for one in members if one.group_instance_id == self.instance), None)

    def enter(self) -> None:
        """Leave with status 1 if a living worker of another state folder holds the place."""
        known = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        deadline = time.monotonic() + MEMBER_SECONDS
        while (other := self.holder()) is not None and other != known:
            if time.monotonic() > deadline:
                print(
                    f"fairbook worker {self.stage}: not yet supported: a {self.stage} worker of another "
                    f"state folder is already running (member {other} of group {self.group})",
                    file=sys.stderr,
                )
                sys.exit(1)
            time.sleep(0.5)

    def joined(self, member: str) -> None:
        """Remember our own member's id."""
        self.member = member
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_text(member, encoding="utf-8")
        unfinished.rename(self._path)

    def leave_if_taken(self) -> None:
        """End the process (status 4) if somebody else holds our place: taking it back would never end."""
        try:
            other = self.holder(ASK_SECONDS) if self.member else None
        except KafkaException as error:  # a broker in trouble: joining again will tell
            log(self.stage, f"who holds the place in group {self.group} could not be asked: {error}")
            return
        if other is not None and other != self.member:
            log(
                self.stage,
                f"not yet supported: another {self.stage} worker has taken this one's place (member {other} "
                f"of group {self.group}); stopped (status {ERROR})",
            )
            os._exit(ERROR)


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
    traceback.print_exc(file=sys.__stderr__)
    log(stage, f"stopped at the error above (status {ERROR}); what was not acknowledged will be read again")
    os._exit(ERROR)
