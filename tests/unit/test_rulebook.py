"""The rulebook: units are exact, nothing unknown is accepted, every error has its line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook, RulebookError, Unit, parameters_from
from streams.settings import resource

SECOND = 1_000_000_000


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One parameter of each kind."""

    mode: Literal["price_time", "client_first"]
    window: Annotated[int, Unit("duration")] = 0
    improvement: Annotated[int, Unit("ticks")] = 1
    distance: Annotated[int, Unit("bps")] = 20_000_000
    share: Annotated[int, Unit("percent")] = 50_000_000
    ratio: Annotated[int, Unit("ratio")] = 3_000_000
    least: Annotated[int, Unit("count")] = 3
    size: Annotated[int, Unit("quantity")] = 0
    roles: tuple[str, ...] = ("client",)
    loud: bool = True


class Nothing(msgspec.Struct):
    """No parameters at all."""


WORDS = Path(__file__).with_name("rulebook_errors.txt")
REGISTRY: dict[str, type[msgspec.Struct]] = {"sample": Sample}
HEAD = """[[instance]]
rule = "sample"
name = "sample.one"
provenance = "assumed"
reference = "our own"
"""


def book(text: str) -> Rulebook:
    return Rulebook.parse(text, REGISTRY)


def one(*lines: str) -> Rulebook:
    """A rulebook of one instance whose parameters, from line 6 on, are `lines`."""
    return book(HEAD + "\n".join(("[[instance.parameters]]", *lines)))


# ---- units ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("duration", "0 s", 0),
        ("duration", "1 s", SECOND),
        ("duration", "500 ms", 500_000_000),
        ("duration", "0.1 s", 100_000_000),
        ("duration", "1ns", 1),
        ("duration", "7 d", 604_800 * SECOND),
        ("duration", "1 day", 86_400 * SECOND),
        ("duration", "7 days", 604_800 * SECOND),
        ("duration", "1.5 min", 90 * SECOND),
        ("duration", "2 h", 7_200 * SECOND),
        ("ticks", "1 tick", 1),
        ("ticks", "10 ticks", 10),
        ("bps", "20 bps", 20_000_000),
        ("bps", "0.000001 bps", 1),
        ("percent", "50 %", 50_000_000),
        ("percent", "0.3%", 300_000),
        ("ratio", "3.0", 3_000_000),
        ("ratio", "2 x", 2_000_000),
        ("count", 3, 3),
        ("count", "3", 3),
        ("quantity", "0.05", 5_000_000),
    ],
)
def test_a_value_with_its_unit_is_an_exact_integer(unit: str, text: str | int, expected: int) -> None:
    assert Unit(unit).read(text) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("duration", 1),
        ("duration", "1"),
        ("duration", 1.5),
        ("duration", "1 tick"),
        ("duration", "-1 s"),
        ("duration", "1 S"),
        ("duration", "0.1 ns"),
        ("duration", "1_0 s"),
        ("duration", "1. s"),
        ("duration", "\uff11 s"),
        ("ticks", 1),
        ("ticks", "0.5 ticks"),
        ("ticks", "1"),
        ("bps", "20"),
        ("bps", "20 %"),
        ("bps", "0.0000001 bps"),
        ("percent", 50),
        ("percent", "50 bps"),
        ("ratio", 3.0),
        ("ratio", "3 %"),
        ("count", -1),
        ("count", True),
        ("count", "2.5"),
        ("count", 2.0),
        ("quantity", "1 s"),
        ("quantity", 0.05),
    ],
)
def test_another_unit_none_or_a_float_is_refused(unit: str, value: object) -> None:
    with pytest.raises(RulebookError, match=f"expected a {unit}"):
        Unit(unit).read(value)  # type: ignore[arg-type]


def test_an_unknown_parameter_names_those_there_are() -> None:
    expected = (
        "unknown key 'windw'; expected one of: distance, improvement, least, loud, mode, ratio, roles, "
    )
    with pytest.raises(RulebookError, match=expected):
        parameters_from({"mode": "price_time", "windw": "1 s"}, Sample)


def test_a_missing_or_mistyped_parameter_is_refused() -> None:
    with pytest.raises(RulebookError, match="missing required field `mode`"):
        parameters_from({}, Sample)
    with pytest.raises(RulebookError, match="Invalid enum value 'fifo'"):
        parameters_from({"mode": "fifo"}, Sample)
    with pytest.raises(RulebookError, match="Expected `bool`, got `str`"):
        parameters_from({"mode": "price_time", "loud": "no"}, Sample)


# ---- versions ---------------------------------------------------------------------------------------

TWO = (
    HEAD
    + """
[[instance.parameters]]
valid_from = 1970-01-01T00:00:20Z
mode = "client_first"
[[instance.parameters]]
valid_from = 10
valid_to = 1970-01-01T08:00:20+08:00
mode = "price_time"
"""
)


def test_dates_are_half_open_and_versions_need_no_order() -> None:
    rulebook = book(TWO)
    found = [rulebook.parameters("sample.one", ts) for ts in (9, 10, 20 * SECOND - 1, 20 * SECOND)]
    assert [item and item[0].mode for item in found] == [None, "price_time", "price_time", "client_first"]


def test_one_version_without_dates_is_always_in_force() -> None:
    rulebook = one('mode = "price_time"')
    assert [rulebook.parameters("sample.one", ts) is not None for ts in (-(1 << 62), 0, 1 << 62)] == [
        True
    ] * 3
    with pytest.raises(KeyError):
        rulebook.parameters("sample.two", 0)


def test_the_hash_is_of_the_values_with_defaults_not_of_the_text() -> None:
    plain = one('mode = "price_time"')
    said = one("# a comment", 'window   = "0 ms"', 'mode = "price_time"', 'distance = "20.0 bps"')
    other = one('mode = "price_time"', 'window = "1 ns"')
    hashes = [
        found[1] for rulebook in (plain, said, other) if (found := rulebook.parameters("sample.one", 0))
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes) == 3 and plain.digest == said.digest != other.digest


def test_the_digest_is_of_venue_provenance_and_dates_too() -> None:
    text = HEAD + '[[instance.parameters]]\nmode = "price_time"\n'
    changed = [
        text,
        '[venue]\nzone = "Asia/Tokyo"\n' + text,
        text.replace("assumed", "verified"),
        text.replace("our own", "another"),
        text + "valid_from = 1\n",
        text.replace("reference", "enabled = false\nreference"),
        text.replace("reference", 'severity = "low"\nreference'),
    ]
    assert len({book(item).digest for item in changed}) == len(changed) == 7


def test_what_is_said_of_an_instance_is_kept() -> None:
    rulebook = book(
        HEAD + 'severity = "high"\nenabled = false\n[[instance.parameters]]\nmode = "price_time"\n'
    )
    instance = rulebook.instances[0]
    assert (instance.rule, instance.name, instance.enabled, instance.severity) == (
        "sample",
        "sample.one",
        False,
        "high",
    )
    assert (instance.provenance, instance.reference) == ("assumed", "our own")
    assert one('mode = "price_time"').instances[0].severity is None


def test_the_venue_has_defaults() -> None:
    venue = one('mode = "price_time"').venue
    assert (venue.zone, venue.max_future, venue.gap_timeout) == ("Asia/Hong_Kong", 5 * SECOND, 3 * SECOND)
    assert venue.bust_horizon == 604_800 * SECOND


# ---- errors and their lines -------------------------------------------------------------------------

PARAMETERS_TABLE = '[[instance.parameters]]\nmode = "price_time"\n'


WRONG: list[tuple[str, int, str]] = [
    ("a = \n", 1, "expected TOML"),
    ('[venue]\nzone = "x', 2, "expected TOML"),
    ("\nrules = 1\n", 2, "unknown key 'rules'; expected one of: venue, instance"),
    ("venue = 3\n", 1, "expected a table, got 3"),
    ('[venue]\n\nzone = "Mars/Olympus"\n', 3, "expected a zone like Asia/Hong_Kong"),
    ("[venue]\nmax_future = 5\n", 2, "max_future: expected a duration"),
    ('[venue]\nmax_past = "5 s"\n', 2, "unknown key 'max_past'"),
    ("[instance]\n", 1, r"expected tables \[\[instance\]\]"),
    (
        HEAD.replace('"sample"', '"smaple"') + PARAMETERS_TABLE,
        2,
        "rule: expected one of sample, got 'smaple'",
    ),
    (HEAD.replace("assumed", "certain") + PARAMETERS_TABLE, 4, "provenance: expected one of verified"),
    (HEAD.replace('"our own"', '" "') + PARAMETERS_TABLE, 5, "reference: expected a text"),
    (HEAD.replace('name = "sample.one"\n', "") + PARAMETERS_TABLE, 1, "name: expected a text, got None"),
    (HEAD + 'enabled = "no"\n' + PARAMETERS_TABLE, 6, "enabled: expected true or false"),
    (
        HEAD + 'severity = "grave"\n' + PARAMETERS_TABLE,
        6,
        "severity: expected one of info, low, medium, high",
    ),
    (HEAD + "treshold = 1\n" + PARAMETERS_TABLE, 6, "unknown key 'treshold'"),
    (HEAD, 1, r"expected at least one \[\[instance.parameters\]\]"),
    (HEAD + "parameters = [1]\n", 6, "parameters: expected a table, got 1"),
    (HEAD + PARAMETERS_TABLE + 'window = "1 tick"\n', 8, "window: expected a duration"),
    (HEAD + PARAMETERS_TABLE + "valid_from = 2026-02-11\n", 8, "expected a date-time with offset"),
    (
        HEAD + PARAMETERS_TABLE + "valid_from = 2026-02-11T00:00:00\n",
        8,
        "expected a date-time with offset",
    ),
    (HEAD + PARAMETERS_TABLE + "valid_from = 2026-02-11T00:00:00.1234567Z\n", 8, "at most microseconds"),
    (HEAD + PARAMETERS_TABLE + "valid_from = 5\nvalid_to = 5\n", 9, "expected valid_to after valid_from"),
    (HEAD + PARAMETERS_TABLE + f"valid_to = {1 << 63}\n", 8, "expected TOML: .* at most 64 bits"),
    (HEAD + PARAMETERS_TABLE + "valid_to = 0x" + "f" * 5_000, 8, "expected TOML: .* at most 64 bits"),
    ("[venue]\nzone = " + "[" * 5_000, 1, "expected TOML: nested too deeply"),
    (
        HEAD + PARAMETERS_TABLE + HEAD + PARAMETERS_TABLE,
        8,
        "instance sample.one: expected once, listed twice",
    ),
    (HEAD + PARAMETERS_TABLE + "\n" + PARAMETERS_TABLE, 9, "overlap in time"),
    (
        HEAD + PARAMETERS_TABLE + "valid_to = 9\n" + PARAMETERS_TABLE + "valid_from = 8\n",
        9,
        "overlap in time",
    ),
]


@pytest.mark.parametrize(("text", "line", "says"), WRONG)
def test_an_error_says_its_line_and_what_was_expected(text: str, line: int, says: str) -> None:
    with pytest.raises(RulebookError, match=says) as caught:
        book(text)
    assert caught.value.line == line


MORE_WRONG = [
    HEAD + "[instance.parameters]\nmode = 1\n",
    HEAD.replace('name = "sample.one"\n', "name = 7\n") + PARAMETERS_TABLE,
    HEAD + PARAMETERS_TABLE + "[[instance]]\n",
    HEAD + PARAMETERS_TABLE + 'valid_to = "soon"\n',
    HEAD + PARAMETERS_TABLE + "mod = 1\n",
    HEAD + '[[instance.parameters]]\nmode = "fifo"\n',
    HEAD + '[[instance.parameters]]\nmode = "price_time"\nloud = "no"\n',
    HEAD + "[[instance.parameters]]\nloud = true\n",
    HEAD + PARAMETERS_TABLE + "\n" + PARAMETERS_TABLE + "valid_from = 8\n",
    HEAD + PARAMETERS_TABLE + "valid_from = 1\nvalid_to = 9\n" + PARAMETERS_TABLE + "valid_to = 2\n",
    "[venue]\nzone = 3\n",
    "[venue]\nrestated_time = 'never'\n",
    "\n\nvenue = 3\n",
    "\n\ninstance = 3\n",
    HEAD
    + "[[instance.parameters]]\nvalid_from = -5\nvalid_to = -1\nmode = 'price_time'\n"
    + PARAMETERS_TABLE,
]


def test_the_words_of_errors_are_those_that_were_read_over() -> None:
    said = []
    for text in [text for text, _line, _says in WRONG] + MORE_WRONG:
        with pytest.raises(RulebookError) as caught:
            book(text)
        said.append(str(caught.value))
    with pytest.raises(RulebookError) as caught:
        parameters_from({"any": 1}, Nothing)
    said.append(str(caught.value))
    print(f"compared {len(said)} errors")
    assert said == WORDS.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("duration", 0, "0 ns"),
        ("duration", 1, "1 ns"),
        ("duration", 1_500_000, "1500 us"),
        ("duration", 60 * SECOND, "1 min"),
        ("duration", 90 * SECOND, "90 s"),
        ("duration", 48 * 3600 * SECOND, "2 d"),
        ("ticks", 1, "1 tick"),
        ("ticks", 2, "2 ticks"),
        ("ticks", 0, "0 ticks"),
        ("count", 1, "1"),
        ("count", 0, "0"),
        ("bps", 20_000_000, "20 bps"),
        ("bps", 1, "0.000001 bps"),
        ("percent", 50_000_001, "50.000001 %"),
        ("ratio", 3_000_000, "3"),
        ("quantity", 5_000_000, "0.05"),
        ("quantity", 12_345_678_987_654_321, "123456789.87654321"),
    ],
)
def test_a_value_is_written_as_the_rulebook_says_it(unit: str, value: int, expected: str) -> None:
    one = Unit(unit)  # type: ignore[arg-type]
    assert one.write(value) == expected
    assert one.read(value if unit == "count" else expected) == value


def test_versions_that_touch_do_not_overlap() -> None:
    rulebook = book(HEAD + PARAMETERS_TABLE + "valid_to = 9\n" + PARAMETERS_TABLE + "valid_from = 9\n")
    assert len(rulebook.instances[0].versions) == 2


def test_the_rulebook_that_is_delivered_parses() -> None:
    text = resource("infra/rulebook/default.toml").read_text()
    rulebook = Rulebook.parse(text, PARAMETERS)
    in_force = [rulebook.parameters(instance.name, 1_780_000_000 * SECOND) for instance in rulebook.instances]
    assert len(in_force) >= 6 and None not in in_force
