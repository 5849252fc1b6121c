"""Reference facts: effective-dated and bitemporal. SPEC.md section 2.4.

A fact holds for [valid_from, valid_to), None = always, and was learnt at `recorded_at`, None = always known.
Facts are never overwritten: a correction is a new fact with a later `recorded_at`, a removal one with
`withdrawn = true`. Decimals travel as strings, times as integer nanoseconds UTC.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Role = Literal["affiliated_mm", "affiliate", "market_maker", "client", "unknown"]
Phase = Literal["continuous", "auction", "halt", "exceptional"]


class _Fact(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="fact",
):
    valid_from: int | None = None
    valid_to: int | None = None
    recorded_at: int | None = None
    withdrawn: bool = False


class Defaults(_Fact, tag="defaults"):
    """`unlisted_accounts = "client"`: each unlisted account is its own owner (public-chain venues)."""

    unlisted_accounts: Literal["unknown", "client"] = "unknown"


class Instrument(_Fact, tag="instruments"):
    """A listed instrument; `tick_size` and `lot_size` as decimal strings."""

    symbol: str
    tick_size: str | None = None
    lot_size: str | None = None
    base: str | None = None
    quote: str | None = None
    matching: str = "price_time"


class Entity(_Fact, tag="entities"):
    """A legal person; exactly one is the operator."""

    id: str
    name: str | None = None
    operator: bool = False


class Account(_Fact, tag="accounts"):
    """A trading account and the entity that owns it."""

    account: str
    entity: str
    kind: str | None = None
    priority_waiver: bool = False


class Affiliation(_Fact, tag="affiliations"):
    """A holding: more than 50 % or `control` is control; 20 to 50 % is watched."""

    parent: str
    child: str
    control_pct: str | None = None
    control: bool = False


class MmRegistration(_Fact, tag="mm_registrations"):
    """A market maker's registration for instruments (`*` = all), affiliated or independent."""

    account: str
    instruments: tuple[str, ...] = ("*",)
    affiliated: bool = False


class MmAgreement(_Fact, tag="mm_agreements"):
    """A quoting obligation (rule L1), of an account or of all accounts of an entity together."""

    id: str
    instrument: str
    account: str | None = None
    entity: str | None = None
    max_spread_bps: str | None = None
    min_qty: str | None = None
    presence_pct: str | None = None
    session_start: str = "00:00"
    session_end: str = "24:00"
    zone: str | None = None
    size_at: Literal["best", "depth"] = "best"
    source: Literal["orders", "quotes"] = "orders"
    protection_exempt: bool = False


class TradingPhase(_Fact, tag="trading_phases"):
    """A stretch in which trading is not plainly continuous."""

    instrument: str
    phase: Phase


class FeeSchedule(_Fact, tag="fee_schedule"):
    """A published fee tier, in bps as decimal strings."""

    tier: str
    maker_bps: str | None = None
    taker_bps: str | None = None


Fact = (
    Defaults
    | Instrument
    | Entity
    | Account
    | Affiliation
    | MmRegistration
    | MmAgreement
    | TradingPhase
    | FeeSchedule
)
FACT_TYPES: dict[str, type[Fact]] = {
    str(fact.__struct_config__.tag): fact
    for fact in (
        Defaults, Instrument, Entity, Account, Affiliation, MmRegistration, MmAgreement, TradingPhase, FeeSchedule,
    )
}  # fmt: skip


def fact_key(fact: Fact) -> tuple[str, ...]:
    """Return what the fact is about: facts of one key supersede each other by `recorded_at`."""
    table = str(fact.__struct_config__.tag)
    match fact:
        case Defaults():
            return (table,)
        case Instrument():
            return (table, fact.symbol)
        case Entity() | MmAgreement():
            return (table, fact.id)
        case Account():
            return (table, fact.account)
        case Affiliation():
            return (table, fact.parent, fact.child)
        case MmRegistration():
            return (table, fact.account, *sorted(fact.instruments))
        case TradingPhase():
            return (table, fact.instrument)
        case FeeSchedule():
            return (table, fact.tier)


def fact_id(fact: Fact) -> str:
    """Return a hash of the whole fact: its key on the topic `reference`."""
    return hashlib.blake2b(msgspec.msgpack.encode(fact), digest_size=16).hexdigest()
