"""Lines of things in a TOML text, where naive searching goes wrong."""

from __future__ import annotations

import tomllib

import pytest

from detectors.toml_lines import Lines, TomlError, line_of_error, read_toml

TEXT = '''# [[t]]
a = 1
[x."q.r"]   # = [
k = [ {a=1},
  {b=2}, # c {
  {c="]"}
]
[[t]]
m = """
[[t]]
z = 1
"""
[[t]]
"m" = \'[[t]]\'
[[t.p]]
v=1
[[t.p]]
v = [ "a",
 "b" ]
[t.s]
w.z = 3
d = 2026-03-01T00:00:00.1234567Z
e = "2026-03-01T00:00:00.1234567Z" # 2026-03-01T00:00:00.1234567Z
f = 2026-03-01T00:00:00.1230000Z
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("x", "q.r"), 3),
        (("x", "q.r", "k", 1), 5),
        (("x", "q.r", "k", 2, "c"), 6),
        (("t",), 8),
        (("t", 0, "m"), 9),
        (("t", 0, "z"), 8),
        (("t", 1), 13),
        (("t", 1, "m"), 14),
        (("t", 1, "p", 1, "v"), 18),
        (("t", 1, "p", 1, "v", 1), 19),
        (("t", 1, "s", "w", "z"), 21),
        (("unheard",), 1),
    ],
)
def test_a_path_has_the_line_it_is_written_on(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(TEXT)
    assert Lines(TEXT).of(*path) == line
    assert Lines(TEXT.replace("\n", "\r\n")).of(*path) == line


TOO_LONG = "expected an integer of at most 64 bits"
ARRAYS = """a = [ [1,
 2],
 [3], "s",
 {k = 1, l = [4,
 5]}, # [
]
b = {c = [1,
 2], d = 3}
e = [
 # 9

 7,
 8]
f = 1
g=["x",
 "y", [[
 1], [2,
 3]],
 [
  4]]
h.i.j = [
5]"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1), (("a", 0), 1), (("a", 0, 1), 1), (("a", 1), 3), (("a", 2), 3), (("a", 3), 4),
        (("a", 4), 1),
        (("b",), 7), (("b", "c", 1), 7), (("b", "d"), 7), (("b", 1), 7), (("e",), 9), (("e", 0), 12),
        (("e", 1), 13), (("e", 2), 9), (("f",), 14),
        (("g", 0), 15), (("g", 1), 16), (("g", 2), 16), (("g", 3), 19), (("g", 4), 15), (("h",), 21),
        (("h", "i"), 21), (("h", "i", "j", 0), 22),
    ],
)  # fmt: skip
def test_an_element_of_an_array_has_the_line_it_begins_on(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(ARRAYS)
    assert Lines(ARRAYS).of(*path) == line


def test_times_finer_than_microseconds_are_noticed() -> None:
    assert Lines(TEXT).too_fine == [22]


@pytest.mark.parametrize(("text", "line"), [("a = \n", 1), ("a = 1\nb = [\n\n", 2), ('a = 1\n\nb = "x', 3)])
def test_a_syntax_error_has_a_line(text: str, line: int) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert line_of_error(caught.value, text) == line


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a = 1\nb = \n", 2, "Invalid value (at line 2, column 5)"),
        ("a = 1\nb = \nc = 2\nd = 3\n", 2, "Invalid value (at line 2, column 5)"),
        ("\na = 1\nb = " + "9" * 5_000 + "\nc = 1\n\n\n", 3, TOO_LONG),
        ("a = 1\nb = 0x" + "f" * 5_000 + "\n", 2, TOO_LONG),
        ("a = [\n 1,\n -9223372036854775809,\n]\n", 3, TOO_LONG),
        ("[[t]]\nk = 1\n[[t]]\nk = {m = 9223372036854775808}\n", 4, TOO_LONG),
        ("a = " + "[" * 5_000, 1, "nested too deeply"),
    ],
)
def test_whatever_a_parser_trips_over_is_one_error_with_a_line(text: str, line: int, says: str) -> None:
    with pytest.raises(TomlError) as caught:
        read_toml(text)
    error = caught.value
    assert (error.line, error.reason, str(error)) == (line, says, f"line {line}: {says}")


def test_the_integers_of_toml_are_read_to_the_last() -> None:
    text = "a = [9223372036854775807, -9223372036854775808, true]"
    assert read_toml(text) == {"a": [(1 << 63) - 1, -(1 << 63), True]}
