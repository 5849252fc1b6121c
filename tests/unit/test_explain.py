"""`fairbook alerts show`: the queue of the right moment, and names that mean something to a terminal."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path

import pytest
from lake_journal import HANDMADE, RULEBOOK
from rich.console import Console

from streams import explain
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import replay


def lake_of(folder: Path, lake: Path) -> Path:
    """Replay a recording into a lake and return it."""
    replay(folder, rulebook_text=RULEBOOK, sink=LakeWriter(lake, "replay"))
    return lake


def shown(lake: Path, where: str) -> str:
    """What `show` prints of the only alert that fits."""
    with catalog.connect(lake) as connection:
        ((alert_id,),) = connection.sql(f"select alert_id from alerts where {where}").fetchall()
    console = Console(width=200, record=True, file=StringIO())
    assert explain.show_alert(lake, alert_id, console)
    return console.export_text()


def test_a_corrected_fill_is_shown_with_the_queue_of_its_old_seq_and_its_new_price(tmp_path: Path) -> None:
    lake = lake_of(HANDMADE / "09_corrections", tmp_path / "lake")
    text = shown(lake, "rule = 'client_priority' and status = 'confirmed'")
    assert "The queue just before seq 4: sell orders at 101 or better" in text
    queue = text.partition("The queue just before")[2].partition("The arithmetic")[0]
    rows = [line.split() for line in queue.splitlines() if "client" in line or "affiliated_mm" in line]
    assert [row[1] for row in rows] == ["M1", "C1"]
    assert [row[-2:] for row in rows] == [["<-", "filled"], ["passed", "over"]]


@pytest.mark.parametrize("account", ["C-[/]", "[bold]C", "C'1", 'C"1'])
def test_any_account_name_can_be_shown(account: str, tmp_path: Path) -> None:
    folder = shutil.copytree(HANDMADE / "01_queue_jump", tmp_path / "recording")
    for name in ("reference.toml", "orders.jsonl", "trades.jsonl"):
        path = folder / name
        path.write_text(path.read_text().replace('"C-1"', '"' + account.replace('"', '\\"') + '"'))
    text = shown(lake_of(folder, tmp_path / "lake"), "rule = 'client_priority' and status = 'confirmed'")
    assert account in text.partition("The queue just before")[2]


@pytest.mark.parametrize("instrument", ["X[/]", "O'X", "X; drop view alerts"])
def test_any_instrument_name_can_be_shown_and_listed(instrument: str, tmp_path: Path) -> None:
    folder = shutil.copytree(HANDMADE / "01_queue_jump", tmp_path / "recording")
    for name in ("orders.jsonl", "trades.jsonl", "quotes.jsonl"):
        path = folder / name
        path.write_text(path.read_text().replace('"instrument": "X"', f'"instrument": "{instrument}"'))
    lake = lake_of(folder, tmp_path / "lake")
    text = shown(lake, "rule = 'client_priority' and status = 'confirmed'")
    assert instrument in text
    assert "passed over" in text
    console = Console(width=200, record=True, file=StringIO())
    explain.list_alerts(lake, console, instrument=instrument)
    assert instrument in console.export_text()


def test_two_instruments_may_use_one_trade_id(tmp_path: Path) -> None:
    folder = shutil.copytree(HANDMADE / "01_queue_jump", tmp_path / "recording")
    for name in ("orders.jsonl", "trades.jsonl", "quotes.jsonl"):
        path = folder / name
        other = path.read_text().replace('"instrument": "X"', '"instrument": "Y"').replace('"2"', '"9"')
        path.write_text(path.read_text() + other)
    lake = lake_of(folder, tmp_path / "lake")
    text = shown(lake, "rule = 'client_priority' and status = 'confirmed' and instrument = 'Y'")
    arithmetic = text.partition("The arithmetic")[2].partition("Measures")[0]
    assert [line.split()[0] for line in arithmetic.splitlines() if "harmed" in line] == ["C1"]
