"""How far each topic partition has landed: `_landed/<stem>.json`, the truth about what of the lake counts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from detectors.sequence import Sequence
from schemas import codec
from streams.lake import files
from streams.lake.catalog import ZONE
from streams.lake.stamp import LakeError

FOLDER = "_landed"
REMEDY = (
    "What lies in the lake cannot be trusted to be whole: restore lake and position from one backup, or move "
    "the whole lake away and start again: the journal is landed anew from its beginning"
)


class Landed(msgspec.Struct):
    """How far a topic partition has landed (`rows` by table), and the state to go on from.

    Of a replay, which has no offsets, only `rows` counts.
    """

    next: int = 0
    sequences: dict[str, Sequence] = {}
    times: dict[str, int] = {}
    zone: str = ZONE
    rows: dict[str, int] = {}

    def save(self, root: Path, stem: str) -> None:
        """Write the position of a stem; what it covers must be durable."""
        files.write_bytes(path_of(root, stem), codec.encode(self))


def path_of(root: Path, stem: str) -> Path:
    """Return where the position of a stem (`journal-3`) stands."""
    return root / FOLDER / f"{stem}.json"


def load(root: Path, stem: str) -> Landed | None:
    """Return a stem's position, None where nothing of it has landed. Raises LakeError if it is damaged."""
    path = path_of(root, stem)
    try:
        return codec.decode(path.read_bytes(), type=Landed)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LakeError(f"{path}: expected a position, it is damaged ({error}). {REMEDY}") from error


class _Next(msgspec.Struct):
    next: int


def landed(root: Path) -> dict[tuple[str, int], int]:
    """Return the next offset to land by topic and partition."""
    found: dict[tuple[str, int], int] = {}
    for path in (root / FOLDER).glob("*-*.json"):
        topic, _, number = path.stem.rpartition("-")
        if number.isdigit():
            found[topic, int(number)] = codec.decode(path.read_bytes(), type=_Next).next
    return found
