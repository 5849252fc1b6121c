"""Recordings that Hypothesis draws: a generator's chance is drawn too, so that a failure shrinks.

The smallest recording that fails is printed.

The examples are the same on every run. FAIRBOOK_EXAMPLES=5000 draws so many others, anew each time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FAIRBOOK_EXAMPLES", "0"))


def draw(examples: int, longest: int, check: Callable[[Random, int, Path], None]) -> None:
    """Call `check(chance, steps, folder)` for so many recordings to be made, of at most `longest` steps.

    What it raises is raised for the smallest recording that makes it fail, with that recording in its notes.
    """

    @settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(chance=st.randoms(use_true_random=False, note_method_calls=False), steps=st.integers(1, longest))
    def drawn(chance: Random, steps: int) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "day"
            try:
                check(chance, steps, folder)
            except AssertionError:
                note(told(folder))
                raise

    drawn()


def told(folder: Path) -> str:
    """A recording's files as text."""
    return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(folder.glob("*.*")))
