"""The simulator's engine, one behaviour a test: what it writes, in order."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.decimals import ONE
from schemas.events import Topic
from streams.sources.matching_engine import MatchingEngine
from streams.sources.simulator_records import Order

GROUPS = {"A": "a", "B": "b", "C": "c", "M1": "house", "M2": "house"}


class Venue:
    """An engine, and short words for sending to it."""

    def __init__(self) -> None:
        self.out: list[tuple[Topic, dict[str, object]]] = []
        self.engine = MatchingEngine("X-USD", self.out, GROUPS)
        self.orders: dict[str, Order] = {}

    def send(self, name: str, account: str, side: str, price: int, lots: int, **fields: Any) -> Order:
        special = {key: fields.pop(key) for key in ("favoured", "permitted") if key in fields}
        side_name: Any = side
        order = Order(name, account, side_name, price * ONE, lots * ONE, f"c-{name}", **fields)
        self.orders[name] = order
        self.engine.submit(order, 1_000 + len(self.out), **special)
        return order

    def said(self) -> list[str]:
        """Records since the last call, in short."""
        lines = []
        for topic, record in self.out:
            if topic == "trades":
                lines.append(
                    f"{record['buy_order_id']}x{record['sell_order_id']} {record['qty']}@{record['price']}"
                )
            elif topic == "quotes":
                bid, ask = ((record[f"{side}_px"], record[f"{side}_size"]) for side in ("bid", "ask"))
                lines.append(f"quote {bid[1]}@{bid[0]}|{ask[1]}@{ask[0]}")
            else:
                reason = f" {record['reason']}" if "reason" in record else ""
                lines.append(f"{record['exec_type']} {record['order_id']} {record['leaves_qty']}{reason}")
        self.out.clear()
        return lines


@pytest.fixture
def venue() -> Venue:
    return Venue()


def test_a_turn_is_new_trades_quote_and_earlier_orders_trade_first(venue: Venue) -> None:
    venue.send("a", "A", "buy", 10, 3)
    venue.send("b", "B", "buy", 10, 3)
    venue.said()
    venue.send("t", "C", "sell", 10, 4)
    assert venue.said() == ["new t 4", "axt 3@10", "bxt 1@10", "quote 2@10|None@None"]


def test_sequence_numbers_are_one_series_over_all_three_topics(venue: Venue) -> None:
    venue.send("a", "A", "buy", 10, 3)
    venue.send("t", "C", "sell", 9, 5)
    assert [(topic, record["seq"]) for topic, record in venue.out] == [
        ("orders", 1), ("quotes", 2), ("orders", 3), ("trades", 4), ("quotes", 5),
    ]  # fmt: skip
    assert [record["match_id"] for topic, record in venue.out if topic == "trades"] == ["X-USD-M3"]


def test_ioc_and_market_remainders_are_cancelled_after_the_trades(venue: Venue) -> None:
    venue.send("a", "A", "sell", 10, 1)
    venue.said()
    venue.send("i", "B", "buy", 11, 2, time_in_force="ioc")
    assert venue.said() == ["new i 2", "ixa 1@10", "canceled i 0 expiry", "quote None@None|None@None"]
    venue.send("m", "B", "buy", 0, 2, ord_type="market", time_in_force="ioc")
    assert venue.said() == ["new m 2", "canceled m 0 expiry"]


def test_fok_trades_whole_or_not_and_does_not_count_its_own_group(venue: Venue) -> None:
    venue.send("m", "M1", "sell", 10, 5)
    venue.send("a", "A", "sell", 10, 2)
    venue.said()
    venue.send("f", "M2", "buy", 10, 3, time_in_force="fok")
    assert venue.said() == ["new f 3", "canceled f 0 expiry"]
    venue.send("g", "M2", "buy", 10, 2, time_in_force="fok")
    assert venue.said() == [
        "new g 2", "canceled m 0 self_trade_prevention", "gxa 2@10", "quote None@None|None@None",
    ]  # fmt: skip


def test_post_only_that_would_trade_is_rejected_and_leaves_no_trace(venue: Venue) -> None:
    venue.send("a", "A", "sell", 10, 2)
    venue.said()
    order = venue.send("p", "B", "buy", 10, 1, post_only=True)
    assert venue.said() == ["rejected p 0 post_only"]
    assert not order.live


def test_a_rejected_replace_leaves_the_order_as_it_was(venue: Venue) -> None:
    venue.send("a", "A", "sell", 10, 2)
    order = venue.send("p", "B", "buy", 9, 1, post_only=True)
    venue.said()
    assert venue.engine.replace(order, 5_000, "c-p2", 10 * ONE, 3 * ONE) is False
    assert venue.said() == ["rejected p 3 post_only"]
    assert (order.live, order.price, order.leaves, order.order_qty, order.cl_ord_id) == (
        True,
        9 * ONE,
        ONE,
        ONE,
        "c-p",
    )


@pytest.mark.parametrize(
    ("price", "leaves", "first"), [(10, 2, "a"), (10, 3, "a"), (10, 4, "b")], ids=["less", "same", "more"]
)
def test_a_replace_keeps_its_place_iff_same_price_and_no_more_quantity(
    venue: Venue, price: int, leaves: int, first: str
) -> None:
    order = venue.send("a", "A", "buy", 10, 3)
    venue.send("b", "B", "buy", 10, 3)
    venue.engine.replace(order, 5_000, "c-a2", price * ONE, leaves * ONE)
    venue.said()
    venue.send("t", "C", "sell", 10, 1)
    assert venue.said()[1] == f"{first}xt 1@10"


def test_a_replace_may_aggress(venue: Venue) -> None:
    venue.send("a", "A", "sell", 10, 2)
    order = venue.send("b", "B", "buy", 9, 3)
    venue.said()
    venue.engine.replace(order, 5_000, "c-b2", 10 * ONE, 3 * ONE)
    assert venue.said() == ["replaced b 3", "bxa 2@10", "quote 1@10|None@None"]


def test_an_iceberg_shows_tranches_and_a_new_one_goes_to_the_back(venue: Venue) -> None:
    venue.send("i", "A", "buy", 10, 5, display_qty=2 * ONE)
    venue.send("b", "B", "buy", 10, 3)
    assert venue.said()[-1] == "quote 5@10|None@None"
    venue.send("t", "C", "sell", 10, 6)
    assert venue.said() == ["new t 6", "ixt 2@10", "bxt 3@10", "ixt 1@10", "quote 1@10|None@None"]
    venue.send("u", "C", "sell", 10, 2)
    assert venue.said() == ["new u 2", "ixu 2@10", "quote None@None|None@None"]


def test_an_iceberg_alone_gives_hidden_quantity_in_one_trade(venue: Venue) -> None:
    order = venue.send("i", "A", "buy", 10, 9, display_qty=3 * ONE)
    venue.said()
    venue.send("t", "C", "sell", 10, 4)
    assert venue.said() == ["new t 4", "ixt 4@10", "quote 2@10|None@None"]
    assert (order.shown, order.leaves, order.stamp) == (2 * ONE, 5 * ONE, 4)


def test_stops_trigger_after_the_turn_each_with_its_own_and_cascade(venue: Venue) -> None:
    venue.send("s", "A", "sell", 0, 1, ord_type="stop", stop_px=10 * ONE)
    venue.send("l", "B", "sell", 9, 1, ord_type="stop_limit", stop_px=9 * ONE)
    venue.send("x", "M1", "buy", 10, 1)
    venue.send("y", "M1", "buy", 9, 1)
    venue.said()
    venue.send("t", "C", "sell", 10, 1)
    assert venue.said() == [
        "new t 1", "xxt 1@10", "quote 1@9|None@None",
        "triggered s 1", "yxs 1@9", "quote None@None|None@None",
        "triggered l 1", "quote None@None|1@9",
    ]  # fmt: skip


def test_a_stop_already_reached_is_rejected(venue: Venue) -> None:
    venue.send("a", "A", "sell", 10, 1)
    venue.send("b", "B", "buy", 10, 1)
    venue.said()
    venue.send("s", "C", "buy", 0, 1, ord_type="stop", stop_px=10 * ONE)
    assert venue.said() == ["rejected s 0 venue"]


def test_favoured_trades_out_of_turn_and_the_rest_in_order(venue: Venue) -> None:
    venue.send("a", "A", "buy", 10, 3)
    maker = venue.send("m", "M1", "buy", 10, 2)
    venue.said()
    venue.send("t", "C", "sell", 10, 3, favoured=maker)
    assert venue.said() == ["new t 3", "mxt 2@10", "axt 1@10", "quote 2@10|None@None"]


def test_permitted_lets_one_pair_trade_and_prevention_catches_the_next(venue: Venue) -> None:
    head = venue.send("m", "M1", "buy", 10, 1)
    venue.send("n", "M1", "buy", 10, 1)
    venue.said()
    venue.send("t", "M2", "sell", 10, 2, time_in_force="ioc", permitted=head)
    assert venue.said() == [
        "new t 2", "mxt 1@10", "canceled n 0 self_trade_prevention", "canceled t 0 expiry",
        "quote None@None|None@None",
    ]  # fmt: skip


def test_blocks_and_busts_leave_the_book_alone(venue: Venue) -> None:
    venue.send("a", "A", "buy", 10, 3)
    venue.said()
    trade = venue.engine.report(9_000, "block", 9 * ONE, ONE, ("M1", True), ("B", False))
    trade_id = str(trade["trade_id"])
    venue.engine.bust(9_001, trade_id)
    (_, block), (_, bust) = venue.out
    assert (block["match_type"], block["aggressor"], block.get("buy_order_id"), block["buy_mm_flag"]) == (
        "block", "none", None, True)  # fmt: skip
    assert (bust["exec_type"], bust["orig_trade_id"], bust.get("price")) == ("trade_cancel", trade_id, None)
    assert venue.orders["a"].leaves == 3 * ONE


def test_fees_follow_the_published_tier_and_are_never_rounded_below_it(venue: Venue) -> None:
    venue.send("a", "A", "sell", 1, 1)
    venue.orders["a"].leaves = 1  # one unit of the eighth decimal
    venue.engine.asks.best().shown = 1  # type: ignore[union-attr]
    venue.orders["a"].shown = 1
    venue.send("b", "B", "buy", 1, 1)
    trade = next(record for topic, record in venue.out if topic == "trades")
    assert (trade["sell_fee"], trade["buy_fee"]) == ("0.00000001", "0.00000001")


def test_a_dead_order_cannot_be_cancelled_or_replaced(venue: Venue) -> None:
    order = venue.send("a", "A", "buy", 10, 3)
    venue.engine.cancel(order, 5_000)
    with pytest.raises(ValueError, match="not live"):
        venue.engine.cancel(order, 5_001)
    with pytest.raises(ValueError, match="only a resting order"):
        venue.engine.replace(order, 5_001, "c", 10 * ONE, ONE)
