"""F2 self-trade by brute force, one pass of reference data at a time (SPEC section 4).

Output: {trade_id, class, ts, seq, status, reason}; anchor = the trade id.

Readings
F2a Both accounts must be given on the trade; they are not taken from the orders.
F2b Owners and groups at the trade's ts; an account that is unlisted under `unlisted_accounts = "client"` is a
    known owner without a group. `afmm_own_group` is any control group, with one side's role affiliated_mm.
F2c A bust retracts (`busted`). A correction is judged anew; with the same trade id it continues the same
    alert, whose status, ts and class are then those of the corrected fill (a corrected fill that is no
    self-trade: retracted).
"""

from __future__ import annotations

from typing import Any

from oracle_fills import fill_versions
from oracle_reference import View


def self_trade_class(buy: str | None, sell: str | None, ts: int, instrument: str, view: View) -> str | None:
    """The class of a trade between two accounts, None where it is no self-trade."""
    if buy is None or sell is None:
        return None
    if buy == sell:
        return "same_account"
    moment = view.at(ts)
    owners = moment.owner(buy), moment.owner(sell)
    if owners[0] is None or owners[1] is None:
        return None
    if owners[0] == owners[1]:
        return "same_owner"
    if owners[1] not in moment.group(owners[0]):
        return None
    if "affiliated_mm" in (moment.role(buy, instrument), moment.role(sell, instrument)):
        return "afmm_own_group"
    return "same_group"


def self_trade(instrument: str, entries: list[dict[str, Any]], view: View) -> list[dict[str, Any]]:
    """All findings of one instrument, by trade id in the order in which they were first seen."""
    versions, _ = fill_versions(entries)
    found: dict[str, dict[str, Any]] = {}
    for v in versions:
        kind = self_trade_class(v["buy_account"], v["sell_account"], v["ts"], instrument, view)
        if kind is None:
            continue
        busted = v["known_to"] is not None
        found[v["trade_id"]] = {
            "rule": "self_trade",
            "instrument": instrument,
            "trade_id": v["trade_id"],
            "class": kind,
            "ts": v["ts"],
            "seq": v["seq"],
            "status": "retracted" if busted else "confirmed",
            "reason": "busted" if busted else None,
        }
    return list(found.values())
