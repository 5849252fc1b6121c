"""One block of the Hyperliquid chain, its three lists made one order of records. The reading is told in
`hyperliquid`; here is how: statuses in array order, each trade after its aggressor's `open`, and what only
book diffs tell at the place that the diffs before it have reached.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from schemas.decimals import Parsed, text
from schemas.events import Aggressor, Side, Topic
from streams.sources.hyperliquid_files import Block, Diff, Fill, HyperliquidError, Status, Terms

Record = dict[str, object]
Place = tuple[int, int, int]  # the status it belongs to, rank there, place in its own array


SIDES: dict[str, Side] = {"B": "buy", "A": "sell"}
KINDS = {"open": "new", "filled": "fill", "triggered": "triggered", "scheduledCancel": "canceled"}
TIMES_IN_FORCE = {
    "Gtc": "gtc",
    "Alo": "gtc",  # and post_only
    "Ioc": "ioc",
    "FrontendMarket": "ioc",
    "LiquidationMarket": "ioc",
}
REASONS = {
    "canceled": "user",
    "scheduledCancel": "kill_switch",
    "selfTradeCanceled": "self_trade_prevention",
    "liquidatedCanceled": "liquidation",
    "marginCanceled": "pre_funding",
    "badAloPxRejected": "post_only",
    "perpMarginRejected": "pre_funding",
    "insufficientSpotBalanceRejected": "pre_funding",
    "iocCancelRejected": "expiry",
}  # all others: "venue"
OWN, MATCH, DIFF = 0, 1, 2  # ranks: a status, the trades of its turn, what only diffs tell


class Item(NamedTuple):
    """A record and its place in the block; `arrived` in ns, 0 where that is not known."""

    place: Place
    topic: Topic
    body: Record
    arrived: int


class Mapper:
    """Makes records without instrument, seq and ts, and counts what became of every input.

    `vaults`: accounts whose orders and fills are counted; `flagged`: those that get `mm_flag`.
    """

    def __init__(self, vaults: Collection[str], flagged: Collection[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._vaults = vaults
        self._flagged = flagged
        self._decimals = Parsed()

    def block(self, block: Block) -> list[Item]:
        """Return a block's records in their order."""
        statuses = block.order_statuses
        began: dict[int | None, int] = {
            s.order.oid: at for at, s in enumerate(statuses) if s.status in ("open", "triggered")
        }
        trades = _trades(block)
        rests, items = self._diffs(block, began, trades)
        aggressed: Counter[int | None] = Counter()
        last_trade: dict[int, Place] = {}
        for number, trade in enumerate(trades):
            taker = trade.taker
            if taker in began:
                place = (began[taker], MATCH, number)
                aggressed[taker] += self._decimals[trade.first.sz]
            else:
                place = trade.place or (len(statuses), DIFF, number)
                self.counts["trades: aggressor without status"] += 1
            items.append(Item(place, "trades", self._trade(trade), trade.arrived))
            last_trade.update(dict.fromkeys((fill.oid for _user, fill in trade.rows.values()), place))
        for at, status in enumerate(statuses):
            oid = status.order.oid
            leaves = status.order.sz
            if status.status == "open" and oid in rests:
                leaves = rests[oid]
                if aggressed[oid]:  # it took first, then rested with what was left
                    leaves = text(self._decimals[leaves] + aggressed[oid])
            place = (at, OWN, 0)
            if status.status == "filled":  # never before the trades it is about
                place = max(place, last_trade.get(oid, place))
            arrived = block.arrived["order_statuses"][at]
            items.append(Item(place, "orders", self._status(status, leaves), arrived))
        items.sort(key=lambda item: item.place)
        return items

    def _diffs(
        self, block: Block, began: dict[int | None, int], trades: list[_Trade]
    ) -> tuple[dict[int, str], list[Item]]:
        """Return what came to rest by order, and records of what only diffs tell; give trades their place."""
        ended = {
            s.order.oid: at for at, s in enumerate(block.order_statuses) if _kind(s.status) == "canceled"
        }
        waiting: defaultdict[int | None, deque[_Trade]] = defaultdict(deque)
        for trade in trades:
            waiting[trade.maker].append(trade)
        rests: dict[int, str] = {}
        items: list[Item] = []
        reached = -1  # the furthest status of which a diff has been seen
        for number, diff in enumerate(block.raw_book_diffs):
            place = (reached, DIFF, number)
            change, oid = diff.raw_book_diff, diff.oid
            if not isinstance(change, str) and change.new is not None and oid in began:
                rests[oid] = change.new.sz
                reached = max(reached, began[oid])
            elif waiting[oid] and (isinstance(change, str) or change.new is None):
                trade = waiting[oid].popleft()
                trade.place = place
                reached = max(reached, began.get(trade.taker, -1))
            elif isinstance(change, str) and oid in ended:
                reached = max(reached, ended[oid])
            else:
                self.counts["diffs: without status or fill"] += 1
                arrived = block.arrived["raw_book_diffs"][number]
                items.append(Item(place, "orders", self._unexplained(diff), arrived))
                continue
            self.counts["diffs: explained"] += 1
        return rests, items

    # ---- bodies ----------------------------------------------------------------------------------------

    def restated(self, user: str, order: Terms) -> Record:
        """Return an order that rests where the record begins."""
        self.counts["snapshot: restated"] += 1
        body = self._terms(user, order, order.sz)
        if self._decimals[order.orig_sz] < self._decimals[order.sz]:
            del body["order_qty"]  # "0.0" on an order of 2023: not known
        self._note_vault(user, "orders")
        return {"exec_type": "restated", **body}

    def _status(self, status: Status, leaves: str) -> Record:
        kind = _kind(status.status)
        self.counts[f"status: {status.status}"] += 1
        body = self._terms(status.user, status.order, None if kind == "rejected" else leaves)
        if kind in ("canceled", "rejected"):
            body["reason"] = REASONS.get(status.status, "venue")
        if kind in ("new", "rejected"):
            self._note_vault(status.user, "orders")
        return {"exec_type": kind, **body}

    def _terms(self, user: str, order: Terms, leaves: str | None) -> Record:
        kind = "limit"
        if order.is_trigger:
            kind = "stop" if order.order_type.endswith("Market") else "stop_limit"
        return _given(
            order_id=str(order.oid),
            cl_ord_id=order.cloid,
            account=user,
            side=SIDES[order.side],
            ord_type=kind,
            time_in_force=TIMES_IN_FORCE.get(order.tif, order.tif) if order.tif is not None else None,
            post_only=True if order.tif == "Alo" else None,
            price=None if kind == "stop" else order.limit_px,
            stop_px=order.trigger_px if order.is_trigger else None,
            order_qty=order.orig_sz,
            leaves_qty=leaves,
            mm_flag=self._flag(user),
        )

    def _unexplained(self, diff: Diff) -> Record:
        change = diff.raw_book_diff
        body = {
            "order_id": str(diff.oid), "account": diff.user, "side": SIDES[diff.side], "price": diff.px,
            **_given(mm_flag=self._flag(diff.user)),
        }  # fmt: skip
        if isinstance(change, str):
            return {"exec_type": "canceled", "reason": "venue", **body}
        if change.new is not None:
            self._note_vault(diff.user, "orders")
            return {"exec_type": "new", "order_qty": change.new.sz, "leaves_qty": change.new.sz, **body}
        if change.update is not None:
            return {"exec_type": "replaced", "leaves_qty": change.update.new_sz, **body}
        raise HyperliquidError(f"order {diff.oid}: expected new, update or remove, got another book diff")

    def _trade(self, trade: _Trade) -> Record:
        body: Record = {
            "exec_type": "trade", "trade_id": str(trade.tid), "price": trade.first.px, "qty": trade.first.sz,
            "aggressor": trade.aggressor,
        }  # fmt: skip
        liquidation = False
        for side, (user, fill) in sorted(trade.rows.items()):
            told = _given(order_id=str(fill.oid), account=user, mm_flag=self._flag(user), fee=fill.fee)
            body.update({f"{side}_{name}": value for name, value in told.items()})
            liquidation = liquidation or fill.liquidation is not None
            self._note_vault(user, "fills")
        body["match_type"] = "liquidation" if liquidation else "book"
        return body

    def _flag(self, user: str) -> bool | None:
        return True if user in self._flagged else None

    def _note_vault(self, user: str, what: str) -> None:
        if user in self._vaults:
            self.counts[f"vaults: {what}"] += 1


class _Trade(msgspec.Struct):
    """The rows that share a `tid`, by side; `place`: of the maker's book diff; `arrived`: the later row."""

    tid: int
    rows: dict[Side, tuple[str, Fill]]
    arrived: int = 0
    place: Place | None = None

    @property
    def first(self) -> Fill:
        return next(iter(self.rows.values()))[1]

    @property
    def aggressor(self) -> Aggressor:
        crossed: list[Side] = [side for side, (_user, fill) in self.rows.items() if fill.crossed]
        if len(self.rows) == 2:
            return crossed[0] if len(crossed) == 1 else "none"
        (side,) = self.rows  # the other row is missing, and with it one account
        other: Side = "sell" if side == "buy" else "buy"
        return side if crossed else other

    @property
    def taker(self) -> int | None:
        return next((fill.oid for _user, fill in self.rows.values() if fill.crossed), None)

    @property
    def maker(self) -> int | None:
        return next((fill.oid for _user, fill in self.rows.values() if not fill.crossed), None)


def _trades(block: Block) -> list[_Trade]:
    """Return a block's trades in the order of their first rows."""
    trades: dict[int, _Trade] = {}
    for (user, fill), arrived in zip(block.fills, block.arrived["fills"], strict=True):
        trade = trades.setdefault(fill.tid, _Trade(fill.tid, {}))
        side = SIDES[fill.side]
        if side in trade.rows or (trade.rows and (trade.first.px, trade.first.sz) != (fill.px, fill.sz)):
            raise HyperliquidError(
                f"block {block.number}: expected one buyer and one seller of trade {fill.tid} at one price "
                f"and size, got another row: {side} {fill.sz} at {fill.px}; copy the archive again"
            )
        trade.rows[side] = (user, fill)
        trade.arrived = max(trade.arrived, arrived)
    return list(trades.values())


def _kind(status: str) -> str:
    """Return the `exec_type` of a status; an unknown one as it is, to be refused at the door."""
    if status.endswith(("Rejected", "rejected")):
        return "rejected"
    return "canceled" if status.endswith(("Canceled", "canceled")) else KINDS.get(status, status)


def _given(**fields: object) -> Record:
    return {name: value for name, value in fields.items() if value is not None}
