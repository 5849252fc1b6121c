"""What says that a folder is a lake: `lake.json`, with the form it has, its id, and the venue's zone."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from schemas import codec
from streams.lake import files

NAME = "lake.json"
FORM = 1  # raised when versions before must not touch the lake any more; new columns are no reason


class LakeError(RuntimeError):
    """A lake that cannot be used: what was expected, and what to do."""


class Stamp(msgspec.Struct, frozen=True):
    """`zone`: that of the latest rulebook landed; None: none was."""

    form: int
    id: str
    zone: str | None = None


def load(root: Path) -> Stamp | None:
    """Return a lake's stamp, None where there is none. Raises LakeError for one that is not for us."""
    path = root / NAME
    try:
        found = codec.decode(path.read_bytes(), type=Stamp)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LakeError(
            f"{path}: expected a lake's form and id, it is damaged ({error}); restore it from a backup, or "
            f'write {{"form": {FORM}, "id": "ID"}}, ID from the names of the lake\'s seed-ID.parquet files'
        ) from error
    if found.form > FORM:
        raise LakeError(
            f"{path}: the lake has form {found.form}, this version of Fairbook knows {FORM} and older ones: "
            "use the version that wrote it, or a newer one"
        )
    return found


def ensure(root: Path, zone: str | None = None) -> Stamp:
    """Return a lake's stamp; write it where it is missing, or does not have `zone` (None: any)."""
    found = load(root)
    if found is None:
        _refuse_older(root)
        seeds = sorted(path.stem for path in root.glob("*/date=1970-01-01/hour=00/seed-*.parquet"))
        known = seeds[0].split("-")[1] if seeds else secrets.token_hex(4)
        wanted = Stamp(FORM, known, zone)
    else:
        wanted = Stamp(FORM, found.id, zone or found.zone)
    if wanted != found:
        files.write_bytes(root / NAME, codec.encode(wanted))
    return wanted


def _refuse_older(root: Path) -> None:
    """Refuse a lake from before there was a stamp: its positions do not count rows."""
    for path in root.glob("_landed/*.json"):
        if b'"rows"' not in path.read_bytes():
            raise LakeError(
                f"{root}: expected {NAME}, and positions that count rows; it is from before them: read it "
                "with the version that wrote it, or land or replay into a new folder"
            )
