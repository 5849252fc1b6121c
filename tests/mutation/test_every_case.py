"""What judges a mutant: every case of every rule, quickly. For `make mutation`; README.md says how."""

from __future__ import annotations

import pytest
from answers import prepared_cases
from scenario import Comparison

from detectors.registry import RULES


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_case_comes_out_as_written(rule: str) -> None:
    compared = 0
    for prepared in prepared_cases(rule):
        comparison = Comparison(prepared.case, prepared.run())
        assert not comparison.differences, f"{prepared.case.name}: {comparison.differences}"
        compared += comparison.compared
    print(f"{rule}: compared {compared} things")
    assert compared > 0
