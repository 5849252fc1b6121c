"""Where things stand in a TOML text: its parser forgets lines, and an error without a line helps nobody."""

from __future__ import annotations

import re
import tomllib
from typing import Any

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    | (?P<string>\"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<newline>\n)
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<equals>=)
    | (?P<comma>,)
    | (?P<other>[^\#"'\n\[\]{}=,]+)""",
    re.VERBOSE | re.DOTALL,
)

_TOO_FINE = re.compile(r"[0-9]:[0-9]{2}\.[0-9]{6}[0-9]*[1-9]")
_TOO_LONG = re.compile(r"(?:[0-9]_?){4300}")  # about where Python stops converting digits
_INTEGERS = range(-(1 << 63), 1 << 63)  # of TOML 1.0; its parser here takes any


class TomlError(ValueError):
    """A text that is no TOML document: `reason`, and `line` from 1."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


def read_toml(text: str) -> dict[str, Any]:
    """Return the document that `text` is.

    Raises TomlError for wrong syntax, for integers beyond 64 bits, and for what is nested too deeply to read.

    >>> read_toml("a = 9223372036854775808")
    Traceback (most recent call last):
    detectors.toml_lines.TomlError: line 1: expected an integer of at most 64 bits
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TomlError(str(error), line_of_error(error, text)) from error
    except RecursionError as error:
        raise TomlError("nested too deeply", 1) from error
    except ValueError as error:  # not the parser's own: an integer of thousands of digits
        match = _TOO_LONG.search(text)
        line = text.count("\n", 0, match.start()) + 1 if match is not None else 1
        raise TomlError("expected an integer of at most 64 bits", line) from error
    if (path := _beyond(data)) is not None:
        raise TomlError("expected an integer of at most 64 bits", Lines(text).of(*path))
    return data


def _beyond(data: dict[str, Any]) -> Path | None:
    """Return the path of an integer beyond 64 bits, None if there is none."""
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += (((*path, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            waiting += (((*path, index), inner) for index, inner in enumerate(value))
        elif isinstance(value, int) and value not in _INTEGERS:
            return path
    return None


class Lines:
    """The line (from 1) of every table, key and element of an array in a valid TOML `text`.

    `too_fine`: the lines of date-times with digits beyond microseconds, which the parser drops silently.

    >>> lines = Lines('[[accounts]]\\naccount = "A"\\n\\n[[accounts]]\\naccount = "B"\\n')
    >>> lines.of("accounts", 1), lines.of("accounts", 1, "account"), lines.of("accounts", 1, "kind")
    (4, 5, 4)
    """

    def __init__(self, text: str) -> None:
        self._found: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._table: Path = ()
        self.too_fine: list[int] = []
        for statement, line in _statements(text):
            self._note(statement, line)
            self.too_fine += [
                at for kind, word, at in statement if kind == "other" and _TOO_FINE.search(word)
            ]

    def of(self, *path: str | int) -> int:
        """Return the line of the innermost part of `path` that the text names, 1 if it names none."""
        for length in range(len(path), 0, -1):
            if (line := self._found.get(path[:length])) is not None:
                return line
        return 1

    def _note(self, tokens: list[tuple[str, str, int]], line: int) -> None:
        kinds = [kind for kind, _text, _line in tokens]
        if kinds[0] == "open":
            double = kinds[1] == "open"
            name = "".join(text for kind, text, _line in tokens if kind in ("string", "other"))
            self._header(_keys(name), double, line)
            return
        at = kinds.index("equals")
        path = self._table + _keys("".join(text for _kind, text, _line in tokens[:at]))
        for length in range(1, len(path) + 1):
            self._found.setdefault(path[:length], line)
        self._elements(path, tokens[at + 1 :])

    def _header(self, keys: Path, double: bool, line: int) -> None:
        path: Path = ()
        for number, key in enumerate(keys):
            path = (*path, key)
            self._found.setdefault(path, line)
            if double and number == len(keys) - 1:
                self._counts[path] = self._counts.get(path, -1) + 1
            if path in self._counts:
                path = (*path, self._counts[path])
                self._found.setdefault(path, line)
        self._table = path

    def _elements(self, path: Path, value: list[tuple[str, str, int]]) -> None:
        """Note the elements of an array that is written within brackets."""
        depth, index = 0, 0
        for kind, text, line in value:
            if depth and kind in ("open", "string", "other") and text.strip():
                self._found.setdefault((*path, index), line)
            if kind == "open":
                if depth == 0 and text == "{":
                    return
                depth += 1
            elif kind == "close":
                depth -= 1
            elif kind == "comma" and depth == 1:
                index += 1


def _statements(text: str) -> list[tuple[list[tuple[str, str, int]], int]]:
    """Return each header and each assignment as its tokens (kind, text, line), and its first line."""
    statements: list[tuple[list[tuple[str, str, int]], int]] = []
    tokens: list[tuple[str, str, int]] = []
    line, depth = 1, 0
    for match in _TOKEN.finditer(text):
        kind, word = str(match.lastgroup), match[0]
        if kind == "newline":
            line += 1
            if depth == 0 and tokens:
                statements.append((tokens, tokens[0][2]))
                tokens = []
            continue
        depth += (kind == "open") - (kind == "close")
        if kind != "comment" and (word.strip() or tokens):
            tokens.append((kind, word, line))
        line += word.count("\n")
    if tokens:
        statements.append((tokens, tokens[0][2]))
    return statements


def _keys(name: str) -> Path:
    """Return the parts of a dotted key, quoted or not."""
    keys: list[str] = []
    table: Any = tomllib.loads(f"{name.strip()} = 0")
    while isinstance(table, dict):
        ((key, table),) = table.items()
        keys.append(key)
    return tuple(keys)


def line_of_error(error: tomllib.TOMLDecodeError, text: str) -> int:
    """Return the line at which a parser stopped; the last one where it ran into the end."""
    match = re.search(r"line (\d+)", str(error))
    return int(match[1]) if match else text.rstrip().count("\n") + 1
