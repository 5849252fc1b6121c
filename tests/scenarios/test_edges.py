"""Every clause of the definitions has a case, and every case a clause: `edges/<rule>.toml`."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from scenario import EDGES, case_paths

KEYS = {"id", "says", "cases"}


class Edge(NamedTuple):
    """One clause, exclusion, tie, limit or default, and the cases that show it, as rule/case."""

    file: str
    id: str
    says: str
    cases: list[str]


def edges(folder: Path = EDGES) -> list[Edge]:
    """Return all edges. A case without a rule is of the file's."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        for row in tomllib.loads(path.read_text(encoding="utf-8"))["edges"]:
            assert row.keys() == KEYS, f"{path}: expected the keys {sorted(KEYS)}, got {row}"
            named = [name if "/" in name else f"{path.stem}/{name}" for name in row["cases"]]
            found.append(Edge(path.stem, row["id"], row["says"], named))
    return found


def faults(found: list[Edge], cases: set[str]) -> list[str]:
    """Return what is wrong with edges, given the cases there are."""
    said = [f"{edge.file}: {edge.id}: no case" for edge in found if not edge.cases]
    said += [f"{edge.file}: {edge.id}: says nothing" for edge in found if not edge.says.strip()]
    said += [
        f"{edge.file}: {edge.id}: no such case {n}" for edge in found for n in edge.cases if n not in cases
    ]
    said += [
        f"{edge.file}: {edge.id}: names a case twice"
        for edge in found
        if len(set(edge.cases)) < len(edge.cases)
    ]
    said += [f"{ident}: {n} edges have this id" for ident, n in Counter(e.id for e in found).items() if n > 1]
    named = {name for edge in found for name in edge.cases}
    return said + [f"{name}: no edge names it" for name in sorted(cases - named)]


def all_cases() -> set[str]:
    """Return the names of all cases, as rule/case."""
    return {f"{path.parent.name}/{path.stem}" for path in case_paths()}


def test_every_edge_has_a_case_and_every_case_an_edge() -> None:
    found, cases = edges(), all_cases()
    print(f"{len(found)} edges, {len(cases)} cases: {dict(Counter(edge.file for edge in found))}")
    assert found and cases
    assert not (said := faults(found, cases)), "\n".join(said)


def test_every_rule_with_cases_has_its_edges() -> None:
    rules = {name.partition("/")[0] for name in all_cases()}
    print(f"rules with cases: {sorted(rules)}")
    assert rules
    assert {path.stem for path in EDGES.glob("*.toml")} == rules | {"shared"}


@pytest.mark.parametrize(
    ("edge", "said"),
    [
        (Edge("r", "a", "says", []), "no case"),
        (Edge("r", "a", " ", ["r/one"]), "says nothing"),
        (Edge("r", "a", "says", ["r/one", "r/two"]), "no such case r/two"),
        (Edge("r", "a", "says", ["r/one", "r/one"]), "names a case twice"),
        (Edge("r", "b", "says", ["r/one"]), "2 edges have this id"),
    ],
)
def test_a_planted_fault_is_seen(edge: Edge, said: str) -> None:
    sound = Edge("r", "b", "says", ["r/one"])
    assert not faults([sound], {"r/one"})
    assert said in "\n".join(faults([sound, edge], {"r/one"}))


def test_a_case_without_an_edge_is_seen() -> None:
    assert faults([Edge("r", "a", "says", ["r/one"])], {"r/one", "r/two"}) == ["r/two: no edge names it"]
