"""Whose account it is: one fact of SPEC.md 2.4 a test. Times are small integers of nanoseconds."""

from __future__ import annotations

import itertools
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_reference import Reference

from detectors import affiliation
from detectors.affiliation import UNKNOWN, Directory, Party
from detectors.control import control_groups
from schemas.reference import (
    FACT_TYPES,
    Account,
    Affiliation,
    Defaults,
    Entity,
    Fact,
    Instrument,
    MmAgreement,
    MmRegistration,
    TradingPhase,
    fact_id,
)

VENUE = Entity(id="venue", operator=True)


def holds(
    parent: str, child: str, pct: str = "75", start: int | None = None, end: int | None = None
) -> Affiliation:
    return Affiliation(parent=parent, child=child, control_pct=pct, valid_from=start, valid_to=end)


def account(name: str, entity: str, **fields: int | bool) -> Account:
    return Account(account=name, entity=entity, **fields)  # type: ignore[arg-type]


def registered(name: str, *instruments: str, **fields: int | bool) -> MmRegistration:
    return MmRegistration(account=name, instruments=instruments or ("*",), **fields)  # type: ignore[arg-type]


# ---- roles ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "registration", "role"),
    [
        ("maker", registered("A", affiliated=True), "affiliated_mm"),
        ("maker", registered("A", "X", affiliated=True), "affiliated_mm"),
        ("maker", registered("A", "Y", affiliated=True), "affiliate"),
        ("maker", registered("A"), "affiliate"),
        ("maker", None, "affiliate"),
        ("other", registered("A"), "market_maker"),
        ("other", registered("A", affiliated=True), "market_maker"),
        ("other", registered("A", "Y"), "client"),
        ("other", None, "client"),
    ],
)
def test_a_role_is_group_and_registration(owner: str, registration: MmRegistration | None, role: str) -> None:
    facts: list[Fact] = [VENUE, holds("venue", "maker"), account("A", owner)]
    directory = Directory([*facts, registration] if registration else facts)
    grp = "venue" if owner == "maker" else "other"
    assert directory.party("A", "X", 5) == Party(role, owner, grp)  # type: ignore[arg-type]


def test_an_account_nobody_lists_is_unknown_and_has_no_owner() -> None:
    directory = Directory([VENUE, registered("A")])
    assert directory.party("A", "X", 5) == UNKNOWN
    assert directory.party(None, "X", 5) == UNKNOWN
    assert directory.registered("A", "X", 5) and not directory.registered(None, "X", 5)


def test_an_unknown_owner_is_in_no_group() -> None:
    party = Directory([VENUE]).party("A", "X", 5)
    assert (party.owner, party.grp) == (None, None)


def test_unlisted_accounts_may_be_clients_each_its_own_owner() -> None:
    directory = Directory([VENUE, Defaults(unlisted_accounts="client"), registered("B")])
    assert directory.party("A", "X", 5) == Party("client", "account:A", "account:A")
    assert directory.party("B", "X", 5) == Party("market_maker", "account:B", "account:B")
    assert directory.party(None, "X", 5) == UNKNOWN


def test_a_listed_account_is_unknown_where_its_listing_is_not_valid() -> None:
    directory = Directory([VENUE, Defaults(unlisted_accounts="client"), account("A", "c", valid_from=10)])
    assert [directory.role("A", "X", ts) for ts in (9, 10)] == ["unknown", "client"]


def test_an_account_whose_listing_was_withdrawn_altogether_is_unlisted_again() -> None:
    facts: list[Fact] = [VENUE, Defaults(unlisted_accounts="client"), account("A", "c")]
    directory = Directory([*facts, account("A", "c", recorded_at=20, withdrawn=True)])
    assert [directory.owner("A", ts) for ts in (19, 20)] == ["c", "account:A"]


def test_an_account_whose_listing_was_cut_short_stays_listed() -> None:
    facts: list[Fact] = [VENUE, Defaults(unlisted_accounts="client"), account("A", "c")]
    directory = Directory([*facts, account("A", "c", valid_from=15, recorded_at=20, withdrawn=True)])
    assert [directory.owner("A", ts) for ts in (14, 19, 20)] == ["c", "c", None]


# ---- groups -----------------------------------------------------------------------------------------


def test_control_goes_through_any_number_of_steps_and_is_not_multiplied() -> None:
    chain = [holds("venue", "e0", "51")] + [holds(f"e{n}", f"e{n + 1}", "51") for n in range(500)]
    directory = Directory([VENUE, *reversed(chain), account("A", "e500")])
    assert directory.party("A", "X", 5) == Party("affiliate", "e500", "venue")


def test_control_goes_upwards_and_sideways_too() -> None:
    directory = Directory([VENUE, holds("holdco", "venue"), holds("holdco", "maker"), account("A", "maker")])
    assert directory.role("A", "X", 5) == "affiliate"
    assert directory.group("holdco", 5) == "venue"


def test_a_cycle_is_one_group() -> None:
    directory = Directory([VENUE, holds("a", "b"), holds("b", "c"), holds("c", "a")])
    assert [directory.group(entity, 5) for entity in "abc"] == ["a", "a", "a"]
    directory.add(holds("venue", "c"))
    assert [directory.group(entity, 5) for entity in "abc"] == ["venue", "venue", "venue"]


def test_a_joint_venture_joins_the_groups_of_both_parents() -> None:
    directory = Directory(
        [VENUE, holds("venue", "joint", "51"), Affiliation(parent="z", child="joint", control=True)]
    )
    assert directory.group("z", 5) == "venue"


@pytest.mark.parametrize(
    ("pct", "group", "watched"),
    [
        ("19.99999999", "c", []),
        ("20", "c", ["c"]),
        ("50", "c", ["c"]),
        ("50.00000001", "venue", []),
        ("100", "venue", []),
    ],
)
def test_more_than_half_is_control_and_a_fifth_to_half_is_watched(
    pct: str, group: str, watched: list[str]
) -> None:
    directory = Directory([VENUE, holds("venue", "c", pct)])
    assert directory.group("c", 5) == group
    assert directory.watched_entities(5) == watched


def test_the_control_flag_needs_no_percentage() -> None:
    directory = Directory([VENUE, Affiliation(parent="venue", child="c", control_pct="30", control=True)])
    assert directory.group("c", 5) == "venue"
    assert directory.watched_entities(5) == []


def test_who_is_in_the_group_by_another_way_is_not_merely_watched() -> None:
    facts: list[Fact] = [
        VENUE,
        holds("venue", "a"),
        holds("a", "c"),
        holds("venue", "c", "30"),
        holds("c", "d", "30"),
    ]
    assert Directory(facts).watched_entities(5) == ["d"]


def test_a_group_without_the_operator_is_named_after_its_smallest_member() -> None:
    assert Directory([VENUE, holds("z", "m"), holds("z", "b")]).group("z", 5) == "b"


def test_an_edge_that_starts_and_ends_in_mid_life_is_half_open() -> None:
    directory = Directory([VENUE, holds("venue", "maker", start=10, end=20), account("A", "maker")])
    roles = [directory.role("A", "X", ts) for ts in (9, 10, 19, 20)]
    assert roles == ["client", "affiliate", "affiliate", "client"]


def test_a_registration_that_starts_and_ends_in_mid_life_is_half_open() -> None:
    facts: list[Fact] = [
        VENUE,
        account("A", "venue"),
        registered("A", affiliated=True, valid_from=10, valid_to=20),
    ]
    roles = [Directory(facts).role("A", "X", ts) for ts in (9, 10, 19, 20)]
    assert roles == ["affiliate", "affiliated_mm", "affiliated_mm", "affiliate"]


def test_an_account_moves_between_owners() -> None:
    moved = [account("A", "c", valid_to=10), account("A", "venue", valid_from=10)]
    directory = Directory([VENUE, *moved])
    assert [directory.party("A", "X", ts)[:2] for ts in (9, 10)] == [("client", "c"), ("affiliate", "venue")]


def test_the_operator_may_change() -> None:
    operators = [Entity(id="a", operator=True, valid_to=10), Entity(id="b", operator=True, valid_from=10)]
    directory = Directory([*operators, account("A", "a")])
    assert [directory.role("A", "X", ts) for ts in (9, 10)] == ["affiliate", "client"]


# ---- what was known ---------------------------------------------------------------------------------

LATE_EDGE = Affiliation(parent="venue", child="maker", control=True, valid_from=10, recorded_at=30)


@pytest.mark.parametrize(("hindsight", "expected"), [(False, "cccaa"), (True, "caaaa")])
def test_a_fact_counts_from_when_it_was_recorded_or_with_hindsight_from_when_it_held(
    hindsight: bool, expected: str
) -> None:
    directory = Directory([VENUE, account("A", "maker"), LATE_EDGE], hindsight=hindsight)
    assert "".join(directory.role("A", "X", ts)[0] for ts in (9, 10, 29, 30, 31)) == expected
    assert directory.latest_recorded_at() == 30


def test_the_latest_record_that_is_valid_wins() -> None:
    directory = Directory(
        [
            VENUE,
            account("A", "first"),
            account("A", "second", recorded_at=10, valid_from=5),
            account("A", "third", recorded_at=20, valid_from=5, valid_to=25),
        ]
    )
    said = [directory.owner("A", ts) for ts in (4, 9, 10, 19, 20, 24, 25)]
    assert said == ["first", "first", "second", "second", "third", "third", "second"]


def test_a_withdrawn_fact_leaves_nothing_behind_it() -> None:
    directory = Directory([VENUE, account("A", "c"), account("A", "c", withdrawn=True, recorded_at=10)])
    assert [directory.owner("A", ts) for ts in (9, 10)] == ["c", None]
    directory.add(account("A", "d", recorded_at=20))
    assert [directory.owner("A", ts) for ts in (9, 19, 20)] == ["c", None, "d"]


def test_a_withdrawn_holding_ends_control() -> None:
    edge = holds("venue", "maker")
    gone = Affiliation(parent="venue", child="maker", withdrawn=True, valid_from=15, recorded_at=20)
    facts: list[Fact] = [VENUE, edge, gone]
    assert [Directory(facts).group("maker", ts) for ts in (14, 15, 19, 20)] == ["venue"] * 3 + ["maker"]
    assert [Directory(facts, hindsight=True).group("maker", ts) for ts in (14, 15)] == ["venue", "maker"]


def test_of_several_registrations_affiliated_wins_whatever_was_recorded_last() -> None:
    star_and_name = [registered("A", affiliated=True), registered("A", "X", recorded_at=3)]
    assert Directory([VENUE, account("A", "venue"), *star_and_name]).role("A", "X", 5) == "affiliated_mm"
    together = [registered("A", "X", affiliated=True), registered("A", "X", affiliated=False)]
    assert Directory([VENUE, account("A", "venue"), *together]).role("A", "X", 5) == "affiliated_mm"


def test_a_correction_may_name_one_instrument_of_a_registration() -> None:
    gone = registered("A", "X", withdrawn=True, recorded_at=3)
    directory = Directory([account("A", "c"), registered("A", "X", "Y"), gone])
    assert [directory.registered("A", name, 5) for name in ("X", "Y", "Z")] == [False, True, False]
    assert directory.registered("A", "X", 2)


def test_a_waiver_is_the_accounts_at_the_moment() -> None:
    directory = Directory([account("A", "c", priority_waiver=True, valid_from=10)])
    assert [directory.priority_waiver("A", ts) for ts in (9, 10)] == [False, True]
    assert not directory.priority_waiver(None, 10)


def test_a_fact_learnt_later_counts_at_once_in_every_instrument_asked_before() -> None:
    directory = Directory([VENUE, account("A", "c"), account("B", "c")])
    before = [directory.role(name, instrument, 5) for name in "AB" for instrument in "XY"]
    assert before == ["client"] * 4
    directory.add(registered("A", "Y"))
    after = [directory.role(name, instrument, 5) for name in "AB" for instrument in "XY"]
    assert after == ["client", "market_maker", "client", "client"]
    directory.add(account("A", "d", recorded_at=4))
    assert [directory.party("A", instrument, 5).owner for instrument in "XY"] == ["d", "d"]
    assert [directory.party("A", instrument, 3).owner for instrument in "XY"] == ["c", "c"]


# ---- instruments, phases, agreements ----------------------------------------------------------------


def test_a_tick_size_changes_with_time() -> None:
    listed = [
        Instrument(symbol="X", tick_size="0.5", valid_to=10),
        Instrument(symbol="X", tick_size="0.01", valid_from=10),
    ]
    directory = Directory([*listed, Instrument(symbol="Y")])
    assert [directory.tick_size("X", ts) for ts in (9, 10)] == [50_000_000, 1_000_000]
    assert directory.tick_size("Y", 5) is None and directory.instrument("Z", 5) is None


def test_phases_and_the_moments_at_which_they_may_change() -> None:
    phases = [
        TradingPhase(instrument="X", phase="auction", valid_from=10, valid_to=20),
        TradingPhase(instrument="X", phase="halt", valid_from=30, valid_to=40, recorded_at=35),
    ]
    live, known = Directory(phases), Directory(phases, hindsight=True)
    times = (9, 10, 19, 20, 34, 35, 39, 40)
    assert "".join(live.phase("X", ts)[0] for ts in times) == "caacchhc"
    assert "".join(known.phase("X", ts)[0] for ts in times) == "caachhhc"
    assert [live.next_phase_change("X", ts) for ts in (0, 10, 30, 35, 40)] == [10, 20, 35, 40, None]
    assert known.next_phase_change("X", 30) == 40
    assert live.phase("Y", 15) == "continuous" and live.next_phase_change("Y", 0) is None


def test_a_phase_learnt_later_counts_at_once() -> None:
    directory = Directory([TradingPhase(instrument="X", phase="halt", valid_from=1, valid_to=5)])
    assert (directory.phase("X", 3), directory.next_phase_change("X", 1)) == ("halt", 5)
    directory.add(TradingPhase(instrument="X", phase="auction", valid_from=3, valid_to=4, recorded_at=2))
    assert (directory.phase("X", 3), directory.next_phase_change("X", 1)) == ("auction", 2)


def test_agreements_come_by_id() -> None:
    facts = [MmAgreement(id=name, instrument="X", account="A") for name in ("b", "a")]
    directory = Directory([*facts, MmAgreement(id="c", instrument="Y", account="A")])
    assert [fact.id for fact in directory.agreements("X")] == ["a", "b"]


def test_agreements_of_one_id_come_in_the_order_of_their_facts_ids() -> None:
    facts = [MmAgreement(id="a", instrument="X", account="A", valid_from=start) for start in range(5)]
    expected = sorted(facts, key=fact_id)
    assert facts != expected
    assert Directory(facts).agreements("X") == Directory(facts[::-1]).agreements("X") == expected
    assert Directory(facts).agreements("Y") == []


def test_an_entity_owns_the_accounts_that_name_it_and_an_unlisted_account_itself() -> None:
    facts = [account("A", "maker"), account("B", "other"), account("B", "maker", valid_from=3)]
    directory = Directory(facts)
    assert directory.accounts_of("maker") == {"A": [facts[0]], "B": facts[1:]}
    assert directory.accounts_of("nobody") == {}
    assert directory.accounts_of("account:C") == {"C": []}
    assert directory.accounts_of("account:B") == {"B": facts[1:]}


def test_what_tells_a_book_is_what_is_listed_then() -> None:
    directory = Directory(
        [
            Instrument(symbol="X", tick_size="1", lot_size="1", valid_from=2, valid_to=4, book="quotes"),
            Instrument(symbol="Y", tick_size="1", lot_size="1", book="orders"),
        ]
    )
    said = [directory.book_source("X", ts) for ts in range(1, 5)]
    assert said == ["orders", "quotes", "quotes", "orders"]
    assert [directory.book_source(name, 3) for name in "YZ"] == ["orders", "orders"]


def test_an_account_is_listed_as_soon_as_that_is_known() -> None:
    facts = [
        Defaults(unlisted_accounts="client"),
        account("A", "alice", valid_from=9, recorded_at=5),
    ]
    owners = [[Directory(facts, hindsight=late).owner("A", ts) for ts in (4, 5, 9)] for late in (False, True)]
    assert owners == [["account:A", None, "alice"], [None, None, "alice"]]


def test_an_operator_that_no_edge_names_is_not_watched_by_another() -> None:
    other = Entity(id="second", operator=True)
    assert Directory([VENUE, other, holds("venue", "second", "30")]).watched_entities(0) == []
    assert Directory([VENUE, holds("venue", "second", "30")]).watched_entities(0) == ["second"]


@pytest.mark.parametrize("first", [True, False])
def test_who_was_the_operator_counts_whichever_fact_came_first(first: bool) -> None:
    no_more = Entity(id="venue", operator=False, recorded_at=5)
    facts = [no_more, VENUE] if first else [VENUE, no_more]
    for directory in (Directory(facts), Directory()):
        for fact in facts:
            directory.add(fact)
        directory.add(account("A", "venue"))
        assert [directory.role("A", "X", ts) for ts in (4, 5)] == ["affiliate", "client"]


# ---- properties -------------------------------------------------------------------------------------

ENTITIES = ("venue", "a", "b", "c")
bound = st.one_of(st.none(), st.integers(0, 6))
dated = {
    "valid_from": bound,
    "valid_to": bound,
    "recorded_at": bound,
    "withdrawn": st.booleans(),
}
entity = st.sampled_from(ENTITIES)
any_fact = st.one_of(
    st.builds(Account, account=st.sampled_from("AB"), entity=entity, **dated),
    st.builds(
        Affiliation, parent=entity, child=entity, control_pct=st.sampled_from(["20", "50", "51"]), **dated
    ),
    st.builds(MmRegistration, account=st.sampled_from("AB"), affiliated=st.booleans(), **dated),
    st.builds(Entity, id=entity, operator=st.booleans(), **dated),
    st.builds(Defaults, unlisted_accounts=st.sampled_from(["unknown", "client"]), **dated),
)
phase = st.builds(
    TradingPhase, instrument=st.just("X"), phase=st.sampled_from(["halt", "auction", "continuous"]), **dated
)


@settings(max_examples=150, deadline=None)
@given(st.lists(any_fact, max_size=8), st.booleans(), st.randoms(use_true_random=False))
def test_neither_the_order_of_facts_nor_earlier_questions_change_an_answer(
    facts: list[Fact], hindsight: bool, shuffler: object
) -> None:
    times = [*range(-1, 8)]
    fresh = [
        Directory(facts, hindsight=hindsight).party(name, "X", ts)
        for name, ts in itertools.product("AB", times)
    ]
    shuffled = list(facts)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    grown = Directory(hindsight=hindsight)
    for fact in shuffled:
        grown.add(fact)
        for name, ts in itertools.product("AB", times):
            grown.party(name, "X", ts)
    assert [grown.party(name, "X", ts) for name, ts in itertools.product("AB", times)] == fresh


def everything(directory: Directory, ts: int) -> list[object]:
    """What may be asked of a moment."""
    found: list[object] = [directory.phase("X", ts), directory.next_phase_change("X", ts)]
    found += [directory.watched_entities(ts), [directory.group(name, ts) for name in ENTITIES]]
    for name in (*"AB", None):
        found += [directory.party(name, "X", ts), directory.registered(name, "X", ts)]
        found += [directory.owner(name, ts), directory.priority_waiver(name, ts)]
    return found


@pytest.mark.parametrize("kept", [1, 1_000])
@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(any_fact, phase), max_size=8), st.booleans(), st.randoms(use_true_random=False))
def test_what_was_asked_before_in_any_order_changes_no_answer(
    kept: int, facts: list[Fact], hindsight: bool, random: Random
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(affiliation, "KEPT_ANSWERS", kept)
        patch.setattr(affiliation, "KEPT_GROUPS", kept)
        asked, known = Directory(hindsight=hindsight), []
        for fact in random.sample(facts, len(facts)):
            known.append(fact)
            asked.add(fact)
            for ts in random.choices(range(-1, 8), k=6):
                assert everything(asked, ts) == everything(Directory(known, hindsight=hindsight), ts)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(entity, entity), max_size=6))
def test_groups_are_what_walking_the_edges_reaches(edges: list[tuple[str, str]]) -> None:
    groups = control_groups([holds(*edge) for edge in edges], ["venue"])
    for start in {entity for edge in edges for entity in edge}:
        reached = {start}
        for _ in edges:
            reached |= {entity for edge in edges if reached & set(edge) for entity in edge}
        assert {entity for entity in groups if groups[entity] == groups[start]} == reached
        assert groups[start] == ("venue" if "venue" in reached else min(reached))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, list[dict[str, object]]]:
    """A reference.toml as a document: facts of one key never share a recorded_at, which would be an error."""
    tables: dict[str, list[dict[str, object]]] = {}
    for recorded in range(draw(st.integers(0, 8))):
        parts: tuple[str, dict[str, object]] = draw(
            st.one_of(
                st.builds(
                    lambda a, e: ("accounts", {"account": a, "entity": e}), st.sampled_from("AB"), entity
                ),
                st.builds(
                    lambda p, c, pct: ("affiliations", {"parent": p, "child": c, "control_pct": pct}),
                    entity,
                    entity,
                    st.sampled_from(["50", "51"]),
                ),
                st.builds(
                    lambda a, names, own: (
                        "mm_registrations",
                        {"account": a, "instruments": names, "affiliated": own},
                    ),
                    st.sampled_from("AB"),
                    st.lists(st.sampled_from("XY*"), min_size=1, unique=True),
                    st.booleans(),
                ),
                st.builds(lambda e, own: ("entities", {"id": e, "operator": own}), entity, st.booleans()),
            )
        )
        start, end = draw(bound), draw(bound)
        when = {
            "valid_from": start,
            "valid_to": end,
            "recorded_at": recorded if draw(st.booleans()) else recorded + 8,
        }
        row = {**parts[1], "withdrawn": draw(st.booleans())}
        row |= {name: value for name, value in when.items() if value is not None}
        tables.setdefault(parts[0], []).append(row)
    return tables


@settings(max_examples=300, deadline=None)
@given(documents())
def test_an_implementation_that_shares_no_code_says_the_same(
    document: dict[str, list[dict[str, object]]],
) -> None:
    facts = [
        msgspec.convert(row, FACT_TYPES[table], strict=True)
        for table, rows in document.items()
        for row in rows
    ]
    for which in (1, 2):
        directory, view = Directory(facts, hindsight=which == 2), Reference(document).view(which)
        for name, ts in itertools.product("ABC", range(-1, 18)):
            moment = view.at(ts)
            assert directory.role(name, "X", ts) == moment.role(name, "X")
            assert directory.owner(name, ts) == moment.owner(name)
            assert directory.registered(name, "X", ts) == (moment.registered(name, "X") is not None)
