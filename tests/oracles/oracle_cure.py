"""P1 after the fill: cure, withdrawal, bust, the alert's status (see oracle_client_priority P1l-P1p)."""

from __future__ import annotations

from typing import Any

from oracle_market import Market


def better_or_equal(side: str, price: int, other: int) -> bool:
    """`price` ranks before or with `other` for an order of `side`."""
    return price >= other if side == "buy" else price <= other


def follow(
    market: Market,
    j: dict[str, Any],
    fills_of: dict[tuple[str, str], list[dict[str, Any]]],
    events_of: dict[str, list[int]],
    threads: dict[tuple[str, str, str], dict[str, Any]],
) -> None:
    """Add judgement `j`'s rows and alert to its thread (instance, trade id, side), as known at the end."""
    f, side, end = j["version"], j["side"], len(market.entries)
    limit = f["ts"] + j["window"]
    close = next((i for i in range(f["index"] + 1, end) if market.entries[i]["ts"] > limit), end)
    turn_end = market.match_end[j["match"]] if f["known_from"] == f["index"] else f["known_from"]

    cures: dict[str, list[dict[str, Any]]] = {}
    for order_id, _, _ in j["harms"]:
        cures[order_id] = [
            g
            for g in fills_of.get((side, order_id), [])
            if g["seq"] > f["seq"]
            and better_or_equal(side, f["price"], g["price"])
            and (
                market.match_of[g["index"]] == j["match"]
                or (j["window"] > 0 and g["index"] < close and g["ts"] <= limit)
            )
        ]

    def cured(order_id: str, harm: int, after: int) -> int:
        filled: int = sum(
            g["qty"]
            for g in cures[order_id]
            if g["known_from"] <= after and (g["known_to"] is None or g["known_to"] > after)
        )
        return min(harm, filled)

    def left(after: int) -> int:
        return sum(harm - cured(order_id, harm, after) for order_id, _, harm in j["harms"])

    # Entries at which something about this judgement can change, in order; `close` comes before its entry.
    changes = {
        i for gs in cures.values() for g in gs for i in (g["known_from"], g["known_to"]) if i is not None
    }
    changes |= {turn_end} | ({f["known_to"]} if f["known_to"] is not None else set())
    history: list[tuple[str, str | None]] = []
    status, closed = None, False
    for i in [*sorted(c for c in changes if c >= turn_end), end]:
        if not closed and i >= close and i > turn_end:
            closed = True
            if status == "provisional":
                status = "confirmed"
                history.append((status, None))
        if i == end:
            break
        if f["known_to"] is not None and i >= f["known_to"]:
            if status in ("provisional", "confirmed"):
                history.append(("retracted", "busted"))
            break
        late_start = i == turn_end and turn_end >= close  # a correction judged after its window
        if left(i) > 0 and status not in ("provisional", "confirmed"):
            status = "confirmed" if closed or late_start else "provisional"
            history.append((status, None))
        elif left(i) == 0 and status in ("provisional", "confirmed"):
            status = "retracted"
            history.append((status, "cured"))

    busted = f["known_to"] is not None
    # A busted fill's rows keep the cures as they were just before the bust.
    last = f["known_to"] - 1 if busted else end
    thread = threads.setdefault((j["instance"], f["trade_id"], side), {"alert": None, "rows": {}})
    total = 0
    for order_id, account, harm in j["harms"]:
        done = cured(order_id, harm, last)
        remains = 0 if busted else harm - done
        total += remains
        outcome = "busted" if busted else ("harmed" if remains else "cured")
        thread["rows"][order_id] = {
            "instance": j["instance"],
            "outcome": outcome,
            "trade_id": f["trade_id"],
            "side": side,
            "order_id": order_id,
            "account": account,
            "harm_at_fill": harm,
            "cured_qty": done,
            "harm_left": remains,
            "withdrawn": withdrawn(market, f, side, order_id, close, events_of),
        }
    if j["alerting"] and history:
        before = thread["alert"]["history"] if thread["alert"] is not None else []
        thread["alert"] = {
            "rule": "client_priority",
            "instance": j["instance"],
            "trade_id": f["trade_id"],
            "side": side,
            "ts": f["ts"],
            "status": history[-1][0],
            "reason": history[-1][1],
            "history": before + history,
            "harm_qty": total,
            "harm_notional": total * f["price"],
            "undecided_qty": j["undecided_qty"],
        }


def withdrawn(
    market: Market,
    f: dict[str, Any],
    side: str,
    order_id: str,
    close: int,
    events_of: dict[str, list[int]],
) -> bool:
    """Whether the client's order was cancelled or made worse than F's price in the window (marks only)."""
    for i in events_of.get(order_id, []):
        entry = market.entries[i]
        if not f["index"] < i < close:
            continue
        if entry["exec_type"] == "canceled" and entry["reason"] in (None, "user"):
            return True
        if (
            entry["exec_type"] == "replaced"
            and entry["price"] is not None
            and not better_or_equal(side, entry["price"], f["price"])
        ):
            return True
    return False
