"""A raw capture of Binance USD-M futures as SPEC.md records: what `fairbook ingest binance` reads.

    capture = read(Path("../shared/data/binance_usdm"))
    for topic, record in capture.records: ...    # quotes and trades; `seq` is 1, 2, 3, ... of each instrument
    capture.counts, capture.notes()              # what became of every line, and what to know about the order
    capture.reference_toml                       # what is listed, for `reference.toml`

A line is `LOCAL_NS JSON`: the capture's clock, and a message of the combined stream. `bookTicker` is a venue
quote, `trade` a trade; depth updates, snapshots and other messages are counted and not used. Prices and
sizes are strings in the file and stay strings. No accounts, no orders: the instrument's `book` is `quotes`.

How records get their order. The exchange numbers each stream (`u`, `t`) but not both together, so a sequence
is made here, and only here (the instrument's `sequence` is `adapter`, and data quality says so):
- by `T`, the matching engine's time in ms, not by arrival. Within each stream the two agree; between the
  streams they do not: they arrive by different ways, and in the real capture 6,411 of 87,402 records come
  after one with a later `T`, 4,382 of them by more than 1 ms, up to 110 ms. By arrival each of the 4,382
  would be a `clock_skew` finding and a late quote would have weight at the wrong time; by `T` none is;
- in one ms trades before quotes, as a quote shows what the trades left; then by the exchange's number. That
  finds the state before a trade best: its price is that of the quote it hits for 55.7 % of the trades, 54.0 %
  with ties by arrival, 46.1 % with quotes first, 50.5 % wholly by arrival. Some of the rest sweep the book.
- A message that comes twice keeps its seq, so that data quality finds the `duplicate` or `conflict`.
- A lost message leaves no gap in `seq`. Of trades it shows in the exchange's ids: counted and noted.

`T` against the capture's clock is a skew of two clocks plus the way: measured and noted; the tagger refuses
records stamped more than `max_future` after they are appended. A line that is no message is passed on as it
is, to be quarantined with its bytes. A side of price and size 0 is absent.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import msgspec

from schemas.events import Topic
from streams.sources.recording import RecordingError

Record = dict[str, object]
MS = 1_000_000  # ns
ZERO = re.compile(r"0+(\.0*)?", re.ASCII)
FORCED = ("INSURANCE_FUND", "ADL")
KNOWN = {  # symbol: tick, lot, base, quote; as the exchange lists them (of others no more than the symbol)
    "BTCUSDT": ("0.1", "0.001", "BTC", "USDT"),
}


class BinanceError(RecordingError):
    """The file is no capture: what was expected, what came, what to do."""


class Ticker(msgspec.Struct, tag_field="e", tag="bookTicker"):
    """The best bid and offer after update `u`."""

    rank: ClassVar[int] = 1
    symbol: str = msgspec.field(name="s")
    ts_ms: int = msgspec.field(name="T")
    number: int = msgspec.field(name="u")
    bid_px: str = msgspec.field(name="b")
    bid_size: str = msgspec.field(name="B")
    ask_px: str = msgspec.field(name="a")
    ask_size: str = msgspec.field(name="A")

    def body(self) -> Record:
        """Return what the record says."""
        sides = (("bid", self.bid_px, self.bid_size), ("ask", self.ask_px, self.ask_size))
        found: Record = {"quote_id": str(self.number)}
        for side, price, size in sides:
            if not (ZERO.fullmatch(price) and ZERO.fullmatch(size)):
                found[f"{side}_px"], found[f"{side}_size"] = price, size
        return found


class Trade(msgspec.Struct, tag_field="e", tag="trade"):
    """A trade; `maker` is true where the buyer's order rested."""

    rank: ClassVar[int] = 0
    symbol: str = msgspec.field(name="s")
    ts_ms: int = msgspec.field(name="T")
    number: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    qty: str = msgspec.field(name="q")
    maker: bool = msgspec.field(name="m")
    kind: str = msgspec.field(name="X", default="MARKET")

    def body(self) -> Record:
        """Return what the record says."""
        return {
            "exec_type": "trade", "trade_id": str(self.number), "price": self.price, "qty": self.qty,
            "aggressor": "sell" if self.maker else "buy",
            "match_type": "liquidation" if self.kind in FORCED else "book",
        }  # fmt: skip


class _Name(msgspec.Struct):
    e: str | None = None


class _Combined(msgspec.Struct):
    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Arrived(NamedTuple):
    local_ns: int
    message: Ticker | Trade


_combined = msgspec.json.Decoder(_Combined)
_name = msgspec.json.Decoder(_Name)
_message = msgspec.json.Decoder(Ticker | Trade)


def read(path: Path) -> Capture:
    """Return the capture in `path`: a file (plain or .gz), or a folder whose files are one after another.

    Raises BinanceError: nothing there, a damaged file, or no line that is a quote or a trade.
    """
    capture = Capture()
    for file in _files(path):
        for number, line in enumerate(_lines(file), 1):
            capture.take(line, f"{file.name}:{number}")
    if not capture.symbols:
        raise BinanceError(
            f"{path}: expected lines of `LOCAL_NS JSON` with bookTicker or trade messages, got none; "
            "name the capture of a combined stream"
        )
    return capture


class Capture:
    """What was read. `counts`: lines by what they were; `unreadable`: what was no message."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.unreadable: list[str] = []
        self._passed_on: list[bytes] = []
        self._arrived: list[_Arrived] = []

    def take(self, line: bytes, place: str) -> None:
        """Take the next line."""
        stamp, _space, text = line.strip().partition(b" ")
        if not stamp:
            return
        try:
            message = _read(text)
            local_ns = int(stamp)
        except ValueError as error:  # msgspec's errors are ValueErrors
            self.counts["unreadable, passed on as they are"] += 1
            self.unreadable.append(f"{place}: {error}")
            self._passed_on.append(line.strip())
            return
        if isinstance(message, str):
            self.counts[f"not used: {message}"] += 1
            return
        self.counts["quotes" if isinstance(message, Ticker) else "trades"] += 1
        self._arrived.append(_Arrived(local_ns, message))

    @property
    def total(self) -> int:
        """How many records there will be."""
        return len(self._passed_on) + len(self._arrived)

    @property
    def symbols(self) -> list[str]:
        """The instruments, by name."""
        return sorted({arrived.message.symbol for arrived in self._arrived})

    @property
    def records(self) -> Iterator[tuple[Topic, Record | bytes]]:
        """The records in their order, as often as wanted."""
        for line in self._passed_on:
            yield "quotes", line
        last: Counter[str] = Counter()
        seqs: dict[tuple[str, int, int], int] = {}
        for message in sorted((arrived.message for arrived in self._arrived), key=_place):
            name = message.symbol
            seq = seqs.get((name, message.rank, message.number))
            if seq is None:
                last[name] += 1
                seq = seqs[name, message.rank, message.number] = last[name]
            topic: Topic = "quotes" if isinstance(message, Ticker) else "trades"
            yield topic, {"instrument": name, "seq": seq, "ts": message.ts_ms * MS, **message.body()}

    @property
    def reference_toml(self) -> str:
        """What is listed, as the text of a `reference.toml` (SPEC.md 2.4), in force for all time."""
        return REFERENCE + "".join(f"\n{_listed(symbol)}" for symbol in self.symbols)

    def notes(self) -> list[str]:
        """Return what a reader of the findings should know about the order, as sentences."""
        behind, beyond, worst = self._disorder()
        leads = [arrived.message.ts_ms * MS - arrived.local_ns for arrived in self._arrived]
        notes = [
            "The exchange has no sequence over quotes and trades: it is made of event time, trades first, "
            f"then the exchange's numbers; {behind:,} of {len(leads):,} records arrived after one with a "
            f"later event time, {beyond:,} by more than 1 ms, at most {worst} ms",
            f"Event time is {min(leads):,} to {max(leads):,} ns ahead of the capture's clock",
        ]
        if missing := self._missing_trades():
            notes.append(f"{missing:,} trade ids are missing; seq has no gap there")
        if self.unreadable:
            notes.append(f"{len(self.unreadable):,} lines are no messages, the first {self.unreadable[0]}")
        return notes

    def _disorder(self) -> tuple[int, int, int]:
        """Return how many records arrived behind event time already seen, by > 1 ms, and the most (ms)."""
        seen: dict[str, int] = {}
        lags: list[int] = []
        for arrived in self._arrived:
            symbol, ts = arrived.message.symbol, arrived.message.ts_ms
            seen[symbol] = max(seen.get(symbol, ts), ts)
            lags.append(seen[symbol] - ts)
        return sum(lag > 0 for lag in lags), sum(lag > 1 for lag in lags), max(lags, default=0)

    def _missing_trades(self) -> int:
        ids: dict[str, set[int]] = {}
        for _local_ns, message in self._arrived:
            if isinstance(message, Trade):
                ids.setdefault(message.symbol, set()).add(message.number)
        return sum(max(found) - min(found) + 1 - len(found) for found in ids.values())


# ---- parts --------------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise BinanceError(f"{path}: expected a capture or a folder of them, got nothing; name where it is")
    return files


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            yield from stream
    except (EOFError, OSError, zlib.error) as error:
        raise BinanceError(f"{file}: expected a whole file, got {error}; copy it again") from error


def _read(text: bytes) -> Ticker | Trade | str:
    """Return the message, or the name of one that is not used. Raises ValueError."""
    combined = _combined.decode(text)
    name = _name.decode(combined.data).e
    if name in ("bookTicker", "trade"):
        message: Ticker | Trade = _message.decode(combined.data)
        return message
    return name or "no event"


def _place(message: Ticker | Trade) -> tuple[int, int, int]:
    return message.ts_ms, message.rank, message.number


def _listed(symbol: str) -> str:
    tick, lot, base, quote = KNOWN.get(symbol, (None, None, None, None))
    values = {"symbol": symbol, "tick_size": tick, "lot_size": lot, "base": base, "quote": quote}
    known = [f'{name} = "{value}"' for name, value in values.items() if value is not None]
    return "\n".join(["[[instruments]]", *known, 'book = "quotes"', 'sequence = "adapter"', ""])


REFERENCE = """\
# Binance USD-M futures. Public market data; written by `fairbook ingest binance`.
#
# Public data of this venue names no accounts and no orders. So nothing is said of anybody's role, and the
# book is known only as the venue's own best bid and offer (`book = "quotes"`). The exchange numbers quotes
# and trades apart; one sequence over both was made by the source adapter, from event time (`sequence =
# "adapter"`). Tick and lot are the exchange's as listed in 2024.

[defaults]
unlisted_accounts = "unknown"

[[entities]]
id = "binance"
name = "Binance (operator of the venue)"
operator = true
"""
