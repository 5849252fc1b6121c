"""What judges a changed rule: checks that are true of the rules as they are, each with what it calls."""

from __future__ import annotations

import atexit
import contextlib
import cProfile
import doctest
import importlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import renew
import test_client_priority_memory
from arrivals import answers, facts_in_mid_day, twins, with_clocks
from maker_markets import maker_market
from markets import market
from scenario import RULEBOOK, Comparison, cases, prepare
from test_golden_day import KEPT
from trade_markets import affiliated_market, drawn_dear, trade_market

from detectors.registry import RULES
from schemas.journal import Entry
from streams import reference_data
from streams.replay import journal

ROOT = Path(__file__).resolve().parents[2]
DETECTORS = str(ROOT / "detectors")
MARKETS: dict[str, tuple[int, Callable[[int, Path], Path]]] = {  # how many of those of tests/checks
    "market": (100, lambda seed, folder: market(seed, instruments=1 + seed % 2).write(folder)),
    "takers": (40, trade_market),
    "makers": (40, maker_market),
    "affiliates": (20, affiliated_market),
    "dear": (12, lambda seed, folder: drawn_dear(Random(seed), 120, folder)),
}
FEW = RULEBOOK.replace("min_fills = 200", "min_fills = 3")  # as in test_makers_compared.py
RESUMED = 6  # of those with clocks also from a snapshot at every STEP-th entry
STEP = 7
TWINS = 4
RESTARTED = 60  # entries of a case that is also run with a new process after each
LONGEST = 3.0  # seconds: a case that takes longer judges nothing here
FAMILIES = {rule.__module__.split(".")[1] for rule in RULES.values()}
UNIT = {  # what takes seconds, and the modules that it judges
    "memory of 100": ("priority.client_priority",),
    "memory of 1": ("priority.client_priority",),
    "test_affiliation.py": ("affiliation", "control", "standing"),
    "test_agreed_session.py": ("liquidity.agreed_session",),
    "test_book_before.py": ("history",),
    "test_bounded_memory.py": ("bounded", "busts", "history", "identification", "liquidity.trade_measures"),
    "test_busts.py": ("busts", "history", "market"),
    "test_client_priority_rows.py": ("priority",),
    "test_clocks.py": ("liquidity.quoting_obligation",),
    "test_displayed_depth.py": ("liquidity.displayed_depth",),
    "test_late_events.py": ("ledger", "market", "sequence"),
    "test_ledger.py": ("ledger",),
    "test_makers_compared.py": ("liquidity.makers_compared",),
    "test_reference_data.py": ("affiliation", "control", "standing"),
    "test_reference_facts.py": ("affiliation", "control", "standing"),
    "test_rule_errors.py": ("context", "runner", "market"),
    "test_rulebook.py": ("rulebook", "parameters", "toml_lines"),
    "test_runner.py": ("context", "runner", "market"),
    "test_sequencer.py": ("sequence",),
    "test_spread_quality_memory.py": (
        "liquidity.agreed_spread", "liquidity.day_end", "liquidity.spread_quality",
        "liquidity.trade_measures",
    ),
    "test_toml_lines.py": ("toml_lines",),
    "test_trade_measures.py": ("liquidity.trade_measures",),
    "test_trading_day.py": ("trading_day",),
}  # fmt: skip


class Check(NamedTuple):
    """One check: `run` says whether it holds; `seconds`: as the rules are."""

    name: str
    run: Callable[[], bool]
    calls: frozenset[str]
    seconds: float

    def judges(self, function: str) -> bool:
        """Whether it calls a function: known of cases, of a file of tests by its modules.

        A case says little of another family's rules, which run in it too.
        """
        modules = tuple(f"detectors.{module}." for module in UNIT.get(self.name, ()))
        if modules:
            return function.startswith(modules)
        kind, _, name = self.name.partition(" ")
        if kind == "examples":
            return function.startswith(f"{name}.")
        name = name.partition(" ")[0]
        rule = RULES.get(name.partition("/")[0])
        family = function.rpartition(".")[0].split(".")[1]
        return function in self.calls and (
            kind != "case"
            or rule is None
            or family not in FAMILIES
            or rule.__module__.split(".")[1] == family
        )


def checks() -> list[Check]:
    """Return all checks, each run once; raises if one does not hold."""
    found = []
    for name, run in _all():
        called: set[str] = set()
        began = time.perf_counter()
        held = run() if name in UNIT or name.startswith("examples ") else _traced(run, called)
        if not held:
            raise AssertionError(f"{name} does not hold of the rules as they are")
        found.append(Check(name, run, frozenset(called), time.perf_counter() - began))
        if sys.stderr.isatty():
            print(f"\r{len(found)} checks ready", end="", file=sys.stderr)
    return [check for check in found if check.seconds < LONGEST or not check.name.startswith("case ")]


def function_of(path: str, name: str) -> str:
    """Return a function's name: detectors.fairness.self_trade.SelfTrade.on_trade."""
    return f"{path.removesuffix('.py').replace('/', '.')}.{name}"


def _traced(run: Callable[[], bool], called: set[str]) -> bool:
    clear()
    profile = cProfile.Profile(subcalls=False, builtins=False)
    held = profile.runcall(run)
    for entry in profile.getstats():
        code = entry.code
        if not isinstance(code, str) and code.co_filename.startswith(DETECTORS):
            path = str(Path(code.co_filename).relative_to(ROOT))
            called.add(function_of(path, code.co_qualname.partition(".<locals>")[0]))
    return held


def clear() -> None:
    """Forget what functions of `detectors` remember."""
    for name, module in list(sys.modules.items()):
        if name.startswith("detectors"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def _all() -> Iterator[tuple[str, Callable[[], bool]]]:
    folder = Path(tempfile.mkdtemp(prefix="fairbook-mutation-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for case in cases():
        if not case.data.get("xfail"):
            prepared = prepare(case, folder / case.name.replace("/", "-"))
            yield f"case {case.name}", lambda it=prepared: not Comparison(it.case, it.run()).differences
            if len(prepared.entries) < RESTARTED:
                yield f"case {case.name} restarted", _as_it_is(prepared.entries, 1)
    for kind, (count, make) in MARKETS.items():
        for seed in range(count):
            place = make(seed, folder / f"{kind}-{seed}")
            rulebook = FEW if kind == "dear" else RULEBOOK
            entries = list(journal(place, reference_data.load(place / "reference.toml"), rulebook))
            yield f"{kind} {seed}", _as_it_is(entries)
            if seed < count // 2:
                live = with_clocks(entries, Random(seed))
                if seed % 2:
                    live = facts_in_mid_day(live, Random(seed))
                yield f"{kind} {seed} live", _as_it_is(live, STEP if seed < RESUMED else 0)
            if seed < TWINS:
                yield f"{kind} {seed} twins", _as_it_is(twins(entries))
    for totals in (100, 1):
        yield f"memory of {totals}", lambda n=totals: _short_memory(n)
    yield "golden day", lambda: renew.answers() == KEPT
    for path in sorted((ROOT / "detectors").rglob("*.py")):
        if ">>>" in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield f"examples {name}", lambda module=name: _examples_hold(module)
    for name in (name for name in UNIT if name.endswith(".py")):
        places = (ROOT / "tests" / folder / name for folder in ("unit", "checks"))
        file = next(path for path in places if path.exists())
        yield name, lambda file=str(file): _tests_pass(file)


def _as_it_is(entries: list[Entry], step: int = 0) -> Callable[[], bool]:
    expected = answers(entries)
    return lambda: answers(entries, step) == expected


def _short_memory(totals: int) -> bool:
    run = test_client_priority_memory.test_a_short_memory_gives_the_same_answers
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        run(totals, Path(folder), patch)
    return True


def _examples_hold(module: str) -> bool:
    with contextlib.redirect_stdout(io.StringIO()):
        return not doctest.testmod(importlib.import_module(module)).failed


def _tests_pass(file: str) -> bool:
    environment: dict[str, Any] = dict(os.environ)
    options = ["-x", "-q", "-p", "no:cacheprovider"]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # one that is imported already is a warning
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return pytest.main([*options, file]) == 0
    finally:
        os.environ.clear()
        os.environ.update(environment)
