"""I1 affiliate flag integrity: is every affiliated order, fill and quote flagged, and nothing else?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.base import Rule
from detectors.bounded import oldest_beyond
from detectors.ledger import MAX_ALERTS
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


MAX_STRANGERS = 20_000
MAX_MUTATED = 20_000
MAX_SUPPORTS = 1_000
MAX_RESTING = MAX_ALERTS  # what the ledger has forgotten no bust can change


class Stranger(msgspec.Struct):
    """An order that the book does not know: its first record or fill. `entered`: it had a record."""

    account: str | None
    flag: bool
    entered: bool = False


class Support(msgspec.Struct, frozen=True):
    """A record that a finding rests on; `fill`: a trade, so it can be busted."""

    evidence: Evidence
    ts: int
    fill: bool


class AffiliateFlagState(msgspec.Struct):
    """`mutated`: orders of which it has been said.

    `resting`: what a day's or a `mutated` finding rests on while that begins with a fill; its keys are code,
    day and subject, see `_parts`.
    """

    strangers: dict[str, Stranger] = {}
    mutated: dict[str, bool] = {}
    resting: dict[str, list[Support]] = {}
    days_without_accounts: list[str] = []


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
    cancel included, so an adapter must carry the flag on all of them. Only an order's first record enters it;
    the flag of an order that no record entered is that of its first fill. A record or a side of a trade
    without an account gives `no_accounts` (data quality), once an instrument and day, but can be `mutated`. A
    bust retracts the findings on that fill, and a `mutated` or a day's finding that rests on busted fills
    only (the next record raises it again; otherwise it goes on with the first record that stands). A
    corrected fill is judged as a fill with its new values at the old seq.

    Misses: a joint venture of two unrelated parents joins both groups; a member of the group registered as
    independent has role affiliate. Source: SPEC.md I1; cf. RTS 8 art. 2(1)(f) (secondary).
    """

    name = "affiliate_flag"
    version = 2
    State = AffiliateFlagState

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """No parameters: the rule is exact."""

    def on_order(self, market: Market, state: AffiliateFlagState, entry: OrderEntry, first: bool) -> None:
        """Judge an order's first record, and any later one whose flag differs from it."""
        if entry.order_id is None or entry.exec_type in ("mm_protection_start", "mm_protection_end"):
            return
        if entry.account is None:
            self._no_account(market, state, entry.seq, entry.ts)
        evidence = Evidence("order", entry.order_id, entry.seq)
        stranger = state.strangers.get(entry.order_id)
        if first and stranger is None and entry.exec_type not in ("new", "restated", "rejected"):
            stranger = self._meet(state, entry.order_id, entry.account, bool(entry.mm_flag))
        self._compare(market, state, entry.order_id, bool(entry.mm_flag), entry.ts, evidence, None)
        if stranger is not None:
            first = not stranger.entered
            stranger.entered = True
        if first and entry.account is not None:
            self._flag(
                market, entry.account, bool(entry.mm_flag), entry.ts, evidence, ("order", entry.order_id),
                f"order {entry.order_id}",
            )  # fmt: skip
            self._account(market, state, entry.account, Support(evidence, entry.ts, fill=False))

    def on_trade(self, market: Market, state: AffiliateFlagState, trade: TradeEntry) -> None:
        """Judge both sides of a fill."""
        evidence = Evidence("trade", trade.trade_id, trade.seq)
        sides: tuple[tuple[Side, str | None, str | None, bool | None], ...] = (
            ("buy", trade.buy_account, trade.buy_order_id, trade.buy_mm_flag),
            ("sell", trade.sell_account, trade.sell_order_id, trade.sell_mm_flag),
        )
        for side, account, order_id, mm_flag in sides:
            flag = bool(mm_flag)
            if order_id is not None:
                if order_id not in state.strangers and market.book.find(order_id) is None:
                    self._meet(state, order_id, account, flag)
                self._compare(market, state, order_id, flag, trade.ts, evidence, trade.trade_id)
            if account is None:
                if not market.correcting:
                    self._no_account(market, state, trade.seq, trade.ts)
                continue
            self._flag(
                market, account, flag, trade.ts, evidence, ("trade", trade.trade_id, side),
                f"{side} side of trade {trade.trade_id}", trade.trade_id,
            )  # fmt: skip
            self._account(market, state, account, Support(evidence, trade.ts, fill=True))

    def on_bust(self, market: Market, state: AffiliateFlagState, trade_id: str, entry: TradeEntry) -> None:
        """A day's finding goes on with the first record that stands, or is retracted if there is none."""
        for key, supports in list(state.resting.items()):
            left = [item for item in supports if not (item.fill and item.evidence.id == trade_id)]
            if len(left) == len(supports):
                continue
            code, anchor, subject = _parts(key)
            known = market.known(self, anchor)
            if not left:
                del state.resting[key]
                market.retract(known, "busted")
                continue
            state.resting[key] = left
            if left[0] != supports[0] and known is not None:
                account = next(iter(known.accounts), None)
                self._say(market, code, anchor, account, left[0], _what(code, subject, left[0]), None)

    def on_clock(self, market: Market, state: AffiliateFlagState, ts: int, end: bool) -> None:
        """Forget what no bust can reach any more."""
        if state.resting:
            horizon = market.time - market.context.bust_horizon
            for key in [key for key, supports in state.resting.items() if supports[0].ts < horizon]:
                del state.resting[key]

    def on_quote(self, market: Market, state: AffiliateFlagState, quote: QuoteEntry) -> None:
        """Judge a maker's quote; the venue's own quotes have no account."""
        if quote.account is None:
            return
        evidence = Evidence("quote", quote.quote_id or "", quote.seq)
        self._flag(
            market, quote.account, bool(quote.mm_flag), quote.ts, evidence,
            ("quote", quote.account, market.day(quote.ts)), f"quote of {quote.account}",
        )  # fmt: skip
        self._account(market, state, quote.account, Support(evidence, quote.ts, fill=False))

    # ---- findings -----------------------------------------------------------------------------------

    def _meet(self, state: AffiliateFlagState, order_id: str, account: str | None, flag: bool) -> Stranger:
        """Remember an order that the book does not know."""
        stranger = state.strangers[order_id] = Stranger(account, flag)
        for gone in oldest_beyond(state.strangers, MAX_STRANGERS):
            del state.strangers[gone]
        return stranger

    def _compare(
        self,
        market: Market,
        state: AffiliateFlagState,
        order_id: str,
        flag: bool,
        ts: int,
        evidence: Evidence,
        trade_id: str | None,
    ) -> None:
        """`mutated`: the flag differs from the order's first one."""
        order = market.book.find(order_id)
        first = state.strangers.get(order_id)
        if first is not None:
            was, account = first.flag, first.account
        elif order is not None:
            was, account = order.mm_flag, order.account
        else:
            return
        if was == flag:
            return
        if order_id in state.mutated and market.known(self, ("mutated", order_id)) is None:
            return  # said, and so long ago that it is forgotten
        state.mutated[order_id] = True
        for gone in oldest_beyond(state.mutated, MAX_MUTATED):
            del state.mutated[gone]
        self._rest(
            market, state, "mutated  " + order_id, account, Support(evidence, ts, trade_id is not None)
        )

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
    ) -> None:
        if flag:
            if market.context.directory.registered(account, market.instrument, ts):
                return
            code = "false_tag"
        elif market.party(account, ts).role == "affiliated_mm":
            code = "untagged"
        else:
            return
        self._find(market, code, (code, *anchor), account, ts, evidence, what, trade_id)

    def _account(self, market: Market, state: AffiliateFlagState, account: str, support: Support) -> None:
        role = market.party(account, support.ts).role
        if role == "affiliate":
            code = "unregistered_affiliate"
        elif role == "unknown":
            code = "unknown_account"
        else:
            return
        self._rest(market, state, f"{code} {market.day(support.ts)} {account}", account, support)

    def _rest(
        self, market: Market, state: AffiliateFlagState, key: str, account: str | None, support: Support
    ) -> None:
        """Say a finding that any of several records can carry; remember more while a bust can matter."""
        code, anchor, subject = _parts(key)
        known = market.known(self, anchor)
        if known is None or known.status == "retracted":
            if support.fill:
                state.resting[key] = [support]
                for gone in oldest_beyond(state.resting, MAX_RESTING):
                    del state.resting[gone]
            self._say(market, code, anchor, account, support, _what(code, subject, support), None)
            return
        supports = state.resting.get(key)
        if supports is not None and supports[-1].fill and len(supports) < MAX_SUPPORTS:
            supports.append(support)

    def _no_account(self, market: Market, state: AffiliateFlagState, seq: int, ts: int) -> None:
        day = market.day(ts)
        if day not in state.days_without_accounts:
            state.days_without_accounts.append(day)
            del state.days_without_accounts[:-10]
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
        """Say it once; what was retracted (a bust) is said again of the corrected fill."""
        known = market.known(self, anchor)
        if known is None or known.status == "retracted":
            self._say(market, code, anchor, account, Support(evidence, ts, fill=False), what, trade_id)

    def _say(
        self,
        market: Market,
        code: str,
        anchor: Anchor,
        account: str | None,
        support: Support,
        what: str,
        trade_id: str | None,
    ) -> None:
        evidence, ts = support.evidence, support.ts
        found = self.parameters(ts)
        if found is None:
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


def _parts(key: str) -> tuple[str, Anchor, str]:
    """Return code, anchor and subject (an account, or the order that is `mutated`) of a key of `resting`."""
    code, day, subject = key.split(" ", 2)
    return code, (code, subject, day) if day else (code, subject), subject


def _what(code: str, subject: str, support: Support) -> str:
    if code != "mutated":
        return f"account {subject}"
    return f"trade {support.evidence.id} of order {subject}" if support.fill else f"order {subject}"
