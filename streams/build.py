"""Which Fairbook this is: its version, and the commit it was built from. Only the standard library.

The wheel's build (`hatch_build.py`) writes the commit into a file beside this one; a checkout asks git.
"""

from __future__ import annotations

import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

NAME = "build.txt"
UNKNOWN = "unknown"
_PACKAGE = Path(__file__).resolve().parent


@lru_cache
def version() -> str:
    """Return the version that is installed, "unknown" where nothing is."""
    try:
        return metadata.version("fairbook")
    except metadata.PackageNotFoundError:
        return UNKNOWN


@lru_cache
def build() -> str:
    """Return the commit this was built from, or runs from.

    40 hex digits; "-dirty" behind them where a file that git knows differed from the commit; "unknown" where
    there was neither a build's file nor a checkout. A new file that git does not know is not seen.
    """
    written = _PACKAGE / NAME
    if written.is_file():
        return written.read_text(encoding="ascii").strip()
    return of_checkout(_PACKAGE.parent)


def of_checkout(root: Path) -> str:
    """Return the commit of the checkout at `root`, as `build` does; never that of one around it."""
    if not (root / ".git").exists():
        return UNKNOWN
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or it may not read this checkout
        return UNKNOWN
