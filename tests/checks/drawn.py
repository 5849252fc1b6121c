"""Recordings that Hypothesis draws; one on which rule and oracle differ is reduced to few records and told.

Hypothesis draws a generator's chance, of which a part taken out changes all that follows. So what it finds is
reduced as a recording: records, then facts of reference data, are left out as long as it still fails.

The examples are the same on every run. FAIRBOOK_EXAMPLES=5000 draws so many others, anew each time.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from as_scenario import as_scenario
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markets import Recording

from schemas.events import SOURCE_TOPICS, Topic

EXAMPLES = int(os.environ.get("FAIRBOOK_EXAMPLES", "0"))
Line = tuple[Topic, bytes]
Part = TypeVar("Part")


def draw(
    examples: int, longest: int, make: Callable[[Random, int, Path], object], judge: Callable[[Path], None]
) -> None:
    """`make(chance, steps, folder)` so many recordings, of at most `longest` steps, and `judge` each.

    What it asserts is raised for the smallest recording found on which it fails, told as a scenario.
    """

    @settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        print_blob=False,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(chance=st.randoms(use_true_random=False, note_method_calls=False), steps=st.integers(1, longest))
    def drawn(chance: Random, steps: int) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "day"
            make(chance, steps, folder)
            try:
                judge(folder)
            except AssertionError as error:
                smallest = reduced(read(folder), lambda one: _fails(one, judge))
                notes = str(error).splitlines()[:12]
                raise AssertionError(f"rules and oracle differ:\n{as_scenario(smallest, notes)}") from error

    drawn()


def read(folder: Path) -> Recording:
    """Return a recording's records, each topic's as they came, together by `seq`; and reference data."""
    topics = [
        [(topic, line) for line in (folder / f"{topic}.jsonl").read_bytes().splitlines()]
        for topic in SOURCE_TOPICS
    ]
    lines = list(heapq.merge(*topics, key=lambda line: _record(line[1]).get("seq", 0)))
    return Recording(0, (folder / "reference.toml").read_text(encoding="utf-8"), lines)


def reduced(recording: Recording, fails: Callable[[Recording], bool]) -> Recording:
    """Return the recording without what can be left out: records, then facts; it still fails."""
    facts: Sequence[str] = re.split(r"(?m)^(?=\[)", recording.reference)
    lines: Sequence[Line] = recording.lines

    def still(lines: Sequence[Line], facts: Sequence[str]) -> bool:
        return fails(_with(recording, lines, facts))

    for _ in range(2):  # fewer facts may need fewer records
        lines = fewest(lines, partial(still, facts=facts))
        facts = fewest(facts, partial(still, lines))
    return _with(recording, lines, facts)


def fewest(parts: Sequence[Part], fails: Callable[[Sequence[Part]], bool]) -> Sequence[Part]:
    """Return some of the parts, none of which can be left out by itself (after Zeller's ddmin)."""
    size = max(1, len(parts) // 2)
    while parts:
        at, before = 0, len(parts)
        while at < len(parts):
            without = [*parts[:at], *parts[at + size :]]
            if fails(without):
                parts = without
            else:
                at += size
        if size == 1 and len(parts) == before:
            break
        size = max(1, size // 2)
    return parts


def _with(recording: Recording, lines: Sequence[Line], facts: Sequence[str]) -> Recording:
    """Return a recording of these; each `seq` is less by as many as were left out before: no new gaps."""
    kept = {_record(line).get("seq") for _, line in lines}
    gone = sorted({_record(line).get("seq") for _, line in recording.lines} - kept - {None})
    return Recording(0, "".join(facts), [(topic, _moved(line, gone)) for topic, line in lines])


def _moved(line: bytes, gone: list[int]) -> bytes:
    record = _record(line)
    if not record:
        return line
    return json.dumps(record | {"seq": record["seq"] - sum(seq < record["seq"] for seq in gone)}).encode()


def _record(line: bytes) -> dict[str, Any]:
    """Return a record that has a place; of anything else nothing."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) and type(said.get("seq")) is int else {}


def _fails(recording: Recording, judge: Callable[[Path], None]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        recording.write(Path(folder))
        try:
            judge(Path(folder))
        except AssertionError:
            return True
        except Exception:  # no recording any more: an account that is gone, no instrument
            return False
    return False
