"""Every fill that ever stood: trades, and corrections as a bust and a fill with new values at the old seq
(SPEC 2.5).

A version is a dict: the trade's fields, `index` (place in the instrument's entries of the *original* trade),
`seq` and `ts` of the original, `known_from` (index of the entry that made it known) and `known_to` (index of
the entry that busted it, None while it stands).

Readings
V1  A correction carries its own `trade_id`, or else keeps the one it corrects. What it leaves out stays as it
    was, flags included. Busts and corrections find their fill by the id of any of its versions.
V2  A bust or correction of a fill never seen, or already busted, does nothing (and is no `orphan`: SPEC names
    fill, cancel and replace of an order only).
V3  Past `bust_horizon` (its ts - the original's ts > 7 days) a bust or correction changes nothing but is
    `late_bust`.
V4  Two trades with one trade_id are both fills; a bust finds the later one.
"""

from __future__ import annotations

from typing import Any

BUST_HORIZON = 7 * 86400 * 10**9
INHERITED = (
    "price",
    "qty",
    "aggressor",
    "match_type",
    "match_id",
    "buy_order_id",
    "buy_account",
    "buy_mm_flag",
    "sell_order_id",
    "sell_account",
    "sell_mm_flag",
)


def fill_versions(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[int]]:
    """All versions in the order in which they became known, and the seqs of late busts."""
    versions: list[dict[str, Any]] = []
    newest: dict[str, dict[str, Any]] = {}
    late: list[int] = []
    for index, entry in enumerate(entries):
        if entry["kind"] != "trades":
            continue
        if entry["exec_type"] == "trade":
            version = {name: entry[name] for name in INHERITED}
            version.update(
                trade_id=entry["trade_id"],
                index=index,
                seq=entry["seq"],
                ts=entry["ts"],
                known_from=index,
                known_to=None,
            )
            versions.append(version)
            newest[version["trade_id"]] = version
            continue
        target = newest.get(entry["orig_trade_id"])
        if target is None or target["known_to"] is not None:
            continue
        if entry["ts"] - target["ts"] > BUST_HORIZON:
            late.append(entry["seq"])
            continue
        target["known_to"] = index
        if entry["exec_type"] == "trade_correct":
            version = {name: target[name] if entry[name] is None else entry[name] for name in INHERITED}
            version.update(
                trade_id=entry["trade_id"] or target["trade_id"],
                index=target["index"],
                seq=target["seq"],
                ts=target["ts"],
                known_from=index,
                known_to=None,
            )
            versions.append(version)
            for name, value in list(newest.items()):
                if value is target:
                    newest[name] = version
            newest[version["trade_id"]] = version
    return versions, late


def standing(version: dict[str, Any], index: int | None = None) -> bool:
    """Whether the version stands after entry `index` (None: at the end)."""
    if index is None:
        return version["known_to"] is None
    return version["known_from"] <= index and (version["known_to"] is None or version["known_to"] > index)
