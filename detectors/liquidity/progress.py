"""The open minute and trading day of L2, what was published of those before, and the quoted columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from detectors.liquidity.displayed_depth import means
from detectors.liquidity.quoted_spread import Quoted, Sums, add
from schemas.decimals import divide_half_even
from schemas.metrics import SpreadDay, SpreadMinute

if TYPE_CHECKING:
    from detectors.market import Market

MINUTE = 60_000_000_000


class Progress(msgspec.Struct):
    """The minute and trading day that are open, and what is still to come of those that are over.

    Summed up to the instrument's last own entry. `minutes`, `days`: rows that are published without realised
    spreads yet.
    """

    minute: int
    day: str
    sums: Sums
    day_sums: Sums
    minutes: dict[int, SpreadMinute] = {}
    days: dict[str, SpreadDay] = {}

    def copy(self) -> Progress:
        """Return an independent copy."""
        return Progress(
            self.minute, self.day, self.sums.copy(), self.day_sums.copy(), dict(self.minutes), dict(self.days)
        )


class Said(msgspec.Struct):
    """What was published of a minute or day: the latest revision, and digests of its two contents.

    `ends`: the time (ns) after which a gap cannot change it any more.
    """

    ends: int
    revision: int = -1
    first: str = ""
    final: str = ""


class Kept(msgspec.Struct):
    """A row that is published for good, unless a fill in it is busted, with its revision."""

    revision: int
    row: SpreadMinute | SpreadDay


def weigh(market: Market, sums: Sums, now: Quoted, start: int, end: int, known: bool) -> None:
    """Add time from `start` to `end`, cut where the phase changes."""
    directory = market.context.directory
    while start < end:
        change = directory.next_phase_change(market.instrument, start)
        stop = end if change is None else min(end, change)
        if directory.phase(market.instrument, start) != "continuous":
            sums.excluded += stop - start
        elif known:
            add(sums, now, stop - start, market)
        start = stop


def quoted_columns(market: Market, sums: Sums, length: int) -> dict[str, Any]:
    """Return the quoted columns of a minute or day of `length` ns."""

    def mean(total: int, weight: int) -> int | None:
        return divide_half_even(total, weight) if weight else None

    return {
        "instrument": market.instrument,
        "two_sided_ns": sums.two_sided,
        "two_sided_without_affiliates_ns": sums.two_sided_without,
        "common_ns": sums.common,
        "one_sided_ns": sums.one_sided,
        "crossed_ns": sums.crossed,
        "excluded_ns": sums.excluded,
        "unknown_ns": length - sums.stated,
        "tw_spread_bps": mean(sums.spread, sums.two_sided),
        "tw_spread_bps_without_affiliates": mean(sums.spread_without, sums.two_sided_without),
        "tw_spread_bps_common": mean(sums.spread_common, sums.common),
        "tw_spread_bps_common_without_affiliates": mean(sums.spread_common_without, sums.common),
        "depth": means(sums.depth, sums.two_sided - sums.without_depth),
        "volume": sums.volume,
        "afmm_maker_volume": sums.maker,
        "afmm_taker_volume": sums.taker,
        "afmm_client_volume": sums.client,
    }
