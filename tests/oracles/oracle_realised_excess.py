"""L2's alert on a maker dearer to clients than others, by brute force.

From the points 1 to 7 in the docstring of `detectors/liquidity/makers_compared.py` (SPEC.md leaves the
bootstrap open), which it does not import.

Fractions throughout, a list of words, a sorted list of values: nothing is cross-multiplied, nothing kept by
block. `alerts(market, seed_of)` is called after the Market has run; `seed_of(anchor)` gives the alert's id.

Readings
X1  A day is judged if an affiliated maker has a fill in it that counts; its anchor is (account, trading day,
    "realised"), its time the day's end, or the recording's where that is earlier.
X2  "Before the first entry with a ts beyond T": an entry that is not `restated`, whose ts is an order's.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from hashlib import blake2b
from typing import Any

from oracle_market import Market
from oracle_quoting_obligation import wall_clock
from oracle_reference import trading_day
from oracle_trade_measures import MINUTE, TradeMeasures

Seed = Callable[[tuple[str, str, str]], str]
NEVER = 10**30


class RealisedExcess(TradeMeasures):
    """Observer of a Market."""

    def alerts(
        self, market: Market, seed_of: Seed, excess: int, min_fills: int, min_blocks: int
    ) -> list[dict[str, Any]]:
        """What is found of every trading day; `excess` in 1e-6 bps."""
        days: dict[str, dict[str | None, list[dict[str, Any]]]] = {}
        for version in market.versions:
            receipt = self.receipts[version["index"]]
            day = trading_day(receipt["time"])
            made_known, gone = version["known_from"], version["known_to"]
            decided = self._decided(market, day)
            if made_known >= decided or (gone is not None and gone < decided):
                continue
            found = self._fill(market, version, receipt)
            if found is not None:
                days.setdefault(day, {}).setdefault(found["maker"], []).append(found)
        out = []
        for day, makers in sorted(days.items()):
            theirs = makers.pop(None, [])
            for account, ours in sorted(makers.items()):
                anchor = (str(account), day, "realised")
                alert = compare(ours, theirs, seed_of(anchor), excess, min_fills, min_blocks)
                if alert is not None:
                    ts = min(_end(day), market.end_ts)
                    out.append({"anchor": anchor, "ts": ts, **alert})
        return out

    def _decided(self, market: Market, day: str) -> int:
        """The index of the entry before which the day is decided."""
        for index, entry in enumerate(market.entries):
            if entry.get("exec_type") != "restated" and entry["ts"] > _end(day) + MINUTE:
                return index
        return len(market.entries)

    def _fill(
        self, market: Market, version: dict[str, Any], receipt: dict[str, Any]
    ) -> dict[str, Any] | None:
        roles = self._roles(market, version)
        if self._reason(market, version, receipt, roles) is not None:
            return None
        bought = version["aggressor"] == "buy"
        taker, maker = roles if bought else roles[::-1]
        realised = self._measure(market, version, receipt)["realised_60"]
        if realised is None or taker != "client" or maker not in ("market_maker", "affiliated_mm"):
            return None
        side = "sell" if bought else "buy"
        account, order = version[f"{side}_account"], market.orders.get(version[f"{side}_order_id"] or "")
        if account is None and order is not None:
            account = order.account
        return {
            "maker": account if maker == "affiliated_mm" else None,
            "block": receipt["time"] // (300 * 10**9),
            "qty": version["qty"],
            "realised": realised,
        }


def _end(day: str) -> int:
    from datetime import date, timedelta

    return wall_clock(date.fromisoformat(day) + timedelta(days=1), "00:00", "Asia/Hong_Kong")


def mean(fills: list[dict[str, Any]]) -> Fraction:
    """Quantity-weighted."""
    return Fraction(sum(f["realised"] * f["qty"] for f in fills), sum(f["qty"] for f in fills))


def compare(
    ours: list[dict[str, Any]],
    theirs: list[dict[str, Any]],
    seed: str,
    excess: int,
    min_fills: int,
    min_blocks: int,
) -> dict[str, Any] | None:
    """The alert's measures, or None."""
    if len(ours) < max(1, min_fills) or len(theirs) < max(1, min_fills):
        return None
    if mean(ours) - mean(theirs) <= excess:
        return None
    blocks = sorted({f["block"] for f in ours + theirs})
    k = len(blocks)
    if k < min_blocks:
        return None
    words: list[int] = []
    counter = 0
    while len(words) < 1000 * k:
        digest = blake2b(f"{seed} {counter}".encode("ascii")).digest()
        words += [int.from_bytes(digest[8 * i : 8 * i + 8], "big") for i in range(8)]
        counter += 1
    mine_of = {block: [f for f in ours if f["block"] == block] for block in blocks}
    other_of = {block: [f for f in theirs if f["block"] == block] for block in blocks}
    values: list[Fraction] = []
    for d in range(1000):
        drawn = [blocks[words[d * k + i] * k // 2**64] for i in range(k)]
        mine = [f for block in drawn for f in mine_of[block]]
        other = [f for block in drawn for f in other_of[block]]
        values.append(mean(mine) - mean(other) if mine and other else Fraction(-NEVER))
    bound = sorted(values)[9]
    if bound <= 0:
        return None
    return {
        "fills": len(ours),
        "other_fills": len(theirs),
        "realised": round(mean(ours)),
        "other_realised": round(mean(theirs)),
        "lower": round(bound),
        "blocks": k,
    }
