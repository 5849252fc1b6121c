"""Tables for people: whole numbers, times and ids at every width, in a pipe, and in every command."""

from __future__ import annotations

import io
import random
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from lake_journal import HANDMADE, RULEBOOK
from rich.console import Console
from typer.testing import CliRunner

from streams import explain, query, text_table
from streams.cli import app
from streams.commands import summary
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import replay
from streams.text_table import Content

WIDTHS = (40, 80, 120, None)  # None: a pipe
VIEWS = (
    "orders", "trades", "quotes", "alerts", "alert_revisions", "client_priority_harm", "client_priority_days",
    "spread_minutes", "spread_days", "coverage_days", "data_quality", "quarantine", "journal_marks",
)  # fmt: skip
RUN = CliRunner()


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day with icebergs, in a folder whose name has a space."""
    place = tmp_path_factory.mktemp("tables") / "a lake"
    replay(HANDMADE / "05_icebergs", rulebook_text=RULEBOOK, sink=LakeWriter(place, "a-run"))
    return place


def of_width(function: Callable[[Console], object], width: int | None) -> str:
    """Return what a function prints on a console of a width, or into a pipe."""
    console = text_table.Unbounded() if width is None else Console(width=width)
    console.file = io.StringIO()
    function(console)
    return console.file.getvalue()


def expected(value: Any) -> str | None:
    """Return how a number, a time or a word must stand; None for what has words that may be folded."""
    if isinstance(value, Decimal):
        digits = f"{value:f}"
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    if isinstance(value, bool) or value is None or value == "":
        return None
    if isinstance(value, int | datetime):
        return str(value)
    return value if isinstance(value, str) and " " not in value and not value.startswith("{") else None


def assert_whole(rows: list[tuple[Any, ...]], text: str) -> int:
    """Check that every number, time and id stands in a text with space around it; returns how many."""
    words = set(text.split())
    compared = 0
    for row in rows:
        for value in row:
            wanted = expected(value)
            if wanted is None:
                continue
            compared += 1
            found = (
                re.search(rf"(?<!\S){re.escape(wanted)}(?!\S)", text) if " " in wanted else wanted in words
            )
            assert found, (wanted, text)
    return compared


@pytest.mark.parametrize(
    ("value", "text"), [(9936, " 993 "), (Decimal("95004.5"), "95004\n.5"), ("ab12", "ab1 2")]
)
def test_the_check_sees_what_is_cut_or_folded(value: Any, text: str) -> None:
    with pytest.raises(AssertionError):
        assert_whole([(value,)], text)


@pytest.mark.parametrize("width", WIDTHS)
def test_sql_prints_every_number_time_and_id_whole(
    width: int | None, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if width is not None:
        monkeypatch.setenv("COLUMNS", str(width))
    compared = 0
    with catalog.connect(lake) as connection:
        for view in VIEWS:
            assert query.run(lake, f"select * from {view}", "table") == 0
            text = capsys.readouterr().out
            rows = connection.sql(f"select * from {view}").fetchall()
            compared += assert_whole(rows, text)
            for line in text.splitlines():
                alone = len(line.split()) == 1 or bool(re.fullmatch(r"[ \d:.+-]+", line))
                assert width is None or len(line) <= width or alone, line
            if width is None and rows:
                assert len(text.splitlines()) == len(rows) + 4, view  # blank, names, rule, a line each, blank
    print(f"compared {compared} values of {len(VIEWS)} views at {width}")
    assert compared > 500


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", range(8))
def test_any_table_is_whole_and_fits(seed: int, width: int | None) -> None:
    generator = random.Random(seed)
    numeric = [generator.random() < 0.6 for _ in range(generator.randint(1, 14))]
    rows = [
        [
            str(generator.randrange(10 ** generator.randint(1, 18)))
            if number
            else " ".join(
                "w" * generator.randint(1, 12) + str(generator.randrange(99))
                for _ in range(generator.choice((1, 1, 2, 30)))
            )
            for number in numeric
        ]
        for _ in range(7)
    ]
    names = [f"column_{'x' * generator.randint(0, 9)}{at}" for at in range(len(numeric))]
    content = Content(names, numeric, rows, parts=generator.choice((1, 3, 1_000)))
    text = of_width(lambda console: text_table.show(console, content), width)
    words = {word.removesuffix(":") for word in text.split()}
    wanted = [word for row in (names, *rows) for cell in row for word in cell.split(" ")]
    print(f"looked for {len(wanted)} words")
    assert wanted and set(wanted) <= words
    assert width is None or max(map(len, text.splitlines())) <= width


def test_a_table_is_in_parts_each_with_the_key_and_text_folds_at_words() -> None:
    content = Content(
        ["key", "text", "a", "b"],
        [False, False, True, True],
        [["K-1", "some words that are longer than there is room", "1" * 14, "2" * 14]],
    )
    text = of_width(lambda console: text_table.show(console, content), 40)
    assert [line.rstrip() for line in text.splitlines()] == [
        "",
        " key  text",
        " ──────────────────────────────────────",
        " K-1  some words that are longer than",
        "      there is room",
        "",
        " key               a               b",
        " ───────────────────────────────────",
        " K-1  11111111111111  22222222222222",
        "",
    ]


def test_a_time_among_sentences_is_not_folded() -> None:
    time = "2026-03-02 01:02:03.123456+00:00"
    rows = [["K-1", time, "1" * 14], ["K-2", "words " * 20, "2"]]
    text = of_width(
        lambda console: text_table.show(console, Content(["key", "text", "n"], [False, False, True], rows)),
        55,
    )
    assert f" K-1  {time}  {'1' * 14}\n" in text


def test_a_list_of_numbers_may_be_folded_between_them() -> None:
    numbers = [str(10**at) for at in range(18)]
    content = Content(["list", "n"], [False, True], [[", ".join(numbers), "7"]])
    text = of_width(lambda console: text_table.show(console, content), 60)
    assert [word.removesuffix(",") for word in text.split()[4:] if word != "7"] == numbers[1:]
    assert max(map(len, text.splitlines())) <= 60


def test_a_cell_that_is_wider_than_the_screen_is_whole_on_a_line_of_its_own() -> None:
    content = Content(["id", "n"], [False, True], [["f" * 64, "7"]])
    text = of_width(lambda console: text_table.show(console, content), 40)
    assert text.splitlines() == ["", "record 1", "id:", "  " + "f" * 64, "n:  7", ""]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            "12345678901234567890123456789012.123456::decimal(38, 6)",
            "12345678901234567890123456789012.123456",
        ),
        ("95004.00000000::decimal(28, 8)", "95004"),
        ("[1.50::decimal(18, 8), 2]", "1.5, 2"),
        ("[timestamp '2026-03-02 01:02:03']", "2026-03-02T01:02:03"),
        ("""'{"a":"1,2","b":[3,4]}'::json""", '{"a":"1,2", "b":[3, 4]}'),
        ("'a' || chr(27) || '[31m'", "a\\u001b[31m"),
    ],
)
def test_a_value_has_all_its_digits_and_moves_no_cursor(expression: str, said: str) -> None:
    with duckdb.connect() as connection:
        (row,) = query.table(connection.sql(f"select {expression} as v")).rows
    assert row == [said]


def test_more_rows_than_are_printed_is_said(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert query.run(lake, "select * from range(1001)", "table") == 0
    assert "These are the first 1,000 rows; there are more." in capsys.readouterr().out
    assert query.run(lake, "select * from range(1000)", "table") == 0
    assert "there are more" not in capsys.readouterr().out


@pytest.fixture
def alerts(lake: Path) -> Iterator[list[tuple[Any, ...]]]:
    with catalog.connect(lake) as connection:
        yield connection.sql(
            "select alert_id, harm_qty, (measures ->> 'price')::decimal(28, 8), evidence, ts_ns from alerts "
            "where rule = 'client_priority' order by alert_id"
        ).fetchall()


@pytest.mark.parametrize("width", WIDTHS)
def test_alerts_are_listed_and_shown_whole(width: int | None, lake: Path, alerts: list[Any]) -> None:
    listed = of_width(lambda console: explain.list_alerts(lake, console), width)
    compared = assert_whole([(row[0][:12], row[1]) for row in alerts], listed)
    with catalog.connect(lake) as connection:
        for alert_id, harm, price, evidence, _ts in alerts:
            text = of_width(lambda console, one=alert_id: explain.show_alert(lake, one, console), width)
            wanted = [(alert_id, harm, price), *((item["seq"], item["id"]) for item in evidence)]
            seqs = [item["seq"] for item in evidence]
            wanted += connection.execute(
                "select strftime(ts, '%H:%M:%S.%f'), order_id, account, price from orders "
                "where list_contains($1, seq)", [seqs],
            ).fetchall()  # fmt: skip
            compared += assert_whole(wanted, text)
    print(f"compared {compared} values of {len(alerts)} alerts at {width}")
    assert compared > 20


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summary_is_whole(width: int | None, lake: Path) -> None:
    text = of_width(lambda console: summary.show(lake, console), width)
    with catalog.connect(lake) as connection:
        queries = (summary.COVERAGE, summary.FLOW, summary.COUNTED, summary.SPREAD)
        compared = sum(assert_whole(connection.sql(sql).fetchall(), text) for sql in queries)
    print(f"compared {compared} values at {width}")
    assert compared > 20


def test_only_a_queue_with_an_iceberg_explains_its_stamps(
    lake: Path, alerts: list[Any], tmp_path: Path
) -> None:
    texts = [
        of_width(lambda console, one=row[0]: explain.show_alert(lake, one, console), 200) for row in alerts
    ]
    assert any(f"\n{explain.ICEBERGS}\n" in text for text in texts)
    replay(HANDMADE / "01_queue_jump", rulebook_text=RULEBOOK, sink=LakeWriter(tmp_path, "a-run"))
    with catalog.connect(tmp_path) as connection:
        rows = connection.sql("select alert_id from alerts where rule = 'client_priority'").fetchall()
    assert rows
    for (alert_id,) in rows:
        text = of_width(lambda console, one=alert_id: explain.show_alert(tmp_path, one, console), 200)
        assert "The queue just before" in text and "Icebergs" not in text


def test_the_titles_have_no_zeros_at_the_end(lake: Path, alerts: list[Any]) -> None:
    titles = [
        line
        for row in alerts
        for line in of_width(
            lambda console, one=row[0]: explain.show_alert(lake, one, console), 200
        ).splitlines()
        if line.startswith(("The queue just before", "The arithmetic"))
    ]
    print(f"looked at {len(titles)} titles")
    assert titles
    assert not [title for title in titles if re.search(r"\d\.\d*0\b|\d\.(?!\d)|\dE", title)]


def test_a_beginning_of_several_lists_them_and_an_empty_list_says_so(lake: Path) -> None:
    result = RUN.invoke(app, ["alerts", "show", "", "--lake", str(lake)])
    with catalog.connect(lake) as connection:
        ids = [row[0] for row in connection.sql("select alert_id from alerts order by alert_id").fetchall()]
    assert len(ids) > 1
    assert result.exit_code == 1
    assert f"{len(ids)} alerts begin with ''" in result.output
    listed = [alert_id for alert_id in ids if alert_id[:12] in result.output]
    assert listed == ids[:10]
    empty = RUN.invoke(app, ["alerts", "list", "--rule", "x", "--instrument", "Y", "--lake", str(lake)])
    assert empty.exit_code == 0
    assert empty.output == "no alerts: the lake has none of rule 'x', instrument 'Y'\n"


def test_alerts_are_listed_by_status(lake: Path) -> None:
    with catalog.connect(lake) as connection:
        rows = connection.sql(
            "select left(alert_id, 12), status from alerts where rule <> 'data_quality'"
        ).fetchall()
    compared = 0
    for status in ("provisional", "confirmed", "retracted"):
        output = RUN.invoke(app, ["alerts", "list", "--status", status, "--lake", str(lake)]).output
        for alert_id, own in rows:
            compared += 1
            assert (alert_id in output) == (own == status)
    print(f"compared {compared}")
    assert compared
    assert RUN.invoke(app, ["alerts", "list", "--status", "open", "--lake", str(lake)]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "typed", "status", "said"),
    [
        ([], "select 41 + 1 as a", 0, "\n  a\n ──\n 42\n\n"),
        ([], "select 1 as a;\nselect 2 as b", 0, "\n a\n ─\n 1\n\n\n b\n ─\n 2\n\n"),
        (["select 1 as a; select 2 as b"], "", 0, "\n a\n ─\n 1\n\n\n b\n ─\n 2\n\n"),
        (["--csv", "select 1 as a; select ';' as b;"], "", 0, "a\n1\nb\n;\n"),
        (["--json"], "select 1 as a -- ;\n;select '\n;' as b", 0, '{"a":1}\n{"b":"\\n;"}\n'),
        (["--csv"], "select 1 as a; select no_such_column; select 3", 1, "a\n1\n"),
        (["--csv"], "select 1 as a; selec; select 3", 1, ""),
        (["--csv"], "set variable a = 3; select getvariable('a') as a", 0, "a\n3\n"),
        ([], "", 0, ""),
    ],
)
def test_sql_runs_every_statement_and_an_error_is_exit_status_1(
    words: list[str], typed: str, status: int, said: str, lake: Path
) -> None:
    result = RUN.invoke(app, ["sql", "--lake", str(lake), *words], input=typed)
    assert (result.exit_code, result.stdout) == (status, said)
    assert ("Error" in result.stderr) == bool(status)


def test_the_prompt_runs_what_was_typed_last(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["select 1 as a,", "2 as b;", "selec;", "select 3 as c"])

    def line(_prompt: str) -> str:
        for text in typed:
            return text
        raise EOFError

    monkeypatch.setattr("builtins.input", line)
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _self: True})())
    told = io.StringIO()
    monkeypatch.setattr("sys.stdout", told)
    assert query.prompt(lake) == 0
    assert " a  b\n ────\n 1  2\n" in told.getvalue()
    assert " c\n ─\n 3\n" in told.getvalue()


def test_the_suggested_commands_can_be_typed(lake: Path) -> None:
    text = of_width(lambda console: summary.what_next(lake, console), 40)
    commands = [shlex.split(line) for line in text.splitlines()[1:]]
    assert len(commands) == 3
    for words in commands:
        assert words[words.index("--lake") + 1] == str(lake)
        assert RUN.invoke(app, words[1:]).exit_code == 0
