"""All planted acts by kind, tried until each can be committed.

An act returns False, having breached nothing, where the book does not offer the situation; the run tries
again later and elsewhere. What it breaches is told to the ledger there, or by the fills it causes.
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.sources.simulator_acts import Act, Acts
from streams.sources.simulator_flags import FlagActs
from streams.sources.simulator_kinds import AT_MOMENT, AT_UNCROSS, IN_PHASE, NEAR, VIOLATIONS
from streams.sources.simulator_market import Book, Market
from streams.sources.simulator_off_book import OffBookActs
from streams.sources.simulator_priority import PriorityActs
from streams.sources.simulator_self_trades import SelfTradeActs

FAMILIES: tuple[type[Acts], ...] = (FlagActs, PriorityActs, OffBookActs, SelfTradeActs)


class Plants:
    """Commits acts in the market it is given; those of `waiting` as their time comes."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.waiting: list[str] = []
        self._acts: dict[str, Act] = {}
        for family in FAMILIES:
            self._acts |= family(market).acts()
        missing = (VIOLATIONS.keys() | NEAR.keys()) ^ self._acts.keys()
        if missing:
            raise RuntimeError(f"kinds without an act, or acts without a kind: {sorted(missing)}")

    def commit(self, kind: str, book: Book) -> bool:
        """Commit one act of `kind` in `book`; False if the situation is not there just now."""
        self.market.end_day(book)
        return self._acts[kind](book)

    def commit_one(self, book: Book) -> None:
        """Commit the first of those waiting whose situation is there."""
        for index, kind in enumerate(self.waiting):
            if kind not in AT_MOMENT and kind not in AT_UNCROSS and self.commit(kind, book):
                del self.waiting[index]
                return

    def commit_all(self, kinds: Iterable[str], book: Book, at_most: int) -> None:
        """Commit as many as `at_most` of each of those kinds in `book`, at this very moment."""
        for kind in kinds:
            for _ in range(min(at_most, self.waiting.count(kind))):
                if self.commit(kind, book):
                    self.waiting.remove(kind)

    def wants(self, phase: str) -> bool:
        """Whether an act is waiting for a phase."""
        return any(IN_PHASE.get(kind) == phase for kind in self.waiting)
