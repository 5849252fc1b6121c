"""constraints.txt pins all that an installation brings, at the version that is installed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")


def pins() -> dict[str, str]:
    """Return the pinned version of each package."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    found = [PIN.fullmatch(line) for line in lines]
    assert all(found), [line for line, pin in zip(lines, found, strict=True) if pin is None]
    versions = {canonicalize_name(pin[1]): pin[2] for pin in found if pin is not None}
    assert len(versions) == len(lines), "a package is pinned twice"
    return versions


def brought() -> Iterator[tuple[Requirement, metadata.Distribution]]:
    """Yield what the project asks for, and what that asks for on this machine, each once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*map(Requirement, (*project["dependencies"], *project["optional-dependencies"]["dev"]))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while asked:
        one = asked.pop()
        extras = frozenset(one.extras)
        distribution = metadata.distribution(one.name)
        yield one, distribution
        if (one.name, extras) not in seen:
            seen.add((one.name, extras))
            asked += [
                more
                for more in map(Requirement, distribution.requires or ())
                if more.marker is None or any(more.marker.evaluate({"extra": e}) for e in extras | {""})
            ]


def test_what_is_installed_is_pinned_and_fits() -> None:
    pinned = pins()
    installed = {}
    for asked, distribution in brought():
        name = canonicalize_name(asked.name)
        installed[name] = distribution.version
        assert asked.specifier.contains(distribution.version, prereleases=True), (str(asked), distribution)
    loose = {name: version for name, version in installed.items() if pinned.get(name) != version}
    assert not loose, f"installed and not pinned so: {loose}; `make constraints` writes it anew"
    print(f"compared {len(installed)} packages with {len(pinned)} pins")
    assert len(installed) > 60
