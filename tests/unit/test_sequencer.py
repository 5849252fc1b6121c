"""One order per instrument out of three interleaved sources: gaps, late ones, redeliveries, duplicates."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from detectors.sequence import MAX_GAPS, Sequence
from schemas.journal import EventEntry, OrderEntry, RefusedEntry, Source
from streams import sequencer as module
from streams.sequencer import Sequencer

TIMEOUT = 3_000


def entry(
    seq: int, offset: int | None = None, *, name: str = "X", topic: str = "orders", qty: int = 1
) -> OrderEntry:
    """An order record; by default it stands at the offset of its seq."""
    src = Source(topic, 0, seq if offset is None else offset)
    return OrderEntry(
        instrument=name, seq=seq, ts=seq, exec_type="canceled", order_id="O", leaves_qty=qty, src=src
    )


def sequenced(*seqs: int, arrival: int = 0) -> Sequencer:
    """A Sequencer that was offered `seqs`, all at one time."""
    sequencer = Sequencer(TIMEOUT)
    for seq in seqs:
        sequencer.offer(entry(seq), arrival, b"raw")
    return sequencer


def seqs(out: Iterable[EventEntry | RefusedEntry]) -> list[int | None]:
    return [item.seq for item in out]


def refusals(out: Iterable[EventEntry | RefusedEntry]) -> list[tuple[int | None, str, str]]:
    return [(item.seq, item.reason, item.detail) for item in out if isinstance(item, RefusedEntry)]


def test_in_order_goes_out_at_once() -> None:
    assert seqs(sequenced(1, 2, 3).out) == [1, 2, 3]


def test_above_a_gap_is_held_until_the_gap_is_filled() -> None:
    sequencer = sequenced(1, 4, 3)
    assert seqs(sequencer.out) == [1]
    sequencer.offer(entry(2), 0, b"")
    assert seqs(sequencer.out) == [1, 2, 3, 4]
    assert not sequencer.holding()


def test_a_gap_is_given_up_when_all_is_read_past_its_time_and_not_before() -> None:
    sequencer = sequenced(1, 3, arrival=100)
    sequencer.give_up(100 + TIMEOUT - 1)
    assert seqs(sequencer.out) == [1]
    sequencer.give_up(100 + TIMEOUT)
    assert seqs(sequencer.out) == [1, 3]


def test_a_gap_was_seen_at_the_earliest_arrival_above_it() -> None:
    sequencer = sequenced(1)
    sequencer.offer(entry(9), 500, b"")
    sequencer.offer(entry(5), 200, b"")
    sequencer.give_up(200 + TIMEOUT)
    assert seqs(sequencer.out) == [1, 5]
    sequencer.give_up(500 + TIMEOUT)
    assert seqs(sequencer.out) == [1, 5, 9]


def test_a_record_that_comes_after_its_gap_was_given_up_is_late() -> None:
    sequencer = sequenced(1, 4)
    sequencer.finish()
    sequencer.offer(entry(2), 0, b"")
    assert seqs(sequencer.out) == [1, 4, 2]
    assert sequencer.states()["X"].gaps == [(3, 3)]


def test_instruments_do_not_wait_for_each_other() -> None:
    sequencer = sequenced(1, 3)
    sequencer.offer(entry(1, name="Y"), 0, b"")
    assert [(item.instrument, item.seq) for item in sequencer.out] == [("X", 1), ("Y", 1)]


def test_a_cold_start_waits_and_begins_at_the_lowest_seq_held() -> None:
    sequencer = sequenced(12, 10, 11, arrival=100)
    assert sequencer.out == [] and sequencer.states() == {}
    sequencer.give_up(100 + TIMEOUT)
    assert [(item.seq, isinstance(item, OrderEntry) and item.start) for item in sequencer.out] == [
        (10, True), (11, False), (12, False),
    ]  # fmt: skip
    assert sequencer.states()["X"].gaps == [(1, 9)]


def test_a_start_at_seq_1_need_not_wait() -> None:
    [first] = sequenced(1).out
    assert isinstance(first, OrderEntry) and first.start


def test_the_same_source_record_again_is_dropped_and_counted() -> None:
    sequencer = sequenced(1, 3)
    for seq in (1, 3):
        sequencer.offer(entry(seq), 0, b"")
    assert (seqs(sequencer.out), sequencer.redelivered) == ([1], 2)


def test_another_record_with_the_same_seq_and_content_is_a_duplicate() -> None:
    sequencer = sequenced(1, 3)
    sequencer.offer(entry(1, 51), 0, b"again")
    sequencer.offer(entry(3, 53), 0, b"held again")
    assert refusals(sequencer.out) == [
        (1, "duplicate", "same as orders:0:1:0"),
        (3, "duplicate", "same as orders:0:3:0"),
    ]
    assert [item.raw for item in sequencer.out if isinstance(item, RefusedEntry)] == [b"again", b"held again"]


def test_another_record_with_other_content_is_a_conflict() -> None:
    sequencer = sequenced(1, 3)
    sequencer.offer(entry(1, 51, qty=2), 0, b"")
    sequencer.offer(entry(3, 53, qty=2), 0, b"")
    assert refusals(sequencer.out) == [
        (1, "conflict", "same seq as orders:0:1:0, other content"),
        (3, "conflict", "same seq as orders:0:3:0, other content"),
    ]


def test_role_and_unknown_fields_are_no_content() -> None:
    sequencer = sequenced(1)
    again = entry(1, 51)
    again.role, again.owner, again.extra = "client", "alice", '{"vendor":7}'
    sequencer.offer(again, 0, b"")
    assert [reason for _, reason, _ in refusals(sequencer.out)] == ["duplicate"]


def test_what_cannot_be_compared_is_a_duplicate_that_says_so() -> None:
    sequencer = Sequencer.from_state({"X": sequenced(1, 2).states()["X"]}, TIMEOUT)
    sequencer.offer(entry(2, 51, qty=9), 0, b"")
    assert refusals(sequencer.out) == [
        (2, "duplicate", "seq was there already; its content is no longer kept, so it could not be compared")
    ]


def test_contents_are_remembered_for_a_bounded_number_of_seqs() -> None:
    sequencer = sequenced(*range(1, module.REMEMBERED + 2))
    sequencer.out.clear()
    for seq in (1, 2):
        sequencer.offer(entry(seq, 0, qty=9), 0, b"")
    assert [reason for _, reason, _ in refusals(sequencer.out)] == ["duplicate", "conflict"]


def test_a_record_whose_gap_was_forgotten_is_evicted_never_applied() -> None:
    sequencer = sequenced(*range(1, 2 * MAX_GAPS + 4, 2))
    sequencer.finish()
    sequencer.out.clear()
    for seq in (2, 4):
        sequencer.offer(entry(seq), 0, b"")
    assert refusals(sequencer.out) == [(2, "evicted", "came after its gap was forgotten")]
    assert seqs(sequencer.out) == [2, 4]


def test_held_offsets_are_the_lowest_by_topic() -> None:
    sequencer = sequenced(1)
    for seq, offset, topic in ((5, 8, "orders"), (6, 7, "orders"), (4, 30, "trades"), (2, 99, "quotes")):
        sequencer.offer(entry(seq, offset, topic=topic), 0, b"")
    assert sequencer.held_offsets() == {"orders": 7, "trades": 30}


def test_no_clock_may_promise_beyond_what_is_held() -> None:
    sequencer = sequenced(1, 8, 6)
    assert sequencer.held_before() == 5
    sequencer.finish()
    assert sequencer.held_before() == 1 << 62


def test_a_restored_one_goes_on_where_the_journal_ends() -> None:
    state = Sequence()
    for seq in (1, 2, 5):
        state.classify(seq)
    sequencer = Sequencer.from_state({"X": state}, TIMEOUT)
    for seq in (6, 3, 8):
        sequencer.offer(entry(seq), 0, b"")
    assert seqs(sequencer.out) == [6, 3]


def test_a_refused_record_passes_in_its_place() -> None:
    sequencer = sequenced(1)
    refused = RefusedEntry(src=Source("orders", 0, 2), reason="not_json", detail="", raw=b"{")
    sequencer.refuse(refused)
    sequencer.offer(entry(2), 0, b"")
    assert [type(item).__name__ for item in sequencer.out] == ["OrderEntry", "RefusedEntry", "OrderEntry"]


@given(
    present=st.sets(st.integers(1, 60), min_size=1),
    shuffle=st.randoms(use_true_random=False),
    again=st.lists(st.integers(0, 59), max_size=10),
)
def test_any_interleaving_gives_each_record_once_and_in_order(
    present: set[int], shuffle: random.Random, again: list[int]
) -> None:
    order = sorted(present)
    shuffle.shuffle(order)
    copies = [order[at % len(order)] for at in again]
    sequencer = Sequencer(TIMEOUT)
    for number, seq in enumerate([*order, *copies]):
        sequencer.offer(entry(seq, number), number, b"")
    sequencer.finish()
    assert [item.seq for item in sequencer.out if isinstance(item, OrderEntry)] == sorted(present)
    assert [reason for _, reason, _ in refusals(sequencer.out)] == ["duplicate"] * len(copies)
    assert not sequencer.holding()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 50), st.booleans()), max_size=80))
def test_giving_up_agrees_with_a_plain_account_of_what_is_held(steps: list[tuple[int, int, bool]]) -> None:
    """The heaps against lists that are searched anew each time."""
    sequencer = Sequencer(10)
    rule, held, out = Sequence(), dict[int, int](), list[int]()

    def emit(seq: int) -> None:
        rule.classify(seq)
        out.append(seq)
        while (following := rule.last + 1) in held:
            held.pop(following)
            rule.classify(following)
            out.append(following)

    for number, (seq, time, give_up) in enumerate(steps):
        if give_up:
            sequencer.give_up(time)
            while held and min(held.values()) + 10 <= time:
                low = min(held)
                held.pop(low)
                emit(low)
            continue
        sequencer.offer(entry(seq, number), time, b"")
        if seq in held or seq in out:
            continue
        if (rule.started and seq <= rule.last + 1) or seq == 1:
            emit(seq)
        else:
            held[seq] = time
    assert [item.seq for item in sequencer.out if isinstance(item, OrderEntry)] == out
    assert sequencer.holding() == bool(held)


def test_what_is_refused_before_the_start_waits_for_it() -> None:
    """A finding needs its market; until then the record may not be committed either."""
    sequencer = sequenced(3)
    sequencer.offer(entry(3, 53), 0, b"again")
    assert sequencer.out == []
    assert sequencer.held_offsets() == {"orders": 3}
    sequencer.offer(entry(1, 60), 0, b"")
    assert [(item.seq, isinstance(item, RefusedEntry)) for item in sequencer.out] == [(1, False), (3, True)]
    assert sequencer.held_offsets() == {"orders": 3}


def test_a_conflict_is_told_from_a_duplicate_after_a_restart_too() -> None:
    before = sequenced(1, 2)
    after = Sequencer.from_state(before.states(), TIMEOUT)
    for item in before.out:
        assert isinstance(item, OrderEntry)
        after.remember(item)
    after.offer(entry(1, 51), 0, b"")
    after.offer(entry(2, 52, qty=2), 0, b"")
    assert [reason for _seq, reason, _detail in refusals(after.out)] == ["duplicate", "conflict"]


def anew(*times: int) -> Sequencer:
    """A Sequencer that has seen 1 to 1000 and then is offered the series from 1 again, at these times."""
    sequencer = sequenced(*range(1, 1001))
    for seq, ts in enumerate(times, start=1):
        again = entry(seq, 10_000 + seq, qty=7)
        again.ts = ts
        sequencer.offer(again, 0, b"raw")
    return sequencer


def test_a_series_that_begins_anew_is_told_once_and_nothing_of_it_is_lost() -> None:
    begins = range(2_000, 2_000 + 3 * module.RESTARTED)
    sequencer = anew(*begins)
    assert sequencer.restarted == {"X": module.RESTARTED}
    assert len(refusals(sequencer.out)) == len(begins)


def test_records_that_come_twice_are_no_new_series() -> None:
    """Their times are those of the records that were there; nor are few, or with a good one between."""
    assert not anew(*range(1, 4 * module.RESTARTED)).restarted
    assert not anew(*range(2_000, 2_000 + module.RESTARTED - 1)).restarted
    sequencer = anew(*range(2_000, 2_000 + module.RESTARTED - 1))
    sequencer.offer(entry(1001, 20_000), 0, b"raw")
    last = entry(module.RESTARTED, 20_001, qty=7)
    last.ts = 5_000
    sequencer.offer(last, 0, b"raw")
    assert not sequencer.restarted
