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
from typing import IO, Any

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from streams import topics
from streams.settings import Settings

ERROR = 4  # exit status of a worker that ends at an error of its own


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
            f"fairbook worker {stage}: not yet supported: a {stage} worker is already running "
            f"(process {lock.read().strip() or 'unknown'})",
            file=sys.stderr,
        )
        sys.exit(1)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


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


async def guarded(stage: str, work: Coroutine[Any, Any, None]) -> None:
    """Run a background task; if it dies, the process dies: a dead task is a silent stall."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException:
        die(stage)


def die(stage: str) -> None:
    """End the process with the exception in hand; nothing is lost, the journal is the truth."""
    traceback.print_exc(file=sys.__stderr__)
    log(stage, f"stopped at the error above (status {ERROR}); what was not acknowledged will be read again")
    os._exit(ERROR)
