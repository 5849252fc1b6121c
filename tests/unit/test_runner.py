"""The rules over a journal: what another rulebook keeps, what a snapshot refuses, refused records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from arrivals import under
from lake_journal import RULEBOOK
from scenario import FOLDER, load, prepare
from venue_records import ONE, order, trade

from detectors.fairness.self_trade import SelfTrade
from detectors.liquidity.quoting_obligation import QuotingObligation
from detectors.runner import Runner, SnapshotRefused
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import (
    ClockEntry,
    Entry,
    OrderEntry,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    RulebookEntry,
    Source,
)
from schemas.reference import MmAgreement

START = 1_772_409_600_000_000_000  # 08:00 in Hong Kong
SECOND = 10**9
DAY = 86_400 * SECOND
AGREED = ReferenceEntry(
    fact=MmAgreement(id="A", account="MM-1", instrument="X", max_spread_bps="100", presence_pct="90")
)


def rulebook(text: str = RULEBOOK) -> RulebookEntry:
    """A rulebook as the journal holds it."""
    return RulebookEntry(digest="", text=text)


def renamed(*names: str) -> str:
    """The rulebook that ships, with these instances under other names."""
    text = RULEBOOK
    for name in names:
        assert text.count(f'name = "{name}"') == 1
        text = text.replace(f'name = "{name}"', f'name = "{name} of 2027"')
    return text


def swapped(one: str, other: str) -> str:
    """The rulebook that ships, with two instances under each other's name."""
    text = RULEBOOK.replace(f'name = "{one}"', 'name = "?"').replace(f'name = "{other}"', f'name = "{one}"')
    return text.replace('name = "?"', f'name = "{other}"')


def quoted(seq: int, side: Any, price: int, ts: int = START) -> OrderEntry:
    """A resting order of a maker."""
    return order(seq, ts, side, price, account="MM-1")


def run(*entries: Entry, strict: bool = True) -> Runner:
    """Apply entries."""
    runner = Runner(strict=strict)
    for entry in entries:
        runner.apply(entry)
    return runner


def said(runner: Runner, entry: Entry) -> list[Alert]:
    """The alerts of one entry."""
    return [output for output in runner.apply(entry) if isinstance(output, Alert)]


QUOTED = (AGREED, rulebook(), quoted(1, "buy", 199), quoted(2, "sell", 201), quoted(3, "buy", 198, START + 1))


# ---- another rulebook -------------------------------------------------------------------------------------


def test_what_keeps_its_name_and_rule_keeps_its_state() -> None:
    runner = run(*QUOTED)
    market = runner.markets()["X"]
    before, timers = dict(market.states), list(market.timers)
    assert timers
    runner.apply(rulebook(renamed("self_trade")))
    assert market.states.keys() == {*before, "self_trade of 2027"} - {"self_trade"}
    kept = [name for name, state in market.states.items() if before.get(name) is state]
    assert set(kept) == before.keys() - {"self_trade"}
    assert market.timers == sorted(timers)
    again = Runner.restore(runner.snapshot(), strict=True)
    assert again.snapshot() == runner.snapshot()
    print(f"{len(kept)} states kept, {len(timers)} moments waited for")


def test_what_has_another_name_begins_anew_and_is_told_at_once() -> None:
    for nxt in (quoted(4, "buy", 197, START + 2 * DAY), ClockEntry(ts=START + 2 * DAY)):
        runner = run(*QUOTED)
        market = runner.markets()["X"]
        old = {name for _due, _breach, name, _key in market.timers}
        assert "spread_quality" in old
        runner.apply(rulebook(renamed("quoting_obligation", "spread_quality")))
        assert "spread_quality" not in {name for _due, _breach, name, _key in market.timers}
        said_ = runner.apply(nxt)
        rows = {getattr(output, "instance", None) for output in said_}
        assert {"quoting_obligation of 2027"} <= rows, f"{nxt}: {rows}"
        assert "quoting_obligation" not in rows


def test_a_name_that_another_rule_bears_now_keeps_nothing() -> None:
    runner = run(*QUOTED)
    market = runner.markets()["X"]
    runner.apply(rulebook(swapped("self_trade", "quoting_obligation")))
    for name, rule in (("self_trade", QuotingObligation), ("quoting_obligation", SelfTrade)):
        assert type(market.states[name]) is rule.State
    runner.apply(ClockEntry(ts=START + 2 * DAY))
    Runner.restore(runner.snapshot(), strict=True)


@pytest.mark.parametrize("facts", [0, 1, 2])
def test_each_change_is_seen_whatever_came_with_it(facts: int) -> None:
    """A rulebook and facts that come together, before the next record."""
    runner = run(*QUOTED)
    more = [
        ReferenceEntry(fact=MmAgreement(id=f"B{n}", account="MM-1", instrument="X", presence_pct="90"))
        for n in range(facts)
    ]
    for entry in (*more, rulebook(renamed("quoting_obligation")), rulebook()):
        runner.apply(entry)
    rows = runner.apply(ClockEntry(ts=START + 2 * DAY))
    agreements = {getattr(row, "agreement", None) for row in rows} - {None}
    assert agreements == {"A", *(f"B{n}" for n in range(facts))}


def test_a_second_change_is_seen_as_the_first_was() -> None:
    runner = run(*QUOTED)
    for number, text in enumerate((renamed("quoting_obligation"), RULEBOOK, renamed("quoting_obligation"))):
        runner.apply(rulebook(text))
        runner.apply(quoted(4 + number, "buy", 190, START + 2 + number))
    assert runner.markets()["X"].seq == 6


@pytest.mark.parametrize(
    "text", [RULEBOOK.replace('rule = "data_quality"', 'rule = "data_quality"\nenabled = false')]
)
def test_a_rulebook_without_the_checks_of_the_record_is_refused(text: str) -> None:
    words = "^expected exactly one enabled instance of rule data_quality in the rulebook$"
    with pytest.raises(ValueError, match=words):
        run(rulebook(text))
    runner = run(*QUOTED)
    with pytest.raises(ValueError, match=words):
        runner.apply(rulebook(text))


def test_a_record_before_any_rulebook_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected a rulebook in the journal before the first event$"):
        run(quoted(1, "buy", 199))


def test_a_snapshot_of_other_rules_is_refused() -> None:
    runner = run(*QUOTED)
    state = codec.decode(runner.snapshot(), type=dict[str, Any])
    mine = state["digest"]
    state["digest"] = "0" * 32
    with pytest.raises(SnapshotRefused, match=f"^expected a snapshot of {mine}, got one of {'0' * 32}$"):
        Runner.restore(codec.encode(state))


# ---- an error in a rule ---------------------------------------------------------------------------------


def fail(*_: Any) -> None:
    raise ZeroDivisionError("planted")


def test_by_default_an_error_is_a_finding_after_a_restart_too(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner()
    for entry in QUOTED:
        runner.apply(entry)
    restored = Runner.restore(runner.snapshot())
    strict = Runner.restore(runner.snapshot(), strict=True)
    monkeypatch.setattr(SelfTrade, "on_order", fail)
    for one in (runner, restored):
        [alert] = said(one, quoted(4, "buy", 190, START + 2))
        assert alert.measures["kind"] == "rule_error"
    with pytest.raises(ZeroDivisionError):
        strict.apply(quoted(4, "buy", 190, START + 2))


def test_an_error_at_a_moment_asked_for_names_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = run(*QUOTED, strict=False)
    monkeypatch.setattr(QuotingObligation, "on_timer", fail)
    alerts = said(runner, ClockEntry(ts=START + DAY))
    details = {str(alert.measures["detail"]) for alert in alerts if alert.rule == "data_quality"}
    assert details == {"quoting_obligation failed in fail: ZeroDivisionError: planted"}


# ---- records that were refused ----------------------------------------------------------------------------


def refused(**fields: Any) -> RefusedEntry:
    """A refused record."""
    given = {"reason": "conflict", "detail": "said", "raw": b"{}", "src": Source("orders", 0, 9)} | fields
    return RefusedEntry(**given)


def test_a_refused_record_is_told_of_its_instrument_at_its_own_time() -> None:
    runner = run(*QUOTED)
    [alert] = said(runner, refused(instrument="Y", seq=7, ts=START - 5))
    assert (alert.instrument, alert.ts, alert.decided_ts) == ("Y", START - 5, START - 5)
    assert runner.markets().keys() == {"X", "Y"}
    [alert] = said(runner, refused(instrument="X", seq=7, ts=None))
    assert (alert.ts, alert.decided_ts, alert.measures["first_seq"]) == (0, 0, 7)


@pytest.mark.parametrize(
    "fields", [{"seq": 7}, {"instrument": "X"}, {"instrument": "X", "seq": 7, "reason": "?"}]
)
def test_one_that_names_no_record_or_says_nothing_of_the_venue_says_nothing(fields: dict[str, Any]) -> None:
    runner = run(*QUOTED)
    assert not runner.apply(refused(**fields))
    assert runner.markets().keys() == {"X"}


def test_what_rests_on_a_record_said_otherwise_is_told_at_its_own_time() -> None:
    fill = trade(
        4, START + SECOND, "T", 201, aggressor="buy", buy_order_id="O3", buy_account="C-1",
        sell_order_id="O2", sell_account="C-1",
    )  # fmt: skip
    runner = run(*QUOTED)
    first = said(runner, fill)
    later = said(runner, quoted(5, "buy", 190, START + 9 * SECOND))
    resting = [one for one in (*first, *later) if any(item.seq == 4 for item in one.evidence)]
    assert resting
    alerts = said(runner, refused(instrument="X", seq=4, ts=START + 3))
    marked = [alert for alert in alerts if alert.dq_degraded and alert.rule != "data_quality"]
    assert marked
    for alert in alerts:
        assert alert.decided_ts == alert.ts


# ---- time -------------------------------------------------------------------------------------------------


def test_between_entries_a_decision_would_be_stamped_the_instruments_time() -> None:
    runner = run(rulebook())
    compared = 0
    quote = QuoteEntry(
        instrument="X", seq=9, ts=START + DAY, src=Source("quotes", 0, 9), bid_px=ONE, bid_size=ONE
    )
    for entry in (
        refused(instrument="Y", seq=7, ts=START),
        ClockEntry(ts=START),
        *QUOTED[2:],
        ClockEntry(ts=START + SECOND),
        quote,
        ClockEntry(ts=START + 3 * DAY),
    ):
        runner.apply(entry)
        for one in (runner, Runner.restore(runner.snapshot())):
            for market in one.markets().values():
                assert market.now == (market.own_time or 0), entry
                compared += 1
    assert compared > 10


# ---- what the rulebook says of an instance ----------------------------------------------------------------


def alerts_of(case: str, text: str, place: Path) -> list[Alert]:
    """What a case's record gives under a rulebook."""
    entries = prepare(load(FOLDER / f"{case}.toml"), place).entries
    runner = Runner(strict=True)
    return [alert for entry in under(entries, lambda _: text) for alert in said(runner, entry)]


@pytest.mark.parametrize(
    "case",
    [
        "affiliate_flag/mutated_once", "client_priority/hit_buy", "data_quality/crossed_book",
        "quoting_obligation/hit_buy", "self_trade/same_owner_buy",
        "spread_quality/own_quotes_wider_than_agreed",
    ],
)  # fmt: skip
def test_its_severity_is_that_of_all_its_alerts(case: str, tmp_path: Path) -> None:
    text = RULEBOOK.replace("[[instance]]\n", '[[instance]]\nseverity = "info"\n')
    before, after = alerts_of(case, RULEBOOK, tmp_path / "1"), alerts_of(case, text, tmp_path / "2")
    assert case.partition("/")[0] in {alert.rule for alert in after}
    assert [alert.alert_id for alert in before] == [alert.alert_id for alert in after]
    assert "info" not in {alert.severity for alert in before}
    assert {alert.severity for alert in after} == {"info"}


@pytest.mark.parametrize(("mode", "severity"), [("price_time", "high"), ("client_first", "medium")])
def test_its_name_says_nothing_of_its_mode(mode: str, severity: str, tmp_path: Path) -> None:
    text = RULEBOOK.replace('name = "client_priority.price_time"', 'name = "desk"')
    text = text.replace('mode = "price_time"', f'mode = "{mode}"')
    alerts = alerts_of("client_priority/hit_buy", text, tmp_path)
    found = {(alert.measures["mode"], alert.severity) for alert in alerts if alert.instance == "desk"}
    assert found == {(mode, severity)}
