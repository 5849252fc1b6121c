"""A rule that is wrong by little is shown on few records: what a failing property test leaves to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from agreement import differences
from as_scenario import said as lines_of
from drawn import draw, fewest
from maker_markets import drawn_makers
from presence import expected, said
from trade_markets import drawn_takers

from detectors.liquidity.presence import Tally
from detectors.liquidity.trade_measures import Fill

EXAMPLES = 40
LONGEST = 60
MOST = 12  # records
Make = Callable[[Random, int, Path], object]
Judge = Callable[[Path], None]


def presence(folder: Path) -> None:
    rows, alerts, _ = said(folder)
    assert (rows, alerts) == expected(folder)


def trades(folder: Path) -> None:
    assert not [line for line in differences(folder)[1] if "execution_days" in line]


@pytest.mark.parametrize(
    ("make", "judge", "place", "name", "wrong"),
    [
        (drawn_makers, presence, Tally, "verdict", lambda tally, required: "met"),
        (drawn_takers, trades, Fill, "improvement", property(lambda fill: -1)),
    ],
    ids=["every day is met", "nothing improves"],
)
def test_what_is_left_is_few_records(
    make: Make, judge: Judge, place: object, name: str, wrong: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, wrong)
    with pytest.raises(AssertionError, match="rules and oracle differ") as failure:
        draw(EXAMPLES, LONGEST, make, judge)
    case = str(failure.value).partition("\n")[2]
    count = sum(map(len, lines_of(case).values()))
    print(case)
    print(f"{count} records")
    assert 0 < count <= MOST


def test_nothing_that_is_left_can_be_left_out() -> None:
    compared = 0
    for needed in ([3], [0, 9], [1, 2, 5, 6], list(range(10)), []):
        left = fewest(range(10), lambda kept, needed=needed: set(needed) <= set(kept))
        assert sorted(left) == needed
        compared += 1
    print(f"compared {compared}")
