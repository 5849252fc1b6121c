"""reference.toml and its CSV files: what they say, and errors at their own line."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.reference import (
    Account,
    Affiliation,
    Defaults,
    Entity,
    FeeSchedule,
    Instrument,
    MmAgreement,
    MmRegistration,
    TradingPhase,
)
from streams.reference_data import Problem, ReferenceDataError, check, load

MARCH = 1_772_323_200_000_000_000  # 2026-03-01T00:00:00Z
WHOLE = """\
[defaults]
unlisted_accounts = "unknown"
[[instruments]]
symbol = "BTC-USD"
tick_size = "0.5"
lot_size = "0.0001"
[[entities]]
id = "venue"
name = "Example Exchange Ltd"
operator = true
[[entities]]
id = "holdco"
[[entities]]
id = "maker"
[[accounts]]
account = "MM-1"
entity = "maker"
kind = "institutional"
[[affiliations]]
parent = "holdco"
child = "maker"
control_pct = "75"
valid_from = 2026-03-01T00:00:00Z
[[affiliations]]
parent = "holdco"
child = "venue"
control = true
[[mm_registrations]]
account = "MM-1"
instruments = ["*"]
affiliated = true
valid_from = 2026-03-01T08:00:00+08:00
[[mm_agreements]]
id = "MM-1/BTC-USD"
account = "MM-1"
instrument = "BTC-USD"
max_spread_bps = "20"
min_qty = "0.05"
presence_pct = "50"
session_start = "00:00"
session_end = "24:00"
zone = "Asia/Hong_Kong"
[[trading_phases]]
instrument = "BTC-USD"
phase = "halt"
from = 2026-03-02T03:00:00Z
to = 2026-03-02T03:05:00Z
[[fee_schedule]]
tier = "standard"
maker_bps = "-2"
taker_bps = "5"
recorded_at = 1772323200000000001
"""
FRAME = """\
[[entities]]
id = "venue"
operator = true
[[entities]]
id = "maker"
[[entities]]
id = "client"
"""  # 7 lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "reference.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def found(problems: list[Problem]) -> list[tuple[str, str, int]]:
    return [(problem.severity, problem.file, problem.line) for problem in problems]


# ---- what is read -----------------------------------------------------------------------------------


def test_the_example_of_the_specification_is_read_to_the_letter(folder: Path) -> None:
    path = write(folder, WHOLE)
    assert load(path) == load(folder) == [
        Defaults(unlisted_accounts="unknown"),
        Instrument(symbol="BTC-USD", tick_size="0.5", lot_size="0.0001"),
        Entity(id="venue", name="Example Exchange Ltd", operator=True),
        Entity(id="holdco"),
        Entity(id="maker"),
        Account(account="MM-1", entity="maker", kind="institutional"),
        Affiliation(parent="holdco", child="maker", control_pct="75", valid_from=MARCH),
        Affiliation(parent="holdco", child="venue", control=True),
        MmRegistration(account="MM-1", affiliated=True, valid_from=MARCH),
        MmAgreement(
            id="MM-1/BTC-USD",
            account="MM-1",
            instrument="BTC-USD",
            max_spread_bps="20",
            min_qty="0.05",
            presence_pct="50",
            zone="Asia/Hong_Kong",
        ),
        TradingPhase(
            instrument="BTC-USD",
            phase="halt",
            valid_from=MARCH + 97_200_000_000_000,
            valid_to=MARCH + 97_500_000_000_000,
        ),
        FeeSchedule(tier="standard", maker_bps="-2", taker_bps="5", recorded_at=MARCH + 1),
    ]  # fmt: skip
    assert check(path) == []


def test_csv_beside_it_has_the_same_facts(folder: Path) -> None:
    write(folder, FRAME)
    rows = ["A,client,TRUE,,5", "B,maker,,2026-03-01T08:00:00+08:00,", ""]
    head = "\ufeffaccount,entity,priority_waiver,valid_from,recorded_at"
    write(folder, "\r\n".join([head, *rows]), "accounts.csv")
    write(folder, "account,instruments,affiliated\nB,X Y,false\nA,X;*,true\n", "mm_registrations.csv")
    write(folder, "instrument,phase,from,to\nX,halt,1,2\n", "trading_phases.csv")
    assert load(folder)[3:] == [
        Account(account="A", entity="client", priority_waiver=True, recorded_at=5),
        Account(account="B", entity="maker", valid_from=MARCH),
        MmRegistration(account="B", instruments=("X", "Y")),
        MmRegistration(account="A", instruments=("X", "*"), affiliated=True),
        TradingPhase(instrument="X", phase="halt", valid_from=1, valid_to=2),
    ]


def test_a_csv_value_keeps_the_type_of_its_column(folder: Path) -> None:
    write(folder, FRAME)
    write(folder, "account,entity\ntrue,client\n007,client\n", "accounts.csv")
    assert [fact.account for fact in load(folder) if isinstance(fact, Account)] == ["true", "007"]


def test_bounds_beyond_the_time_of_records_are_no_bounds(folder: Path) -> None:
    write(
        folder, '[[entities]]\nid = "v"\nvalid_from = 0001-01-01T00:00:00Z\nvalid_to = 9999-12-31T00:00:00Z\n'
    )
    assert load(folder) == [Entity(id="v")]


def test_load_refuses_what_cannot_be_read_and_leaves_doubts_to_check(folder: Path) -> None:
    write(folder, '[[accounts]]\naccount = "A"\nentity = "nobody"\n')
    assert load(folder) == [Account(account="A", entity="nobody")]
    write(folder, '[[accounts]]\naccount = "A"\n[[accounts]]\nentity = "x"\n')
    with pytest.raises(ReferenceDataError, match=r"reference.toml:1: error: .*`entity`") as caught:
        load(folder)
    assert [problem.line for problem in caught.value.problems] == [1, 3]


# ---- what cannot be read ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 8, "unknown table 'acounts'"),
        ('account = "A"\nentity = "client"\nkynd = "x"\n', 11, "unknown key 'kynd' in accounts"),
        ('account = "A"\nentity = 5\n', 10, "entity: Expected `str`, got `int`"),
        ('account = ""\nentity = "client"\n', 9, "account: Expected `str` of length >= 1"),
        ('account = "A"\n', 8, "missing required field `entity`"),
        ('account = "A"\nentity = "client"\npriority_waiver = "yes"\n', 11, "Expected `bool`, got `str`"),
        (
            'account = "A"\nentity = "client"\nvalid_from = 2026-03-01T00:00:00\n',
            11,
            "valid_from: expected a moment",
        ),
        ('account = "A"\nentity = "client"\nvalid_from = 2026-03-01\n', 11, "valid_from: expected a moment"),
        (
            'account = "A"\nentity = "client"\nvalid_from = "2026-03-01T00:00:00Z"\n',
            11,
            "valid_from: expected a moment",
        ),
        ('account = "A"\nentity = "client"\nvalid_from = 1.5\n', 11, "valid_from: expected a moment"),
        (
            'account = "A"\nentity = "client"\nvalid_from = 2026-03-01T00:00:00.0000001Z\n',
            11,
            "finer than micro",
        ),
        ('account = "A"\nentity = "client"\nvalid_from = 9999-01-01T00:00:00Z\n', 11, "outside the years"),
        (
            'account = "A"\nentity = "client"\nvalid_from = 5\nvalid_to = 5\n',
            12,
            "valid_to is not after valid_from",
        ),
    ],
)
def test_an_error_has_its_line_and_a_remedy(folder: Path, text: str, line: int, says: str) -> None:
    head = "[[acounts]]\n" if not text else "[[accounts]]\n"
    problems = check(write(folder, FRAME + head + text))
    assert found(problems) == [("error", "reference.toml", line)]
    assert says in problems[0].reason and problems[0].remedy


@pytest.mark.parametrize(
    ("table", "key", "value", "says"),
    [
        ("instruments", "tick_size", "0.5", "expected a decimal in quotes, got 0.5"),
        ("instruments", "tick_size", "5", "expected a decimal in quotes, got 5"),
        ("instruments", "tick_size", '"5e-1"', "expected a decimal like '12.5'"),
        ("instruments", "tick_size", '"0.000000001"', "8 decimals"),
        ("instruments", "tick_size", '"0"', "expected more than 0"),
        ("affiliations", "control_pct", '"100.1"', "expected 0 to 100"),
        ("affiliations", "control_pct", '"-1"', "expected 0 to 100"),
        ("trading_phases", "phase", '"lunch"', "unknown value 'lunch'"),
        ("mm_registrations", "instruments", "[]", "Expected `array` of length >= 1"),
        ("mm_registrations", "instruments", '"*"', "Expected `array`"),
        ("mm_agreements", "session_start", '"9:30"', "expected a time of day"),
        ("mm_agreements", "zone", '"Asia/Atlantis"', "no such zone"),
        ("mm_agreements", "size_at", '"worst"', "unknown value 'worst'"),
        ("defaults", "unlisted_accounts", '"affiliate"', "unknown value 'affiliate'"),
    ],
)
def test_a_wrong_value_is_refused_at_its_line(
    folder: Path, table: str, key: str, value: str, says: str
) -> None:
    write(folder, f"# one\n[[{table}]]\n# three\n{key} = {value}\n")
    with pytest.raises(ReferenceDataError) as caught:
        load(folder)
    (problem,) = caught.value.problems
    assert problem.line == 4 and problem.reason.startswith(key) and says in problem.reason


def test_both_spellings_of_a_date_are_one_too_many(folder: Path) -> None:
    write(folder, '[[trading_phases]]\ninstrument = "X"\nphase = "halt"\nfrom = 1\nvalid_from = 2\n')
    with pytest.raises(ReferenceDataError, match=r"toml:5: error: valid_from says valid_from a second time"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "no facts, the file is empty"),
        ("# nothing\n", 1, "no facts, the file is empty"),
        ('[[entities]]\nid = "v\n', 2, "not TOML"),
        ("[[entities]]\nid = [\n\n", 2, "not TOML"),
        (b'[[entities]]\nid = "\xff"\n', 2, "not UTF-8"),
        ('\naccounts = ["A"]\n', 2, "expected a table, got 'A'"),
        (
            '[[entities]]\nid = "v"\nvalid_from = 0x' + "f" * 5_000,
            3,
            "not TOML: expected an integer of at most 64",
        ),
        (
            '[[entities]]\nid = "v"\nvalid_from = ' + "9" * 5_000,
            3,
            "not TOML: expected an integer of at most 64",
        ),
        ("entities = " + "[" * 5_000, 1, "not TOML: nested too deeply"),
    ],
)
def test_a_file_that_is_no_reference_data(folder: Path, text: str | bytes, line: int, says: str) -> None:
    problems = check(write(folder, text))
    assert found(problems) == [("error", "reference.toml", line)]
    assert says in problems[0].reason


def test_a_missing_file_is_an_error_not_an_exception(folder: Path) -> None:
    assert found(check(folder / "reference.toml")) == [("error", "reference.toml", 1)]


@pytest.mark.parametrize("text", ["", "\n", "\ufeff"])
def test_a_csv_file_without_a_header_is_an_error_and_one_without_rows_is_none(
    folder: Path, text: str
) -> None:
    write(folder, FRAME)
    (problem,) = check(write(folder, text, "accounts.csv").parent)
    assert (problem.severity, problem.file, problem.line) == ("error", "accounts.csv", 1)
    assert problem.reason == "the file is empty" and "account,entity" in problem.remedy
    assert check(write(folder, "account,entity\n", "accounts.csv").parent) == []


def test_inline_tables_have_the_line_of_their_element(folder: Path) -> None:
    rows = 'accounts = [\n  {account="A", entity="client"}, # [{\n  {account="B"},\n]\n'
    assert found(check(write(folder, rows + FRAME))) == [("error", "reference.toml", 3)]


def test_csv_errors_have_the_line_on_which_their_row_begins(folder: Path) -> None:
    write(folder, FRAME)
    rows = [
        "account,entity,valid_from,kynd",
        "A,client,,",
        "",
        '"B\nB",client,2026-03-01,',
        "C,client,1,x,y",
        "D,,,",
    ]
    problems = check(write(folder, "\n".join(rows), "accounts.csv").parent)
    assert found(problems) == [("error", "accounts.csv", line) for line in (1, 4, 6, 7)]
    assert [problem.reason.split(":")[0] for problem in problems] == [
        "unknown column 'kynd'",
        "valid_from",
        "5 values under 4 columns",
        "Object missing required field `entity`",
    ]


# ---- what is doubtful -------------------------------------------------------------------------------


def doubt(folder: Path, text: str) -> list[tuple[str, int, str]]:
    """What `check` says of `text` below the frame: severity, line of `text`, first words."""
    problems = check(write(folder, FRAME + text))
    return [(problem.severity, problem.line - 7, problem.reason) for problem in problems]


def test_there_is_exactly_one_operator(folder: Path) -> None:
    none = check(write(folder, '[[entities]]\nid = "venue"\n'))
    assert found(none) == [("error", "reference.toml", 1)]
    assert doubt(folder, '[[entities]]\nid = "two"\noperator = true\n') == [
        ("error", 1, "expected exactly one operator, got two, venue from the beginning")
    ]


def test_one_operator_may_follow_another_but_not_after_a_hole(folder: Path) -> None:
    text = (
        '[[entities]]\nid = "a"\noperator = true\nvalid_to = {}\n'
        '[[entities]]\nid = "b"\noperator = true\nvalid_from = 20\n'
    )
    assert check(write(folder, text.format(20))) == []
    (hole,) = check(write(folder, text.format(10)))
    assert hole.severity == "warning" and hole.reason == "no operator from 1970-01-01T00:00:00Z"
    (both,) = check(write(folder, text.format(30)))
    assert (both.severity, both.line) == ("error", 5)


def test_names_that_nobody_lists(folder: Path) -> None:
    text = (
        '[[accounts]]\naccount = "A"\nentity = "x"\n[[affiliations]]\nparent = "venue"\nchild = "y"\n'
        '[[mm_registrations]]\naccount = "B"\n[[instruments]]\nsymbol = "X"\n'
        '[[trading_phases]]\ninstrument = "Z"\nphase = "halt"\n'
    )
    assert doubt(folder, text) == [
        ("error", 1, "entity 'x' is not listed"),
        ("error", 4, "child 'y' is not listed"),
        ("error", 7, "account 'B' is not listed"),
        ("warning", 11, "instrument 'Z' is not listed"),
    ]


def test_a_registration_of_an_unlisted_account_is_fine_where_those_are_clients(folder: Path) -> None:
    assert (
        doubt(folder, '[[mm_registrations]]\naccount = "B"\n[defaults]\nunlisted_accounts = "client"\n') == []
    )


def test_of_an_account_that_nobody_lists_nothing_more_is_said(folder: Path) -> None:
    text = '[[mm_registrations]]\naccount = "B"\naffiliated = true\n'
    assert doubt(folder, text) == [("error", 1, "account 'B' is not listed")]
    clients = '[defaults]\nunlisted_accounts = "client"\n'
    ((severity, line, reason),) = doubt(folder, text + clients)
    assert (severity, line) == ("error", 1) and "outside the operator's group" in reason


@pytest.mark.parametrize(
    ("moment", "stands"),
    [
        (20_260_301, "1970-01-01T00:00:00Z"),
        (MARCH // 10**9, "1970-01-01T00:00:01Z"),
        (MARCH // 10**6, "1970-01-01T00:29:32Z"),
        (MARCH // 10**3, "1970-01-21T12:18:43Z"),
    ],
)
def test_a_time_that_is_not_likely_nanoseconds_is_a_warning(folder: Path, moment: int, stands: str) -> None:
    text = '[[accounts]]\naccount = "A"\nentity = "client"\n{} = {}\n'
    for name in ("valid_from", "valid_to", "recorded_at"):
        ((severity, line, reason),) = doubt(folder, text.format(name, moment))
        assert (severity, line) == ("warning", 1)
        assert reason == f"{name} = {moment} is {stands} in nanoseconds"
        assert doubt(folder, text.format(name, MARCH)) == []


def test_an_agreement_is_of_an_account_or_of_an_entity(folder: Path) -> None:
    text = '[[mm_agreements]]\nid = "1"\ninstrument = "X"\n{}\n'
    assert [line for _, line, _ in doubt(folder, text.format(""))] == [1]
    assert doubt(folder, text.format('entity = "maker"')) == []


MAKER = '[[accounts]]\naccount = "A"\nentity = "maker"\n'
EDGE = '[[affiliations]]\nparent = "venue"\nchild = "maker"\ncontrol_pct = "51"\n'
REGISTERED = '[[mm_registrations]]\naccount = "A"\naffiliated = true\n'


def test_registered_as_affiliated_but_outside_the_group_is_an_error(folder: Path) -> None:
    assert doubt(folder, MAKER + EDGE + REGISTERED) == []
    assert [item[:2] for item in doubt(folder, MAKER + REGISTERED)] == [("error", 4)]
    assert [item[:2] for item in doubt(folder, MAKER + EDGE.replace("51", "50") + REGISTERED)] == [
        ("error", 8)
    ]


def test_registered_as_affiliated_before_the_group_had_it_is_a_warning(folder: Path) -> None:
    edge = EDGE + "valid_from = 2026-03-01T00:00:00Z\n"
    (only,) = doubt(folder, MAKER + edge + REGISTERED)
    assert only[:2] == ("warning", 9) and only[2].endswith("outside the operator's group from the beginning")
    assert doubt(folder, MAKER + edge + REGISTERED + "valid_from = 2026-03-01T00:00:00Z\n") == []
    ended = EDGE + "valid_to = 2026-03-01T00:00:00Z\n"
    assert doubt(folder, MAKER + ended + REGISTERED)[0][2].endswith("from 2026-03-01T00:00:00Z")


def test_a_group_member_registered_as_independent_is_a_warning(folder: Path) -> None:
    independent = REGISTERED.replace("true", "false")
    assert doubt(folder, MAKER + independent) == []
    assert [item[:2] for item in doubt(folder, MAKER + EDGE + independent)] == [("warning", 8)]


def test_a_registration_that_was_withdrawn_or_corrected_is_not_judged(folder: Path) -> None:
    withdrawn = REGISTERED + "recorded_at = 5\nwithdrawn = true\n"
    assert doubt(folder, MAKER + REGISTERED + withdrawn) == []
    corrected = REGISTERED.replace("true", "false") + "recorded_at = 5\n"
    assert doubt(folder, MAKER + REGISTERED + corrected) == []


def test_two_controllers_at_one_time_are_a_warning(folder: Path) -> None:
    other = EDGE.replace('"venue"', '"client"')
    assert [item[:2] for item in doubt(folder, EDGE + other)] == [("warning", 5)]
    assert doubt(folder, EDGE + "valid_to = 9\n" + other + "valid_from = 9\n") == []
    assert doubt(folder, EDGE + other.replace("51", "49")) == []


def test_facts_of_one_key_and_one_recorded_at_do_not_overlap(folder: Path) -> None:
    def phase(start: int, end: int, more: str = "") -> str:
        return f'[[trading_phases]]\ninstrument = "X"\nphase = "halt"\nfrom = {start}\nto = {end}\n{more}'

    assert doubt(folder, phase(1, 5) + phase(5, 9)) == []
    assert [item[:2] for item in doubt(folder, phase(1, 5) + phase(4, 9))] == [("error", 6)]
    assert [item[:2] for item in doubt(folder, phase(4, 9) + phase(1, 5))] == [("error", 6)]
    assert doubt(folder, phase(1, 5) + phase(4, 9, "recorded_at = 7\n")) == []
    nested = phase(1, 100) + phase(10, 20) + phase(30, 40)
    assert [item[:2] for item in doubt(folder, nested)] == [("error", 6), ("error", 11)]


def test_registrations_overlap_by_instrument(folder: Path) -> None:
    two = '[[mm_registrations]]\naccount = "A"\ninstruments = ["X", "Y"]\n'
    one = '[[mm_registrations]]\naccount = "A"\ninstruments = ["Y"]\n'
    star = '[[mm_registrations]]\naccount = "A"\ninstruments = ["*"]\n'
    assert [item[:2] for item in doubt(folder, MAKER + two + one)] == [("error", 7)]
    assert doubt(folder, MAKER + two + star) == []


def test_an_overlap_names_the_other_file(folder: Path) -> None:
    write(folder, FRAME + MAKER)
    write(folder, "account,entity\nA,client\n", "accounts.csv")
    (problem,) = check(folder)
    assert problem.reason.startswith("two facts on accounts A at one time (accounts.csv:2)")
