"""Rules that must not be: each breaks one of the battery's promises, and is caught. `Good` breaks none."""

from __future__ import annotations

from typing import Any

import msgspec

from detectors.base import Rule
from detectors.market import Market
from schemas.alerts import Evidence
from schemas.journal import TradeEntry


class Seen(msgspec.Struct):
    """What the planted rules remember."""

    count: int = 0
    names: list[str] = []


class Good(Rule):
    """Says of every trade how many there were before it."""

    name = "planted"
    version = 1
    State = Seen

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """None."""

    def on_trade(self, market: Market, state: Any, trade: TradeEntry) -> None:
        """Say it."""
        self.say(market, trade, self.count(state))

    def count(self, state: Seen) -> int:
        """Return how many trades there have been."""
        state.count += 1
        return state.count

    def say(self, market: Market, trade: TradeEntry, count: int, narrative: str = "", later: int = 0) -> None:
        """Raise an alert about a trade."""
        found = self.parameters(trade.ts)
        assert found is not None
        market.alert(
            self,
            (trade.trade_id,),
            ts=trade.ts,
            parameter_hash=found[1],
            status="confirmed",
            severity="info",
            accounts=[trade.buy_account, trade.sell_account],
            grps=[],
            evidence=[Evidence("trade", trade.trade_id, trade.seq + later)],
            measures={"count": count},
            units={"count": "count"},
            narrative=f"Trade {count}{narrative}.",
        )


class ChangesItsInput(Good):
    """Writes into the record it is given."""

    def on_trade(self, market: Market, state: Any, trade: TradeEntry) -> None:
        super().on_trade(market, state, trade)
        trade.match_id = "changed"


class RemembersOutsideItsState(Good):
    """Counts on the rule object: all instruments of a partition together, and nothing after a restart."""

    counted = 0

    def count(self, state: Seen) -> int:
        self.counted += 1
        return self.counted


class SharesWhatItKnows(Good):
    """Says nothing of a trade that another instance has spoken of."""

    def on_trade(self, market: Market, state: Any, trade: TradeEntry) -> None:
        if market.cache.get("planted") != trade.seq:
            super().on_trade(market, state, trade)
        market.cache["planted"] = trade.seq


class DependsOnHashes(Good):
    """Writes a set as it comes."""

    def on_trade(self, market: Market, state: Any, trade: TradeEntry) -> None:
        names = {f"{name}-{number}" for name in ("buyer", "seller") for number in range(9)}
        self.say(market, trade, self.count(state), f" of {', '.join(names)}")


class TakesAnyParameter(Good):
    """Has a parameter without a unit."""

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """`window`: anything at all."""

        window: str = ""


class InventsEvidence(Good):
    """Points at a record that is not there yet."""

    def on_trade(self, market: Market, state: Any, trade: TradeEntry) -> None:
        self.say(market, trade, self.count(state), later=1)


class RemembersAll(Good):
    """Keeps the name of every trade."""

    def count(self, state: Seen) -> int:
        state.names.append(f"{len(state.names)}")
        return super().count(state)
