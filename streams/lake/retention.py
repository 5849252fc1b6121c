"""Which rows of a lake are kept for how long: `retention.toml`, days by table; what is not named is kept.

A landed day can be replayed exactly as long as the journal's tables are whole from the beginning: they lose
nothing unless the file says `exact_replay = false`.
"""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from schemas.tables import TABLES
from streams.lake import position
from streams.lake.compaction import Compactor
from streams.lake.stamp import LakeError

JOURNAL = ("orders", "trades", "quotes", "refused", "journal_marks")  # what a replay reads
DEFAULT = "infra/retention.toml"


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`days` by table: rows of UTC days before so many are removed."""

    days: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = {}
    exact_replay: bool = True


class Plan(NamedTuple):
    """What goes from a table: its files, their bytes, and the days they are of."""

    table: str
    days: int
    paths: list[Path]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(path.stat().st_size for path in self.paths if path.exists())


def load(path: Path) -> Retention:
    """Return what a file says. Raises LakeError with what is wrong."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Retention)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise LakeError(f"{path}: expected [days] of tables, exact_replay: {error}") from error
    if unknown := found.days.keys() - TABLES.keys():
        raise LakeError(
            f"{path}: expected tables out of {', '.join(TABLES)}; got {', '.join(sorted(unknown))}"
        )
    needed = [table for table in JOURNAL if table in found.days]
    if needed and found.exact_replay:
        raise LakeError(
            f"{path}: {', '.join(needed)}: what is kept could not be replayed exactly any more (a replay "
            "begins at the journal's beginning); take the lines out, or say `exact_replay = false`"
        )
    return found


def plan(compactor: Compactor, retention: Retention, today: date) -> list[Plan]:
    """Return what is older than it is to be kept, by table."""
    landed = position.landed(compactor.root)
    found = []
    for table, days in retention.days.items():
        first = today - timedelta(days=days)
        paths = [path for path in compactor.settled(table, landed) if _day(path) < first]
        found.append(Plan(table, days, paths))
    return found


def apply(compactor: Compactor, plans: list[Plan]) -> None:
    """Take the files out of the tables; they are deleted when nobody reads them any more."""
    if any(one.paths for one in plans):
        compactor.retire({one.table: one.paths for one in plans if one.paths})


def _day(path: Path) -> date:
    return date.fromisoformat(path.parents[1].name.removeprefix("date="))
