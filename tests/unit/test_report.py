"""The report of a day: its numbers are its queries', every one with its SQL; foreign names are only shown."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest
from lake_journal import RULEBOOK, simulated
from rich.console import Console
from typer.testing import CliRunner

from streams.cli import app
from streams.lake import catalog
from streams.lake.writer import LakeWriter
from streams.replay import replay
from streams.report import charts, queries, results
from streams.report import day as page
from streams.report.results import Day, Minutes, Result

DAY = "2026-03-02"
NAME = "X<b>'\x1b[31m"  # an instrument's, as it is
HOSTILE = '<script>alert("1")</script>&\\u001b[31m\\u202e'  # as JSON and TOML write it
SHOWN = '<script>alert("1")</script>&\\u001b[31m\\u202e'  # as the report shows it: nothing is carried out
AGREEMENTS = """
[[mm_agreements]]
id = "A-1"
account = "MM-1"
instrument = "BTC-USD"
max_spread_bps = "20"
min_qty = "0.05"
session_start = "09:00"
session_end = "09:01"

[[mm_agreements]]
id = "A-2"
account = "MM-1"
instrument = "ETH-USD"
max_spread_bps = "0.001"
min_qty = "1000"
session_start = "09:00"
session_end = "09:01"

[[trading_phases]]
instrument = "BTC-USD"
phase = "halt"
from = 2026-03-02T01:00:01Z
to = 2026-03-02T01:00:02Z
"""
RUN = CliRunner()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated day with two agreements and a halt, in which a client's name is hostile."""
    root = tmp_path_factory.mktemp("report")
    folder = simulated(root / "day", 4_000, closures=False)
    for name in ("orders.jsonl", "trades.jsonl", "quotes.jsonl", "reference.toml"):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        text = text.replace('"CL-OWNER-A"', f'"{HOSTILE}"'.replace('"1"', '\\"1\\"'))
        path.write_text(text.replace('"XRP-HKD"', '"X<b>\'\\u001b[31m"'), encoding="utf-8")
    with (folder / "reference.toml").open("a", encoding="utf-8") as stream:
        stream.write(AGREEMENTS)
    replay(folder, rulebook_text=RULEBOOK, sink=LakeWriter(root / "lake", "a-run"))
    return root / "lake"


@pytest.fixture(scope="module")
def found(lake: Path) -> Day:
    return results.collect(lake, DAY)


@pytest.fixture(scope="module")
def document(found: Day) -> str:
    return page.html(found)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    catalog.publish(tmp_path)
    return tmp_path


def everything(found: Day) -> list[Result]:
    """Return every result of a report."""
    tables = [result for _section, rows in found.sections for result in rows]
    return [found.rulebooks, found.held, *tables, *(minutes.result for minutes in found.minutes)]


class Reader(HTMLParser):
    """What a browser would read: tables by the id of their section, code, tags, attributes that fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.code: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.lang = self.images = self.headers = 0
        self._section = ""
        self._into: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [value for name, value in given.items() if name in ("src", "href", "xlink:href")]
        self.lang += tag == "html" and given.get("lang") == "en"
        self.images += given.get("role") == "img" and bool(given.get("aria-label"))
        self.headers += tag == "th" and given.get("scope") in ("col", "row")
        if tag == "section" and given.get("class") == "result":
            self._section = given["id"]
        elif tag == "tr":
            self.tables.setdefault(self._section, []).append([])
        elif tag in ("th", "td"):
            self.tables[self._section][-1].append("")
            self._into = self.tables[self._section][-1]
        elif tag == "code":
            self.code.append("")
            self._into = self.code

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td", "code"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


def test_every_query_runs_on_an_empty_lake(empty: Path) -> None:
    found = results.collect(empty, DAY)
    ran = [result for result in everything(found) if not result.missing]
    print(f"{len(ran)} queries ran on an empty lake")
    assert len(ran) >= 15
    assert all(not result.rows for result in ran if result.query is not queries.HELD)
    assert found.empty.endswith("It holds no day of it at all.")


def test_every_query_runs_on_a_day_and_most_have_rows(found: Day) -> None:
    ran = [result for result in everything(found) if not result.missing]
    print(f"{len(ran)} queries ran, {sum(bool(result.rows) for result in ran)} with rows")
    silent = {result.query.key for result in ran if not result.rows}
    assert silent <= {"refused", "findings"}, silent
    assert not found.empty
    assert [minutes.instrument for minutes in found.minutes] == ["BTC-USD", "ETH-USD", "SOL-USD", NAME]


def test_what_a_lake_lacks_is_not_run_and_said(lake: Path) -> None:
    with catalog.connect(lake) as connection:
        query = queries.EFFECTIVE._replace(needs=("spread_days.no_such_column",), sql="select nonsense")
        result = results.run(connection, query, queries.Scope(DAY, "Asia/Hong_Kong"), {"spread_days"})
    assert result.nothing == "Not computed in this lake. It has no spread_days.no_such_column."
    assert result.sql == "select nonsense"


def test_the_tables_hold_what_the_queries_return(found: Day, document: str, lake: Path) -> None:
    tables = Reader(document).tables
    compared = 0
    with catalog.connect(lake) as connection:
        for result in everything(found):
            key = result.query.key
            if key not in tables:
                continue
            again = connection.sql(result.sql)  # the text shown, run as it stands
            assert tables[key][0] == [name.replace(", ", ",\u00a0") for name in again.columns]
            rows = again.fetchall()
            assert len(tables[key]) == len(rows) + 1
            for shown, row in zip(tables[key][1:], rows, strict=True):
                for cell, value in zip(shown, row, strict=True):
                    compared += 1
                    if isinstance(value, int | Decimal):
                        assert Decimal(cell.replace(",", "")) == value, (key, cell, value)
                    elif value is None:
                        assert cell == results.NONE
                    elif str(value).isprintable():
                        assert cell == str(value)
    print(f"compared {compared} cells of {len(tables)} tables")
    assert compared > 300


def test_every_number_has_its_sql(found: Day, document: str) -> None:
    code = Reader(document).code
    shown = [result for result in everything(found) if result.query is not queries.HELD]
    print(f"looked for {len(shown)} queries among {len(code)}")
    assert len(shown) > 5
    for result in shown:
        assert result.sql in code, result.query.key
    told = io.StringIO()
    page.show(found, Console(file=told, width=10_000), sql=True)
    flat = re.sub(r"\s+", " ", told.getvalue())
    for result in shown:
        assert re.sub(r"\s+", " ", result.sql) in flat, result.query.key


def test_the_words_state_the_querys_numbers_and_no_cause(found: Day) -> None:
    sentences = page.statements(found)
    benefit = found.result(queries.BENEFIT)
    assert len(sentences) == len(benefit.rows) == 4
    compared = 0
    for sentence, row in zip(sentences, benefit.rows, strict=True):
        numbers = {
            Decimal(text.replace(",", "")) for text in re.findall(r"(?<= )-?[\d,]*\d(?:\.\d+)?", sentence)
        }
        wanted = {value for value in row[1:6] if value}
        compared += len(wanted)
        assert wanted <= numbers <= set(row[1:6])
        assert not re.search(r"because|due to|thanks|caused|improved by|led to", sentence)
    print(f"compared {compared} numbers")
    assert compared > 12


@pytest.mark.parametrize(
    ("difference", "said"),
    [("1.5", "narrower with them"), ("-1.5", "wider with them"), ("0", "no difference")],
)
def test_the_words_say_which_way(found: Day, difference: str, said: str) -> None:
    benefit = found.result(queries.BENEFIT)
    row = ("X", Decimal(60), Decimal(1), Decimal(1), Decimal(difference), Decimal("2.5"), "orders")
    (sentence,) = page.statements(with_benefit(found, benefit._replace(rows=(row,))))
    assert f"{Decimal(difference)} bps, {said}." in sentence
    assert sentence.endswith("In another 2.5 s the book was two-sided only with their orders.")


def test_the_words_say_that_there_is_nothing_to_compare(found: Day) -> None:
    benefit = found.result(queries.BENEFIT)
    row = ("X", Decimal(0), None, None, None, Decimal(0))
    rows = tuple(
        (*row, known) for known in ("orders", "venue's quotes", "no two-sided book", "no two-sided book")
    )
    orders, quotes, unseen = page.statements(with_benefit(found, benefit._replace(rows=rows)))
    assert "nothing to compare" in orders
    assert orders.endswith("At no time was the book two-sided only with their orders.")
    assert "not known whose orders" in quotes
    assert unseen == "At no time is the book known to be two-sided: X, X."


def with_benefit(found: Day, benefit: Result) -> Day:
    """Return the day with another benefit."""
    sections = tuple(
        (section, tuple(benefit if row.query is queries.BENEFIT else row for row in rows))
        for section, rows in found.sections
    )
    return found._replace(sections=sections)


def test_presence_has_bounds_verdict_and_exemptions(found: Day) -> None:
    rows = {row["agreement"]: row for row in found.result(queries.PRESENCE).records()}
    assert rows["A-2"]["verdict"] == "inconclusive"  # a minute is agreed, a few seconds are known
    assert rows["A-2"]["required, %"] == "50"
    assert rows["A-2"]["low, %"] == "0"
    assert 50 <= float(rows["A-2"]["high, %"]) < 100
    times = {row["agreement"]: row for row in found.result(queries.PRESENCE_TIME).records()}
    assert times["A-1"]["session, s"] == "60"
    assert times["A-1"]["exempt, s"] == "1"
    exempt = [row for row in found.result(queries.EXEMPTIONS).records() if row["agreement"] == "A-1"]
    assert [(row["reason"], row["exempt, s"]) for row in exempt] == [("halt", "1")]


@pytest.mark.parametrize(
    ("row", "short"),
    [
        # 70 % of 420 s are 294 s; a nanosecond less, half of it unknown
        ((70, 600 * 10**9, 180 * 10**9, 147 * 10**9 - 1, 147 * 10**9), 1),
        # 62.5 % of 3 ns are 1.875 ns, so the next whole one is needed
        ((62.5, 3, 0, 0, 1), 1),
        # a whole day of nothing
        ((50, 86_400 * 10**9, 0, 0, 0), 43_200 * 10**9),
    ],
)  # fmt: skip
def test_a_breach_says_how_much_time_it_lacks(row: tuple[float, ...], short: int) -> None:
    names = ("required_pct", "session_ns", "exempt_ns", "compliant_ns", "unknown_ns")
    types = ("decimal(9, 6)", *["bigint"] * 4)
    given = ", ".join(f"{v}::{t} as {n}" for v, t, n in zip(row, types, names, strict=True))
    [(found,)] = duckdb.sql(f"select {queries.SHORT_NS} from (select {given})").fetchall()
    assert found == short


def test_a_hostile_name_is_only_shown(found: Day, document: str) -> None:
    told = io.StringIO()
    page.show(found, Console(file=told, width=200), sql=True)
    narratives = [text for text in found.result(queries.NARRATIVES).column("narrative") if "<script>" in text]
    print(f"{len(narratives)} narratives have the name")
    assert narratives
    cells = [cell for row in Reader(document).tables["narratives"] for cell in row]
    assert any(SHOWN in cell for cell in cells)
    assert "<script" not in document and "<b>" not in document
    assert "X&lt;b&gt;&#39;\\u001b[31m" in document
    for text in (document, told.getvalue()):
        assert "\x1b[31m" not in text
        assert "\u202e" not in text


def test_the_file_fetches_nothing_and_can_be_read_aloud(document: str) -> None:
    read = Reader(document)
    assert not read.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert all(link.startswith("#") for link in read.links), read.links
    assert not re.search(r"@import|@font-face|url\((?!#)", document)
    assert not re.search(r"""\s(on\w+)=["']""", document)
    assert "default-src &#39;none&#39;" in document or "default-src 'none'" in document
    assert read.lang == 1
    assert read.images == 4
    assert read.headers > 50
    assert len(read.ids) == len(set(read.ids))
    targets = {link[1:] for link in read.links}
    print(f"{len(targets)} places are referred to")
    assert targets <= set(read.ids)


def test_the_same_lake_gives_the_same_bytes(lake: Path, document: str) -> None:
    assert page.html(results.collect(lake, DAY)) == document
    assert RUN.invoke(app, ["report", "day", DAY, "--lake", str(lake), "--html", "/dev/null"]).exit_code == 0


def altered(minutes: Minutes, columns: dict[str, object]) -> Minutes:
    """Return an instrument's minutes with other values in the columns named, the same in each row."""
    result = minutes.result
    rows = tuple(
        tuple(columns.get(name, value) for name, value in zip(result.columns, row, strict=True))
        for row in result.rows
    )
    return minutes._replace(result=result._replace(rows=rows))


def test_where_only_quotes_are_known_the_whole_book_is_drawn(found: Day) -> None:
    both = charts.svg(found.minutes[0], found.scope, "a")
    assert ">with affiliates<" in both and ">without affiliates<" in both
    assert ">whole book<" not in both and "none known" not in both
    unknown = dict.fromkeys(("spread with, bps", "spread without, bps", "depth with", "depth without"))
    whole = charts.svg(altered(found.minutes[0], unknown), found.scope, "a")
    assert ">whole book<" in whole and "none known" in whole
    assert ">with affiliates<" not in whole


def test_a_line_does_not_bridge_minutes_that_are_not_there(found: Day) -> None:
    minutes = found.minutes[0]
    first = minutes.result.rows[0]
    at = minutes.result.columns.index("minute_ns")
    later = (*first[:at], first[at] + 3 * charts.MINUTE, *first[at + 1 :])
    edges, column = charts.columns(
        minutes._replace(result=minutes.result._replace(rows=(first, later))), found.scope
    )
    assert edges == [540, 541, 542, 543, 544]  # 09:00 is the 540th minute of the day
    assert [math.isnan(value) for value in column("spread with, bps")] == [False, True, True, False]


def test_it_says_what_it_is_of(found: Day, document: str) -> None:
    told = io.StringIO()
    page.show(found, Console(file=told, width=120))
    for text in (document, told.getvalue()):
        for part in (DAY, "Asia/Hong_Kong", found.rulebooks.rows[0][0], page.software(), found.lake, "26EC6"):
            assert part in text
    assert len(found.rulebooks.rows[0][0]) == 32


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_number_is_cut_in_a_narrow_terminal(found: Day, width: int) -> None:
    told = io.StringIO()
    page.show(found, Console(file=told, width=width))
    lines = told.getvalue().splitlines()
    words = {word for line in lines for word in line.split()}
    assert max(map(len, lines)) <= width
    compared = 0
    for result in everything(found):
        if result.query in (queries.HELD, queries.MINUTES, queries.FINDINGS):
            continue
        for row in result.cells():
            for cell, numeric in zip(row, result.numeric, strict=True):
                compared += numeric
                assert not numeric or cell in words, (result.query.key, cell)
    print(f"looked for {compared} numbers")
    assert compared > 200


def test_one_instrument_is_only_that(lake: Path) -> None:
    found = results.collect(lake, DAY, "ETH-USD")
    compared = 0
    for result in everything(found):
        if "instrument" in result.columns:
            compared += len(result.rows)
            assert set(result.column("instrument")) <= {"ETH-USD"}, result.query.key
    print(f"compared {compared} rows")
    assert compared > 15
    assert [minutes.instrument for minutes in found.minutes] == ["ETH-USD"]


@pytest.mark.parametrize(
    "name", ["", "X", "O'Neil", "X\x1b[31m", "\u202e", "\u6bd4\u7279\u5e01", "{zone}", "a\nb\tc'"]
)
def test_a_name_in_sql_is_that_name_and_can_be_shown(name: str) -> None:
    sql = queries.Scope(DAY, "Asia/Hong_Kong", name).fill("select 1{and_instrument}").partition(" = ")[2]
    assert duckdb.sql(f"select {sql}").fetchall() == [(name,)]
    assert sql.isprintable()


def test_an_instruments_name_is_no_sql(lake: Path) -> None:
    found = results.collect(lake, DAY, "X' or true or '{day}")
    assert found.empty.startswith("No data: this lake holds no record of X' or true or '{day} on 2026-03-02")
    assert not found.result(queries.COVERAGE).rows


def test_a_day_without_data_says_so(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    said = (
        "this lake holds no record of any instrument on 2026-03-05 (Asia/Hong_Kong). Its days are 2026-03-02"
    )
    written = RUN.invoke(app, ["report", "day", "2026-03-05", "--lake", str(lake), "--html", str(file)])
    printed = RUN.invoke(app, ["report", "day", "2026-03-05", "--lake", str(lake)])
    for result, text in ((written, file.read_text(encoding="utf-8")), (printed, printed.output)):
        assert result.exit_code == 1
        assert said in " ".join(text.split())


@pytest.mark.parametrize(
    "wrong", ["2026-02-30", "20260302", "2026-W10-1", "yesterday", "2026-3-2", "٢٠٢٦-٠٣-٠٢"]
)
def test_a_wrong_date_is_one_line(wrong: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "streams.cli", "report", "day", wrong],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == f"fairbook: date {wrong!r}: expected YYYY-MM-DD, for instance 2026-03-02\n"
    assert not result.stdout


def test_the_workers_do_not_pay_for_the_charts() -> None:
    modules = "streams.cli streams.worker streams.tag_worker streams.detect_worker streams.land_worker"
    script = (
        f"import sys, {modules.replace(' ', ', ')}; print(len({{'matplotlib', 'jinja2'}} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout == "0\n"
