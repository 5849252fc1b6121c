"""What a simulated day is made of: instruments, rates, planted violations, data faults.

Everything here is plain data. Prices and quantities are integers scaled by 10**8, times integer nanoseconds
UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from schemas.decimals import ONE

Record = dict[str, object]
Quoting = Literal["off", "kept", "all"]

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class InstrumentSpec:
    """One simulated market: symbol, grid, where its price starts, and how large a usual order is."""

    symbol: str
    base: str
    quote: str
    tick_size: int
    lot_size: int
    start_price: int
    usual_lots: int

    def __post_init__(self) -> None:
        if self.tick_size <= 0 or self.lot_size <= 0 or self.usual_lots <= 0:
            raise ValueError(f"{self.symbol}: tick_size, lot_size and usual_lots must be above 0")
        if self.start_price % self.tick_size or self.start_price < 200 * self.tick_size:
            raise ValueError(
                f"{self.symbol}: start_price {self.start_price} must be a multiple of the tick "
                f"{self.tick_size} and at least 200 ticks"
            )


DEFAULT_INSTRUMENTS = (
    InstrumentSpec("BTC-USD", "BTC", "USD", 50_000_000, 10_000, 95_000 * ONE, 500),
    InstrumentSpec("ETH-USD", "ETH", "USD", 5_000_000, 100_000, 3_400 * ONE, 800),
    InstrumentSpec("SOL-USD", "SOL", "USD", 100_000, 10_000_000, 190 * ONE, 60),
    InstrumentSpec("XRP-HKD", "XRP", "HKD", 10_000, 100_000_000, 17 * ONE, 300),
)


@dataclass(frozen=True, slots=True)
class Violations:
    """How many of each kind to plant. A count is a number of *acts*; one act can breach more than one rule.

    `price_time_cured` is a near violation: the client is made good inside the same match, so nothing is
    labelled. `unregistered_affiliate` labels once per instrument and trading day, however many acts there
    are.
    """

    untagged_order: int = 0
    untagged_fill: int = 0
    false_tag: int = 0
    mutated_flag: int = 0
    unregistered_affiliate: int = 0
    unknown_account: int = 0
    price_time_equal: int = 0
    price_time_better: int = 0
    price_time_part_cured: int = 0
    price_time_cured: int = 0
    price_time_busted: int = 0
    price_time_cure_busted: int = 0
    client_first_block: int = 0
    self_trade_account: int = 0
    self_trade_owner: int = 0
    self_trade_afmm: int = 0
    self_trade_group: int = 0
    self_trade_busted: int = 0

    def __post_init__(self) -> None:
        for kind, count in self.counts():
            if count < 0:
                raise ValueError(f"violations.{kind} must be 0 or more, not {count}")

    @classmethod
    def none(cls) -> Violations:
        """A clean day."""
        return cls()

    @classmethod
    def each(cls, count: int) -> Violations:
        """`count` acts of every kind."""
        return cls(**{item.name: count for item in fields(cls)})

    def counts(self) -> list[tuple[str, int]]:
        """(kind, count) of every kind, in the order of the fields."""
        return [(item.name, int(getattr(self, item.name))) for item in fields(self)]


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """One simulated run, a function of these values alone.

    The run ends after `seconds` of event time, or after `events` records where that is given (the turn under
    way and what is already scheduled are finished). `rate` is the mean number of records per second of event
    time, all instruments together. `block_instances`: the instances of `client_priority` that alert on a
    block (see the reading of SPEC section 4 in `simulator_labels`). `quoting` adds markets in which makers
    quote under agreements (see `simulator_quoting`): `kept` only in styles in which nothing is to be found,
    however near they come, `all` in those that breach as well.
    """

    seed: int = 1
    seconds: int = 60
    rate: int = 1_000
    events: int | None = None
    start: int = 1_772_413_200 * SECOND  # 2026-03-02T01:00:00Z, 09:00 in Hong Kong
    instruments: tuple[InstrumentSpec, ...] = DEFAULT_INSTRUMENTS
    clients: int = 10
    independent_maker: bool = True
    fill_records: bool = False
    violations: Violations = field(default_factory=Violations)
    quoting: Quoting = "off"
    block_instances: tuple[str, ...] = ("client_priority.client_first", "client_priority.price_time")

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.rate <= 0 or (self.events is not None and self.events <= 0):
            raise ValueError(
                f"seconds ({self.seconds}), rate ({self.rate}) and events ({self.events}) must be above 0"
            )
        if self.quoting not in ("off", "kept", "all"):
            raise ValueError(f'quoting must be "off", "kept" or "all", not "{self.quoting}"')
        if self.quoting != "off" and self.total < self.rate:
            raise ValueError(f"a run with quoting must last a second: {self.rate} events, not {self.total}")
        if self.clients < 4:
            raise ValueError(
                f"clients must be at least 4 (takers must differ from those harmed), not {self.clients}"
            )
        symbols = [spec.symbol for spec in self.instruments]
        if not symbols or len(set(symbols)) != len(symbols):
            raise ValueError(f"instruments must be at least one, each named once, not {symbols}")

    @property
    def total(self) -> int:
        """Records to expect."""
        return self.events if self.events is not None else self.rate * self.seconds
