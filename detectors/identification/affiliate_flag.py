"""I1 affiliate flag integrity: is every affiliated order, fill and quote flagged, and nothing else?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.base import Rule
from schemas.alerts import Anchor, Evidence, Severity
from schemas.events import Side
from schemas.journal import OrderEntry, QuoteEntry, TradeEntry

if TYPE_CHECKING:
    from detectors.market import Market

SEVERITY: dict[str, Severity] = {
    "untagged": "high",
    "false_tag": "medium",
    "mutated": "high",
    "unregistered_affiliate": "high",
    "unknown_account": "medium",
}
SAYS = {
    "untagged": "is an affiliated market maker's, but carries no market-making flag",
    "false_tag": "carries the market-making flag, but its account has no registration in force",
    "mutated": "carries another market-making flag than the order's first record",
    "unregistered_affiliate": "belongs to the operator's group without being registered as affiliated",
    "unknown_account": "is of an account that no reference fact knows",
}


class AffiliateFlagState(msgspec.Struct):
    """Latches: findings said once, by anchor; `seen` holds the day-level ones only."""

    seen: dict[str, str] = {}  # code and account -> latest trading day said
    no_accounts: str = ""  # trading day of the last `no_accounts` finding


class AffiliateFlag(Rule):
    """I1: exact, tolerance zero, in every phase and match type; the code is in `measures.code`.

    `untagged`: role affiliated_mm and mm_flag missing, null or false. `false_tag`: flag set and no
    registration (affiliated or independent) in force. Both are judged on an order's first record only, at
    that record's ts, on every fill at the fill's ts, on a maker's quotes once an account and day. `mutated`:
    an order's flag differs from its first record's, in a record or a fill; once. `unregistered_affiliate`:
    role affiliate enters any order, fill or quote, and `unknown_account`: once an account and trading day.

    >>> AffiliateFlag.name
    'affiliate_flag'

    Choices where the text is silent: missing, null and false are one value on every record of an order, a
    cancel included, so an adapter must carry the flag on all of them. A record without an
    account gives `no_accounts` (data quality), once an instrument and day. A bust retracts the findings on
    that fill and a `mutated` seen on it, not the day-level ones.

    Misses: a joint venture of two unrelated parents joins both groups; a member of the group registered as
    independent has role affiliate. Source: SPEC.md I1; cf. RTS 8 art. 2(1)(f) (secondary).
    """

    name = "affiliate_flag"
    version = 1
    State = AffiliateFlagState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """No parameters: the rule is exact."""

    def on_order(self, market: Market, state: AffiliateFlagState, entry: OrderEntry, first: bool) -> None:
        """Judge an order's first record, and any later one whose flag differs from it."""
        if entry.order_id is None:
            return
        evidence = Evidence("order", entry.order_id, entry.seq)
        order = market.book.find(entry.order_id)
        if order is not None and not order.mutated and bool(entry.mm_flag) != order.mm_flag:
            order.mutated = True
            self._mutated(market, entry.order_id, order.account, entry.ts, evidence, None)
        if entry.account is None:
            if order is None:
                self._no_account(market, state, entry.seq, entry.ts)
            return
        if first:
            flag = bool(entry.mm_flag)
            self._flag(
                market,
                entry.account,
                flag,
                entry.ts,
                evidence,
                ("order", entry.order_id),
                f"order {entry.order_id}",
            )
        self._account(market, state, entry.account, entry.ts, evidence)

    def on_trade(self, market: Market, state: AffiliateFlagState, trade: TradeEntry) -> None:
        """Judge both sides of a fill."""
        evidence = Evidence("trade", trade.trade_id, trade.seq)
        sides: tuple[tuple[Side, str | None, str | None, bool | None], ...] = (
            ("buy", trade.buy_account, trade.buy_order_id, trade.buy_mm_flag),
            ("sell", trade.sell_account, trade.sell_order_id, trade.sell_mm_flag),
        )
        for side, account, order_id, mm_flag in sides:
            flag = bool(mm_flag)
            order = market.book.find(order_id)
            if order is not None and not order.mutated and order.mm_flag != flag:
                order.mutated = True
                self._mutated(market, order.order_id, order.account, trade.ts, evidence, trade.trade_id)
            if account is None:
                self._no_account(market, state, trade.seq, trade.ts)
                continue
            self._flag(
                market, account, flag, trade.ts, evidence, ("trade", trade.trade_id, side),
                f"{side} side of trade {trade.trade_id}", trade.trade_id,
            )  # fmt: skip
            self._account(market, state, account, trade.ts, evidence)

    def on_quote(self, market: Market, state: AffiliateFlagState, quote: QuoteEntry) -> None:
        """Judge a maker's quote; the venue's own quotes have no account."""
        if quote.account is None:
            return
        evidence = Evidence("quote", quote.quote_id or "", quote.seq)
        day = market.day(quote.ts)
        self._flag(
            market, quote.account, bool(quote.mm_flag), quote.ts, evidence, ("quote", quote.account, day),
            f"quote of {quote.account}", None, state,
        )  # fmt: skip
        self._account(market, state, quote.account, quote.ts, evidence)

    # ---- findings -----------------------------------------------------------------------------------

    def _flag(
        self,
        market: Market,
        account: str,
        flag: bool,
        ts: int,
        evidence: Evidence,
        anchor: Anchor,
        what: str,
        trade_id: str | None = None,
        daily: AffiliateFlagState | None = None,
    ) -> None:
        if flag:
            if market.context.directory.registered(account, market.instrument, ts):
                return
            code = "false_tag"
        elif market.party(account, ts).role == "affiliated_mm":
            code = "untagged"
        else:
            return
        if daily is None or self._first_today(daily, f"{code} quote", account, market.day(ts)):
            self._find(market, code, (code, *anchor), account, ts, evidence, what, trade_id)

    def _account(
        self, market: Market, state: AffiliateFlagState, account: str, ts: int, evidence: Evidence
    ) -> None:
        role = market.party(account, ts).role
        if role == "affiliate":
            code = "unregistered_affiliate"
        elif role == "unknown":
            code = "unknown_account"
        else:
            return
        day = market.day(ts)
        if self._first_today(state, code, account, day):
            self._find(market, code, (code, account, day), account, ts, evidence, f"account {account}", None)

    def _first_today(self, state: AffiliateFlagState, code: str, account: str, day: str) -> bool:
        key = f"{code} {account}"
        if state.seen.get(key, "") >= day:
            return False
        state.seen[key] = day
        return True

    def _mutated(
        self,
        market: Market,
        order_id: str,
        account: str | None,
        ts: int,
        evidence: Evidence,
        trade_id: str | None,
    ) -> None:
        self._find(
            market, "mutated", ("mutated", order_id), account, ts, evidence,
            f"{evidence.kind} {evidence.id} of order {order_id}", trade_id,
        )  # fmt: skip

    def _no_account(self, market: Market, state: AffiliateFlagState, seq: int, ts: int) -> None:
        day = market.day(ts)
        if state.no_accounts < day:
            state.no_accounts = day
            market.fault(
                "no_accounts", seq, seq, ts, f"records without an account on {day}: not judged by I1"
            )

    def _find(
        self,
        market: Market,
        code: str,
        anchor: Anchor,
        account: str | None,
        ts: int,
        evidence: Evidence,
        what: str,
        trade_id: str | None,
    ) -> None:
        found = self.parameters(ts)
        if found is None or market.known(self, anchor) is not None:
            return
        party = market.party(account, ts)
        market.alert(
            self,
            anchor,
            ts=ts,
            parameter_hash=found[1],
            severity=SEVERITY[code],
            accounts=[account],
            grps=[party.grp],
            evidence=[evidence],
            trade_id=trade_id,
            measures={"code": code, "role": party.role, "owner": party.owner},
            narrative=(
                f"{what[0].upper()}{what[1:]} (seq {evidence.seq}, account {account}, role {party.role}) "
                f"{SAYS[code]}; for review."
            ),
        )
