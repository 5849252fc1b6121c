"""What a simulated day is made of: instruments, rates, planted violations, data faults.

Everything here is plain data. Prices and quantities are integers scaled by 10**8, times integer nanoseconds
UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, Self

from schemas.decimals import ONE
from streams.sources.simulator_kinds import NEAR, VIOLATIONS, Kinds

Record = dict[str, object]
Quoting = Literal["off", "kept", "all"]
Phase = Literal["continuous", "auction", "halt", "exceptional"]

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


@dataclass(frozen=True, slots=True, init=False)
class Planted:
    """How many acts of each kind to plant. One act can breach more than one rule.

    Kinds that are findings of a day (an account that should not be there, a maker's quotes) are labelled once
    per instrument and trading day, however many acts there are.
    """

    planned: tuple[tuple[str, int], ...]

    def __init__(self, **counts: int) -> None:
        known = self.kinds()
        for kind, count in counts.items():
            if kind not in known:
                raise ValueError(f"{kind} is no kind of {type(self).__name__.lower()}: {', '.join(known)}")
            if count < 0:
                raise ValueError(f"{type(self).__name__.lower()}.{kind} must be 0 or more, not {count}")
        object.__setattr__(self, "planned", tuple((kind, counts.get(kind, 0)) for kind in known))

    @classmethod
    def kinds(cls) -> Kinds:
        """Every kind with its rule and what it is."""
        raise NotImplementedError

    @classmethod
    def none(cls) -> Self:
        """None of any kind."""
        return cls()

    @classmethod
    def each(cls, count: int) -> Self:
        """`count` acts of every kind."""
        return cls(**dict.fromkeys(cls.kinds(), count))

    def counts(self) -> list[tuple[str, int]]:
        """(kind, count) of every kind."""
        return list(self.planned)


class Violations(Planted):
    """What must be found."""

    __slots__ = ()

    @classmethod
    def kinds(cls) -> Kinds:
        """Every kind of violation with its rule and what it is."""
        return VIOLATIONS


class NearViolations(Planted):
    """What comes near a violation and must not be found."""

    __slots__ = ()

    @classmethod
    def kinds(cls) -> Kinds:
        """Every kind of near violation with its rule and what it is."""
        return NEAR


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """One simulated run, a function of these values alone.

    The run ends after `seconds` of event time, or after `events` records where that is given (the turn under
    way and what is already scheduled are finished). `rate` is the mean number of records per second of event
    time, all instruments together. `near` is what only comes near a violation; `closures`: each instrument
    has an auction, a halt and an exceptional phase. `block_instances`: those of `client_priority` that alert
    on a block (see the reading of SPEC section 4 in `simulator_labels`). `quoting` adds markets in which
    makers quote under agreements (see `simulator_quoting`): `kept` only in styles in which nothing is to be
    found, however near they come, `all` in those that breach as well.
    """

    seed: int = 1
    seconds: int = 60
    rate: int = 1_000
    events: int | None = None
    start: int = 1_772_413_200 * SECOND  # 2026-03-02T01:00:00Z, 09:00 in Hong Kong
    instruments: tuple[InstrumentSpec, ...] = DEFAULT_INSTRUMENTS
    clients: int = 24
    independent_maker: bool = True
    fill_records: bool = False
    violations: Violations = field(default_factory=Violations)
    near: NearViolations = field(default_factory=NearViolations)
    closures: bool = True
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
    def length(self) -> int:
        """How long the run is meant to be, in ns."""
        return self.total * SECOND // self.rate

    @property
    def moment(self) -> int:
        """When reference data changes: a registration ends, a maker joins the group, an account moves."""
        return self.start + self.length * 6 // 10

    def phases(self, symbol: str) -> list[tuple[Phase, int, int]]:
        """(phase, from, to) of an instrument, in order; continuous otherwise. Over before half-time."""
        if not self.closures or self.length < 1_000:
            return []
        rng, part = Random(f"{self.seed} {symbol} phases"), self.length // 100
        names: list[Phase] = ["auction", "halt", "exceptional"]
        rng.shuffle(names)
        begins = [self.start + (14 + 11 * place + rng.randrange(8)) * part for place in range(len(names))]
        return [(name, begin, begin + 2 * part) for name, begin in zip(names, begins, strict=True)]

    @property
    def total(self) -> int:
        """Records to expect."""
        return self.events if self.events is not None else self.rate * self.seconds


def many_instruments(count: int) -> tuple[InstrumentSpec, ...]:
    """The default instruments, and further ones on their grids: `count` in all."""
    further = (DEFAULT_INSTRUMENTS[number % len(DEFAULT_INSTRUMENTS)] for number in range(count))
    return tuple(
        spec
        if number < len(DEFAULT_INSTRUMENTS)
        else replace(spec, symbol=f"{spec.base}{number}-{spec.quote}")
        for number, spec in enumerate(further)
    )
