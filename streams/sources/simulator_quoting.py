"""Market making under agreement in a simulated day: who promised what, and in what style each keeps it.

A market of its own for every style, so that the ordinary ones stay as they are without it. In each the
affiliated maker quotes in one style and the independent one in another. A style says, of each of its manners
to quote, whether that is as agreed: the truth of the labels, which `simulator_quoters` writes down while it
acts. Everything here is a function of the configuration, since `reference.toml` has to say it beforehand.

An agreement is in force from the run's start to its planned end, so each of its sessions is the part of a
trading day that the run covers.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, pairwise
from random import Random
from typing import Literal

from schemas.decimals import ONE, text
from streams.sources.simulator_config import SECOND, InstrumentSpec, SimulatorConfig
from streams.sources.simulator_labels import HONG_KONG
from streams.sources.simulator_participants import INDEPENDENT_MAKER, MAKERS, table

Levels = tuple[tuple[int, int], ...]  # (ticks away from the mid, lots), best first
Stretch = tuple[int, int]  # [from, to), ns

DAY = 86_400 * SECOND
HORIZON = 60 * SECOND  # after a fill, when L2 looks again at what a maker kept of the spread
FILLS = 200  # of each maker: with less L2 does not compare them
SHIFT = 7  # the independent maker's style is so many further on


@dataclass(frozen=True, slots=True)
class Manner:
    """One way to quote; `kept`: it is as agreed; `frozen`: market-maker protection has pulled the quotes."""

    bids: Levels = ()
    asks: Levels = ()
    kept: bool = False
    frozen: bool = False


FROZEN = Manner(frozen=True)


def manners(half: int, least: int) -> dict[str, Manner]:
    """Every manner under an agreement of at most 2 * `half` ticks and at least `least` lots, both even."""

    def both(*levels: tuple[int, int]) -> tuple[Levels, Levels]:
        return levels, levels

    near, plenty = half // 2, 3 * least
    first = (near, least // 2)
    return {
        "well": Manner(*both((near, plenty), (half + 3, least)), kept=True),
        "widest": Manner(*both((half, plenty)), kept=True),
        "a tick wider": Manner(((half, plenty),), ((half + 1, plenty),)),
        "smallest": Manner(*both((near, least)), kept=True),
        "a lot smaller": Manner(((near, least),), ((near, least - 1),)),
        "most uneven": Manner(((near, least),), ((near, least + least // 2),), kept=True),
        "a lot more uneven": Manner(((near, least),), ((near, least + least // 2 + 1),)),
        "deep": Manner(*both(first, (half, least - least // 2)), kept=True),
        "deep, a tick wider": Manner((first, (half, least)), (first, (half + 1, least))),
        "deep, a lot smaller": Manner((first, (half, least)), (first, (half, least - least // 2 - 1))),
        "one side": Manner(((near, plenty),), ()),
        "narrow": Manner(*both((near, plenty)), kept=True),
        "wide": Manner(*both((half + near, plenty))),
        "away": Manner(),
        "frozen": FROZEN,
    }


@dataclass(frozen=True, slots=True)
class Style:
    """How a maker keeps an agreement: for `share` of the time in the manner `usual`, else in `other`.

    `exact` is the least time that meets the agreement and `short` a nanosecond less. `freeze`: protection
    holds the maker for a fifth of the time, exempt. `quiet`: nothing is to be found, not of an affiliate
    either. `depth`: sizes are judged at depth; `quotes`: the maker sends two-sided quotes instead of orders.
    """

    name: str
    usual: str
    other: str = "away"
    share: Literal["all", "exact", "short", "none"] = "all"
    quiet: bool = True
    freeze: bool = False
    depth: bool = False
    quotes: bool = False
    required: str = ""  # a percentage, where the style depends on it


def _pair(kept: Style) -> list[Style]:
    """Present for exactly as long as agreed, and a nanosecond less."""
    exact = replace(kept, name=f"{kept.name}_as_allowed", share="exact")
    return [exact, replace(kept, name=f"{kept.name}_too_long", share="short", quiet=False)]


def _never(name: str, other: str, *, depth: bool = False) -> Style:
    return Style(name, "well", other, "none", quiet=False, depth=depth)


GOOD = Style("good", "well")
ABSENT = _never("absent", "away")
STYLES = (
    GOOD,
    Style("spread_at_limit", "widest"),
    _never("spread_a_tick_over", "a tick wider"),
    Style("size_at_limit", "smallest"),
    _never("size_a_lot_under", "a lot smaller"),
    Style("imbalance_at_limit", "most uneven"),
    _never("imbalance_a_lot_over", "a lot more uneven"),
    Style("depth_at_limit", "deep", depth=True),
    _never("depth_a_tick_over", "deep, a tick wider", depth=True),
    _never("depth_a_lot_under", "deep, a lot smaller", depth=True),
    _never("one_side", "one side"),
    ABSENT,
    *_pair(Style("away", "well")),
    *_pair(Style("one_sided", "smallest", "one side")),
    *_pair(Style("uneven_by_quotes", "most uneven", "a lot more uneven", quotes=True)),
    # Protection that the agreement does not exempt is time away; exempt protection shortens the session.
    *_pair(Style("frozen", "well", "frozen")),
    *_pair(Style("away_and_frozen", "most uneven", freeze=True)),
    # Half of the time at half of the agreed spread, half at one and a half: on average what is agreed.
    *_pair(Style("wide", "narrow", "wide", required="50")),
    # As agreed for as long as agreed, but wider on average: a finding of L2 and not of L1.
    Style("wide_on_average", "widest", "a tick wider", "exact", quiet=False),
)


@dataclass(frozen=True, slots=True)
class Obligation:
    """A maker's agreement on one instrument, and the style in which it keeps it. `min_qty` in 10**-8."""

    account: str
    instrument: str
    style: Style
    max_spread_bps: int
    min_qty: int
    presence_pct: str
    usual: Manner
    other: Manner

    @property
    def id(self) -> str:
        """Name of the agreement."""
        return f"{self.account}/{self.instrument}"

    @property
    def exempts_protection(self) -> bool:
        """Whether the agreement exempts protection freezes."""
        return self.style.freeze

    def spells(self, open_ns: int, rng: Random) -> list[tuple[int, Manner]]:
        """A day of `open_ns` in which trading is open, as (length, manner) one after another."""
        style = self.style
        if style.share in ("all", "none"):
            return [(open_ns, self.usual if style.share == "all" else self.other)]
        freeze = open_ns // 5 if style.freeze else 0
        obliged = open_ns - freeze
        present = -(-Fraction(self.presence_pct) * obliged // 100) - (style.share == "short")
        kept, lost = _cut(int(present), rng), _cut(obliged - int(present), rng)
        spells = [(kept[0], self.usual), (freeze, FROZEN), (lost[0], self.other)]
        for more in (1, 2):
            spells += [(kept[more], self.usual), (lost[more], self.other)]
        return [(length, manner) for length, manner in spells if length > 0]


@dataclass(frozen=True, slots=True)
class QuotingMarket:
    """One market of makers under agreement. Nothing is recorded before `first`; `closed` by phase.

    `sweeps`: so often clients take from both makers at once on the first day, and do nothing else.
    """

    spec: InstrumentSpec
    start: int
    end: int
    first: int
    obligations: tuple[Obligation, ...]
    closed: tuple[tuple[str, int, int], ...] = ()
    sweeps: int = 0

    def days(self) -> list[Stretch]:
        """The part of each trading day (Asia/Hong_Kong) that the run covers."""
        midnights = range((self.start + HONG_KONG) // DAY * DAY + DAY - HONG_KONG, self.end, DAY)
        return list(pairwise([self.start, *(night for night in midnights if night > self.start), self.end]))

    def open(self, start: int, end: int) -> list[Stretch]:
        """The stretches within [start, end) in which trading is open."""
        stretches = []
        for _, begin, until in sorted(self.closed, key=lambda phase: phase[1]):
            if start < min(begin, end):
                stretches.append((start, min(begin, end)))
            start = max(start, until)
        return [*stretches, (start, end)] if start < end else stretches

    def exempt(self, start: int, end: int) -> dict[str, int]:
        """How long (ns) trading was closed within [start, end), by phase."""
        spans: dict[str, int] = {}
        for phase, begin, until in sorted(self.closed):
            if (span := min(until, end) - max(begin, start)) > 0:
                spans[phase] = spans.get(phase, 0) + span
        return spans


def at_open(stretches: list[Stretch], elapsed: int) -> int:
    """The moment at which `elapsed` ns of the stretches are over and a further one begins."""
    begins = [0, *accumulate(end - start for start, end in stretches)]
    place = bisect_right(begins, elapsed) - 1
    return stretches[place][0] + elapsed - begins[place]


def quoting_markets(config: SimulatorConfig) -> tuple[QuotingMarket, ...]:
    """The markets of a run; none unless `config.quoting` asks for them."""
    if config.quoting == "off":
        return ()
    styles = [style for style in STYLES if style.quiet or config.quoting == "all"]
    accounts = [MAKERS[0], INDEPENDENT_MAKER] if config.independent_maker else [MAKERS[0]]
    length = config.total * SECOND // config.rate
    start, end = config.start, config.start + length
    tenth = length // 10
    hours: tuple[tuple[tuple[str, int, int], ...], ...] = (
        (),
        (("halt", start + 4 * tenth, start + 5 * tenth),),
        (("auction", start, start + tenth), ("exceptional", start + 6 * tenth, start + 8 * tenth)),
    )
    markets = []
    for number in range(len(styles)):
        own = [styles[(number + SHIFT * shift) % len(styles)] for shift in range(len(accounts))]
        markets.append(_market(config, f"OBL-{number + 1:02d}", accounts, own, end, hours[number % 3]))
    halted = (("halt", start - SECOND, end + SECOND),)
    markets.append(_market(config, "OBL-HALTED", accounts, [GOOD, ABSENT], end, halted))
    # The feed begins late: the first maker's presence is a nanosecond short of certain.
    first_day = markets[0].days()[0]
    unseen = (first_day[1] - first_day[0]) * 30 // 100 + 1
    pair = [replace(style, required="70") for style in (GOOD, ABSENT if config.quoting == "all" else GOOD)]
    late = _market(config, "OBL-LATE", accounts, pair, end, ())
    markets.append(replace(late, first=start + unseen))
    if config.independent_maker and length > HORIZON:
        sweeps = [("OBL-DEAR-AS-ALLOWED", 4, FILLS), ("OBL-DEAR-SELDOM", 5, FILLS - 1)]
        sweeps += [("OBL-DEAR", 5, FILLS)] if config.quoting == "all" else []
        markets += [_swept(config, *each, end) for each in sweeps]
    return tuple(markets)


def _swept(config: SimulatorConfig, symbol: str, dearer: int, sweeps: int, end: int) -> QuotingMarket:
    """A market whose mid never moves: each maker keeps its half spread, the affiliate `dearer` ticks more.

    A tick of half spread is a quarter of a basis point of (full) spread: four are what L2 allows.
    """
    spec = InstrumentSpec(symbol, symbol, "USD", 10_000, 10_000, 80_000 * 10_000, 20)
    obligations = []
    for account, half in ((MAKERS[0], 20 + dearer), (INDEPENDENT_MAKER, 20)):
        level = ((half, 30),)
        usual = Manner(level, level, kept=True)
        style = Style("dearer" if account in MAKERS else "good", "narrow")
        obligations.append(Obligation(account, symbol, style, 20, 10 * 10_000, "50", usual, Manner()))
    return QuotingMarket(spec, config.start, end, config.start, tuple(obligations), sweeps=sweeps)


def _market(
    config: SimulatorConfig,
    symbol: str,
    accounts: list[str],
    styles: list[Style],
    end: int,
    closed: tuple[tuple[str, int, int], ...],
) -> QuotingMarket:
    """A market whose mid is a thousand times `spread` ticks: `bps` of it are whole ticks each side."""
    rng = Random(f"{config.seed} {symbol}")
    tick, lot = rng.choice((50_000_000, 1_000_000, 10_000)), rng.choice((ONE, 10_000_000, 10_000))
    spread = rng.randrange(4, 41, 4)
    spec = InstrumentSpec(symbol, symbol, "USD", tick, lot, 1_000 * spread * tick, 20)
    obligations = []
    for account, style in zip(accounts, styles, strict=False):
        bps, least = rng.choice((10, 20, 40)), rng.choice((10, 20, 50))
        ways = manners(spread * bps // 20, least)
        usual, other = ways[style.usual], ways[style.other]
        if rng.random() < 0.5:
            usual, other = (replace(way, bids=way.asks, asks=way.bids) for way in (usual, other))
        required = style.required or rng.choice(("50", "62.5", "70", "80"))
        obligations.append(
            Obligation(account, symbol, style, bps, least * lot, required, usual, other)
        )  # fmt: skip
    return QuotingMarket(spec, config.start, end, config.start, tuple(obligations), closed)


def _cut(total: int, rng: Random) -> list[int]:
    """Three random parts of a length."""
    cuts = sorted(rng.randint(0, total) for _ in range(2))
    return [cuts[0], cuts[1] - cuts[0], total - cuts[1]]


def agreement_tables(markets: tuple[QuotingMarket, ...]) -> list[str]:
    """The `mm_agreements` and `trading_phases` of reference data."""
    tables = []
    for market in markets:
        for duty in market.obligations:
            tables.append(table("mm_agreements", (
                ("id", duty.id), ("account", duty.account), ("instrument", duty.instrument),
                ("max_spread_bps", str(duty.max_spread_bps)), ("min_qty", text(duty.min_qty)),
                ("presence_pct", duty.presence_pct), ("size_at", "depth" if duty.style.depth else "best"),
                ("source", "quotes" if duty.style.quotes else "orders"),
                ("protection_exempt", duty.exempts_protection),
                ("valid_from", market.start), ("valid_to", market.end),
            )))  # fmt: skip
        for phase, begin, until in market.closed:
            tables.append(table("trading_phases", (
                ("instrument", market.spec.symbol), ("phase", phase), ("from", begin), ("to", until),
            )))  # fmt: skip
    return tables
