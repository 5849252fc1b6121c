"""A rule that raises: the event is not lost, the other rules go on, and the record says what happened."""

from __future__ import annotations

from typing import Any

import pytest
from lake_journal import HANDMADE, RULEBOOK

from detectors.fairness.self_trade import SelfTrade
from detectors.priority.client_priority import ClientPriority
from schemas.alerts import Alert
from streams.replay import replay

FOLDER = HANDMADE / "12_self_trades"


def said(strict: bool) -> list[Alert]:
    """Every latest alert of a recording of self-trades."""
    return list(replay(FOLDER, rulebook_text=RULEBOOK, strict=strict).latest().values())


def fail(_rule: Any, market: Any, *_: Any) -> None:
    raise ZeroDivisionError("planted")


@pytest.mark.parametrize("hook", ["on_trade", "on_turn_end", "on_clock", "on_order"])
def test_an_error_in_a_rule_is_a_finding_and_the_others_go_on(
    hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {alert.alert_id for alert in said(True) if alert.rule not in ("data_quality", "client_priority")}
    monkeypatch.setattr(ClientPriority, hook, fail)
    after = said(False)
    assert {alert.alert_id for alert in after} >= before
    told = [alert for alert in after if alert.measures.get("kind") == "rule_error"]
    print(f"{len(before)} alerts of the other rules, {len(told)} errors told")
    assert before
    if hook in ("on_trade", "on_clock"):
        assert told
    for alert in told:
        assert str(alert.measures["detail"]).endswith("failed in fail: ZeroDivisionError: planted")


def test_what_rests_on_a_record_at_which_a_rule_failed_is_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientPriority, "on_trade", fail)
    alerts = [alert for alert in said(False) if alert.rule == "self_trade"]
    assert alerts
    assert all(alert.dq_degraded for alert in alerts)


def test_where_it_is_asked_for_the_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SelfTrade, "on_trade", fail)
    with pytest.raises(ZeroDivisionError, match="planted"):
        said(True)
