"""Writes the commit that is built into the wheel and the sdist (`streams.build` reads it)."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildHook(BuildHookInterface):
    """Hatchling finds it in this file by its base class."""

    written: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file; an sdist brings its own, and an editable install asks its checkout."""
        root = Path(self.root)
        ours = runpy.run_path(str(root / "streams" / "build.py"))
        if version == "editable" or (root / "streams" / ours["NAME"]).exists():
            return
        self.written = Path(self.directory) / ours["NAME"]
        self.written.parent.mkdir(parents=True, exist_ok=True)
        self.written.write_text(ours["of_checkout"](root) + "\n", encoding="ascii")
        build_data["force_include"][str(self.written)] = f"streams/{ours['NAME']}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing beside the wheel."""
        if self.written is not None:
            self.written.unlink()
