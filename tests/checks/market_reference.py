"""Reference data in which things begin, end, move and become known in mid-life."""

from __future__ import annotations

import json
from random import Random
from typing import Any

SECOND = 1_000_000_000


def reference(random: Random, names: list[str], moments: list[int]) -> str:
    """Return reference data in which things begin, end, move and become known in mid-life."""
    rows: list[str] = []

    def row(table: str, **fields: Any) -> None:
        said = "\n".join(f"{name} = {_toml(value)}" for name, value in fields.items() if value is not None)
        rows.append(f"[[{table}]]\n{said}\n")

    def moment() -> int:
        return random.choice(moments) + random.choice((-1, 0, 0, 1))

    def late() -> int | None:
        return moment() if two_passes and random.random() < 0.5 else None

    two_passes = random.random() < 0.3
    # An account listed at one time only may be read either way where unlisted ones are clients.
    unlisted = random.random() < 0.15
    if unlisted:
        rows.append('[defaults]\nunlisted_accounts = "client"\n')
    for name in names:
        if random.random() < 0.9:
            row(
                "instruments",
                symbol=name,
                tick_size=random.choice(("1", "1", "1", "0.5", "2", None)),
                matching=random.choice((None,) * 9 + ("pro_rata",)),
            )
        if random.random() < 0.3:
            first, last = sorted((moment(), moment()))
            if first < last:
                phase = random.choice(("auction", "halt", "exceptional", "continuous"))
                row(
                    "trading_phases",
                    instrument=name,
                    phase=phase,
                    valid_from=first,
                    valid_to=last,
                    recorded_at=late(),
                )
    row("entities", id="venue", operator=True)
    row("affiliations", parent="holdco", child="venue", control_pct="100")
    if random.random() < 0.3:
        cut = moment()
        row("affiliations", parent="holdco", child="maker", control_pct="75", valid_to=cut)
        row(
            "affiliations",
            parent="holdco",
            child="maker",
            control_pct=random.choice(("50", "50.1", "30")),
            valid_from=cut,
            control=random.choice((True, None)),
            recorded_at=late(),
        )
    else:
        row("affiliations", parent="holdco", child="maker", control_pct="75", recorded_at=late())
    if random.random() < 0.2:
        row(
            "affiliations",
            parent="maker",
            child="alice",
            control=True,
            valid_from=moment(),
            recorded_at=late(),
        )
    owners = {
        "MM-1": "maker",
        "MM-2": "maker",
        "HOUSE-1": "venue",
        "IMM-1": "independent",
        "C-1": "alice",
        "C-2": random.choice(("bob", "alice")),
        "C-3": "carol",
        "C-4": "dave",
        "C-5": "eve",
    }
    for account, entity in owners.items():
        if random.random() < 0.1:
            cut = moment()
            row("accounts", account=account, entity=entity, valid_to=cut)
            row(
                "accounts",
                account=account,
                entity=random.choice(("maker", "alice", "frank")),
                valid_from=cut,
                recorded_at=None if unlisted else late(),
            )
        else:
            waiver = True if account == "C-4" else None
            row("accounts", account=account, entity=entity, priority_waiver=waiver)
        if two_passes and not unlisted and random.random() < 0.1:
            known = random.choice(moments) + 2
            row(
                "accounts",
                account=account,
                entity=random.choice(("maker", "bob")),
                recorded_at=known,
                withdrawn=random.choice((None, None, True)),
            )
    for account, affiliated in (("MM-1", True), ("MM-2", True), ("IMM-1", False)):
        edge = {"valid_from": moment()} if random.random() < 0.15 else {}
        edge |= {"valid_to": max(moments) - random.choice((0, 1, SECOND))} if random.random() < 0.1 else {}
        if edge.get("valid_from", 0) >= edge.get("valid_to", 1 << 62):
            edge = {}
        where = ["*"] if random.random() < 0.6 else [names[0]]
        row(
            "mm_registrations",
            account=account,
            instruments=where,
            affiliated=affiliated,
            recorded_at=late(),
            **edge,
        )
    return "\n".join(rows)


def _toml(value: Any) -> str:
    return json.dumps(value)
