"""What a Hyperliquid node wrote, read strictly and grouped by block: no mapping here, see `hyperliquid`.

A folder holds `by_block_*.tar.gz` or `streaming_*.tar.gz` (order statuses, raw book diffs, fills), the
snapshot `snapshot_HEIGHT.json.gz` of all resting orders before the first block, and another program's best
bid and offer, `parser_block_tob.jsonl`. Prices and sizes are strings in the files and stay strings.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec

from detectors.trading_day import nanoseconds
from schemas.decimals import text
from streams.sources.recording import RecordingError

COPIES = ("by_block", "streaming")
Kind = Literal["order_statuses", "raw_book_diffs", "fills"]

MEMBER = re.compile(r"(?:^|/)node_(order_statuses|raw_book_diffs|fills)_(?:by_block|streaming)/")
RANGE = re.compile(r"_([0-9]+)_([0-9]+)\.tar\.gz$")
STAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z?", re.ASCII)
QUOTES_FILE = "parser_block_tob.jsonl"
DAMAGED = (EOFError, OSError, tarfile.TarError, zlib.error)
AGAIN = "the file is damaged or not all there; copy it again"


class HyperliquidError(RecordingError):
    """The folder is not what a node wrote: what was expected, what came, what to do."""


class Terms(msgspec.Struct, rename="camel"):
    """An order as the node describes it. `timestamp` in ms; `sz` is what is left, `orig_sz` what was sent."""

    coin: str
    side: Literal["B", "A"]
    limit_px: str
    sz: str
    oid: int
    timestamp: int
    is_trigger: bool
    trigger_px: str
    order_type: str
    orig_sz: str
    tif: str | None
    cloid: str | None


class Status(msgspec.Struct):
    """One event in an order's life."""

    user: str
    status: str
    order: Terms


class Entered(msgspec.Struct):
    """An order came to rest with `sz`."""

    sz: str


class Updated(msgspec.Struct, rename="camel"):
    """What is left of a resting order became `new_sz`."""

    new_sz: str


class Change(msgspec.Struct):
    """One of the two."""

    new: Entered | None = None
    update: Updated | None = None


class Diff(msgspec.Struct):
    """One change of the book."""

    user: str
    oid: int
    coin: str
    side: Literal["B", "A"]
    px: str
    raw_book_diff: Change | Literal["remove"]


class Fill(msgspec.Struct):
    """One side of a trade; `crossed` is true for the aggressor."""

    coin: str
    px: str
    sz: str
    side: Literal["B", "A"]
    oid: int
    crossed: bool
    fee: str
    tid: int
    liquidation: dict[str, object] | None = None


class Block(msgspec.Struct):
    """One block's events in array order; `ts` in ns.

    `arrived`: when each event was seen (ns), for the streaming copy; all 0 in the other, which came whole.
    """

    number: int
    ts: int
    order_statuses: list[Status] = []
    raw_book_diffs: list[Diff] = []
    fills: list[tuple[str, Fill]] = []
    arrived: dict[Kind, list[int]] = msgspec.field(
        default_factory=lambda: {kind: [] for kind in get_args(Kind)}
    )


class Blocks(msgspec.Struct):
    """Blocks `first` to `last`, of which `items` have events."""

    first: int
    last: int
    items: list[Block]


class Snapshot(msgspec.Struct):
    """All resting orders of one coin after block `height`, bids then asks, each in priority order."""

    height: int
    orders: list[tuple[str, Terms]]


class Best(msgspec.Struct):
    """A published best bid and offer; a side is None where nothing rests. `ts_ms` 0: after the snapshot."""

    ts_ms: int
    bid: tuple[str, str] | None
    ask: tuple[str, str] | None


class _Line(msgspec.Struct):
    local_time: str
    block_time: str
    block_number: int


class _Statuses(_Line):
    events: list[Status]


class _Diffs(_Line):
    events: list[Diff]


class _Fills(_Line):
    events: list[tuple[str, Fill]]


class _Quote(msgspec.Struct):
    bid_n: int
    bid_px_raw: int
    bid_sz_raw: int
    ask_n: int
    ask_px_raw: int
    ask_sz_raw: int
    price_exponent: int
    qty_exponent: int
    source_ts_ms: int


class _Published(msgspec.Struct):
    type: str
    symbol: str = ""
    fields: msgspec.Raw = msgspec.Raw(b"null")


_lines: dict[
    str, msgspec.json.Decoder[_Statuses] | msgspec.json.Decoder[_Diffs] | msgspec.json.Decoder[_Fills]
]
_lines = {
    "order_statuses": msgspec.json.Decoder(_Statuses),
    "raw_book_diffs": msgspec.json.Decoder(_Diffs),
    "fills": msgspec.json.Decoder(_Fills),
}
_Sides = tuple[list[tuple[str, Terms]], list[tuple[str, Terms]]]
_snapshot = msgspec.json.Decoder(tuple[int, list[tuple[str, _Sides]]])
_published = msgspec.json.Decoder(_Published)
_quote = msgspec.json.Decoder(_Quote)


def read_snapshot(folder: Path, coin: str) -> Snapshot:
    """Return the resting orders of `coin`. Raises HyperliquidError."""
    path = _one(folder, "snapshot_*.json.gz")
    try:
        height, coins = _snapshot.decode(gzip.decompress(path.read_bytes()))
    except DAMAGED as error:
        raise HyperliquidError(f"{path}: expected a whole gzip file, got {error}; {AGAIN}") from error
    except msgspec.MsgspecError as error:
        raise HyperliquidError(f"{path}: expected [height, [[coin, [bids, asks]]]], got {error}") from error
    for name, (bids, asks) in coins:
        if name == coin:
            return Snapshot(height, [*bids, *asks])
    found = ", ".join(name for name, _sides in coins) or "no coin"
    raise HyperliquidError(f"{path}: expected resting orders of {coin}, got {found}; name one of them")


def read_blocks(folder: Path, copy: str, coin: str) -> Blocks:
    """Return the blocks in order, with the events of `coin` in the order of the array or, in the streaming
    copy, of the block's lines: neither the place of another block's lines nor `local_time` matters.

    Raises HyperliquidError: a file missing, damaged or not a node's, a block missing or beyond the range
    that the archive's name tells, two times for one block, no events.
    """
    if copy not in COPIES:
        raise HyperliquidError(f"copy: expected one of {', '.join(COPIES)}, got {copy!r}")
    path = _one(folder, f"{copy}_*.tar.gz")
    blocks: dict[int, Block] = {}
    seen: dict[Kind, set[int]] = {"order_statuses": set(), "raw_book_diffs": set(), "fills": set()}
    for kind, where, data in _archive(path):
        try:
            line = _lines[kind].decode(data)
            ts = utc_nanoseconds(line.block_time)
            arrived = utc_nanoseconds(line.local_time) if copy == "streaming" else 0
        except (msgspec.MsgspecError, ValueError) as error:
            raise HyperliquidError(f"{path}: {where}: expected a node's {kind}, got {error}") from error
        number = line.block_number
        block = blocks.setdefault(number, Block(number, ts))
        if block.ts != ts:
            raise HyperliquidError(
                f"{path}: {where}: expected one time of block {number}, got {line.block_time} too; {AGAIN}"
            )
        if copy == "by_block" and number in seen[kind]:
            raise HyperliquidError(f"{path}: {where}: expected block {number} once, got it again; {AGAIN}")
        seen[kind].add(number)
        _take(block, line, coin, arrived)
    first, last = _range(path, copy, seen)
    items = [
        block for _number, block in sorted(blocks.items()) if block.order_statuses or block.raw_book_diffs
    ]
    if not items:
        raise HyperliquidError(f"{path}: expected events of {coin}, got none; name another coin or archive")
    return Blocks(first, last, items)


def read_quotes(folder: Path, coin: str) -> list[Best]:
    """Return the published best bids and offers of `coin` in file order. Raises HyperliquidError."""
    path = _one(folder, QUOTES_FILE)
    found: list[Best] = []
    for number, data in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = _published.decode(data)
            if row.type != "quote" or row.symbol != coin:
                continue
            quote = _quote.decode(row.fields)
        except msgspec.MsgspecError as error:
            raise HyperliquidError(f"{path}:{number}: expected a quote, got {error}; {AGAIN}") from error
        scales = -quote.price_exponent, -quote.qty_exponent
        if min(scales) < 0:
            raise HyperliquidError(f"{path}:{number}: expected exponents of at most 0, got {data.decode()}")
        price, size = scales
        found.append(
            Best(
                quote.source_ts_ms,
                (text(quote.bid_px_raw, price), text(quote.bid_sz_raw, size)) if quote.bid_n else None,
                (text(quote.ask_px_raw, price), text(quote.ask_sz_raw, size)) if quote.ask_n else None,
            )
        )
    return found


# ---- parts --------------------------------------------------------------------------------------------


def _one(folder: Path, pattern: str) -> Path:
    if not folder.is_dir():
        raise HyperliquidError(f"{folder}: expected the folder of a Hyperliquid capture; it does not exist")
    paths = sorted(folder.glob(pattern))
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        remedy = "leave one" if paths else "name the folder that holds it"
        raise HyperliquidError(f"{folder}: expected one file {pattern}, got {names}; {remedy}")
    return paths[0]


def _archive(path: Path) -> Iterator[tuple[Kind, str, bytes]]:
    """Return kind, place and bytes of each line of an archive's three files."""
    kinds: set[str] = set()
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                match = MEMBER.search(member.name)
                stream = archive.extractfile(member) if match else None
                if match is None or stream is None:
                    continue
                kind: Kind = match[1]  # type: ignore[assignment]
                kinds.add(kind)
                for number, data in enumerate(stream, 1):
                    if data.strip():
                        yield kind, f"{member.name}:{number}", data
    except DAMAGED as error:
        raise HyperliquidError(f"{path}: expected a whole .tar.gz archive, got {error}; {AGAIN}") from error
    missing = ", ".join(kind for kind in get_args(Kind) if kind not in kinds)
    if missing:
        raise HyperliquidError(f"{path}: expected files of all three kinds, got none of {missing}; {AGAIN}")


def _take(block: Block, line: _Statuses | _Diffs | _Fills, coin: str, arrived: int) -> None:
    if isinstance(line, _Statuses):
        statuses = [event for event in line.events if event.order.coin == coin]
        block.order_statuses += statuses
        block.arrived["order_statuses"] += [arrived] * len(statuses)
    elif isinstance(line, _Diffs):
        diffs = [event for event in line.events if event.coin == coin]
        block.raw_book_diffs += diffs
        block.arrived["raw_book_diffs"] += [arrived] * len(diffs)
    else:
        fills = [event for event in line.events if event[1].coin == coin]
        block.fills += fills
        block.arrived["fills"] += [arrived] * len(fills)


def _range(path: Path, copy: str, seen: dict[Kind, set[int]]) -> tuple[int, int]:
    """Return the first and the last block, once all that must be there is there."""
    numbers = set().union(*seen.values())
    if not numbers:
        raise HyperliquidError(f"{path}: expected blocks, got none; {AGAIN}")
    named = RANGE.search(path.name)
    first, last = (int(named[1]), int(named[2])) if named else (min(numbers), max(numbers))
    beyond = sorted(number for number in numbers if not first <= number <= last)
    if beyond:
        raise HyperliquidError(
            f"{path}: expected blocks {first} to {last}, as its name says, got block {beyond[0]}; "
            "give the archive the name of its range"
        )
    if copy == "streaming":
        return first, last  # a block without events has no line there: one missing cannot be told from it
    for kind, there in seen.items():
        missing = [number for number in range(first, last + 1) if number not in there]
        if missing:
            raise HyperliquidError(
                f"{path}: expected blocks {first} to {last}, got {kind} without block {missing[0]}"
                f" ({len(missing)} missing); {AGAIN}"
            )
    return first, last


def utc_nanoseconds(stamp: str) -> int:
    """Return a UTC stamp with up to 9 decimals as ns since 1970, exactly."""
    match = STAMP.fullmatch(stamp)
    if match is None:
        raise ValueError(f"{stamp!r}, not a time like 2026-05-05T17:39:13.024084407")
    seconds = nanoseconds(datetime.fromisoformat(match[1] + "+00:00"))
    return seconds + int((match[2] or "").ljust(9, "0"))
