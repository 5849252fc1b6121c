"""What a recording's answers should be, by brute force, from SPEC.md alone.

`python tests/oracles/oracle.py FOLDER` prints them as JSON lines. `judge(folder)` (with this folder on
`sys.path`, which running the file does) returns a dict of lists of dicts. `alert_id(instrument, anchor)`
gives the ids of L2's alerts on dearer makers, which seed their bootstrap; without it they are left out.

  refused              refused lines: file, line, index, reason
  coverage_days        per instrument and trading day
  data_quality         kind, instrument, first_seq
  client_priority_harm both passes (`pass` 1 or 2): P1's rows; `alerts`: that fill's side raises an alert
  undecided            P1's quantities that could not be compared, both passes
  exemptions           P1's named exemptions, both passes
  spread_minutes       both passes
  spread_days          both passes: the trade measures alone, and trades not measured by reason
  execution_days       both passes: trade measures by aggressor's and other side's role
  presence_days        both passes
  findings             alerts of P1, I1, F2, L1, L2 as each pass by itself has them
  alerts               the two passes put together: rule, instance, instrument, anchor, status, reason,
                       late_reference, revised, and the content of the pass that stands

Reading O1: in pass 2 only -> its own status with late_reference; in pass 1 only and not retracted ->
retracted (late_reference); in both -> pass 2's content, `revised` where it differs from pass 1's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oracle_affiliate_flag import affiliate_flag
from oracle_agreed_spread import AgreedSpread
from oracle_client_priority import ClientPriority
from oracle_coverage import coverage_days, data_quality
from oracle_market import Market
from oracle_quoting_obligation import QuotingObligation
from oracle_realised_excess import RealisedExcess
from oracle_recording import load
from oracle_reference import trading_day
from oracle_self_trade import self_trade
from oracle_spread import MINUTE, Spread
from oracle_trade_measures import means

AlertId = Callable[[str, tuple[str, str, str]], str]
REALISED_EXCESS_BPS, MIN_FILLS, MIN_BLOCKS = 10**6, 200, 1


def judge(folder: str | Path, alert_id: AlertId | None = None) -> dict[str, list[dict[str, Any]]]:
    """All answers of one recording; shapes in the module's docstring."""
    recording = load(folder)
    out: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in (
            "refused",
            "coverage_days",
            "data_quality",
            "client_priority_harm",
            "undecided",
            "exemptions",
            "spread_minutes",
            "spread_days",
            "execution_days",
            "presence_days",
            "findings",
            "alerts",
        )
    }
    out["refused"] = recording.refused
    seen = {line["instrument"] for line in recording.refused if line["instrument"] is not None}
    for instrument in sorted(seen | set(recording.entries)):
        market = None
        if instrument in recording.entries:
            market = _both_passes(recording, instrument, out, alert_id)
        out["coverage_days"] += coverage_days(recording, instrument, market)
        out["data_quality"] += [
            {"kind": kind, "instrument": name, "first_seq": seq}
            for kind, name, seq in data_quality(recording, instrument, market)
        ]
    out["alerts"] = _together(out["findings"])
    return out


def _both_passes(
    recording: Any, instrument: str, out: dict[str, list[dict[str, Any]]], alert_id: AlertId | None
) -> Market:
    entries = recording.entries[instrument]
    first: Market | None = None
    kept: dict[str, list[dict[str, Any]]] = {}
    for which in (1, 2):
        if which == 1 or not recording.reference.same_in_both_passes:
            view = recording.reference.view(which)
            priority, spread, quoting = ClientPriority(view), Spread(view), QuotingObligation(view)
            trades, agreed = RealisedExcess(view), AgreedSpread(view)
            market = Market(instrument, entries, recording.end_ts, view).run(
                priority, spread, trades, quoting, agreed
            )
            first = first or market
            alerting = {(a["instance"], a["trade_id"], a["side"]) for a in priority.alerts}
            kept = {
                "client_priority_harm": [
                    {**r, "alerts": (r["instance"], r["trade_id"], r["side"]) in alerting}
                    for r in priority.rows
                ],
                "undecided": priority.undecided,
                "exemptions": priority.exemptions,
                "spread_minutes": [
                    {**row, **trades.minutes.get(row["minute"] // MINUTE, means([]))} for row in spread.rows
                ],
                "spread_days": [
                    {
                        "trading_day": day,
                        **trades.days.get(day, means([])),
                        "excluded": trades.excluded.get(day, {}),
                    }
                    for day in sorted({trading_day(row["minute"]) for row in spread.rows})
                ],
                "execution_days": [
                    {"trading_day": day, "taker_role": taker, "maker_role": maker, **row}
                    for (day, taker, maker), row in sorted(trades.by_role.items())
                ],
                "presence_days": quoting.rows,
                "findings": [{**a, "anchor": [a["trade_id"], a["side"]]} for a in priority.alerts]
                + [{**a, "instance": "affiliate_flag"} for a in affiliate_flag(instrument, entries, view)]
                + [
                    {**a, "instance": "self_trade", "anchor": [a["trade_id"]]}
                    for a in self_trade(instrument, entries, view)
                ]
                + [{**a, "instance": "quoting_obligation"} for a in quoting.alerts]
                + [{**a, "instance": "spread_quality"} for a in agreed.alerts]
                + _dearer(trades, market, instrument, alert_id),
            }
        for name, rows in kept.items():
            out[name] += [{"pass": which, "instrument": instrument, **row} for row in rows]
    assert first is not None
    return first


def _dearer(
    trades: RealisedExcess, market: Market, instrument: str, alert_id: AlertId | None
) -> list[dict[str, Any]]:
    if alert_id is None:
        return []
    found = trades.alerts(
        market, lambda anchor: alert_id(instrument, anchor), REALISED_EXCESS_BPS, MIN_FILLS, MIN_BLOCKS
    )
    same = {"rule": "spread_quality", "instance": "spread_quality", "status": "confirmed", "reason": None}
    return [{**alert, **same} for alert in found]


def _together(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    passes: dict[str, dict[int, dict[str, Any]]] = {}
    for finding in findings:
        key = json.dumps([finding[name] for name in ("rule", "instance", "instrument", "anchor")])
        content = {name: value for name, value in finding.items() if name != "pass"}
        passes.setdefault(key, {})[finding["pass"]] = content
    alerts = []
    for both in passes.values():
        one, two = both.get(1), both.get(2)
        if two is None:
            assert one is not None
            alert = dict(one)
            if alert["status"] != "retracted":
                alert.update(status="retracted", reason="late_reference")
            alerts.append({**alert, "late_reference": False, "revised": True})
        else:
            alerts.append({**two, "late_reference": one is None, "revised": one is not None and one != two})
    return alerts


def main(arguments: list[str]) -> int:
    """Print everything about the recording as JSON lines, `table` first."""
    if len(arguments) != 1:
        print(
            "usage: oracle.py FOLDER    (a recording: reference.toml, {orders,trades,quotes}.jsonl)",
            file=sys.stderr,
        )
        return 2
    for table, rows in judge(arguments[0]).items():
        for row in rows:
            print(json.dumps({"table": table, **row}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
