"""The catalog: SPEC.md's tables and columns, exact types, opened from anywhere, moved with its lake."""

from __future__ import annotations

import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from lake_journal import HANDMADE, kept

from schemas import tables
from schemas.journal import ClockEntry, OrderEntry, Position, QuoteEntry, RulebookEntry, Source, TradeEntry
from schemas.metrics import ClientPriorityHarm
from schemas.tables import Kind
from streams.lake import catalog
from streams.lake.writer import LakeWriter

DAY = 1_772_409_600_000_000_000  # 2026-03-02T00:00:00Z
QUANTITY_MOST = 10**18 - 1

# SPEC.md section 3, word for word; of L2 the quoted part, and no `presence_days`: these rules are to come.
SPEC = {
    "orders": "instrument seq ts exec_type order_id cl_ord_id orig_cl_ord_id account side ord_type "
    "time_in_force post_only exec_inst order_capacity price stop_px order_qty leaves_qty display_qty min_qty "
    "mm_flag reason ts_gateway ts_ack ts_published session access_tier role owner grp dq "
    "partition offset index",
    "trades": "instrument seq ts exec_type trade_id orig_trade_id price qty aggressor buy_order_id "
    "buy_account buy_mm_flag buy_fee sell_order_id sell_account sell_mm_flag sell_fee match_type match_id "
    "buy_role buy_owner buy_grp sell_role sell_owner sell_grp dq partition offset index",
    "quotes": "quote_id instrument seq ts bid_px bid_size ask_px ask_size account mm_flag role owner grp dq "
    "partition offset index",
    "journal_marks": "kind instrument ts payload partition offset index",
    **dict.fromkeys(
        ("alerts", "alert_revisions"),
        "alert_id breach_id knowledge revision status rule instance severity ts instrument accounts grps "
        "evidence measures harm_qty harm_notional narrative dq_degraded late_reference",
    ),
    "client_priority_harm": "alert_id instance outcome trade_id side order_id account harm_at_fill cured_qty "
    "harm_left withdrawn knowledge",
    "spread_minutes": "instrument minute two_sided_ns two_sided_without_affiliates_ns common_ns one_sided_ns "
    "crossed_ns excluded_ns unknown_ns tw_spread_bps tw_spread_bps_without_affiliates tw_spread_bps_common "
    "tw_spread_bps_common_without_affiliates "
    "bid_depth_10bps_base bid_depth_10bps_quote bid_depth_25bps_base bid_depth_25bps_quote "
    "bid_depth_50bps_base bid_depth_50bps_quote ask_depth_10bps_base ask_depth_10bps_quote "
    "ask_depth_25bps_base ask_depth_25bps_quote ask_depth_50bps_base ask_depth_50bps_quote "
    "bid_depth_10bps_base_without_affiliates bid_depth_10bps_quote_without_affiliates "
    "bid_depth_25bps_base_without_affiliates bid_depth_25bps_quote_without_affiliates "
    "bid_depth_50bps_base_without_affiliates bid_depth_50bps_quote_without_affiliates "
    "ask_depth_10bps_base_without_affiliates ask_depth_10bps_quote_without_affiliates "
    "ask_depth_25bps_base_without_affiliates ask_depth_25bps_quote_without_affiliates "
    "ask_depth_50bps_base_without_affiliates ask_depth_50bps_quote_without_affiliates "
    "volume afmm_maker_volume afmm_taker_volume afmm_client_volume effective_bps improvement_bps effective_n "
    "realised_1s_bps impact_1s_bps realised_1s_n realised_10s_bps impact_10s_bps realised_10s_n "
    "realised_60s_bps impact_60s_bps realised_60s_n",
    "coverage_days": "instrument first_seq last_seq received landed quarantined duplicates missing_seqs "
    "dq_ns",
    "data_quality": "kind place reason raw",
    "quarantine": "topic partition offset index place reason raw",
}
TYPES = {
    "DECIMAL(28,8)": "price stop_px bid_px ask_px",
    "DECIMAL(18,8)": "qty order_qty leaves_qty display_qty min_qty bid_size ask_size harm_qty harm_at_fill "
    "cured_qty harm_left",
    "DECIMAL(18,6)": "tw_spread_bps tw_spread_bps_without_affiliates tw_spread_bps_common "
    "tw_spread_bps_common_without_affiliates effective_bps improvement_bps realised_1s_bps impact_60s_bps",
    "DECIMAL(38,16)": "harm_notional bid_depth_10bps_quote",
    "TIMESTAMP WITH TIME ZONE": "ts minute ts_gateway ts_ack ts_published",
    "BIGINT": "seq ts_ns minute_ns ts_gateway_ns ts_ack_ns ts_published_ns two_sided_ns common_ns knowledge "
    "effective_n realised_10s_n "
    "revision partition offset index",
    "VARCHAR[]": "accounts grps exec_inst",
    "STRUCT(kind VARCHAR, id VARCHAR, seq BIGINT)[]": "evidence",
    "JSON": "measures",
    "BOOLEAN": "mm_flag post_only withdrawn dq_degraded late_reference",
    "BLOB": "raw",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with every kind of bad input, landed."""
    root: Path = tmp_path_factory.mktemp("catalog") / "lake"
    write(root, "14_bad_input")
    return root


def write(root: Path, recording: str) -> None:
    """Land a handmade recording."""
    journal = kept(HANDMADE / recording)
    writer = LakeWriter(root, "replay")
    for position, entry in journal.entries:
        writer.entry(position, entry)
    for position, output in journal.outputs:
        writer.output(position, output)
    writer.close()


def test_every_table_has_the_columns_of_the_specification_with_exact_types(lake: Path) -> None:
    kind_of = {name: kind for kind, names in TYPES.items() for name in names.split()}
    columns = typed = 0
    with catalog.connect(lake) as connection:
        for table, names in SPEC.items():
            described = {row[0]: row[1] for row in connection.sql(f"describe {table}").fetchall()}
            missing = set(names.split()) - described.keys()
            assert not missing, (table, missing)
            columns += len(names.split())
            for name, kind in described.items():
                if name in kind_of:
                    assert kind == kind_of[name], (table, name)
                    typed += 1
                if kind == "TIMESTAMP WITH TIME ZONE":
                    assert described[f"{name}_ns"] == "BIGINT", (table, name)
                assert kind not in ("DOUBLE", "FLOAT"), (table, name)
    print(f"compared {columns} columns and {typed} types of {len(SPEC)} tables")
    assert columns > 150 and typed > 80


def test_the_catalog_holds_views_and_macros_only(lake: Path) -> None:
    with catalog.connect(lake) as connection:
        assert connection.sql("select count(*) from duckdb_tables()").fetchall() == [(0,)]
        views = {
            row[0]
            for row in connection.sql("select view_name from duckdb_views() where not internal").fetchall()
        }
        for view in sorted(views):
            connection.execute(f"select * from {view}").fetchall()
    assert views >= SPEC.keys()


def landed(root: Path, entries: list[OrderEntry | TradeEntry | QuoteEntry]) -> Path:
    """A lake of these events."""
    writer = LakeWriter(root, "replay")
    for index, entry in enumerate(entries):
        writer.entry(Position(0, 0, index), entry)
    writer.entry(Position(0, 0, len(entries)), ClockEntry(ts=DAY, end=True))
    writer.close()
    return root


def test_price_times_quantity_is_exact(tmp_path: Path) -> None:
    cases = [
        (10**18 - 1, 10**18 - 1),
        (1, 1),
        (10**13 + 1, 10**18 - 1),
        (123_456_789_012_345_678, 987_654_321),
    ]
    lake = landed(
        tmp_path / "lake",
        [
            TradeEntry(
                instrument="X", seq=seq, ts=DAY, exec_type="trade", trade_id=str(seq), price=price, qty=qty,
                src=Source("trades", 0, seq),
            )
            for seq, (price, qty) in enumerate(cases, 1)
        ],
    )  # fmt: skip
    with catalog.connect(lake) as connection:
        rows = connection.sql(
            "select price, qty, price * qty, typeof(price * qty) from trades order by seq"
        ).fetchall()
    for (price, qty), row in zip(cases, rows, strict=True):
        assert row[0].scaleb(8) == price and row[1].scaleb(8) == qty
        assert int(f"{row[2]:f}".replace(".", "")) == price * qty
        assert row[3] == "DECIMAL(38,16)"


@pytest.mark.parametrize(("kind", "digits"), [("price", 28), ("quantity", 18), ("notional", 38), ("bps", 18)])
def test_decimals_keep_every_digit(kind: Kind, digits: int) -> None:
    values = [
        sign * int("123456789" * 5) // 10 ** (45 - length)
        for sign in (1, -1)
        for length in range(1, digits + 1)
    ]
    found = tables._decimals([*values, None], kind)
    kept = [None if item is None else int(f"{item:f}".replace(".", "")) for item in found.to_pylist()]
    assert kept == [*values, None]
    print(f"compared {len(values)} numbers")


def test_times_are_exact_to_the_nanosecond_beside_the_timestamp(tmp_path: Path) -> None:
    entry = OrderEntry(
        instrument="X", seq=1, ts=DAY + 123_456_789, exec_type="new", src=Source("orders", 0, 1),
        ts_gateway=DAY + 1, order_qty=QUANTITY_MOST,
    )  # fmt: skip
    with catalog.connect(landed(tmp_path / "lake", [entry])) as connection:
        row = connection.sql(
            "select ts::varchar, ts_ns, ts_gateway_ns, ts_ack, ts_ack_ns, order_qty from orders"
        ).fetchall()[0]
    assert row[:3] == ("2026-03-02 00:00:00.123456+00", DAY + 123_456_789, DAY + 1)
    assert row[3:] == (None, None, Decimal("9999999999.99999999"))


OPEN = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).sql(sys.argv[2]).fetchall())"
WANTED = (
    "select (select count(*) from orders), (select count(*) from quarantine), (select count(*) from alerts)"
)


def plain(cwd: Path, database: str, query: str) -> str:
    """What plain DuckDB says, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", OPEN, database, query], cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


def test_plain_duckdb_finds_the_files_from_anywhere_and_after_a_move(lake: Path, tmp_path: Path) -> None:
    said = plain(tmp_path, str(lake / catalog.NAME), WANTED)
    fewer = said.rpartition(", ")[0] + ", 0)]\n"
    assert said != fewer and "(0," not in said
    for name in ("moved", "it's moved", "catalog.duckdb.tmp"):
        moved = Path(shutil.copytree(lake, tmp_path / name))
        shutil.rmtree(
            moved / "alert_revisions" / "date=2026-03-02"
        )  # so that it is known whose files are read
        for cwd, database in (
            (tmp_path, str(moved / catalog.NAME)), (tmp_path, f"{name}/{catalog.NAME}"),
            (moved, catalog.NAME), (moved, f"./{catalog.NAME}"), (moved / "orders", f"../{catalog.NAME}"),
        ):  # fmt: skip
            assert plain(cwd, database, WANTED) == fewer, (cwd, database)


def test_a_lake_is_attached_where_it_was_published(lake: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, "01_queue_jump")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{lake / catalog.NAME}' as a (read_only)")
        connection.execute(f"attach '{other / catalog.NAME}' as b (read_only)")
        assert connection.sql("select count(*) from a.orders, b.orders").fetchall() > [(0,)]
        one, two = connection.sql(
            "select (select count(*) from a.orders), (select count(*) from b.orders)"
        ).fetchall()[0]
        assert one != two


def test_a_lake_attached_to_another_lakes_session_is_refused_and_never_mistaken(
    lake: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write(other, "01_queue_jump")
    with catalog.connect(lake) as connection:
        connection.execute(f"attach '{other / catalog.NAME}' as b (read_only)")
        with pytest.raises(duckdb.IOException, match=r"No files found that match the pattern .*seed-"):
            connection.sql("select count(*) from b.orders").fetchall()


def test_a_catalog_that_is_open_for_writing_is_published_anew(lake: Path) -> None:
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(lake / catalog.NAME)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None and writer.stdout.readline()
    with catalog.connect(lake) as connection:
        assert connection.sql("select count(*) > 0, lake_zone() from orders").fetchall() == [
            (True, catalog.ZONE)
        ]
    writer.communicate(b"")


def test_the_latest_revision_counts_and_all_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "lake", "11_two_passes")
    with catalog.connect(tmp_path / "lake") as connection:
        revisions = connection.sql("select alert_id, knowledge, revision from alert_revisions").fetchall()
        latest = connection.sql("select alert_id, knowledge, revision from alerts").fetchall()
    wanted: dict[str, tuple[int, int]] = {}
    for alert_id, *word in revisions:
        wanted[alert_id] = max(wanted.get(alert_id, (-1, -1)), tuple(word))
    assert {row[0]: row[1:] for row in latest} == wanted
    assert len(latest) < len(revisions)


def harm(knowledge: int, trade_id: str, revision: int = 0) -> ClientPriorityHarm:
    return ClientPriorityHarm(
        knowledge=knowledge, revision=revision, instance="i", instrument="X", ts=DAY, seq=1,
        trade_id=trade_id,
        side="buy", order_id="O", account=None, alert_id=None, outcome="harmed", harm_at_fill=1,
        cured_qty=0, harm_left=1, withdrawn=False,
    )  # fmt: skip


def test_harm_is_that_of_the_latest_knowledge_also_without_spreads(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, "replay")
    for row in (harm(0, "first"), harm(0, "both"), harm(7, "both"), harm(7, "both", 1), harm(7, "second")):
        writer.output(Position(0, 0, 0), row)
    writer.close()
    with catalog.connect(tmp_path) as connection:
        found = connection.sql(
            "select trade_id, knowledge, revision from client_priority_harm order by 1"
        ).fetchall()
    assert found == [("both", 7, 1), ("second", 7, 0)]


def test_quarantine_has_a_refused_record_once(lake: Path) -> None:
    with catalog.connect(lake) as connection:
        rows, different = connection.sql(
            'select count(*), count(distinct (topic, "partition", "offset", "index")) from quarantine'
        ).fetchall()[0]
        kinds = connection.sql(
            "select kind, place, reason, raw from data_quality where place is not null"
        ).fetchall()
    assert rows == different > 3
    assert all(kind and place and reason and raw for kind, place, reason, raw in kinds)
    assert len(kinds) > 3


def test_the_zone_is_the_rulebooks(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, "replay")
    writer.entry(Position(0, 0, 0), RulebookEntry(digest="d", text='[venue]\nzone = "Europe/Berlin"\n'))
    writer.close()
    with catalog.connect(tmp_path) as connection:
        assert connection.sql("select lake_zone()").fetchall() == [("Europe/Berlin",)]


def test_no_lake_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a lake; the folder does not exist"):
        catalog.connect(tmp_path / "none")


def test_times_before_1970_and_beside_a_microsecond_round_down() -> None:
    times = [
        second * 10**9 + micro * 1_000 + nano
        for second in (-2, -1, 0, 1, 1_772_409_600)
        for micro in (0, 1)
        for nano in (0, 1, 999)
    ]
    found = tables._microseconds(tables.pa.array([*times, None], tables.pa.int64()))
    assert found.cast(tables.pa.int64()).to_pylist() == [*(time // 1_000 for time in times), None]
    assert found.type == tables.ARROW["time"]
    print(f"compared {len(times)} times")
