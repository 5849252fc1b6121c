"""Print every small change of the modules named, as mutmut makes them, one JSON object a line.

For the environment build/mutation, in the project's root: mutants.py detectors/book.py ...
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

from mutmut.mutation.data import LineSpan
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.mutation.trampoline_templates import GENERATED_MARKER


def main(paths: list[str]) -> None:
    """Print `path`, `function`, `name` (the changed function's own), and its source before and after."""
    for path in paths:
        found = mutate_file_contents(path, Path(path).read_text(encoding="utf-8"))
        lines = found.code.replace(f" {GENERATED_MARKER}", "").splitlines(keepends=True)

        def source(span: LineSpan, of: list[str] = lines) -> str:
            return textwrap.dedent("".join(of[span.start - 1 : span.end]))

        spans = found.line_span_by_function_name
        for name in found.mutant_names:
            original = f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"
            function = original.removesuffix("__mutmut_orig").removeprefix("xǁ").removeprefix("x_")
            print(
                json.dumps({
                    "path": path, "function": function.replace("ǁ", "."), "name": name,
                    "before": source(spans[original]).replace(original, name), "after": source(spans[name]),
                })
            )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
