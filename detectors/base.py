"""What a rule is: typed parameters, state per instrument, and the hooks it overrides.

A rule object is one instance of the rulebook. It holds no state: that is a msgspec struct per instrument
(`State`), so a snapshot is the states, encoded. Hooks that a rule does not override are never called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from detectors.rulebook import Instance, Rulebook
from schemas.journal import OrderEntry, QuoteEntry, TradeEntry

if TYPE_CHECKING:
    from detectors.book import Turn
    from detectors.market import Market


class NoState(msgspec.Struct):
    """State of a rule that remembers nothing."""


class Rule:
    """Base of all rules; `instance` names the rulebook's entry with provenance, reference and parameters."""

    name: ClassVar[str]
    version: ClassVar[int]
    Parameters: ClassVar[type[msgspec.Struct]]
    State: ClassVar[type[msgspec.Struct]] = NoState

    rulebook: Rulebook

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def parameters(self, ts: int) -> tuple[Any, str] | None:
        """Return the parameters in force at `ts` and their hash, or None if none are."""
        return self.rulebook.parameters(self.instance.name, ts)

    def on_open(self, market: Market, state: Any) -> None:
        """The market is new or restored, or its reference data or rulebook has changed: derive."""

    def on_order(self, market: Market, state: Any, entry: OrderEntry, first: bool) -> None:
        """An order record, before the book applies it; `first`: its order was never seen before."""

    def on_trade(self, market: Market, state: Any, trade: TradeEntry) -> None:
        """A trade, before the book applies it: the state just before its seq."""

    def on_bust(self, market: Market, state: Any, trade_id: str, entry: TradeEntry) -> None:
        """A trade was busted (or corrected: the corrected one follows as `on_trade` with the old seq)."""

    def on_quote(self, market: Market, state: Any, quote: QuoteEntry) -> None:
        """A quote, of the venue or of a maker."""

    def on_turn_end(self, market: Market, state: Any, turn: Turn) -> None:
        """A turn has ended; its order rests or is dead."""

    def on_due(self, market: Market, state: Any, start: int, end: int, known: bool, certain: bool) -> None:
        """As `on_time`, but before what is due by `end` is decided: the place to call `market.wake`.

        `certain` is False for a clock: a gap that shows later may make of it time that is not known.
        """

    def on_time(self, market: Market, state: Any, start: int, end: int, known: bool) -> None:
        """The book stood as it is from `start` to `end` (ns); `known` is False in a data gap."""

    def on_timer(self, market: Market, state: Any, due: int, key: str) -> None:
        """A moment asked for by `market.wake(self, due, key)` has come: all events with ts <= due are in."""

    def on_clock(self, market: Market, state: Any, ts: int, end: bool) -> None:
        """A clock entry; `end`: the recording ends here, publish what is open."""


HOOKS = (
    "on_open", "on_order", "on_trade", "on_bust", "on_quote", "on_turn_end", "on_due", "on_time", "on_clock",
)  # fmt: skip


def overridden(rule: Rule, hook: str) -> bool:
    """Return True if the rule's class overrides the hook."""
    return getattr(type(rule), hook) is not getattr(Rule, hook)
