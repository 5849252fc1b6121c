"""Change `detectors` in every small way, and list what no test noticed. `make mutation`; see README.md.

    mutate.py [--short] [--again] [--keep] [--processes N] MODULE...

MODULE: a path below `detectors`, such as `priority` or `fairness/self_trade.py`; all by default. `--short`:
only SHORT. What was noticed is kept in build/mutation/noticed.json, as long as the function stays as it is.
What survived is judged again, but for what survivors.toml explains; `--again` judges that too. `--keep` and
`--again` write survivors.toml anew: what survives, to be explained, and nothing that does not.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("mutation", "golden", "scenarios", "checks", "unit")]

import answers  # noqa: E402

PYTHON = ROOT / "build" / "mutation" / "bin" / "python"
NOTICED = ROOT / "build" / "mutation" / "noticed.json"
LIST = Path(__file__).with_name("survivors.toml")
SHORT = ("fairness", "data_quality")
SLOWER = 20  # times as long as a check takes on the rules as they are: it does not end
LEAST = 5.0  # seconds that it has at least


class Mutant(NamedTuple):
    """A change of one function; `before` and `after`: its source, under a name of mutmut's (`name`)."""

    path: str
    function: str
    name: str
    before: str
    after: str

    @property
    def of(self) -> str:
        """The function, in full."""
        return answers.function_of(self.path, self.function)

    @property
    def key(self) -> str:
        """What a verdict is on."""
        return hashlib.blake2b(f"{self.of}\n{self.before}\n{self.after}".encode(), digest_size=16).hexdigest()

    def survivor(self) -> Survivor:
        """Return what was said and what is said instead."""
        lines = difflib.ndiff(self.before.splitlines(), self.after.splitlines())
        said: dict[str, list[str]] = {"- ": [], "+ ": []}
        for line in lines:
            if line[:2] in said:
                said[line[:2]].append(line[2:].strip())
        return Survivor(self.of, " ".join(said["- "]), " ".join(said["+ "]))


class Survivor(NamedTuple):
    """A change that no check noticed."""

    function: str
    before: str
    after: str


def mutants(modules: Iterable[str]) -> list[Mutant]:
    """Return every change of the modules, as mutmut makes them."""
    paths: list[str] = []
    for module in modules or [""]:
        place = ROOT / "detectors" / module
        found = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        paths += [str(path.relative_to(ROOT)) for path in found]
    command = [str(PYTHON), str(Path(__file__).with_name("mutants.py")), *paths]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Mutant(**json.loads(line)) for line in said.splitlines()]


def become(mutant: Mutant) -> None:
    """Let the function do what the changed one does, for all that hold it."""
    module = importlib.import_module(mutant.path.removesuffix(".py").replace("/", "."))
    cls, _, name = mutant.function.rpartition(".")
    source = mutant.after
    if cls:
        source = f"class {cls}:\n" + "".join(f"    {line}" for line in source.splitlines(keepends=True))
    space = dict(vars(module))
    exec(compile(source, mutant.path, "exec", annotations.compiler_flag, dont_inherit=True), space)
    changed = vars(space[cls])[mutant.name] if cls else space[mutant.name]
    function = vars(vars(module)[cls])[name] if cls else vars(module)[name]
    changed, function = _plain(changed), _plain(function)
    function.__code__ = changed.__code__
    function.__defaults__, function.__kwdefaults__ = changed.__defaults__, changed.__kwdefaults__


def _plain(function: Any) -> FunctionType:
    found = getattr(function, "__wrapped__", getattr(function, "__func__", function))
    if isinstance(found, property):
        found = found.fget
    assert isinstance(found, FunctionType), found
    return found


def judge(mutant: Mutant, checks: Iterable[answers.Check]) -> int:
    """Fork a process that runs the checks, quickest first; return its number. Its status: 0 if all hold."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        become(mutant)
        answers.clear()
        for check in checks:
            signal.setitimer(signal.ITIMER_PROF, LEAST + SLOWER * check.seconds)
            if not check.run():
                break
        else:
            status = 0
    finally:
        os._exit(status)


def run(wanted: list[Mutant], checks: list[answers.Check], processes: int) -> Iterator[tuple[Mutant, bool]]:
    """Judge each; yields whether it was noticed."""
    ordered = sorted(checks, key=lambda check: check.seconds)
    running: dict[int, Mutant] = {}
    waiting = iter(wanted)
    mutant = next(waiting, None)
    while mutant is not None or running:
        if mutant is not None and len(running) < processes:
            running[judge(mutant, (c for c in ordered if c.judges(mutant.of)))] = mutant
            mutant = next(waiting, None)
            continue
        process, status = os.wait()
        yield running.pop(process), status != 0


def explained() -> dict[Survivor, str]:
    """Return why some changes change no answer, or none that a test should know."""
    groups = tomllib.loads(LIST.read_text(encoding="utf-8")).get("group", [])
    return {Survivor(*change): group["why"] for group in groups for change in group["changes"]}


def write(survivors: Iterable[Survivor], reasons: dict[Survivor, str]) -> None:
    """Write the list anew, with these added to it."""
    lines = ["# What `make mutation` could change unnoticed, and why that is so: README.md.", ""]
    found = {*reasons, *survivors}
    for why in sorted({reasons.get(one, "") for one in found}):
        lines += ["[[group]]", f"why = {json.dumps(why)}", "changes = ["]
        changes = sorted(one for one in found if reasons.get(one, "") == why)
        lines += [f"  [{', '.join(map(json.dumps, change))}]," for change in changes]
        lines += ["]", ""]
    LIST.write_text("\n".join(lines), encoding="utf-8")


def main() -> int:
    """Print each module's score, and the survivors that nobody has explained; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    found = mutants(options.modules or (SHORT if options.short else ()))
    noticed: set[str] = set(json.loads(NOTICED.read_text())) if NOTICED.exists() else set()
    reasons = explained()
    wanted = [
        mutant
        for mutant in found
        if mutant.key not in noticed and (options.again or not reasons.get(mutant.survivor()))
    ]
    columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    checks = answers.checks() if wanted else []
    print(f"{len(found)} mutants, {len(wanted)} to be judged by {len(checks)} checks")
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        for number, (mutant, was) in enumerate(
            bar.track(run(wanted, checks, options.processes), len(wanted))
        ):
            if was:
                noticed.add(mutant.key)
            if number % 100 == 99:
                NOTICED.write_text(json.dumps(sorted(noticed)))
    NOTICED.write_text(json.dumps(sorted(noticed)))
    survivors = [mutant for mutant in found if mutant.key not in noticed]
    total = Counter(mutant.path for mutant in found)
    left = Counter(mutant.path for mutant in survivors)
    for path, count in sorted(total.items()):
        print(f"{path}: {count - left[path]} of {count} noticed, {(count - left[path]) / count:.1%}")
    unexplained = [one for one in map(Mutant.survivor, survivors) if not reasons.get(one)]
    count = total.total() - left.total()
    print(f"in all {count} of {total.total()}, {count / total.total():.1%}; {len(unexplained)} unexplained")
    for one in unexplained:
        print(f"  {one.function}\n    - {one.before}\n    + {one.after}")
    if options.keep or options.again:
        lives = {mutant.survivor() for mutant in survivors}
        asked = tuple(answers.function_of(path, "") for path in total) if options.modules else ""
        reasons = {one: why for one, why in reasons.items() if one in lives or not one[0].startswith(asked)}
        write(map(Mutant.survivor, survivors), reasons)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
