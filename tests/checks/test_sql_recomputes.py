"""Alerts of a simulated day, computed again from the landed raw records with SQL alone.

It stands for what an examiner does with the lake: no code of the rules, no measure of an alert, only records.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from streams.commands.publish import rulebook_text
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import replay
from streams.sources import recording
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml

# What the queries below know of: they follow neither quotes nor corrections.
PLANTED = Violations(**dict.fromkeys(
    ("untagged_order", "untagged_fill", "price_time_equal", "price_time_better", "price_time_one_lot",
     "self_trade_account", "self_trade_owner", "self_trade_afmm", "self_trade_group", "self_trade_busted"), 8,
))  # fmt: skip

BUSTED = "(select coalesce(orig_trade_id, trade_id) as trade_id from trades where exec_type = 'trade_cancel')"

SELF_TRADES = f"""
select trade_id,
  case
    when buy_account = sell_account then 'same_account'
    when buy_owner = sell_owner then 'same_owner'
    when buy_grp = sell_grp and 'affiliated_mm' in (buy_role, sell_role) then 'afmm_own_group'
    else 'same_group'
  end as class,
  if(trade_id in {BUSTED}, 'retracted', 'confirmed') as status
from trades
where exec_type = 'trade' and (buy_account = sell_account or buy_owner = sell_owner or buy_grp = sell_grp)
"""
UNTAGGED = f"""
with first as (
  select * from orders where order_id is not null
  qualify row_number() over (partition by instrument, order_id order by seq) = 1
),
sides as (
  select trade_id, 'buy' as side, buy_role as role, buy_mm_flag as mm_flag
  from trades where exec_type = 'trade'
  union all
  select trade_id, 'sell', sell_role, sell_mm_flag from trades where exec_type = 'trade'
)
select order_id || ' ' as what, 'confirmed' as status from first
where role = 'affiliated_mm' and not coalesce(mm_flag, false)
union all
select trade_id || ' ' || side, if(trade_id in {BUSTED}, 'retracted', 'confirmed') from sides
where role = 'affiliated_mm' and not coalesce(mm_flag, false)
"""
# The maker's first fill of a match: what the clients ahead of it could still have had.
PASSED_OVER = """
with f as (select *, $side = 'buy' as is_buy from trades where trade_id = $trade_id and exec_type = 'trade'),
a as (
  select f.*, if(is_buy, buy_order_id, sell_order_id) as own,
    if(is_buy, sell_owner, buy_owner) as other_owner,
    (select max(o.seq) from orders o where o.order_id = if(f.aggressor = 'buy', buy_order_id, sell_order_id)
      and o.exec_type in ('new', 'replaced', 'triggered') and o.seq < f.seq) as turn
  from f
),
queue as (select * from queue_before($instrument, $side, $seq)),
mine as (select stamp from queue, a where order_id = a.own)
select least(any_value(a.qty), sum(queue.leaves)) as harm, count(*) as orders
from queue, a, mine
where queue.role = 'client' and queue.stamp < a.turn and queue.leaves > 0
  and (select owner from orders o where o.order_id = queue.order_id limit 1) is distinct from a.other_owner
  and (if(a.is_buy, queue.price > a.price, queue.price < a.price)
    or (queue.price = a.price and queue.stamp < mine.stamp))
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A simulated day, landed."""
    folder = tmp_path_factory.mktemp("day")
    config = SimulatorConfig(seed=11, events=12_000, rate=400, violations=PLANTED)
    recording.write(folder / "recording", Simulation(config), reference_toml(config))
    out = folder / "lake"
    replay(folder / "recording", rulebook_text=rulebook_text(None), sink=LakeWriter(out, "sql"), strict=True)
    with catalog.connect(out) as connection:
        yield connection


def rows(lake: duckdb.DuckDBPyConnection, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return a query's rows."""
    return lake.execute(query, values or None).fetchall()


def test_self_trades(lake: duckdb.DuckDBPyConnection) -> None:
    stated = rows(
        lake,
        "select measures ->> 'trade_id', measures ->> 'class', status from alerts where rule = 'self_trade'",
    )
    computed = rows(lake, SELF_TRADES)
    print(f"compared {len(computed)} self-trades")
    assert computed
    assert {row[1] for row in computed} == {"same_account", "same_owner", "afmm_own_group", "same_group"}
    assert sorted(stated) == sorted(computed)


def test_untagged_orders_and_fills(lake: duckdb.DuckDBPyConnection) -> None:
    stated = rows(
        lake,
        """
        select evidence[1].id || ' ' ||
            if(evidence[1].kind = 'trade', lower(left(narrative, instr(narrative, ' ') - 1)), ''),
          status
        from alerts where rule = 'affiliate_flag' and measures ->> 'code' = 'untagged'
        """,
    )
    computed = rows(lake, UNTAGGED)
    print(f"compared {len(computed)} untagged orders and fills")
    assert len({row[0].endswith(" ") for row in computed}) == 2, "both orders and fills"
    assert sorted(stated) == sorted(computed)


def test_client_orders_passed_over(lake: duckdb.DuckDBPyConnection) -> None:
    alerts = rows(
        lake,
        """
        select a.instrument, t.trade_id, a.measures ->> 'side', t.seq, a.measures ->> 'harm_at_fill',
          (a.measures ->> 'client_orders')::int
        from alerts a join trades t on t.trade_id = a.measures ->> 'trade_id'
        where a.instance = 'client_priority.price_time' and t.match_type = 'book'
          and not exists (from trades m where m.match_id = t.match_id and m.seq < t.seq
            and if(a.measures ->> 'side' = 'buy', m.buy_role, m.sell_role) in ('affiliated_mm', 'affiliate'))
          and not exists (from orders o where o.instrument = a.instrument and o.display_qty is not null
            and o.price = t.price)
        """,
    )
    for instrument, trade_id, side, seq, harm, orders in alerts:
        found = rows(lake, PASSED_OVER, instrument=instrument, side=side, seq=seq, trade_id=trade_id)
        assert found == [(Decimal(harm), found[0][1])], (trade_id, side)
        assert orders <= found[0][1]
    print(f"computed {len(alerts)} client-priority alerts again")
    assert len(alerts) >= 3
