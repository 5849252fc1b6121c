"""F2 self-trade: one owner, or one control group, on both sides of a trade."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.base import Rule
from detectors.bounded import oldest_beyond
from schemas.alerts import Evidence, Severity
from schemas.decimals import text
from schemas.journal import OrderEntry, TradeEntry

if TYPE_CHECKING:
    from detectors.affiliation import Party
    from detectors.market import Market

SEVERITY: dict[str, Severity] = {
    "same_account": "high",
    "same_owner": "high",
    "afmm_own_group": "high",
    "same_group": "medium",
}


MAX_ACCOUNTS = 20_000  # whose cancels are counted, an instrument: those it happened to last


class SelfTradeState(msgspec.Struct):
    """`preventions`: cancels by self-trade prevention so far, by account: a pattern, no breach."""

    preventions: dict[str, int] = {}


class SelfTrade(Rule):
    """F2: exact, in every phase and match type. Class = the first that holds:

    `same_account` (known or not), `same_owner`, `afmm_own_group` (one control group, at least one side with
    role affiliated_mm), `same_group`; owners and groups are those at the time of the trade. Two unknown
    owners are never the same. Self-trade-prevention cancels are counted by account and stated in the
    measures of a later finding on that account. A bust retracts the finding.

    >>> SelfTrade.name
    'self_trade'

    Misses: one beneficial owner behind entities without a control edge (20-50 % shares do not count), and
    wash trading through a third party (that is `ring_trading`'s). Source: SPEC.md F2 (assumed: common
    exchange rules on wash trades).
    """

    name = "self_trade"
    version = 2
    State = SelfTradeState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """No parameters: the rule is exact."""

    def on_order(self, market: Market, state: SelfTradeState, entry: OrderEntry, first: bool) -> None:
        """Count what self-trade prevention cancelled."""
        if entry.exec_type == "canceled" and entry.reason == "self_trade_prevention":
            order = market.book.find(entry.order_id)
            account = entry.account or (order.account if order is not None else None)
            if account is not None:
                state.preventions[account] = state.preventions.pop(account, 0) + 1
                for gone in oldest_beyond(state.preventions, MAX_ACCOUNTS):
                    del state.preventions[gone]

    def on_trade(self, market: Market, state: SelfTradeState, trade: TradeEntry) -> None:
        """Compare both sides' accounts, owners, groups."""
        found = self.parameters(trade.ts)
        if found is None or trade.buy_account is None or trade.sell_account is None:
            return
        buyer = market.party(trade.buy_account, trade.ts)
        seller = market.party(trade.sell_account, trade.ts)
        kind = self._class(trade, buyer, seller)
        if kind is None:
            return
        qty, price = trade.qty or 0, trade.price or 0
        evidence = [Evidence("trade", trade.trade_id, trade.seq)]
        for order_id in (trade.buy_order_id, trade.sell_order_id):
            order = market.book.find(order_id)
            if order is not None:
                evidence.append(Evidence("order", order.order_id, order.accepted_seq))
        prevented = sum(
            state.preventions.get(account, 0) for account in {trade.buy_account, trade.sell_account}
        )
        what = {
            "same_account": "the same account",
            "same_owner": f"one owner ({buyer.owner})",
            "afmm_own_group": f"one control group ({buyer.grp}) with an affiliated market maker",
            "same_group": f"one control group ({buyer.grp})",
        }[kind]
        market.alert(
            self,
            (trade.trade_id,),
            ts=trade.ts,
            parameter_hash=found[1],
            severity=SEVERITY[kind],
            accounts=[trade.buy_account, trade.sell_account],
            grps=[buyer.grp, seller.grp],
            evidence=evidence,
            trade_id=trade.trade_id,
            measures={
                "class": kind,
                "trade_id": trade.trade_id,
                "price": text(price),
                "qty": text(qty),
                "notional": text(price * qty, 16),
                "match_type": trade.match_type,
                "preventions_before": prevented,
            },
            units={"price": "quote", "qty": "base", "notional": "quote", "preventions_before": "count"},
            narrative=(
                f"Trade {trade.trade_id} (seq {trade.seq}) of {text(qty)} {market.instrument} "
                f"at {text(price)} has {what} on both sides: buyer {trade.buy_account}, "
                f"seller {trade.sell_account}; for review."
            ),
        )

    def _class(self, trade: TradeEntry, buyer: Party, seller: Party) -> str | None:
        if trade.buy_account == trade.sell_account:
            return "same_account"
        if buyer.owner is None or seller.owner is None:
            return None
        if buyer.owner == seller.owner:
            return "same_owner"
        if buyer.grp is None or buyer.grp != seller.grp:
            return None
        return "afmm_own_group" if "affiliated_mm" in (buyer.role, seller.role) else "same_group"
