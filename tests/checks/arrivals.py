"""A recording's journal as it can be beside a venue: clocks between the events, facts learnt in mid-day."""

from __future__ import annotations

from pathlib import Path
from random import Random

from agreement import RULEBOOK

from schemas.journal import (
    ClockEntry,
    Entry,
    OrderEntry,
    QuoteEntry,
    ReferenceEntry,
    RulebookEntry,
    TradeEntry,
)
from streams import reference_data
from streams.replay import journal

EVENTS = (OrderEntry, TradeEntry, QuoteEntry)


def recorded(folder: Path) -> list[Entry]:
    """Return a recording as journal entries."""
    return list(journal(folder, reference_data.load(folder / "reference.toml"), RULEBOOK))


def with_clocks(lines: list[Entry], random: Random) -> list[Entry]:
    """Return the entries with clocks wherever a promise can be kept: no event with ts <= T is to come."""
    ahead = [1 << 62]  # the least ts of what follows, from the last entry on
    for entry in reversed(lines):
        ahead.append(min(ahead[-1], entry.ts) if isinstance(entry, EVENTS) else ahead[-1])
    found: list[Entry] = []
    for entry, later in zip(lines, reversed(ahead[:-1]), strict=True):
        found.append(entry)
        if isinstance(entry, EVENTS) and later < 1 << 62:
            for _ in range(random.choice((0, 1, 2))):
                found.append(ClockEntry(ts=random.randint(min(entry.ts, later - 1), later - 1)))
    return found


def facts_in_mid_day(lines: list[Entry], random: Random) -> list[Entry]:
    """Return the entries with half of the facts somewhere among the events, learnt in mid-day."""
    moved = [entry for entry in lines if isinstance(entry, ReferenceEntry) and random.random() < 0.5]
    found = [entry for entry in lines if not any(entry is other for other in moved)]
    start = next(number for number, entry in enumerate(found) if isinstance(entry, RulebookEntry)) + 1
    for entry in moved:
        found.insert(random.randint(start, len(found)), entry)
    return found
