"""Small, nasty recordings from a seed: a venue that mostly keeps the rules, and sometimes does not.

`market(seed)` is a pure function. Prices lie on five ticks and quantities are small, so that orders meet,
queue and pass each other all the time. What a real venue may get wrong is in it: fills out of turn, busts,
corrections, gaps, duplicates, clocks that go back, records that make no sense, reference data learnt late.

Not in it (other tests have them): seqs beyond a day's length, packed files, late entries (a recording has
none: its gaps are given up at its end).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from market_reference import reference
from market_venue import SECOND, Venue

from schemas.events import SOURCE_TOPICS, Topic

MIDNIGHT = 1_772_467_200_000_000_000  # 2026-03-02T16:00:00Z, when a trading day of Hong Kong ends
GARBAGE: tuple[bytes, ...] = (
    b"not json",
    b"{",
    b"[1, null]",
    b"null",
    b"3",
    b'"text"',
    b"\xff\xfe{}",
    b"{}",
    b'[{"seq": 1}]',
    b'{"instrument": "X", "seq": 0, "ts": 5, "exec_type": "new"}',
    b"NaN",
    b'{"instrument": "X"}',
)
NONSENSE: tuple[tuple[str, Any], ...] = (
    ("price", 100),
    ("price", "1e2"),
    ("price", "-1"),
    ("price", "0"),
    ("price", " 100"),
    ("price", "100."),
    ("price", ".5"),
    ("price", "+1"),
    ("price", "1.123456789"),
    ("price", "12345678901.00000000"),
    ("order_qty", "0"),
    ("order_qty", "1000000000000000000"),
    ("order_qty", 1),
    ("order_qty", None),
    ("side", "Buy"),
    ("side", None),
    ("exec_type", "done"),
    ("ord_type", "peg"),
    ("time_in_force", "gtd"),
    ("ts", 1.5),
    ("ts", "5"),
    ("ts", True),
    ("seq", 0),
    ("seq", "7"),
    ("seq", 1.0),
    ("mm_flag", "true"),
    ("mm_flag", 1),
    ("exec_inst", "not_held"),
    ("exec_inst", ["held"]),
    ("account", 7),
    ("instrument", ""),
    ("order_id", ""),
    ("order_id", None),
    ("leaves_qty", "-1"),
    ("display_qty", "x"),
    ("qty", "0"),
    ("qty", None),
    ("trade_id", None),
    ("aggressor", "both"),
    ("match_type", "dark"),
    ("bid_size", "0"),
    ("bid_px", 1),
    ("ask_px", "abc"),
    ("ts_gateway", "x"),
    ("min_qty", "-0.1"),
)


@dataclass
class Recording:
    """Lines by topic, and the reference data: what `write` puts into a folder."""

    seed: int
    reference: str
    lines: list[tuple[Topic, bytes]] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write the recording and return its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "reference.toml").write_text(self.reference, encoding="utf-8")
        for topic in SOURCE_TOPICS:
            data = b"".join(line + b"\n" for of, line in self.lines if of == topic)
            (folder / f"{topic}.jsonl").write_bytes(data)
        return folder


def market(seed: int, *, instruments: int = 1) -> Recording:
    """Return the recording of a seed: 5 to 60 records an instrument, a third of the seeds without faults."""
    recording = build(Random(seed), instruments=instruments)
    recording.seed = seed
    return recording


def build(random: Random, *, instruments: int = 1, sizes: tuple[int, ...] = (4, 10, 20, 30)) -> Recording:
    """Return a recording from a source of chance, perhaps one that shrinks; `sizes`: how much happens."""
    level = random.choice((0.0, 1.0, 1.0, 2.0))
    start = MIDNIGHT - random.choice((3 * SECOND, 30 * SECOND, 5_000 * SECOND))
    names = [f"X{number}" if number else "X" for number in range(instruments)]
    recording = Recording(0, "")
    moments: list[int] = []
    for name in names:
        venue = Venue(random, name, start, level)
        venue.run(random.choice(sizes))
        moments += [record["ts"] for _topic, record in venue.out]
        recording.lines += _lines(random, venue.out, level)
    recording.reference = reference(random, names, moments or [start])
    return recording


def _lines(
    random: Random, records: list[tuple[Topic, dict[str, Any]]], level: float
) -> list[tuple[Topic, bytes]]:
    """Return the records as lines; with faults some are lost, repeated, contradicted or unreadable."""
    lines: list[tuple[Topic, bytes]] = []
    for topic, record in records:
        line = json.dumps(record).encode()
        if level and random.random() < 0.02 * level:
            continue  # lost
        if level and random.random() < 0.03 * level:
            name, value = random.choice(NONSENSE)
            if (name, record.get("exec_type")) == ("order_qty", "restated"):
                name, value = "side", "Buy"
            lines.append((topic, json.dumps({**record, name: value}).encode()))
            continue
        if level and random.random() < 0.01 * level:
            lines.append((topic, random.choice(GARBAGE)))
        if level and random.random() < 0.02 * level:
            line = json.dumps({**record, "venue_specific": {"a": 1}}).encode()
        lines.append((topic, b"[" + line + b"]" if random.random() < 0.05 else line))
        if level and random.random() < 0.02 * level:
            lines.append((topic, json.dumps(dict(reversed(record.items()))).encode()))  # the same again
        if level and random.random() < 0.02 * level:
            other = {"price": "97"} if "price" in record else {"account": "C-5"}
            lines.append((topic, json.dumps({**record, **other}).encode()))
    if level and len(lines) > 3 and random.random() < 0.2:
        at = random.randrange(len(lines) - 1)
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return lines
