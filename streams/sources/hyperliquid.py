"""A capture of the Hyperliquid chain as SPEC.md records: what `fairbook ingest hyperliquid` reads.

    capture = read(Path("../shared/data/hyperliquid_l4"), "by_block")
    for topic, record in capture.records: ...  # SPEC 2.1-2.3; `seq` is 1, 2, 3, ... over all three topics
    capture.total                              # how many
    capture.counts, capture.notes()            # what became of every input, once all records are read
    capture.reference_toml                     # who is who, for `reference.toml`

How it is read:
- The chain has no sequence number per instrument, so one is made here, and only here does a place in a file
  become sequence: (block number, place among the block's order statuses). Never the time of arrival. The
  records of the streaming copy are those of the by-block copy, byte for byte; they come in the order in which
  they were seen (`local_time`, seconds behind and disordered), so that `seq` has to put them right again.
- Order statuses set the order of a block, one record each. A trade comes in the turn of its aggressor
  (`crossed`), right after that order's `open`. Fills whose aggressor has no status (slices of a
  time-weighted average price order: the node writes none) stand where the maker's book diff stands among the
  other diffs. No order is invented for them: data quality says `orphan`, which is true of the record.
- Book diffs say how much rests: `new` with another size than the `open` status (a reduce-only order is cut
  to the position) becomes `leaves_qty`. A diff that neither a status nor a fill explains is a record of its
  own: `new`, `replaced`, or `canceled` with reason `venue`.
- A modified order gets a new id on the chain and arrives as `open` of the new one and `canceled` of the old;
  so it stays. Resting orders of the snapshot are `restated` with their original time, in its order.
- The published quotes (another program's, from the same input) come last in their block, with its time. The
  snapshot's has none and is stamped with the latest order time in the snapshot; that of a block without
  events, which the streaming copy does not know, keeps its own, in ms.
- `mm_flag` is absent: the chain has no such flag. Hence I1 finds every order and fill of the two vaults
  `untagged`, which is what the raw record shows. `flag_vaults=True` sets it on theirs: a what-if.
- An unknown status or time in force is passed on as it is: the tagger quarantines it with its reason.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from schemas.events import Topic
from streams.sources.hyperliquid_blocks import Mapper, Record
from streams.sources.hyperliquid_files import (
    Best,
    Blocks,
    HyperliquidError,
    Snapshot,
    read_blocks,
    read_quotes,
    read_snapshot,
)
from streams.sources.hyperliquid_reference import VAULTS, who_is_who

__all__ = ["VAULTS", "Capture", "HyperliquidError", "Record", "read", "reference_toml"]

MS = 1_000_000  # ns


def read(
    folder: Path,
    copy: str = "by_block",
    *,
    coin: str = "BTC",
    instrument: str = "BTC-PERP",
    flag_vaults: bool = False,
) -> Capture:
    """Return the capture in `folder`, read and checked.

    `copy`: `by_block` or `streaming`, which of the two archives. `coin`: the chain's name of the market,
    `instrument`: ours. `flag_vaults`: set `mm_flag` on the vaults' orders and fills, as the chain does not.
    Raises HyperliquidError: a file missing, damaged or not a node's, blocks that do not follow on the
    snapshot, a quote of no block; and, while records are read, trades with two buyers.
    """
    snapshot = read_snapshot(folder, coin)
    blocks = read_blocks(folder, copy, coin)
    if blocks.first != snapshot.height + 1:
        raise HyperliquidError(
            f"{folder}: expected blocks from {snapshot.height + 1}, after the snapshot, got {blocks.first}; "
            "use the snapshot of the block before the first"
        )
    return Capture(snapshot, blocks, read_quotes(folder, coin), instrument, flag_vaults)


class Capture:
    """What was captured. `counts` is complete once all records are read: `snapshot: ...`, `status: NAME`,
    `diffs: ...`, `trades: ...`, `vaults: ...`, and records by topic.
    """

    def __init__(
        self, snapshot: Snapshot, blocks: Blocks, quotes: list[Best], instrument: str, flag_vaults: bool
    ) -> None:
        self.instrument = instrument
        self.counts: Counter[str] = Counter()
        self._snapshot = [item for item in snapshot.orders if not item[1].is_trigger]
        self._untriggered = len(snapshot.orders) - len(self._snapshot)
        self._blocks = blocks
        self._flag_vaults = flag_vaults
        start = max((order.timestamp * MS for _user, order in self._snapshot), default=blocks.items[0].ts)
        self._quotes = _placed(quotes, blocks, start)

    @property
    def total(self) -> int:
        """The number of records; there are more if diffs tell of changes without a status."""
        trades = sum(len({fill.tid for _user, fill in block.fills}) for block in self._blocks.items)
        statuses = sum(len(block.order_statuses) for block in self._blocks.items)
        return len(self._snapshot) + statuses + trades + sum(map(len, self._quotes))

    @property
    def latest_ts(self) -> int:
        """The latest time of a record, in ns: with what the recording ends."""
        return max(self._blocks.items[-1].ts, *(ts for quotes in self._quotes for ts, _best in quotes))

    @property
    def reference_toml(self) -> str:
        """Who is who, as the text of a `reference.toml`."""
        return reference_toml(self.instrument)

    @property
    def records(self) -> Iterator[tuple[Topic, Record]]:
        """All records anew, in the order of `seq`, those of the streaming copy in that of their arrival."""
        mapper = Mapper(VAULTS, VAULTS if self._flag_vaults else ())
        self.counts = mapper.counts
        self.counts["snapshot: untriggered, left out"] = self._untriggered
        records = enumerate(self._records(mapper), 1)
        for seq, (topic, ts, body, _arrived) in sorted(records, key=lambda item: (item[1][3], item[0])):
            self.counts[topic] += 1
            yield topic, {"instrument": self.instrument, "seq": seq, "ts": ts, **body}

    def _records(self, mapper: Mapper) -> Iterator[tuple[Topic, int, Record, int]]:
        """Return topic, ts, body and arrival, in the order of the sequence."""
        for user, order in self._snapshot:
            yield "orders", order.timestamp * MS, mapper.restated(user, order), 0
        for ts, best in self._quotes[0]:
            yield "quotes", ts, _quote(best), 0
        complete = 0  # a quote can be known once all of its block has been seen
        for block, quotes in zip(self._blocks.items, self._quotes[1:], strict=True):
            for _place, topic, body, arrived in mapper.block(block):
                complete = max(complete, arrived)
                yield topic, block.ts, body, arrived
            for ts, best in quotes:
                yield "quotes", ts, _quote(best), complete

    def notes(self) -> list[str]:
        """Return, once all records are read, what a reader of the findings should know, as sentences."""
        counts, orders = self.counts, self.counts["vaults: orders"]
        flags = (
            f"mm_flag was set here on {orders} orders of the two vaults; the chain does not carry it"
            if self._flag_vaults
            else f"The chain carries no market-making flag: each of the {orders} orders and "
            f"{counts['vaults: fills']} fills of the two vaults is an `untagged` finding"
        )
        return [
            "The chain has no sequence number: it is made of block number and place in the block's statuses",
            flags,
            f"{counts['trades: aggressor without status']} trades have an aggressor of which the node wrote "
            "no status: an `orphan` in data quality each",
        ]


def _quote(best: Best) -> Record:
    bid_px, bid_size = best.bid or (None, None)
    ask_px, ask_size = best.ask or (None, None)
    sides = {"bid_px": bid_px, "bid_size": bid_size, "ask_px": ask_px, "ask_size": ask_size}
    return {name: value for name, value in sides.items() if value is not None}


def _placed(quotes: list[Best], blocks: Blocks, start: int) -> list[list[tuple[int, Best]]]:
    """Return (ts, quote) after the snapshot, then after each block that has events.

    A quote has its block's time, in ms; one between two blocks is of a block without events.
    """
    found: list[list[tuple[int, Best]]] = [[] for _ in range(len(blocks.items) + 1)]
    times = [block.ts // MS for block in blocks.items]
    numbers = [blocks.first - 1, *(block.number for block in blocks.items), blocks.last + 1]
    for best in quotes:
        after = bisect_left(times, best.ts_ms)
        if best.ts_ms == 0:
            found[0].append((start, best))
        elif after < len(times) and times[after] == best.ts_ms:
            found[after + 1].append((blocks.items[after].ts, best))
        elif numbers[after] + 1 < numbers[after + 1]:
            found[after].append((best.ts_ms * MS, best))
        else:
            raise HyperliquidError(
                f"expected quotes at the times of blocks {blocks.first} to {blocks.last}, got one at "
                f"{best.ts_ms} ms; use the quotes that were made from this archive"
            )
    return found


def reference_toml(instrument: str = "BTC-PERP") -> str:
    """Return who is who, as the text of a `reference.toml` (SPEC.md 2.4), in force for all time."""
    return who_is_who(instrument, "hyperliquid", LISTED.format(instrument=instrument), [instrument])


LISTED = """\
[[instruments]]
symbol = "{instrument}"
tick_size = "1"       # 5 significant figures or an integer: 1 from 10,000 up; finer below
lot_size = "0.00001"  # 5 decimals of size
base = "BTC"
quote = "USDC"
matching = "price_time"
"""
