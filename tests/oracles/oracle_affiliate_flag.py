"""I1 affiliate flag integrity by brute force, one pass of reference data at a time (SPEC section 4).

Output: findings {code, anchor, ts, seq, status, reason}. Anchors are tuples as SPEC section 3 lists them.

Readings
I1a "Missing, null or false (one value)" holds for every code: a cancel, replace or fill that carries no flag
    for an order whose first event was flagged is `mutated`.
I1b Only an order's first order record enters it: later records of the order are looked at for `mutated`
    alone. An order's `mutated` baseline is the first thing seen of it, order record or fill (an orphan's).
I1c A record or trade side without account gives no finding of any code (`no_accounts`), but still is a
    baseline and can be `mutated`.
I1d `false_tag` needs a flag and no registration in force for (account, instrument) at that ts; group and role
    do not matter. An unknown account that is flagged and unregistered is both false_tag and unknown_account.
I1e mm_protection records are no orders: no finding.
I1f A busted fill retracts (`busted`) findings all of whose records are fills that were busted: the fill's own
    untagged and false_tag, a `mutated`, an unregistered_affiliate or unknown_account of a day that rests on
    such fills only; the next record that differs, or of that account and day, raises it again.
I1g A correction is judged as a fill with its new values at the old ts and seq; what it leaves out is
    inherited.
I1h A venue quote (no account) is not looked at; a `fill` order record is an event (mutated only, or the first
    seen).
I1i ts and seq are those of the first record in evidence that was not busted (all busted: the first).
"""

from __future__ import annotations

from typing import Any

from oracle_fills import fill_versions
from oracle_reference import View, trading_day


def affiliate_flag(instrument: str, entries: list[dict[str, Any]], view: View) -> list[dict[str, Any]]:
    """All findings of one instrument, in the order of their first record."""
    versions, _ = fill_versions(entries)
    hits: dict[tuple[Any, ...], list[tuple[int, int, int | None]]] = {}  # anchor -> (ts, seq, busted at)
    baseline: dict[str, bool] = {}

    def hit(anchor: tuple[Any, ...], ts: int, seq: int, busted: int | None = None) -> None:
        hits.setdefault(anchor, []).append((ts, seq, busted))

    def judged(
        account: str | None,
        flag: bool,
        ts: int,
        seq: int,
        subject: tuple[Any, ...],
        busted: int | None = None,
    ) -> None:
        if account is None:
            return
        moment = view.at(ts)
        role = moment.role(account, instrument)
        if role == "affiliated_mm" and not flag:
            hit(("untagged", *subject), ts, seq, busted)
        if flag and moment.registered(account, instrument) is None:
            hit(("false_tag", *subject), ts, seq, busted)
        if role == "affiliate":
            hit(("unregistered_affiliate", account, trading_day(ts)), ts, seq, busted)
        if role == "unknown":
            hit(("unknown_account", account, trading_day(ts)), ts, seq, busted)

    def compare(order_id: str | None, flag: bool, ts: int, seq: int, busted: int | None = None) -> None:
        if order_id is None:
            return
        if baseline.setdefault(order_id, flag) != flag:
            hit(("mutated", order_id), ts, seq, busted)

    seen: set[str] = set()
    for index, entry in enumerate(entries):
        ts, seq = entry["ts"], entry["seq"]
        if entry["kind"] == "orders":
            order_id = entry["order_id"]
            if entry["exec_type"].startswith("mm_protection"):
                continue
            if order_id not in seen:
                seen.add(order_id)
                judged(entry["account"], entry["mm_flag"] is True, ts, seq, ("order", order_id))
            compare(order_id, entry["mm_flag"] is True, ts, seq)
        elif entry["kind"] == "quotes":
            account = entry["account"]
            judged(account, entry["mm_flag"] is True, ts, seq, ("quote", account, trading_day(ts)))
        else:
            for version in (v for v in versions_at(versions, index)):
                for side in ("buy", "sell"):
                    flag = version[f"{side}_mm_flag"] is True
                    judged(
                        version[f"{side}_account"],
                        flag,
                        version["ts"],
                        version["seq"],
                        ("trade", version["trade_id"], side),
                        version["known_to"],
                    )
                    compare(
                        version[f"{side}_order_id"], flag, version["ts"], version["seq"], version["known_to"]
                    )

    findings = []
    for anchor, records in hits.items():
        stands = [r for r in records if r[2] is None]
        ts, seq, _ = stands[0] if stands else records[0]
        findings.append(
            {
                "rule": "affiliate_flag",
                "instrument": instrument,
                "code": anchor[0],
                "anchor": list(anchor),
                "ts": ts,
                "seq": seq,
                "status": "confirmed" if stands else "retracted",
                "reason": None if stands else "busted",
            }
        )
    return findings


def versions_at(versions: list[dict[str, Any]], index: int) -> list[dict[str, Any]]:
    """The fill that entry `index` made known: a trade's, or a correction's new one."""
    low, high = 0, len(versions)
    while low < high:
        middle = (low + high) // 2
        if versions[middle]["known_from"] < index:
            low = middle + 1
        else:
            high = middle
    return versions[low : low + 1] if low < len(versions) and versions[low]["known_from"] == index else []
