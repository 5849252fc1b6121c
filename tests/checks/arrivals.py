"""A recording's journal as it can be beside a venue: clocks between, facts learnt in mid-day, twins."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from agreement import RULEBOOK

from detectors.runner import Runner
from schemas import codec
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


TWIN = ".twin"


def with_twins(text: str) -> str:
    """Return a rulebook with a second instance of every rule, under another name; of data_quality is one."""
    head, *instances = text.split("[[instance]]")
    twins = [
        re.sub(r'^name = "(.*)"', rf'name = "\1{TWIN}"', one, count=1, flags=re.MULTILINE)
        for one in instances
        if 'rule = "data_quality"' not in one
    ]
    return "[[instance]]".join([head, *(one.rstrip() + "\n\n" for one in (*instances, *twins))])


def under(lines: list[Entry], change: Callable[[str], str]) -> list[Entry]:
    """Return the entries with each rulebook's text changed."""
    return [
        RulebookEntry(digest=entry.digest, text=change(entry.text))
        if isinstance(entry, RulebookEntry)
        else entry
        for entry in lines
    ]


def twins(lines: list[Entry]) -> list[Entry]:
    """Return the entries with a second instance of every rule."""
    return under(lines, with_twins)


def answers(lines: list[Entry], step: int = 0) -> list[bytes]:
    """Return what is published for a journal, in order; `step`: with a new process after so many entries."""
    runner, said = Runner(strict=True), []
    for number, entry in enumerate(lines):
        if step and number % step == 0:
            runner = Runner.restore(runner.snapshot(), strict=True)
        said += [codec.canonical(output) for output in runner.apply(entry)]
    return said
