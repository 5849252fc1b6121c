"""For all tests: no machine loses power meanwhile, so nothing waits for the disk.

Where syncing matters, it is an operation that a crash can come at: tests/unit/lake_crash.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Let `os.fsync` do nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield
