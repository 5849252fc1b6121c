"""Busts of fills that are no longer kept, ids that come again, and what a correction states."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from lake_journal import RULEBOOK
from venue_records import ONE, bust, order, trade

from detectors import busts, history
from detectors.busts import KeptTrade
from detectors.history import Change, History
from detectors.runner import Runner
from schemas.alerts import Alert
from schemas.journal import Entry, RulebookEntry, TradeEntry

START = 1_772_409_600_000_000_000
HOUR = 3_600 * 10**9
WEEK = 7 * 24 * HOUR  # the rulebook's bust_horizon
MOST = 16
SLACK = MOST // 8  # see `detectors.bounded`


def fill(number: int, ts: int = START, name: str | None = None) -> TradeEntry:
    """A trade of C-1 with itself: an alert that rests on it."""
    return trade(
        number, ts, name or f"F{number}", aggressor="buy", buy_order_id=f"B{number}", buy_account="C-1",
        buy_owner="alice", sell_order_id=f"S{number}", sell_account="C-1", sell_owner="alice",
    )  # fmt: skip


def anonymous(trade: TradeEntry) -> TradeEntry:
    """A trade that names no orders: none that was never seen."""
    return msgspec.structs.replace(trade, buy_order_id=None, sell_order_id=None)


def correction(seq: int, of: str, name: str, ts: int = START) -> TradeEntry:
    """A correction that gives a trade another id, and another price."""
    return trade(seq, ts, name, 101, exec_type="trade_correct", orig_trade_id=of, qty=None)


class Tape:
    """A runner, and what it says."""

    def __init__(self, *entries: Entry) -> None:
        self.runner = Runner(strict=True)
        self.runner.apply(RulebookEntry(digest="", text=RULEBOOK))
        self.said = self(*entries)

    def __call__(self, *entries: Entry) -> list[str]:
        """Apply entries: the self-trades' revisions, and findings about busts."""
        found = []
        for entry in entries:
            for output in self.runner.apply(entry):
                if isinstance(output, Alert) and output.rule == "self_trade":
                    found.append(f"{output.evidence[0].id} {output.status}")
                elif isinstance(output, Alert) and output.measures.get("kind") == "late_bust":
                    found.append(str(output.measures["detail"]))
        return found

    @property
    def busts(self) -> busts.Busts:
        """What the market keeps of fills."""
        return self.runner.markets()["X"].busts


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only MOST fills are kept."""
    monkeypatch.setattr(busts, "MAX_TRADES", MOST)
    yield


FIRST = MOST + SLACK + 1  # with so many fills the oldest go: all but MOST


def test_a_bust_of_a_fill_no_longer_kept_still_takes_back_what_rests_on_it(few: None) -> None:
    tape = Tape(*(fill(n) for n in range(1, FIRST + 1)))
    assert list(tape.busts.trades) == [f"F{n}" for n in range(FIRST - MOST + 1, FIRST + 1)]
    gone = "which was never seen or is no longer kept"
    assert tape(bust(100, START, "F1")) == ["F1 retracted"]
    assert tape(bust(101, START, "F1")) == [f"trade_cancel of trade F1, {gone}"]
    assert tape(correction(102, "F2", "F2")) == ["F2 retracted", f"trade_correct of trade F2, {gone}"]
    assert tape(bust(103, START, f"F{FIRST}")) == [f"F{FIRST} retracted"]
    assert tape(bust(104, START, "never seen")) == [f"trade_cancel of trade never seen, {gone}"]


def test_where_none_has_been_forgotten_a_bust_of_a_stranger_says_nothing() -> None:
    assert Tape(fill(1))(bust(2, START, "never seen")) == []


def test_fills_go_once_no_bust_can_reach_them() -> None:
    tape = Tape(fill(1), fill(2, START + HOUR), fill(3, START + HOUR))
    assert list(tape.busts.trades) == ["F1", "F2", "F3"]
    tape(fill(4, START + WEEK), fill(5, START + WEEK + HOUR))
    assert list(tape.busts.trades) == ["F2", "F3", "F4", "F5"], "F1 is more than a week old, F2 is not"
    assert tape(bust(6, START + WEEK + HOUR, "F1")) == [
        "trade_cancel of trade F1, which was never seen or is no longer kept"
    ]
    assert tape(bust(7, START + WEEK + HOUR, "F2")) == ["F2 retracted"]
    late = START + WEEK + HOUR + 1
    assert tape(bust(8, late, "F3")) == ["trade_cancel of trade F3 of seq 3"]


def test_a_correction_gives_a_fill_another_name_for_as_long_as_it_is_kept(few: None) -> None:
    tape = Tape(*(fill(n) for n in range(1, MOST - 1)))
    tape(correction(50, "F1", "G1"), correction(51, f"F{MOST - 2}", "G2"))
    assert tape.busts.renamed == {"F1": "G1", f"F{MOST - 2}": "G2"}
    trades = list(tape.busts.trades)
    assert trades[-2:] == ["G1", "G2"]
    del tape.busts.trades["G1"]
    tape.busts.trades = {"G1": KeptTrade(fill(1, name="G1"), 1), **tape.busts.trades}  # the oldest
    tape(*(fill(n) for n in range(60, 63)))
    assert "G1" not in tape.busts.trades
    assert tape.busts.renamed == {f"F{MOST - 2}": "G2"}
    assert tape(bust(70, START, f"F{MOST - 2}")) == ["G2 retracted"]


def test_an_id_that_comes_again_is_that_of_the_new_fill() -> None:
    tape = Tape(fill(1), correction(2, "F1", "G1"), fill(3, name="F1"))
    assert tape.busts.renamed == {}
    assert tape(bust(4, START, "F1")) == ["F1 retracted"]
    assert not tape.busts.trades["G1"].busted


def test_a_correction_states_what_it_states_and_nothing_else() -> None:
    was = msgspec.structs.replace(fill(1), start=True, extra='{"was": 1}', buy_fee=3)
    said = msgspec.structs.replace(
        correction(9, "F1", "G1"), start=False, extra='{"new": 1}', sell_fee=4, match_type="block"
    )
    tape = Tape(was, said)
    kept = tape.busts.trades["G1"]
    assert kept == KeptTrade(
        msgspec.structs.replace(was, trade_id="G1", price=101 * ONE, sell_fee=4, match_type="block"),
        match=1, corrected=True,
    )  # fmt: skip
    tape = Tape(fill(1), msgspec.structs.replace(said, start=True))
    assert tape.busts.trades["G1"].trade.start is False


# ---- the book of a corrected fill -------------------------------------------------------------------------


@pytest.mark.parametrize("far", [False, True])
def test_a_fill_whose_book_is_too_far_back_is_judged_as_degraded(
    far: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_CHANGES", 4)
    runner = Runner(strict=True)
    runner.apply(RulebookEntry(digest="", text=RULEBOOK))
    entries: list[Entry] = [anonymous(fill(1))]
    entries += [order(2 + n, START + n, "buy", 100, account="C-9") for n in range(10 if far else 0)]
    entries += [
        correction(len(entries) + 1, "F1", "F1", START + 30),
        anonymous(fill(len(entries) + 2, START + 31, "F2")),
    ]
    said = [output for entry in entries for output in runner.apply(entry)]
    alerts = [one for one in said if isinstance(one, Alert) and one.rule == "self_trade"]
    latest = {one.breach_id: one for one in alerts}
    degraded = {one.evidence[0].id: one.dq_degraded for one in latest.values()}
    assert degraded == {"F1": far, "F2": False}


def test_a_history_keeps_the_latest_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_CHANGES", MOST)
    found, sizes = History(), []
    for seq in range(1, 101):
        found.mark(seq)
        sizes.append(len(found.changes))
        kept = [change.seq for change in found.changes]
        assert kept == list(range(seq - len(kept) + 1, seq + 1))
        assert len(kept) >= min(seq, MOST)
        for at, one in enumerate(kept):
            assert found.since(one) == found.changes[at + 1 :]
        assert found.since(kept[0] - 1) is None
        assert found.since(seq + 1) is None
    assert max(sizes) == MOST + MOST // 4
    found.changes.append(Change(7, START, "an order"))
    assert found.since(7) is None, "a change of an order is no place"
