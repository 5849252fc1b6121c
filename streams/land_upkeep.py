"""The lake's upkeep (compaction, retention), by one land worker at a time; another goes on when it dies."""

from __future__ import annotations

import logging
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

from streams import worker
from streams.lake import catalog, compaction, position, retention
from streams.lake.stamp import LakeError

NAME = "upkeep"  # its lock, in the folder of the positions
SECONDS = 1.0  # between steps
PAUSE = 30.0  # after one that failed


class Upkeep:
    """This process's share: all of it while it holds the lock, else none."""

    def __init__(self, root: Path, retention: Path | None = None) -> None:
        self.root = root
        self.retention = retention
        self._retained: date | None = None  # the UTC day it was last done
        self.compactor: compaction.Compactor | None = None
        self.stopped = False  # by an error that is ours
        self.seconds = 0.0  # spent on it
        self._lock: IO[str] | None = None
        self._due = 0.0

    def step(self, now: float) -> None:
        """Do the next small piece, if it is due; `now`: monotonic seconds.

        Whatever goes wrong, landing goes on and the lake is whole.
        """
        if self.stopped or now < self._due:
            return
        began = time.monotonic()
        self._due = now + SECONDS
        try:
            if self._lock is None:
                self._lock = worker.locked(self.root / position.FOLDER, NAME)
            if self._lock is None:
                return
            if self.compactor is None:
                self.compactor = compaction.Compactor(self.root, lambda: catalog.publish(self.root))
            self.compactor.step(now)
            self._retain(self.compactor)
        except (OSError, LakeError) as error:
            worker.log("land", f"upkeep of the lake will be tried again in {PAUSE:.0f} s: {error}")
            self._due = now + PAUSE
            self.close()
        except Exception:
            text = "upkeep stopped at an error until the next start; landing goes on"
            worker.log("land", text, level=logging.ERROR, error=True)
            self.stopped = True
            self.close()
        finally:
            self.seconds += time.monotonic() - began

    def _retain(self, compactor: compaction.Compactor) -> None:
        today = datetime.now(UTC).date()
        if self.retention is None or today == self._retained:
            return
        plans = retention.plan(compactor, retention.load(self.retention), today)
        retention.apply(compactor, plans)
        self._retained = today
        for one in plans:
            if one.paths:
                worker.log(
                    "land", f"{one.table}: {len(one.paths)} files older than {one.days} days are removed"
                )

    def close(self) -> None:
        """Leave it to another worker."""
        self.compactor = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
