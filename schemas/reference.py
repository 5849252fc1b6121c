"""Reference facts: effective-dated and bitemporal. SPEC.md section 2.4.

A fact holds for [valid_from, valid_to), None = always, and was learnt at `recorded_at`, None = always known.
Facts are never overwritten: a correction is a new fact with a later `recorded_at`, a removal one with
`withdrawn = true`. Decimals travel as strings, times as integer nanoseconds UTC.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1)]
DecimalText = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,10}(\.[0-9]{1,8})?\Z")]
Time = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]  # ns since 1970 UTC: the years 1824 to 2116

Role = Literal["affiliated_mm", "affiliate", "market_maker", "client", "unknown"]
BookSource = Literal["orders", "quotes", "none"]
Phase = Literal["continuous", "auction", "halt", "exceptional"]


class _Fact(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="fact",
):
    valid_from: Time | None = None
    valid_to: Time | None = None
    recorded_at: Time | None = None
    withdrawn: bool = False


class Defaults(_Fact, frozen=True, tag="defaults"):
    """`unlisted_accounts = "client"`: each unlisted account is its own owner (public-chain venues)."""

    unlisted_accounts: Literal["unknown", "client"] = "unknown"


class Instrument(_Fact, frozen=True, tag="instruments"):
    """A listed instrument; `tick_size` and `lot_size` as decimal strings.

    `book`: what the record tells of it. `orders`: every order, so that seq 1 finds it empty. `quotes`: no
    orders, only the venue's best bid and offer. `none`: neither. `sequence`: who numbered the records, the
    `venue` or, where it does not, the source `adapter`.
    """

    symbol: Name
    tick_size: DecimalText | None = None
    lot_size: DecimalText | None = None
    base: str | None = None
    quote: str | None = None
    matching: str = "price_time"
    book: BookSource = "orders"
    sequence: Literal["venue", "adapter"] = "venue"


class Entity(_Fact, frozen=True, tag="entities"):
    """A legal person; exactly one is the operator."""

    id: Name
    name: str | None = None
    operator: bool = False


class Account(_Fact, frozen=True, tag="accounts"):
    """A trading account and the entity that owns it."""

    account: Name
    entity: Name
    kind: str | None = None
    priority_waiver: bool = False


class Affiliation(_Fact, frozen=True, tag="affiliations"):
    """A holding: more than 50 % or `control` is control; 20 to 50 % is watched."""

    parent: Name
    child: Name
    control_pct: DecimalText | None = None
    control: bool = False


class MmRegistration(_Fact, frozen=True, tag="mm_registrations"):
    """A market maker's registration for instruments (`*` = all), affiliated or independent."""

    account: Name
    instruments: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] = ("*",)
    affiliated: bool = False


class MmAgreement(_Fact, frozen=True, tag="mm_agreements"):
    """A quoting obligation (rule L1), of an account or of all accounts of an entity together."""

    id: Name
    instrument: Name
    account: Name | None = None
    entity: Name | None = None
    max_spread_bps: DecimalText | None = None
    min_qty: DecimalText | None = None
    presence_pct: DecimalText | None = None
    session_start: str = "00:00"
    session_end: str = "24:00"
    zone: str | None = None
    size_at: Literal["best", "depth"] = "best"
    source: Literal["orders", "quotes"] = "orders"
    protection_exempt: bool = False


class TradingPhase(_Fact, frozen=True, tag="trading_phases"):
    """A stretch in which trading is not plainly continuous."""

    instrument: Name
    phase: Phase


class FeeSchedule(_Fact, frozen=True, tag="fee_schedule"):
    """A published fee tier, in bps as decimal strings."""

    tier: Name
    maker_bps: DecimalText | None = None
    taker_bps: DecimalText | None = None


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
        Defaults, Instrument, Entity, Account, Affiliation, MmRegistration, MmAgreement, TradingPhase,
        FeeSchedule,
    )
}  # fmt: skip


def fact_key(fact: Fact) -> tuple[str, ...]:
    """Return what the fact is about, its table first: to name it.

    >>> fact_key(Account(account="A-1", entity="client"))
    ('accounts', 'A-1')
    """
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
            return (table, fact.account, *sorted(set(fact.instruments)))
        case TradingPhase():
            return (table, fact.instrument)
        case FeeSchedule():
            return (table, fact.tier)


def fact_keys(fact: Fact) -> tuple[tuple[str, ...], ...]:
    """Return the keys under which facts supersede each other by `recorded_at`.

    One, except that a registration has one for each instrument it names (`*` is a name like any other): a
    later fact may correct or withdraw a single one of them.

    >>> fact_keys(MmRegistration(account="A-1", instruments=("X", "Y")))
    (('mm_registrations', 'A-1', 'X'), ('mm_registrations', 'A-1', 'Y'))
    """
    if isinstance(fact, MmRegistration):
        return tuple((*fact_key(fact)[:2], name) for name in sorted(set(fact.instruments)))
    return (fact_key(fact),)


def fact_id(fact: Fact) -> str:
    """Return a hash of the whole fact (32 hex digits): its key on the topic `reference`.

    Fields at their defaults do not count, so a field added later leaves the ids of older facts as they are.
    """
    return hashlib.blake2b(msgspec.msgpack.encode(fact), digest_size=16).hexdigest()
