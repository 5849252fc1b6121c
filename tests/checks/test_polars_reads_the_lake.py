"""The lake is plain Parquet: polars, which knows neither catalog nor views, reads the same in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from schemas.tables import TABLES
from streams.commands.publish import rulebook_text
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import replay
from streams.sources import recording
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml

# What the queries below know of: they follow neither quotes nor corrections.
PLANTED = Violations(**dict.fromkeys(
    ("untagged_order", "untagged_fill", "price_time_equal", "price_time_better", "price_time_one_lot",
     "self_trade_account", "self_trade_owner", "self_trade_afmm", "self_trade_group", "self_trade_busted"), 4,
))  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated day over the end of an hour, landed in several files a table."""
    folder = tmp_path_factory.mktemp("day")
    config = SimulatorConfig(seed=5, events=4_000, rate=20, violations=PLANTED)
    recording.write(folder / "recording", Simulation(config), reference_toml(config))
    sink = LakeWriter(folder / "lake", "polars")
    replay(folder / "recording", rulebook_text=rulebook_text(None), sink=sink)
    return folder / "lake"


@pytest.fixture(scope="module")
def views(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with catalog.connect(lake) as connection:
        yield connection


def frame(lake: Path, table: str) -> pl.DataFrame:
    """A table's files, all of them, as polars reads them; every file must have the same columns and types."""
    paths = sorted((lake / table).glob("*/*/*.parquet"))
    assert paths
    return pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths], how="vertical")


def test_every_table_has_as_many_rows(lake: Path, views: duckdb.DuckDBPyConnection) -> None:
    rows = Counter({table: frame(lake, table).height for table in TABLES})
    for table, count in rows.items():
        assert views.sql(f"select count(*) from {table}").fetchall() == [(count,)], table
    print(f"compared {rows.total()} rows of {len(rows)} tables")
    assert rows["orders"] > 1_000 and rows["trades"] > 100


def test_prices_and_quantities_are_the_same_to_the_last_digit(
    lake: Path, views: duckdb.DuckDBPyConnection
) -> None:
    """As decimals: sums over every account's side of every trade."""
    trades = frame(lake, "trades").filter(pl.col("exec_type") == "trade")
    sides = pl.concat(
        trades.select("instrument", pl.col(f"{side}_account").alias("account"), "price", "qty")
        for side in ("buy", "sell")
    )
    totals = sides.group_by("instrument", "account").agg(pl.col("price").sum(), pl.col("qty").sum(), pl.len())
    in_sql = views.sql(
        """
        with sides as (
          select instrument, buy_account as account, price, qty from trades where exec_type = 'trade'
          union all select instrument, sell_account, price, qty from trades where exec_type = 'trade'
        )
        select instrument, account, sum(price), sum(qty), count(*) from sides group by all
        """
    ).fetchall()
    print(f"compared the totals of {len(in_sql)} accounts over {sides.height} sides of trades")
    assert len(in_sql) > 10
    assert sorted(totals.rows(), key=str) == sorted(in_sql, key=str)


def test_self_trades_are_those_of_the_alerts(lake: Path) -> None:
    trades = frame(lake, "trades").filter(pl.col("exec_type") == "trade")
    same = [pl.col(f"buy_{of}") == pl.col(f"sell_{of}") for of in ("account", "owner", "grp")]
    found = trades.filter(pl.any_horizontal(same))["trade_id"]
    alerts = frame(lake, "alert_revisions").filter(pl.col("rule") == "self_trade")
    evidence = [item for proof in alerts["evidence"] for item in proof]
    alerted = {item["id"] for item in evidence if item["kind"] == "trade"}
    print(f"compared {found.len()} self-trades")
    assert found.len() > 3
    assert set(found) == alerted
