"""The short form of `make truth`: two small days and a clean one; and it notices when a rule is wrong."""

from __future__ import annotations

from day import RULEBOOK, Verdict, judge
from truth import days, rows

from streams.sources.simulator import NearViolations, SimulatorConfig, Violations

EVENTS = 25_000


def test_all_that_is_planted_is_found_and_nothing_else() -> None:
    verdict = Verdict()
    for config in days(2, EVENTS, 0, 2):
        one = judge(config)
        assert one.alerts > 0
        verdict.add(one)
    total = verdict.total
    print(
        f"{verdict.events} events, {len(verdict.tallies)} kinds: {total.found} of {total.planted} found, "
        f"{total.near} near, {total.alarms} false alarms"
    )
    kinds = {kind for _, kind in verdict.tallies}
    planted = {kind for _, kind in verdict.tallies if verdict.tallies[_, kind].planted}
    near = {kind for _, kind in verdict.tallies if verdict.tallies[_, kind].near}
    # An order with a wrong tag is labelled as order and as fill.
    assert set(Violations.kinds()) - planted <= {"false_tag"}
    assert set(NearViolations.kinds()) <= near
    assert len(kinds) > 100
    assert verdict.examples == []
    assert verdict.exact


def test_a_clean_day_has_no_alert() -> None:
    verdict = judge(SimulatorConfig(seed=3, events=EVENTS, fill_records=True))
    print(f"{verdict.events} events, {verdict.alerts} alerts")
    assert verdict.alerts == 0 and verdict.exact


def test_a_rule_that_is_wrong_is_noticed() -> None:
    """A cure window a nanosecond too long, no improvement asked, and one cure of no time at all."""
    config = SimulatorConfig(seed=4, events=5_000, violations=Violations.each(2), near=NearViolations.each(2))
    assert judge(config).exact
    wrong = {
        "client_first_late_cure": ('cure_window = "1 s"', 'cure_window = "1000000001 ns"'),
        "client_first_cured": ('cure_window = "1 s"', 'cure_window = "999999999 ns"'),
        "block_tick_better": ('min_price_improvement = "1 tick"', 'min_price_improvement = "2 ticks"'),
        "price_time_equal": ('watched_roles = ["affiliated_mm"', 'watched_roles = ["market_maker"'),
    }
    for kind, (was, is_now) in wrong.items():
        assert was in RULEBOOK, was
        verdict = judge(config, RULEBOOK.replace(was, is_now))
        told = {named for (_, named), tally in verdict.tallies.items() if tally.missed or tally.alarms}
        print(f"{is_now}: {sorted(told)}")
        assert kind in told and not verdict.exact
        assert rows(verdict)[-1][0] == "all"
