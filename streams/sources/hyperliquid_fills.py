"""Every fill of the Hyperliquid chain as SPEC.md records: what `fairbook ingest hyperliquid-fills` reads.

    capture = read(Path("../shared/data/hyperliquid_fills"))
    for topic, record in capture.records: ...    # trades only; `seq` is 1, 2, 3, ... of each instrument
    capture.counts, capture.notes()              # what became of every row
    capture.reference_toml                       # who is who, for `reference.toml`

How it is read, as far as it is not told in `hyperliquid`:
- A file holds a line a block, with the fill rows of all coins; the two rows that share a `tid` are a trade,
  with both wallets; the one that `crossed` is the aggressor. Of a trade with one row one side is unknown.
- `seq` is made here for each coin: (block number, place of the trade's first row in the block), never the
  time of arrival. `ts` is the block's time. A block that is missing leaves no gap: it is counted and noted.
- Instruments: a perpetual is named as in the order-level source, `BTC` becoming `BTC-PERP`; a spot pair (the
  chain's `@107`, or `PURR/USDC`) keeps its name. No tick or lot is known here.
- There are no orders, so nothing is known of any book (the instrument's `book` is `none`): a trade's orders
  are no `orphan`s, and spread is unknown. For the same reason there is no `match_id`: no turn to agree with.
- A fee is kept where it is in USDC and has at most 8 decimals. Records carry no fee currency, and a cut or
  rounded fee would be a guess; others are left out and counted.
- `mm_flag` is absent, as the chain has none: I1 finds every fill of the two vaults `untagged`.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from schemas.decimals import DecimalError, parse
from schemas.events import Topic
from streams.sources.hyperliquid_blocks import SIDES, Mapper, Record
from streams.sources.hyperliquid_files import AGAIN, Block, Fill, HyperliquidError, utc_nanoseconds
from streams.sources.hyperliquid_reference import VAULTS, who_is_who

__all__ = ["VAULTS", "Capture", "HyperliquidError", "instrument_of", "read"]


class CoinFill(Fill):
    """A fill row and the token in which its fee was paid."""

    fee_token: str = msgspec.field(name="feeToken", default="USDC")


class _Line(msgspec.Struct):
    block_time: str
    block_number: int
    events: list[tuple[str, CoinFill]]


_line = msgspec.json.Decoder(_Line)


def instrument_of(coin: str) -> str:
    """Return our name of the chain's coin.

    >>> [instrument_of(coin) for coin in ("BTC", "xyz:XYZ100", "@107", "PURR/USDC")]
    ['BTC-PERP', 'xyz:XYZ100-PERP', '@107', 'PURR/USDC']
    """
    return coin if coin.startswith("@") or "/" in coin else f"{coin}-PERP"


def read(path: Path) -> Capture:
    """Return the fills in `path`: a file (.jsonl, plain or .gz), or a folder of them.

    Raises HyperliquidError: nothing there, a damaged file, a line that is no block, a block twice.
    """
    blocks: dict[int, tuple[int, list[tuple[str, CoinFill]]]] = {}
    for file in _files(path):
        for place, data in _lines(file):
            try:
                line = _line.decode(data)
                ts = utc_nanoseconds(line.block_time)
            except ValueError as error:  # msgspec's errors are ValueErrors
                raise HyperliquidError(f"{place}: expected a node's fills, got {error}") from error
            if line.block_number in blocks:
                raise HyperliquidError(
                    f"{place}: expected block {line.block_number} once, got it again; {AGAIN}"
                )
            blocks[line.block_number] = (ts, line.events)
    if not any(events for _ts, events in blocks.values()):
        raise HyperliquidError(f"{path}: expected fills, got none; name a file of node_fills_by_block")
    return Capture(blocks)


class Capture:
    """What was read. `counts` is complete after `records` has been read to its end."""

    def __init__(self, blocks: dict[int, tuple[int, list[tuple[str, CoinFill]]]]) -> None:
        self._blocks = sorted(blocks.items())
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many records there will be."""
        return len({fill.tid for _number, (_ts, rows) in self._blocks for _user, fill in rows})

    @property
    def coins(self) -> list[str]:
        """The chain's names of what was traded, ascending."""
        return sorted({fill.coin for _number, (_ts, rows) in self._blocks for _user, fill in rows})

    @property
    def records(self) -> Iterator[tuple[Topic, Record]]:
        """The trades in their order, as often as wanted."""
        mapper = Mapper(VAULTS, ())
        self.counts = mapper.counts
        last: Counter[str] = Counter()
        for number, (ts, rows) in self._blocks:
            coins = {str(fill.tid): fill.coin for _user, fill in rows}
            unusable = {(str(fill.tid), SIDES[fill.side]) for _user, fill in rows if not _usable(fill)}
            block = Block(number, ts, fills=[(user, fill) for user, fill in rows])
            block.arrived["fills"] = [0] * len(rows)  # it came whole
            mapper.counts["rows"] += len(rows)
            mapper.counts["fees left out"] += len(unusable)
            for item in mapper.block(block):
                trade_id = str(item.body["trade_id"])
                for side in ("buy", "sell"):
                    if (trade_id, side) in unusable:
                        del item.body[f"{side}_fee"]
                instrument = instrument_of(coins[trade_id])
                last[instrument] += 1
                mapper.counts[item.topic] += 1
                yield item.topic, {"instrument": instrument, "seq": last[instrument], "ts": ts, **item.body}

    @property
    def reference_toml(self) -> str:
        """Who is who, as the text of a `reference.toml` (SPEC.md 2.4), in force for all time."""
        listed = "\n".join(
            f'[[instruments]]\nsymbol = "{instrument_of(coin)}"\nbook = "none"\nsequence = "adapter"\n'
            for coin in self.coins
        )
        return who_is_who(f"fills of {len(self.coins)} coins", "hyperliquid-fills", listed, ["*"])

    def notes(self) -> list[str]:
        """Return, once all records are read, what a reader of the findings should know, as sentences."""
        first, last = self._blocks[0][0], self._blocks[-1][0]
        notes = [
            "The chain has no sequence number: it is made, coin by coin, of block number and place there",
            "The chain carries no market-making flag: each of the "
            f"{self.counts['vaults: fills']:,} fills of the two vaults is an `untagged` finding",
            f"{self.counts['fees left out']:,} fees are left out: not in USDC, or more than 8 decimals",
        ]
        if missing := last - first + 1 - len(self._blocks):
            notes.append(f"{missing:,} blocks between {first} and {last} are missing; seq has no gap there")
        return notes


# ---- parts --------------------------------------------------------------------------------------------


def _usable(fill: CoinFill) -> bool:
    """Return True if a record can carry the fee as it is."""
    try:
        parse(fill.fee)
    except DecimalError:
        return False
    return fill.fee_token == "USDC"


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise HyperliquidError(f"{path}: expected a .jsonl file of fills or a folder of them, got nothing")
    return files


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            for number, data in enumerate(stream, 1):
                if data.strip():
                    yield f"{file}:{number}", data
    except (EOFError, OSError, zlib.error) as error:
        raise HyperliquidError(f"{file}: expected a whole file, got {error}; {AGAIN}") from error
