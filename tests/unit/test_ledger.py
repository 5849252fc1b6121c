"""The alerts of an instrument: what a fault, a late record and a bust find of them, and what is forgotten."""

from __future__ import annotations

import pytest

from detectors import ledger
from detectors.ledger import DataFault, Ledger
from schemas.alerts import Alert, Evidence, Status


def alert(
    breach: str, *seqs: int, ts: int = 0, degraded: bool = False, status: Status = "confirmed"
) -> Alert:
    """An alert whose evidence is these records."""
    return Alert(
        alert_id=f"alert {breach}", breach_id=breach, knowledge=0, revision=0, status=status,
        status_reason=None, rule="self_trade", instance="self_trade", version=1, parameter_hash="",
        reference="", provenance="engineering", severity="high", ts=ts, decided_ts=ts, instrument="X",
        accounts=(), grps=(),
        evidence=tuple(Evidence("order", "O", seq) for seq in seqs), measures={}, units={}, harm_qty=None,
        harm_notional=None, narrative="", dq_degraded=degraded, late_reference=False,
    )  # fmt: skip


def kept(*alerts: Alert) -> Ledger:
    """A ledger that these were put into, in order."""
    found = Ledger()
    for one in alerts:
        found.put(one)
    return found


def names(alerts: list[Alert]) -> list[str]:
    """Their breaches."""
    return [one.breach_id for one in alerts]


@pytest.mark.parametrize(
    ("seqs", "touched"),
    [((4, 7), True), ((3, 8), True), ((4, 6), False), ((5, 7), False), ((5, 6), False), ((), False)],
)
def test_what_spans_missing_records_is_touched(seqs: tuple[int, ...], touched: bool) -> None:
    assert DataFault(5, 6, missing=True).touches(alert("a", *seqs).evidence) is touched


@pytest.mark.parametrize(
    ("seqs", "touched"), [((4, 7), False), ((5,), True), ((6,), True), ((4, 5), True), ((), False)]
)
def test_what_names_an_unsound_record_is_touched(seqs: tuple[int, ...], touched: bool) -> None:
    assert DataFault(5, 6, missing=False).touches(alert("a", *seqs).evidence) is touched


def test_a_late_record_finds_once_what_rests_on_later_ones() -> None:
    ledger = kept(alert("a", 1, 5), alert("b", 6), alert("c", 2, 9, degraded=True), alert("d", 7))
    assert names(ledger.after(5)) == ["d", "b"]
    assert names(ledger.after(5)) == []
    assert names(ledger.after(4)) == ["a"]
    ledger.put(alert("d", 7, 8))
    assert names(ledger.after(0)) == ["d"]


def test_a_late_record_finds_the_latest_revision_and_not_what_it_was() -> None:
    ledger = kept(alert("a", 9), alert("b", 9), alert("c", 3))
    ledger.put(alert("a", 3))  # rests on less now
    ledger.put(alert("b", 9, degraded=True))
    assert names(ledger.after(5)) == []
    assert names(ledger.after(2)) == ["c", "a"]


def test_a_fault_finds_what_it_touches_and_leaves_it_for_the_next() -> None:
    ledger = kept(alert("a", 1, 5), alert("b", 6), alert("c", 5, degraded=True), alert("d", 4))
    fault = DataFault(5, 6, missing=False)
    for _ in range(2):
        assert names(ledger.touched(fault)) == ["b", "a"]


def test_a_breach_said_again_and_again_takes_no_more_memory() -> None:
    ledger = kept(*(alert("a", seq) for seq in range(1, 66)))
    assert len(ledger.sound) == 65
    ledger.put(alert("a", 66))
    assert len(ledger.sound) == 66
    ledger.put(alert("a", 67))  # 2 x 1 alert and 64
    assert ledger.sound == [(67, "a")]
    ledger.put(alert("a", 67))  # the same evidence: it is there
    assert ledger.sound == [(67, "a")]
    ledger.put(alert("a", 67, degraded=True))
    ledger.put(alert("a", 67))
    assert ledger.sound == [(67, "a"), (67, "a")]


def test_what_is_sound_is_sorted_out_by_two_of_each_and_64() -> None:
    ledger = kept(alert("b", 1), *(alert("a", seq) for seq in range(1, 68)))
    assert len(ledger.sound) == 68
    ledger.put(alert("a", 68))
    assert ledger.sound == [(1, "b"), (68, "a")]


def test_a_bust_finds_once_what_rests_on_the_fill_and_stands() -> None:
    ledger = kept(alert("a", 1), alert("b", 1, status="retracted"), alert("c", 1), alert("d", 1))
    for breach in "abcd":
        ledger.rest(breach, "T1")
    ledger.rest("a", "T1")
    ledger.rest("d", "T2")  # it rests on another one since
    assert names(ledger.busted("T2")) == ["d"]
    assert ledger.rests_on == {"a": "T1", "b": "T1", "c": "T1"}
    assert names(ledger.busted("T1")) == ["a", "c"]
    assert ledger.rests_on == {}
    assert ledger.busted("T1") == []


def test_old_breaches_are_forgotten_with_what_they_rest_on() -> None:
    ledger = kept(alert("a", 1, ts=10), alert("b", 2, ts=10), alert("c", 3, ts=20), alert("d", 4, ts=5))
    for breach, trade_id in (("a", "T1"), ("c", "T1"), ("b", "T2"), ("d", "T3")):
        ledger.rest(breach, trade_id)
    ledger.forget(20)
    assert list(ledger.alerts) == ["c", "d"]  # in order: d waits for c
    assert ledger.rests_on == {"c": "T1", "d": "T3"}
    assert ledger.by_trade == {"T1": ["c"], "T3": ["d"]}
    assert names(ledger.touched(DataFault(1, 4, missing=False))) == ["d", "c"]


def test_the_oldest_breach_goes_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MAX_ALERTS", 2)
    found = Ledger()
    for number, breach in enumerate("abc", 1):
        found.rest(breach, f"T{breach}")
        found.put(alert(breach, number))
    assert list(found.alerts) == ["b", "c"]
    assert found.by_trade == {"Tb": ["b"], "Tc": ["c"]}
