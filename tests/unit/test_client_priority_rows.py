"""When P1 tells its rows, how often, and what it forgets."""

from __future__ import annotations

from typing import Any

import pytest
from lake_journal import RULEBOOK
from venue_records import ONE, bust, order, trade

from detectors.priority import client_priority
from detectors.priority.client_priority import ClientPriorityState
from detectors.runner import Output, Runner
from schemas.alerts import Alert, breach_id
from schemas.journal import ClockEntry, Entry, OrderEntry, ReferenceEntry, RulebookEntry, TradeEntry
from schemas.metrics import ClientPriorityDay, ClientPriorityHarm
from schemas.reference import Account, Affiliation, Entity, MmRegistration

MIDNIGHT = 1_772_467_200_000_000_000  # in Hong Kong, 2026-03-03
MS = 10**6
SECOND = 10**9
DAY = 86_400 * SECOND
FIRST = "client_priority.client_first"  # its window is a second
FACTS = [
    Entity(id="venue", operator=True), Entity(id="maker"), Entity(id="alice"),
    Affiliation(parent="venue", child="maker", control_pct="100"),
    Account(account="MM-1", entity="maker"), Account(account="C-1", entity="alice"),
    MmRegistration(account="MM-1", instruments=("*",), affiliated=True),
]  # fmt: skip


def client(seq: int, ts: int, qty: int) -> OrderEntry:
    """A client's bid of 100."""
    return order(seq, ts, "buy", 100, qty, order_id=f"C{seq}", account="C-1")


def block(seq: int, ts: int, name: str, **more: Any) -> TradeEntry:
    """A block of one that the maker buys."""
    return trade(
        seq, ts, name, **({"match_type": "block", "buy_account": "MM-1", "buy_mm_flag": True} | more)
    )


def cure(seq: int, ts: int, name: str, of: str) -> TradeEntry:
    """A fill of one of a client's order."""
    return trade(seq, ts, name, buy_order_id=of, buy_account="C-1", aggressor="sell")


class Tape:
    """A runner over a journal, and what the client_first instance says."""

    def __init__(self, *entries: Entry) -> None:
        self.runner = Runner(strict=True)
        for fact in FACTS:
            self.runner.apply(ReferenceEntry(fact=fact))
        self.runner.apply(RulebookEntry(digest="", text=RULEBOOK))
        self(*entries)

    def __call__(self, *entries: Entry) -> list[Output]:
        said = [output for entry in entries for output in self.runner.apply(entry)]
        return [output for output in said if getattr(output, "instance", "") == FIRST]

    @property
    def state(self) -> ClientPriorityState:
        """What the instance remembers of X."""
        found = self.runner.markets()["X"].states[FIRST]
        assert isinstance(found, ClientPriorityState)
        return found


def days(said: list[Output]) -> list[tuple[str, int, int]]:
    """Day, revision and harm left of the day's rows."""
    rows = [row for row in said if isinstance(row, ClientPriorityDay)]
    return [(row.trading_day, row.revision, row.harm_left // ONE) for row in rows]


def pairs(said: list[Output]) -> list[tuple[str, str, int, str]]:
    """Trade, order, revision and outcome of the rows of harm."""
    rows = [row for row in said if isinstance(row, ClientPriorityHarm)]
    return [(row.trade_id, row.order_id, row.revision, row.outcome) for row in rows]


def test_a_bust_of_a_cure_is_told_of_the_day_of_what_it_cured() -> None:
    tape = Tape(client(1, MIDNIGHT - SECOND, 2), block(2, MIDNIGHT - SECOND // 2, "T1"))
    assert days(tape(cure(3, MIDNIGHT + MS, "T2", "C1"))) == [("2026-03-02", 0, 1)]
    assert days(tape(client(4, MIDNIGHT + 2 * SECOND, 1))) == []
    said = tape(bust(5, MIDNIGHT + 3 * SECOND, "T2"))
    assert days(said) == [("2026-03-02", 1, 1)]
    assert pairs(said) == [("T1", "C1", 3, "harmed")]


def test_what_is_corrected_within_its_window_is_told_once() -> None:
    tape = Tape(client(1, MIDNIGHT, 2), block(2, MIDNIGHT + MS, "T1"))
    corrected = block(3, MIDNIGHT + 2 * MS, "T1", exec_type="trade_correct", orig_trade_id="T1", qty=2 * ONE)
    assert pairs(tape(corrected)) == [("T1", "C1", 1, "busted"), ("T1", "C1", 2, "open")]
    assert tape.state.by_order == {"C1": ["T1 buy"]}
    assert tape(cure(4, MIDNIGHT + 3 * MS, "T2", "C1")) == []
    said = tape(cure(5, MIDNIGHT + 4 * MS, "T3", "C1"))
    assert pairs(said) == [("T1", "C1", 3, "cured")]
    assert [output.status for output in said if isinstance(output, Alert)] == ["retracted"]
    tape(client(6, MIDNIGHT + 2 * SECOND, 1))
    assert tape.state.by_order == tape.state.open == {}


def test_what_cured_a_fill_before_its_correction_is_asked_of_the_corrected_one() -> None:
    tape = Tape(client(1, MIDNIGHT, 2), block(2, MIDNIGHT + MS, "T1"), cure(3, MIDNIGHT + 2 * MS, "T2", "C1"))
    assert tape.state.cured_by == {"T2": ["T1 buy"]}
    more = {"exec_type": "trade_correct", "orig_trade_id": "T1"}
    tape(block(4, MIDNIGHT + 3 * MS, "T1", price=102, **more))  # better than C1: no harm is left of it
    assert tape.state.judged["T1 buy"].busted
    tape(block(5, MIDNIGHT + 4 * MS, "T1", **more))
    assert tape.state.cured_by == {"T2": ["T1 buy"]}
    assert pairs(tape(bust(6, MIDNIGHT + 5 * MS, "T2"))) == [("T1", "C1", 4, "open")]
    assert tape.state.cured_by == {}


@pytest.mark.parametrize("most", [1, 20_000])
def test_a_busted_fill_does_not_count_when_it_is_forgotten(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_priority, "MAX_JUDGED", most)
    tape = Tape(client(1, MIDNIGHT, 9), block(2, MIDNIGHT + MS, "T1"), bust(3, MIDNIGHT + 2 * MS, "T1"))
    for n in range(4):
        at = MIDNIGHT + (5 * n + 5) * SECOND
        tape(block(4 + 2 * n, at, f"B{n}"), cure(5 + 2 * n, at + MS, f"K{n}", "C1"))
    tape(client(12, MIDNIGHT + 60 * SECOND, 1))
    assert len(tape.state.judged) == min(most, 5)
    assert tape.state.cured_by.keys() == {f"K{n}" for n in range(4 - min(most, 4), 4)}
    [row] = [row for row in tape(ClockEntry(ts=MIDNIGHT + DAY)) if isinstance(row, ClientPriorityDay)]
    assert (row.fills_judged, row.fills_with_harm, row.pairs_with_harm, row.harm_left) == (5, 4, 4, 0)


def test_what_no_bust_can_reach_is_forgotten() -> None:
    tape = Tape(client(1, MIDNIGHT, 2), block(2, MIDNIGHT + MS, "T1"), cure(3, MIDNIGHT + 2 * MS, "T2", "C1"))
    tape(client(4, MIDNIGHT + 2 * SECOND, 1), ClockEntry(ts=MIDNIGHT + MS + 7 * DAY))
    assert tape.state.judged and tape.state.cured_by and tape.state.days
    tape(ClockEntry(ts=MIDNIGHT + MS + 7 * DAY + 1))
    assert not tape.state.judged
    assert not tape.state.cured_by
    assert tape.state.days, "its day is not over for so long"
    tape(ClockEntry(ts=MIDNIGHT + 8 * DAY + 1))
    assert not tape.state.days


def test_windows_that_end_together_are_told_in_the_order_of_breach_ids() -> None:
    """Also of fills that were corrected meanwhile."""
    compared = 0
    for names in (("Ta", "Tb"), ("Tb", "Ta"), ("Tc", "Td"), ("Te", "Tf")):
        tape = Tape(
            client(1, MIDNIGHT, 4), *(block(2 + n, MIDNIGHT + MS, name) for n, name in enumerate(names))
        )
        for n, name in enumerate(names):
            fields = {"exec_type": "trade_correct", "orig_trade_id": name, "qty": 2 * ONE}
            tape(block(4 + n, MIDNIGHT + 2 * MS, name, **fields))
        said = tape(client(6, MIDNIGHT + 2 * SECOND, 1))
        told = [output.breach_id for output in said if isinstance(output, Alert)]
        expected = [breach_id("client_priority", FIRST, "X", (name, "buy")) for name in names]
        assert told == sorted(expected)
        compared += len(told)
    print(f"compared {compared} alerts")
    assert compared
