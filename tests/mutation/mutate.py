"""Change `detectors` in every small way, and list what no test noticed. `make mutation`; see README.md.

    mutate.py [--short] [--keep] MODULE...

MODULE: a path below `detectors`, such as `priority` or `fairness/self_trade.py`; all by default. `--short`:
only SHORT, in the time that a CI run has. `--keep`: write what survives to survivors.toml, to be explained.
Runs in a copy of the tree, so that nothing here changes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "build" / "mutants"
LIST = Path(__file__).with_name("survivors.toml")
COPIED = ("detectors", "schemas", "streams", "infra", "tests", "pyproject.toml", "README.md", "Makefile")
SHORT = ("fairness",)
KILLED = (1, 3)  # pytest: a test failed; something went wrong in one
CONFIG = """
[tool.mutmut]
source_paths = ["detectors"]
only_mutate = {modules}
also_copy = ["schemas", "streams", "infra", "README.md", "Makefile"]
pytest_add_cli_args_test_selection = ["tests/mutation/test_answers.py"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]
"""


class Survivor(NamedTuple):
    """A change that no test noticed: where, what was said, what is said instead."""

    function: str
    before: str
    after: str


def copy(modules: Iterable[str]) -> None:
    """Make the copy, with mutmut's configuration, unless it is there: then only what has changed since."""
    COPY.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source, place = ROOT / name, COPY / name
        if source.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, place)
    globs = [f"detectors/{name}" if name.endswith(".py") else f"detectors/{name}/*" for name in modules]
    with (COPY / "pyproject.toml").open("a", encoding="utf-8") as config:
        config.write(CONFIG.format(modules=json.dumps(globs or ["detectors/*"])))


def run(names: Iterable[str] = (), **environment: str) -> None:
    """Let mutmut run what it has no verdict on, or these mutants."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1", *names]
    if subprocess.run(command, cwd=COPY, env={**os.environ, **environment}, check=False).returncode:
        sys.exit("mutmut did not run: see above")


def verdicts() -> dict[str, int | None]:
    """Return mutmut's verdict on each mutant, by name: an exit status, None where there is none yet."""
    found: dict[str, int | None] = {}
    for path in sorted(COPY.glob("mutants/detectors/**/*.meta")):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def forget(names: Iterable[str]) -> None:
    """Take mutmut's verdict on some mutants back."""
    gone = set(names)
    for path in COPY.glob("mutants/detectors/**/*.meta"):
        data = json.loads(path.read_text(encoding="utf-8"))
        kept = data["exit_code_by_key"]
        data["exit_code_by_key"] = {name: None if name in gone else code for name, code in kept.items()}
        path.write_text(json.dumps(data), encoding="utf-8")


def described(names: Iterable[str]) -> dict[str, Survivor]:
    """Return what mutants are, by name."""
    os.chdir(COPY)
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    found = {}
    for name in names:
        lines = [
            line for line in get_diff_for_mutant(name).splitlines() if not line.startswith(("---", "+++"))
        ]
        said = {mark: " ".join(line[1:].strip() for line in lines if line.startswith(mark)) for mark in "-+"}
        function = name.rpartition("__mutmut_")[0].replace("xǁ", "").replace("ǁ", ".").replace(".x_", ".")
        found[name] = Survivor(function, said["-"], said["+"])
    return found


def explained() -> dict[Survivor, str]:
    """Return why some changes change no answer, or none that a test should know."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8")).get("survivor", [])
    return {Survivor(one["function"], one["before"], one["after"]): one["why"] for one in entries}


def write(survivors: Iterable[Survivor], reasons: dict[Survivor, str]) -> None:
    """Write the list anew, with these added to it."""
    lines = ["# What `make mutation` could change unnoticed, and why that is so: README.md.", "survivor = ["]
    for one in sorted({*reasons, *survivors}):
        values = {**one._asdict(), "why": reasons.get(one, "")}
        lines.append(f"  {{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in values.items())} }},")
    lines.append("]")
    LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Print each module's score, and the survivors that nobody has explained; return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    copy(options.modules or (SHORT if options.short else ()))
    run()
    alive = [name for name, code in verdicts().items() if code == 0]
    if alive and not options.short:  # once more, with the cases that take seconds
        forget(alive)
        run(alive, FAIRBOOK_MUTATION="long")
    found, reasons = verdicts(), explained()
    survivors = described(name for name, code in found.items() if code not in KILLED)
    unexplained = [one for one in survivors.values() if not reasons.get(one)]
    total, left = Counter(map(_module, found)), Counter(map(_module, survivors))
    for module, count in sorted(total.items()):
        print(f"{module}: {count - left[module]} of {count} noticed, {(count - left[module]) / count:.1%}")
    noticed = total.total() - left.total()
    print(
        f"in all {noticed} of {total.total()}, {noticed / total.total():.1%}; {len(unexplained)} unexplained"
    )
    for one in unexplained:
        print(f"  {one.function}\n    - {one.before}\n    + {one.after}")
    if options.keep:
        write(survivors.values(), reasons)
    return 1 if unexplained else 0


def _module(name: str) -> str:
    return name.split(".x")[0]


if __name__ == "__main__":
    sys.exit(main())
