"""Faults of the data, put into a finished stream of records: what a tired feed does to an honest market.

Only venue quotes are lost, held back or spoilt, so what was planted in orders and trades stays exactly as
labelled; any record may be sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from random import Random

from schemas.decimals import ONE, parse, text
from schemas.events import SOURCE_TOPICS, Topic
from streams.sources.simulator_config import Record

GARBAGE = (b'{"instrument": "BTC-USD", "seq": 12', b"not a record", b"\xff\xfe\x00", b"[1, 2", b"null")
HOLD_BACK = 40  # records that overtake a late one or lie between a record and its duplicate, at most


@dataclass(frozen=True, slots=True)
class Faults:
    """How many of each. `late` comes soon enough to be put in order again: it must leave no trace."""

    duplicate: int = 0
    conflict: int = 0
    gap: int = 0
    late: int = 0
    garbage: int = 0
    float_price: int = 0

    @classmethod
    def each(cls, count: int) -> Faults:
        """`count` of every kind."""
        return cls(**{item.name: count for item in fields(cls)})


class FaultyStream:
    """Iterate once for (topic, record or raw bytes), then read `labels`: kind, instrument, seq of each.

    `total` is about how many records will come; faults are spread over the first nine tenths of them. A kind
    that finds no record to spoil is in `unplanted`. `conflict` and `float_price` copies carry a seq of their
    own record; a `float_price` record replaces the true one, so its seq is missing too. The instruments
    `spared` stay whole: a gap would make time unknown in which a maker is said to have quoted as agreed.
    """

    def __init__(
        self,
        records: Iterable[tuple[Topic, Record]],
        faults: Faults,
        total: int,
        seed: int = 1,
        spared: frozenset[str] = frozenset(),
    ) -> None:
        self._spared = spared
        self.labels: list[dict[str, str | int]] = []
        self._rng = Random(seed)
        kinds = [item.name for item in fields(faults) for _ in range(int(getattr(faults, item.name)))]
        self._rng.shuffle(kinds)
        self._plan = sorted((self._rng.randrange(total // 20, 1 + total * 9 // 10), kind) for kind in kinds)
        self._held: list[tuple[int, Topic, Record]] = []
        self._source = iter(records)
        self._stream = self._run()

    def __iter__(self) -> Iterator[tuple[Topic, Record | bytes]]:
        return self._stream

    @property
    def unplanted(self) -> list[str]:
        """Kinds still waiting for a record."""
        return [kind for _, kind in self._plan]

    def _run(self) -> Iterator[tuple[Topic, Record | bytes]]:
        for number, (topic, record) in enumerate(self._source):
            keep = True
            kind = self._plan[0][1] if self._plan and self._plan[0][0] <= number else ""
            if kind == "garbage":
                del self._plan[0]
                self.labels.append({"kind": kind})
                yield self._rng.choice(SOURCE_TOPICS), self._rng.choice(GARBAGE)
            elif record["instrument"] not in self._spared and (
                kind == "duplicate" or (kind and topic == "quotes" and record["bid_px"] is not None)
            ):
                del self._plan[0]
                keep = self._spoil(kind, topic, record, number)
                if kind == "float_price":
                    yield topic, {**record, "bid_px": float(str(record["bid_px"]))}
            if keep:
                yield topic, record
            yield from self._release(number)
        yield from self._release(None)

    def _spoil(self, kind: str, topic: Topic, record: Record, number: int) -> bool:
        """Note the fault, hold back what is to come later; returns whether the true record is sent now."""
        self.labels.append(
            {"kind": kind, "instrument": str(record["instrument"]), "seq": int(str(record["seq"]))}
        )
        until = number + self._rng.randrange(1, HOLD_BACK)
        if kind in ("duplicate", "late"):
            self._held.append((until, topic, record))
        if kind == "conflict":
            other = parse(str(record["bid_size"])) + ONE
            self._held.append((until, topic, {**record, "bid_size": text(other)}))
        return kind in ("duplicate", "conflict")

    def _release(self, number: int | None) -> Iterator[tuple[Topic, Record]]:
        if self._held:
            due = [entry for entry in self._held if number is None or entry[0] <= number]
            self._held = [entry for entry in self._held if entry not in due]
            yield from ((topic, record) for _, topic, record in due)
