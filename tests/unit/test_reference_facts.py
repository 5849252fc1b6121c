"""Facts as structs: their ids, keys, and what the wire refuses."""

from __future__ import annotations

import msgspec
import pytest

from schemas import codec
from schemas.reference import (
    FACT_TYPES,
    Account,
    Affiliation,
    Defaults,
    Entity,
    Fact,
    FeeSchedule,
    Instrument,
    MmAgreement,
    MmRegistration,
    TradingPhase,
    fact_id,
    fact_key,
    fact_keys,
)

EACH: list[Fact] = [
    Defaults(unlisted_accounts="client"),
    Instrument(symbol="X", tick_size="0.5"),
    Entity(id="v", operator=True),
    Account(account="A", entity="v", valid_from=1, valid_to=2, recorded_at=3, withdrawn=True),
    Affiliation(parent="v", child="m", control_pct="75"),
    MmRegistration(account="A", instruments=("Y", "X"), affiliated=True),
    MmAgreement(
        id="1", instrument="X", account="A", size_at="depth", source="quotes", protection_exempt=True
    ),
    TradingPhase(instrument="X", phase="halt"),
    FeeSchedule(tier="standard", maker_bps="-1"),
]


def test_every_kind_of_fact_survives_the_wire() -> None:
    assert [codec.decode_fact(codec.encode(fact)) for fact in EACH] == EACH
    assert {type(fact) for fact in EACH} == set(FACT_TYPES.values()) and len(EACH) == 9


def test_a_golden_id_so_that_old_messages_keep_their_keys() -> None:
    assert fact_id(Account(account="A", entity="v")) == "aace21cc0474089e7d2234af9d9a5481"


def test_ids_are_of_the_whole_fact() -> None:
    facts = [
        Account(account="A", entity="v"),
        Account(account="A", entity="w"),
        Account(account="A", entity="v", recorded_at=0),
        Account(account="A", entity="v", valid_from=0),
        Account(account="A", entity="v", withdrawn=True),
    ]
    assert len({fact_id(fact) for fact in [*facts, *EACH]}) == 14
    assert fact_id(facts[0]) == fact_id(Account(account="A", entity="v", withdrawn=False))


def test_keys_say_what_a_fact_is_about() -> None:
    assert [fact_key(fact) for fact in EACH] == [
        ("defaults",),
        ("instruments", "X"),
        ("entities", "v"),
        ("accounts", "A"),
        ("affiliations", "v", "m"),
        ("mm_registrations", "A", "X", "Y"),
        ("mm_agreements", "1"),
        ("trading_phases", "X"),
        ("fee_schedule", "standard"),
    ]
    assert fact_keys(EACH[5]) == (("mm_registrations", "A", "X"), ("mm_registrations", "A", "Y"))
    assert fact_keys(EACH[3]) == (("accounts", "A"),)


@pytest.mark.parametrize(
    "message",
    [
        '{"fact":"accounts","account":"A"}',
        '{"fact":"accounts","account":"","entity":"v"}',
        '{"fact":"accounts","account":"A","entity":"v","kynd":1}',
        '{"fact":"accounts","account":"A","entity":"v","valid_from":1.5}',
        '{"fact":"accounts","account":"A","entity":"v","valid_to":253370764800000000000}',
        '{"fact":"affiliations","parent":"v","child":"m","control_pct":75}',
        '{"fact":"affiliations","parent":"v","child":"m","control_pct":"7_5"}',
        '{"fact":"affiliations","parent":"v","child":"m","control_pct":"75\\n"}',
        '{"fact":"affiliations","parent":"v","child":"m","control_pct":"0.123456789"}',
        '{"fact":"mm_registrations","account":"A","instruments":[]}',
        '{"fact":"trading_phases","instrument":"X","phase":"lunch"}',
        '{"fact":"unheard_of"}',
        "{}",
        "not json",
    ],
)
def test_the_wire_refuses_what_is_no_fact(message: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        codec.decode_fact(message.encode())
