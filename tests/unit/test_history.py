"""A landed day once more: rows that are not what the journal gives are told, and what a rulebook changes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from lake_journal import RULEBOOK, kept, simulated
from typer.testing import CliRunner

from streams import cli, history
from streams.lake import landed
from streams.lake.writer import LakeWriter

run = CliRunner()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("day") / "recording", 3_000, seed=4)


def land(day: Path, lake: Path, *, left_out: int = 0) -> Path:
    """Land a recording, but for its last `left_out` answers."""
    original = kept(day)
    writer = LakeWriter(lake, "live")
    for position, entry in original.entries:
        writer.entry(position, entry)
    for position, output in original.outputs[: len(original.outputs) - left_out]:
        writer.output(position, output)
    writer.close()
    return lake


def rows(lake: Path, table: str) -> Path:
    """The file that holds a table's rows."""
    return max((lake / table).rglob("*.parquet"), key=lambda path: path.stat().st_size)


def test_a_whole_lake_is_what_its_journal_gives(day: Path, tmp_path: Path) -> None:
    found = history.check(land(day, tmp_path / "lake"), tmp_path / "scratch")
    print("; ".join(f"{one.table} {one.same}" for one in found))
    assert sum(one.same for one in found) > 100
    assert not any(one.only_landed or one.only_replayed or one.ahead for one in found)


def test_a_changed_answer_is_found(day: Path, tmp_path: Path) -> None:
    lake = land(day, tmp_path / "lake")
    path = rows(lake, "alert_revisions")
    table = pq.read_table(path)
    column = table.schema.get_field_index("severity")
    values = table.column("severity").to_pylist()
    values[0] = "a little"
    changed = table.set_column(column, table.schema.field(column), [values])
    pq.write_table(changed, path)
    found = {one.table: one for one in history.check(lake, tmp_path / "scratch")}["alert_revisions"]
    assert (found.only_landed, found.only_replayed + found.ahead) == (1, 1)
    assert found.same == len(values) - 1


def test_an_answer_that_is_missing_is_found_and_one_still_to_come_is_not_blamed(
    day: Path, tmp_path: Path
) -> None:
    lake = land(day, tmp_path / "lake", left_out=5)
    path = rows(lake, "alert_revisions")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    found = history.check(lake, tmp_path / "scratch")
    assert sum(one.only_replayed for one in found) >= 1
    assert sum(one.only_replayed + one.ahead for one in found) == 6
    assert not sum(one.only_landed for one in found)


def other(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The rulebook that ships, with changes."""
    text = RULEBOOK
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path = tmp_path / "other.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_another_rulebook_changes_is_told_by_breach(day: Path, tmp_path: Path) -> None:
    """Alerts of book fills, too: they are gained; the other way round they are lost."""
    lake = land(day, tmp_path / "lake")
    before = history.latest(output for _, output in history.outputs(lake))
    assert not history.differences(before, dict(before))
    text = other(tmp_path, ("alert_book_fills = false", "alert_book_fills = true")).read_text()
    after = history.latest(output for _, output in history.outputs(lake, text))
    found = history.differences(before, after)
    assert len(found) > 0
    assert {(one.alert.instance, one.change) for one in found} == {("client_priority.client_first", "gained")}
    lost = history.differences(after, before)
    assert [one.alert.breach_id for one in lost] == [one.alert.breach_id for one in found]
    assert {one.change for one in lost} == {"lost"}


def test_a_breach_that_both_see_differently_says_in_what(day: Path, tmp_path: Path) -> None:
    lake = land(day, tmp_path / "lake")
    before = history.latest(output for _, output in history.outputs(lake))
    after = {
        breach: msgspec.structs.replace(alert, alert_id="another", parameter_hash="another", decided_ts=0)
        for breach, alert in before.items()
    }
    assert not history.differences(before, after), "an id is no part of what an alert says"
    breach = max(before)
    graver = {**before, breach: msgspec.structs.replace(before[breach], severity="low", harm_qty="9")}
    found = history.differences(before, graver)
    assert [(one.change, one.fields, one.alert.breach_id) for one in found] == [
        ("changed", ("severity", "harm_qty"), breach)
    ]


def test_the_command_on_a_lake_and_on_a_recording(day: Path, tmp_path: Path) -> None:
    lake = land(day, tmp_path / "lake")
    whole = run.invoke(cli.app, ["replay", str(lake)])
    assert whole.exit_code == 0, whole.output
    assert "rows are what the landed journal gives" in whole.output
    path = str(other(tmp_path, ("alert_book_fills = false", "alert_book_fills = true")))
    for place in (lake, day):
        told = run.invoke(cli.app, ["replay", str(place), "--rulebook", path])
        assert told.exit_code == 0, told.output
        assert "gained" in told.output
        assert "client_priority.client_first" in told.output
    refused = run.invoke(cli.app, ["replay", str(lake), "--lake", str(tmp_path / "out")])
    assert refused.exit_code == 2

    for table in history.DECIDED:
        for file in (lake / table).rglob("*.parquet"):
            pq.write_table(pq.read_table(file).slice(0, 0), file)
    empty = run.invoke(cli.app, ["replay", str(lake)])
    assert empty.exit_code == 1
    assert "nothing was compared" in empty.output


def test_the_rulebooks_of_the_journal_are_all_replaced(day: Path, tmp_path: Path) -> None:
    lake = land(day, tmp_path / "lake")
    texts = {
        entry.text for _, entry in history._under("", landed.entries(lake, 0)) if hasattr(entry, "digest")
    }
    assert texts == {""}
