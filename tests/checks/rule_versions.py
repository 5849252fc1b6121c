"""A rule's version is part of every alert's id: whoever changes what computes the answer decides on it.

`rule_versions.toml` holds each rule's version and, by module, a hash of what the rules compute with: their
own modules, all of `detectors` that they stand on, decimals, identities. Comments, docstrings and layout do
not count; other contracts in `schemas` are guarded by tests of their own. Where a module has changed and a
rule that computes with it has the version it had, `wrong` says so.

    make versions                  after raising the `version` of each rule whose answers can differ
    make versions SAME_ANSWERS=1   where no answer of the rules named can differ: you say so
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from detectors.registry import RULES

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(__file__).with_name("rule_versions.toml")
PACKAGE = "detectors"
CONTRACTS = ("schemas.decimals", "schemas.alerts")
ENGINE = ("detectors.runner", "detectors.market")  # run every rule, and are imported by none
LIST = "detectors.registry"  # names all rules, computes nothing
Hashes = Mapping[str, str]  # by module


def normalised(source: str) -> str:
    """Return source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def source_of(module: str) -> str:
    """Return a module's source."""
    return Path(str(importlib.import_module(module).__file__)).read_text(encoding="utf-8")


def imported(source: str) -> Iterator[str]:
    """Return the modules of PACKAGE and CONTRACTS that a source imports, also for its types."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            yield from (
                n for n in names if n in CONTRACTS or (n in sys.modules and n.startswith(f"{PACKAGE}."))
            )


def computes_with(rule: str) -> set[str]:
    """Return the modules that a rule's answers depend on."""
    found: set[str] = set()
    left = {RULES[rule].__module__, *ENGINE}
    while left:
        module = left.pop()
        found.add(module)
        left |= {name for name in imported(source_of(module)) if name != LIST} - found
    others = {other.__module__ for name, other in RULES.items() if name != rule}
    return found - others  # the engine knows some rules by name


def hashes() -> dict[str, str]:
    """Return the hash of every module that any rule computes with."""
    modules = sorted({module for rule in RULES for module in computes_with(rule)})
    return {
        module: hashlib.blake2b(normalised(source_of(module)).encode(), digest_size=8).hexdigest()
        for module in modules
    }


def versions() -> dict[str, int]:
    """Return the version of each registered rule."""
    return {name: rule.version for name, rule in sorted(RULES.items())}


def wrong(now: Hashes, lock: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return, a line a rule, what has changed under a version that has not."""
    found = []
    for rule, version in versions().items():
        before = lock["versions"].get(rule)
        changed = sorted(m for m in computes_with(rule) if now[m] != lock["modules"].get(m))
        if before is None:
            found.append(f"{rule} is new: `make versions` writes down its version {version}")
        elif changed and version == before:
            found.append(f"{rule} is still version {version}, and has changed in {', '.join(changed)}")
        elif changed or version != before:
            found.append(f"{rule} has its new version {version}: `make versions` writes it down")
    gone = sorted(lock["versions"].keys() - RULES.keys())
    return found + [f"{rule} is registered no more: `make versions` strikes it out" for rule in gone]


def read() -> dict[str, dict[str, object]]:
    """Return the lock file."""
    return tomllib.loads(LOCK.read_text(encoding="utf-8"))


def written(now: Hashes) -> str:
    """Return the lock file for the rules as they are."""
    lines = ["# Written by `make versions`: tests/checks/rule_versions.py says what this is.", "[versions]"]
    lines += [f"{rule} = {version}" for rule, version in versions().items()]
    lines += ["", "[modules]", *(f'"{module}" = "{value}"' for module, value in now.items())]
    return "\n".join(lines) + "\n"


HINT = (
    "raise the `version` of each rule whose answers can differ, then `make versions`; where no answer can, "
    "`make versions SAME_ANSWERS=1`"
)


def main(*, same_answers: bool) -> int:
    """Write the lock file anew; refuses, with 1, while a rule has changed and its version has not."""
    now = hashes()
    unsaid = [line for line in wrong(now, read()) if "still version" in line]
    if unsaid and not same_answers:
        print("\n".join([*unsaid, HINT]), file=sys.stderr)
        return 1
    LOCK.write_text(written(now), encoding="utf-8")
    print(f"{LOCK.relative_to(ROOT)}: {len(versions())} rules, {len(now)} modules")
    return 0


if __name__ == "__main__":
    sys.exit(main(same_answers="same-answers" in sys.argv[1:]))
