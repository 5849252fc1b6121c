"""Data quality: what about the venue's record cannot be right. First-class, but no abuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from detectors.base import Rule
from detectors.rulebook import Unit
from schemas.alerts import Evidence, Severity

if TYPE_CHECKING:
    from detectors.market import Market

SEVERITY: dict[str, Severity] = {
    "sequence_gap": "high",
    "late": "medium",
    "conflict": "high",
    "partition_mismatch": "high",
    "rule_error": "high",
    "book_mismatch": "high",
    "crossed_book": "high",
    "late_bust": "medium",
    "overfill": "medium",
    "orphan": "medium",
}


class Integrity(Rule):
    """Findings on the record itself, one per (kind, first seq), raised where the journal is applied.

    Kinds: sequence_gap, duplicate, conflict, orphan, overfill, negative_lifetime, clock_skew, late,
    late_bust, stale_reference, partition_mismatch, no_accounts, crossed_book, book_mismatch, and rule_error
    (a rule raised; the event is not lost). `conflict` is used wherever two statements of the venue about one
    thing differ: seq, match_id (two in one turn, or one in two matches), a fill's leaves, a cancel's leaves,
    a `new` of a live order. `clock_skew`: stamped more than the allowance before the greatest `ts` so far,
    before its own `ts_gateway`, or after its own `ts_ack` or `ts_published`. `overfill`: a fill of more than
    the leaves, which a cancel makes 0 and the death of an IOC, FOK or market order does not. `orphan` is
    about orders: a bust of a fill never seen says nothing. `negative_lifetime`: a cancel, expiry or last fill
    stamped before the acceptance. `crossed_book`: displayed orders, in a state that lasts outside auctions;
    first seq = the record that began the turn, or outside one the record, after which it was so; once until
    it is not. `book_mismatch`: in phase continuous, against displayed orders after the turn the quote lies
    in; a size not stated cannot differ; once until a quote agrees. `no_accounts`: any order record or side of
    a trade. `stale_reference`: reference data lists instruments, but not
    this one at the time of its first record of a trading day. `assigned_sequence`: an adapter, not the venue,
    numbered the records (the instrument's `sequence`), so that a lost record leaves no gap; once, at the
    first record. A finding that comes after an alert it touches degrades the alert all the same. Misses:
    faults that leave the record consistent. Source: SPEC.md section 4; RTS 25 for 1 ms.
    """

    name = "data_quality"
    version = 2

    class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """`clock_skew`: allowance (ns)."""

        clock_skew: Annotated[int, Unit("duration")] = 1_000_000

    def clock_skew(self, ts: int) -> int:
        """Return the allowance in force at `ts`, in ns."""
        found = self.parameters(ts)
        return found[0].clock_skew if found else 1_000_000

    def report(self, market: Market, kind: str, first_seq: int, last_seq: int, ts: int, detail: str) -> None:
        """Emit one finding; the same kind and first seq is the same finding."""
        found = self.parameters(ts)
        market.alert(
            self,
            (kind, first_seq),
            ts=ts,
            parameter_hash=found[1] if found else "",
            severity=SEVERITY.get(kind, "low"),
            evidence=(Evidence("seq", kind, first_seq),),
            measures={"kind": kind, "first_seq": first_seq, "last_seq": last_seq, "detail": detail},
            narrative=f"{market.instrument} {kind.replace('_', ' ')} at seq {first_seq}: {detail}.",
        )
