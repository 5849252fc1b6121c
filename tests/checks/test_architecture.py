"""What DESIGN.md says of the rooms, kept: imports point left, rules are pure, one module names JSON, no place
of anybody's machine is written down. Each guard is shown a violation that it must find."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("schemas", "detectors", "streams")

# All that pure code may import beside our own: nothing here tells the time, draws, reads or writes.
PURE = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "heapq",
    "itertools", "msgspec", "operator", "re", "tomllib", "types", "typing", "zoneinfo",
}  # fmt: skip
ALSO_SCHEMAS = {"decimal", "pyarrow"}  # Arrow's columns are made from decimals there
CALLS = {"open", "input", "print", "eval", "exec", "compile", "__import__", "hash", "id", "float", "round"}
METHODS = {"now", "utcnow", "today"}

JSON_MODULE = "schemas/codec.py"
# Files of other venues in a form of their own: no contract of ours, and read by nobody else.
FOREIGN_JSON = {
    "streams/sources/binance.py",
    "streams/sources/hyperliquid_files.py",
    "streams/sources/hyperliquid_fills.py",
}
JSON_LIBRARIES = {"json", "orjson", "ujson", "simplejson"}

HOSTS = {"maven.apache.org", "www.apache.org"}  # an XML namespace; the licence
REGISTRY = re.compile(
    r"\b(?:pypi|python" + r"hosted|npmjs|crates|repo1?\.maven|conda)\b[\w.-]*\.(?:org|com|io)\b", re.I
)
URL_HOST = re.compile(r"https?://([\w.-]+\.[a-z]{2,})", re.I)
MACHINE_PATH = re.compile(r"(?<![\w.~$})/-])/(?:work|root|home|Users|mnt|srv)/[\w.-]|\b[A-Z]:\\\\?Users\b")

# Imported by other names than they are installed by; and what another dependency surely brings.
INSTALLED_AS = {"faust": "faust-streaming", "confluent_kafka": "confluent-kafka", "yarl": "faust-streaming",
                "prometheus_client": "prometheus-client",
                "markupsafe": "jinja2"}  # fmt: skip
NOT_IMPORTED = {"cramjam", "pytz", "tzdata"}  # others find them: pyproject.toml says who

Finding = tuple[str, int, str]
Guard = Callable[[str, str], Iterator[Finding]]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every module imported, wherever in the file; relative ones with dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def right_imports(path: str, text: str) -> Iterator[Finding]:
    """Imports point left only: schemas <- detectors <- streams; never relative, never of tests."""
    layer = path.partition("/")[0]
    right = {*LAYERS[LAYERS.index(layer) + 1 :], "tests"}
    for line, name in imported(ast.parse(text)):
        if name.startswith(".") or name.partition(".")[0] in right:
            yield path, line, f"imports {name}"


def impure(path: str, text: str) -> Iterator[Finding]:
    """Contracts and rules: no clock, input, output, randomness or floats."""
    layer = path.partition("/")[0]
    if layer == "streams":
        return
    allowed = PURE | {*LAYERS} | (ALSO_SCHEMAS if layer == "schemas" else set())
    tree = ast.parse(text)
    for line, name in imported(tree):
        if name.partition(".")[0] not in allowed:
            yield path, line, f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in CALLS:
                yield path, node.lineno, f"calls {called.id}"
            elif isinstance(called, ast.Attribute) and called.attr in METHODS:
                yield path, node.lineno, f"calls {called.attr}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield path, node.lineno, "divides to a float"
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield path, node.lineno, f"has the float {node.value}"


def names_json(path: str, text: str) -> Iterator[Finding]:
    """Only the codec names JSON (and who reads the files of another venue)."""
    if path == JSON_MODULE or path in FOREIGN_JSON:
        return
    tree = ast.parse(text)
    for line, name in imported(tree):
        if name.partition(".")[0] in JSON_LIBRARIES or name == "msgspec.json":
            yield path, line, f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named = f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and any(alias.name == "json" for alias in node.names):
            named = f"{node.module}.json"
        else:
            continue
        if named == "msgspec.json":
            yield path, node.lineno, f"names {named}"


def places(path: str, text: str) -> Iterator[Finding]:
    """No registry's host, no other host, no path of one machine."""
    for number, line in enumerate(text.splitlines(), 1):
        for host in URL_HOST.findall(line):
            if host.lower() not in HOSTS:
                yield path, number, f"names the host {host}"
        for pattern, what in ((REGISTRY, "a registry"), (MACHINE_PATH, "a place of one machine")):
            found = pattern.search(line)
            if found is not None:
                yield path, number, f"names {what}: {found.group()}"


def rooms(path: str, text: str) -> Iterator[Finding]:
    """No file that becomes the obvious place for anything; tests are no package, of what is installed."""
    name = path.rpartition("/")[2]
    if name in ("utils.py", "helpers.py", "common.py", "misc.py"):
        yield path, 1, "says nothing by its name"
    if path.startswith("tests/") and name == "__init__.py":
        yield path, 1, "makes a package of a test folder"
    if path.startswith("tests/unit/") and '/ "infra' in text:
        yield path, 1, "reads infra off the source tree; where the wheel is tested there is `resource` only"


def listed() -> list[str]:
    """Return the project's files: those git knows, or without git all but what the programs make."""
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0:
        return [path for path in asked.stdout.splitlines() if (ROOT / path).is_file()]
    made = {"build", "dist", "__pycache__"}
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [path.as_posix() for path in found if not any(p in made or p.startswith(".") for p in path.parts)]


def read(path: str) -> str:
    """Return a file's text; what is no text has no words to look at."""
    return (ROOT / path).read_bytes().decode(errors="replace")


GUARDS: list[tuple[Guard, Callable[[str], bool]]] = [
    (right_imports, lambda path: path.endswith(".py") and path.partition("/")[0] in LAYERS),
    (impure, lambda path: path.endswith(".py") and path.partition("/")[0] in LAYERS[:2]),
    (names_json, lambda path: path.endswith(".py") and path.partition("/")[0] in LAYERS),
    (places, lambda path: path != "LICENSE"),
    (rooms, lambda path: path.endswith(".py")),
]


@pytest.mark.parametrize(("guard", "concerns"), GUARDS, ids=[guard.__name__ for guard, _ in GUARDS])
def test_no_file_breaks_it(guard: Guard, concerns: Callable[[str], bool]) -> None:
    files = [path for path in listed() if concerns(path)]
    print(f"{guard.__name__}: looked at {len(files)} files")
    assert len(files) > 20
    found = [finding for path in files for finding in guard(path, read(path))]
    assert not found, "\n".join(f"{path}:{line}: {what}" for path, line, what in found)


@pytest.mark.parametrize("path", sorted(FOREIGN_JSON))
def test_who_may_name_json_beside_the_codec_does(path: str) -> None:
    assert "msgspec.json" in read(path), "take it off the list"


def requirements() -> set[str]:
    """Return the names of what the programs need, as pyproject.toml has them."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    return {re.split(r"[<>=!~;\[ ]", line)[0].lower() for line in project["dependencies"]}


def undeclared(path: str, text: str, declared: set[str]) -> Iterator[Finding]:
    """What is imported is declared, or of Python itself, or ours."""
    for line, name in imported(ast.parse(text)):
        top = name.partition(".")[0]
        if top and top not in {*LAYERS, *sys.stdlib_module_names}:
            package = INSTALLED_AS.get(top, top)
            if package not in declared:
                yield path, line, f"imports {name}, which pyproject.toml does not name"


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = requirements()
    files = [path for path in listed() if path.endswith(".py") and path.partition("/")[0] in LAYERS]
    found = [finding for path in files for finding in undeclared(path, read(path), declared)]
    assert not found, "\n".join(f"{path}:{line}: {what}" for path, line, what in found)
    tests = [path for path in listed() if path.endswith(".py") and path.startswith("tests/checks/")]
    names = {
        name.partition(".")[0] for path in (*files, *tests) for _, name in imported(ast.parse(read(path)))
    }
    unused = declared - NOT_IMPORTED - {INSTALLED_AS.get(name, name) for name in names}
    print(f"compared {len(declared)} requirements with the imports of {len(files)} files")
    assert len(declared) > 10
    assert not unused
    assert list(undeclared("streams/tail.py", "import requests", declared)), "a planted one is found"
    assert not list(undeclared("streams/tail.py", "import os, duckdb", declared))


PLANTED: list[tuple[Guard, str, str]] = [
    (right_imports, "schemas/events.py", "from detectors.book import Book"),
    (right_imports, "detectors/book.py", "import streams.settings"),
    (right_imports, "detectors/book.py", "def f():\n    from streams import tail"),
    (right_imports, "detectors/book.py", "from ..streams import tail"),
    (right_imports, "streams/tail.py", "import tests.checks.markets"),
    (impure, "detectors/book.py", "import time"),
    (impure, "detectors/book.py", "from random import Random"),
    (impure, "detectors/book.py", "from pathlib import Path"),
    (impure, "detectors/book.py", "import pyarrow"),
    (impure, "schemas/events.py", "import os.path"),
    (impure, "detectors/book.py", "from datetime import datetime\nx = datetime.now()"),
    (impure, "detectors/book.py", "x = open('book')"),
    (impure, "detectors/book.py", "x = hash('account')"),
    (impure, "detectors/book.py", "x = 3 / 2"),
    (impure, "detectors/book.py", "x = 1\nx /= 2"),
    (impure, "schemas/decimals.py", "x = 0.5"),
    (impure, "schemas/decimals.py", "x = float('1')"),
    (names_json, "streams/tail.py", "import json"),
    (names_json, "streams/tail.py", "def f():\n    from json import loads"),
    (names_json, "detectors/book.py", "import msgspec\nx = msgspec.json.decode"),
    (names_json, "detectors/book.py", "from msgspec import json"),
    (names_json, "detectors/book.py", "from msgspec.json import decode"),
    (names_json, "schemas/alerts.py", "import msgspec.json"),
    (places, "Makefile", "pip install --index-url https://" + "mirror.example.net/simple"),
    (places, "README.md", "see files.python" + "hosted.org"),
    (places, "infra/kafka/pom.xml", "<url>https://" + "conda" + ".example.io/maven2</url>"),
    (places, "streams/tail.py", "x = '/" + "home/ann/lake'"),
    (places, "tests/unit/test_a.py", "ROOT = Path('/" + "work/main')"),
    (rooms, "streams/utils.py", ""),
    (rooms, "tests/unit/__init__.py", ""),
    (rooms, "tests/unit/test_a.py", "TEXT = (ROOT / \"infra\" / 'x.toml').read_text()"),
]


@pytest.mark.parametrize(
    ("guard", "path", "text"), PLANTED, ids=[f"{g.__name__}-{i}" for i, (g, _, _) in enumerate(PLANTED)]
)
def test_a_planted_violation_is_found(guard: Guard, path: str, text: str) -> None:
    concerns = dict(GUARDS)[guard]
    assert concerns(path), "the guard would not look at it"
    assert list(guard(path, text))


ALLOWED: list[tuple[Guard, str, str]] = [
    (right_imports, "streams/tail.py", "from detectors.book import Book\nfrom schemas import codec"),
    (impure, "detectors/book.py", "from datetime import UTC, datetime\nx = market.now // 2"),
    (impure, "schemas/tables.py", "import pyarrow as pa"),
    (names_json, JSON_MODULE, "import msgspec\nx = msgspec.json.decode"),
    (names_json, "streams/tail.py", "from schemas import codec\nx = codec.decode"),
    (places, "README.md", "in .fairbook/work/lake, ../shared/home/x, http://127.0.0.1:9092"),
    (rooms, "streams/tail.py", ""),
]


@pytest.mark.parametrize(
    ("guard", "path", "text"), ALLOWED, ids=[f"{g.__name__}-{i}" for i, (g, _, _) in enumerate(ALLOWED)]
)
def test_what_is_right_is_let_through(guard: Guard, path: str, text: str) -> None:
    assert not list(guard(path, text))
