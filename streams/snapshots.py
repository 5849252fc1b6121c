"""Snapshot files: written whole or not at all, refused when damaged or not ours. DESIGN.md 4.12.

Name: `<stage>-<partition>-<label>.snapshot`, the label being the journal offset to read on from; content: a
checksum, then the state. The newest one that can be restored wins; three are kept. A snapshot is never
needed: refusing all of them, or having written none, means reading the journal from its start.

They lie where every worker of a stage can read them, since a partition goes from one to another: in a folder,
or in any store that pyarrow.fs knows by a URL (`s3://bucket/folder`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyarrow import fs

KEEP = 3
CHECKSUM = 32
_State = TypeVar("_State")


class Snapshots:
    """The snapshots of one stage and journal.

    `place`: a path or a URL, ValueError where pyarrow.fs cannot read it; `journal`: the folder in it; `say`
    is told what goes wrong.
    """

    def __init__(self, place: str, journal: str, stage: str, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.say = say
        self.local = "://" not in place
        if self.local:
            self._store: fs.FileSystem = fs.LocalFileSystem()
            root = str(Path(place).resolve())
        else:
            self._store, root = fs.FileSystem.from_uri(place)
        self.folder = f"{root.rstrip('/')}/{journal}"
        self._failing = False

    def write(self, partition: int, label: int, state: bytes) -> bool:
        """Write a snapshot at journal offset `label`; a crash leaves it whole or not there at all.

        Returns False, and says so once, where the store does not take it (full, read-only, away): the work
        goes on, and a restart has more of the journal to read.
        """
        try:
            self._write(f"{self.stage}-{partition}-{label:020d}.snapshot", _checksum(state) + state)
            for old in self._newest_first(partition)[KEEP:]:
                self._store.delete_file(old.path)
        except OSError as error:
            if not self._failing:
                self.say(
                    f"SNAPSHOTS CANNOT BE WRITTEN to {self.folder}: {error}. Nothing is lost and work goes "
                    "on; until this is mended a restart reads more of the journal"
                )
            self._failing = True
            return False
        if self._failing:
            self.say(f"snapshots can be written to {self.folder} again")
        self._failing = False
        return True

    def newest(
        self, partition: int, restore: Callable[[bytes], _State], *, end: int | None = None
    ) -> tuple[int, _State] | None:
        """Return (label, restored state) of the newest snapshot that `restore` takes, or None.

        One that is damaged, lies beyond the journal's `end`, or makes `restore` raise (another rulebook,
        other rules, another form of state) is passed over, and `say` is told why. Raises OSError where the
        store cannot be listed: whether there are any is then not known.
        """
        for info in self._newest_first(partition):
            label = _label(info)
            try:
                with self._store.open_input_stream(info.path) as stream:
                    data = stream.read()
                state = data[CHECKSUM:]
                if data[:CHECKSUM] != _checksum(state):
                    raise ValueError("damaged: its checksum differs")
                if end is not None and label > end:
                    raise ValueError(
                        f"the journal ends at {end}, before it: is this the cluster it was made on?"
                    )
                return label, restore(state)
            except Exception as error:  # whatever is wrong with it, the journal is the truth
                self.say(f"snapshot {info.base_name} refused ({error}); an older one or the journal will do")
        return None

    def _write(self, name: str, data: bytes) -> None:
        path = f"{self.folder}/{name}"
        if not self.local:  # such a store shows an object once it is whole
            with self._store.open_output_stream(path) as stream:
                stream.write(data)
            return
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        unfinished = Path(f"{path}.unfinished")
        try:
            with unfinished.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.rename(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename, too
        finally:
            os.close(folder)

    def _newest_first(self, partition: int) -> list[fs.FileInfo]:
        found = self._store.get_file_info(fs.FileSelector(self.folder, allow_not_found=True))
        start = f"{self.stage}-{partition}-"
        ours = [info for info in found if info.base_name.startswith(start) and _label(info) >= 0]
        return sorted(ours, key=_label, reverse=True)


def _label(info: fs.FileInfo) -> int:
    digits = info.base_name.removesuffix(".snapshot").rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _checksum(state: bytes) -> bytes:
    return hashlib.blake2b(state, digest_size=CHECKSUM).digest()
