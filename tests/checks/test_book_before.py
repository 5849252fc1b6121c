"""The book just before a fill, worked out afterwards from its changes, is the book that was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from arrivals import recorded
from markets import market

from detectors.book import Book, Ladder
from detectors.history import History
from detectors.runner import Runner
from schemas import codec

SEEDS = 60
MARK = History.mark


def ladder(side: Ladder) -> list[Any]:
    """What a ladder holds, best first."""
    levels = [(key, side.levels[key].shown, side.levels[key].shown_others) for key in side.keys]
    return [levels, sorted(codec.canonical(order) for order in side.orders())]


def seen(book: Book) -> dict[str, Any]:
    """All that a book holds."""
    return {
        "orders": {name: codec.canonical(order) for name, order in sorted(book.orders.items())},
        "aside": sorted(book.aside),
        "dead": {name: codec.canonical(order) for name, order in sorted(book.dead.items())},
        "bids": ladder(book.bids),
        "asks": ladder(book.asks),
    }


def test_it_is_the_book_that_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = dead = 0
    for seed in range(SEEDS):
        then: dict[tuple[str, int], dict[str, Any]] = {}
        runner = Runner(strict=True)

        def noted(history: History, seq: int, runner: Runner = runner, then: Any = then) -> None:
            for name, one in runner.markets().items():
                if one.history is history:
                    then[name, seq] = seen(one.book)
            MARK(history, seq)

        with monkeypatch.context() as patch:
            patch.setattr(History, "mark", noted)
            for entry in recorded(market(seed).write(tmp_path / str(seed))):
                runner.apply(entry)
        for (name, seq), expected in then.items():
            one = runner.markets()[name]
            past = one.history.book_before(one.book, seq)
            assert past is not None
            assert seen(past) == expected, f"seed {seed}: the book before {seq}"
            compared += 1
            dead += len(expected["dead"])
    print(f"compared {compared} books, {dead} dead orders in them")
    assert compared > SEEDS
    assert dead
