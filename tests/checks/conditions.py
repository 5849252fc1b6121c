"""Does every condition of a rule matter? Each is removed or turned round, and a scenario must notice.

`make conditions RULES=client_priority` lists the survivors, conditions that no scenario needs, except those
that conditions_explained.toml shows to change no answer. The source is changed in memory only; the rule's
own scenarios judge, by exact comparison.
"""

from __future__ import annotations

import ast
import copy
import importlib
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1] / "scenarios"), str(Path(__file__).parents[2])]

from scenario import Case, Comparison, Prepared, cases, prepare  # noqa: E402

from detectors import registry  # noqa: E402
from detectors.base import Rule  # noqa: E402
from detectors.rulebook import Rulebook  # noqa: E402

EXPLAINED = Path(__file__).with_name("conditions_explained.toml")
# A rule's modules, those that others import first: a change in one is seen by what is loaded after it.
MODULES: dict[str, tuple[str, ...]] = {
    "client_priority": ("detectors.priority.disadvantage", "detectors.priority.client_priority"),
    "affiliate_flag": ("detectors.identification.affiliate_flag",),
    "self_trade": ("detectors.fairness.self_trade",),
}
OTHERWISE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip


class Change(NamedTuple):
    """One changed condition: where, what it said, what it says now, and the module's changed tree."""

    module: str
    line: int
    before: str
    after: str
    tree: ast.Module

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by when lines move."""
        return self.module, self.before, self.after

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.before}  ->  {self.after}"


def changes(module: str, source: str) -> Iterator[Change]:
    """Return every way to remove or turn round one condition in the functions of a module."""
    tree = ast.parse(source)
    for number, node in enumerate(_in_functions(tree)):
        for way in range(len(list(_ways(node)))):
            changed = copy.deepcopy(tree)
            target = list(_in_functions(changed))[number]
            condition, apply = list(_ways(target))[way]
            before = ast.unparse(condition)
            after = ast.unparse(ast.fix_missing_locations(apply()))
            ast.fix_missing_locations(changed)
            yield Change(module, condition.lineno, before, after, changed)


def _in_functions(tree: ast.Module) -> Iterator[ast.AST]:
    """Return all nodes within functions; `TYPE_CHECKING` at the top is no condition of a rule."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield from (inner for statement in node.body for inner in ast.walk(statement))


def _ways(node: ast.AST) -> Iterator[tuple[ast.expr, Callable[[], ast.expr]]]:
    """Return (what is changed, how) of one node; `how` changes the node and returns what it became."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in OTHERWISE[type(operator)]:
                yield node, partial(_operator, node, place, other)
    elif isinstance(node, ast.BoolOp) and not isinstance(node.values[-1], ast.Constant):
        # `x or 0` is a default, no condition
        for place in range(len(node.values)):
            yield node, partial(_without, node, place)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        if not isinstance(node.test, ast.Compare):
            for value in (True, False):
                yield node.test, partial(_test, node, value)
    elif isinstance(node, ast.comprehension):
        for place in range(len(node.ifs)):
            yield node.ifs[place], partial(_filter, node, place)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("min", "max") and len(node.args) == 2:
        for place in (0, 1):
            yield node, partial(_argument, node, place)


def _operator(node: ast.Compare, place: int, other: type[ast.cmpop]) -> ast.expr:
    node.ops[place] = other()
    return node


def _without(node: ast.BoolOp, place: int) -> ast.expr:
    node.values[place] = ast.Constant(
        isinstance(node.op, ast.And)
    )  # what changes nothing in an `and`, an `or`
    return node


def _test(node: ast.If | ast.IfExp | ast.While, value: bool) -> ast.expr:
    node.test = ast.Constant(value)
    return node.test


def _filter(node: ast.comprehension, place: int) -> ast.expr:
    del node.ifs[place]
    return ast.Constant(True)


def _argument(node: ast.Call, place: int) -> ast.expr:
    """Drop one of the two arguments of min or max: of a list of one, it returns the other."""
    node.args[:] = [ast.List([node.args[1 - place]], ast.Load())]
    return node


# ---- loading and judging ----------------------------------------------------------------------------------


def source_of(module: str) -> str:
    """Return a module's source."""
    return Path(str(importlib.import_module(module).__file__)).read_text(encoding="utf-8")


@contextmanager
def loaded(rule: str, trees: dict[str, ast.Module]) -> Iterator[None]:
    """Let the registry have the rule as these trees say it, for a while."""
    names = MODULES[rule]
    before = {name: importlib.import_module(name) for name in names}
    kept = registry.RULES[rule]
    try:
        for name in names:
            tree = trees.get(name) or ast.parse(source_of(name))
            module = ModuleType(name)
            module.__file__ = before[name].__file__
            sys.modules[name] = module
            exec(compile(tree, f"<{name}>", "exec"), module.__dict__)
            for item in list(vars(module).values()):
                if isinstance(item, type) and issubclass(item, Rule) and getattr(item, "name", "") == rule:
                    registry.RULES[rule] = item
        yield
    finally:
        registry.RULES[rule] = kept
        sys.modules.update(before)


def noticed(prepared: list[Prepared]) -> Prepared | None:
    """Return the first case that comes out otherwise, or fails, or None."""
    for item in prepared:
        try:
            if Comparison(item.case, item.run()).differences:
                return item
        except Exception:
            return item
    return None


def survivors(
    rule: str, prepared: list[Prepared], sources: Mapping[str, str] | None = None
) -> tuple[int, list[Change]]:
    """Return how many conditions were changed, and those changes that no case noticed.

    `sources`: what to change in place of a module's own source. Raises ValueError if a scenario fails as it
    is.
    """
    count = 0
    left: list[Change] = []
    queue = list(prepared)
    with loaded(rule, {}):
        if broken := noticed(queue):
            raise ValueError(f"expected every scenario to hold before a change, {broken.case.name} does not")
    for module in MODULES[rule]:
        for change in changes(module, (sources or {}).get(module) or source_of(module)):
            count += 1
            with loaded(rule, {module: change.tree}):
                by = noticed(queue)
            if by is None:
                left.append(change)
                continue
            # what noticed one condition is likely to notice its neighbours
            queue.remove(by)
            queue.insert(0, by)
    return count, left


def prepared_cases(rule: str, found: list[Case], folder: Path) -> list[Prepared]:
    """Return the rule's cases that hold, ready to run."""
    own = [case for case in found if case.rule == rule and not case.data.get("xfail")]
    return [prepare(case, folder / f"{number}") for number, case in enumerate(own)]


@contextmanager
def rulebooks_read_once() -> Iterator[None]:
    """Parse each rulebook's text once: the same few are read for every run."""
    original = Rulebook.parse

    @lru_cache(maxsize=64)
    def parse(text: str) -> Rulebook:
        return original(text, registry.PARAMETERS)

    Rulebook.parse = lambda text, _registry: parse(text)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Rulebook.parse = original  # type: ignore[method-assign]


def explained() -> dict[tuple[str, str, str], str]:
    """Return why some changes change no answer, by module, what was said, what is said instead."""
    table = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    return {
        (module, entry["before"], entry["after"]): entry["why"]
        for module, entries in table.items()
        for entry in entries
    }


def main(rules: list[str]) -> int:
    """Print the survivors of each rule that nobody has explained; returns how many there are."""
    total = 0
    found, reasons = cases(), explained()
    with tempfile.TemporaryDirectory() as folder, rulebooks_read_once():
        for rule in rules or list(MODULES):
            prepared = prepared_cases(rule, found, Path(folder) / rule)
            count, left = survivors(rule, prepared)
            unexplained = [change for change in left if change.key not in reasons]
            print(
                f"{rule}: {count} changes of conditions, {len(left)} survive {len(prepared)} scenarios, "
                f"{len(left) - len(unexplained)} of them explained"
            )
            for change in unexplained:
                print(f"  {change}")
            total += len(unexplained)
    return total


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
