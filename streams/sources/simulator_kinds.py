"""Every kind of act that a simulated day can have planted in it: breaches, and what only comes near one.

One line a kind, by rule. `VIOLATIONS` must be found; `NEAR` lie one lot, one tick, one nanosecond or one
named exemption on the quiet side and must not be. `simulator_plants` has an act for each.
"""

from __future__ import annotations

from types import MappingProxyType

Kinds = MappingProxyType[str, tuple[str, str]]

VIOLATIONS: Kinds = MappingProxyType({
    # I1
    "untagged_order": ("affiliate_flag", "a maker's order without its flag, resting or rejected"),
    "untagged_fill": ("affiliate_flag", "a fill of a flagged maker order without the flag"),
    "untagged_block": ("affiliate_flag", "a block of a maker without its flag"),
    "untagged_quote": ("affiliate_flag", "a maker's two-sided quote without its flag"),
    "untagged_since_now": ("affiliate_flag", "no flag at the nanosecond at which a maker joins the group"),
    "false_tag": ("affiliate_flag", "a client's order with a market maker's flag"),
    "false_tag_rfq": ("affiliate_flag", "a client's side of an rfq fill with a market maker's flag"),
    "false_tag_quote": ("affiliate_flag", "a client's two-sided quote with a market maker's flag"),
    "false_tag_since_now": ("affiliate_flag", "a flag at the nanosecond at which a registration ends"),
    "mutated_flag": ("affiliate_flag", "the flag of a live order differs in a cancel or replace"),
    "unregistered_affiliate": ("affiliate_flag", "an order of the operator's treasury"),
    "unregistered_fill": ("affiliate_flag", "a block of the operator's treasury"),
    "unknown_account": ("affiliate_flag", "an order of an account that reference data does not know"),
    # P1, price_time
    "price_time_equal": ("client_priority", "a maker's order trades before an earlier client's at one price"),
    "price_time_better": ("client_priority", "a maker's order trades although a client bids more"),
    "price_time_one_lot": ("client_priority", "one lot of a maker trades before a client's"),
    "price_time_affiliate": ("client_priority", "the operator's treasury trades before a client"),
    "price_time_kept_place": ("client_priority", "passed over after a replace to a lot less"),
    "price_time_resumed": ("client_priority", "passed over after a suspension that has ended"),
    "price_time_min_qty": ("client_priority", "passed over with a min_qty of just what was to allocate"),
    "price_time_hidden": ("client_priority", "an iceberg a tick better: what it hides counts"),
    "price_time_same_group": ("client_priority", "passed over; its group, but not its owner, is across"),
    "price_time_part_cured": ("client_priority", "part of the harm is made good in the match"),
    "price_time_lot_short": ("client_priority", "all of the harm but a lot is made good in the match"),
    "price_time_worse_cure": ("client_priority", "filled later in the match a tick worse, which is no cure"),
    "price_time_busted": ("client_priority", "the fill out of turn is busted"),
    "price_time_cure_busted": ("client_priority", "made good in the match, and that cure is busted"),
    "price_time_corrected": ("client_priority", "a correction moves a fill to an earlier client's price"),
    # P1, client_first: off the book, in both instances
    "client_first_block": ("client_priority", "a maker's block at a price that a client would match"),
    "client_first_rfq": ("client_priority", "a maker's rfq fill at such a price"),
    "client_first_halt": ("client_priority", "a maker's block at such a price while the book is halted"),
    "client_first_cured": ("client_priority", "made good at the window's last nanosecond: retracted"),
    "client_first_late_cure": ("client_priority", "made good a nanosecond after the window"),
    "client_first_worse_cure": ("client_priority", "filled in the window a tick worse, which is no cure"),
    "client_first_lot_short": ("client_priority", "all but a lot made good in the window"),
    # F2
    "self_trade_account": ("self_trade", "one account on both sides"),
    "self_trade_lot": ("self_trade", "one lot with one account on both sides"),
    "self_trade_unknown": ("self_trade", "one unknown account on both sides"),
    "self_trade_owner": ("self_trade", "two accounts of one owner"),
    "self_trade_afmm": ("self_trade", "two makers of one group"),
    "self_trade_affiliate": ("self_trade", "a maker and the operator's treasury"),
    "self_trade_group": ("self_trade", "two clients of one parent"),
    "self_trade_block": ("self_trade", "a block between two accounts of one owner"),
    "self_trade_rfq": ("self_trade", "an rfq fill between two makers of one group"),
    "self_trade_liquidation": ("self_trade", "a liquidation taken by the account it liquidates"),
    "self_trade_auction": ("self_trade", "one account on both sides of an uncross"),
    "self_trade_since_now": ("self_trade", "when an account has just passed to the owner across"),
    "self_trade_busted": ("self_trade", "one account on both sides, busted"),
    "self_trade_corrected": ("self_trade", "one account on both sides, corrected to another: retracted"),
    "self_trade_by_correction": ("self_trade", "a trade of two clients corrected to one account"),
})  # fmt: skip

NEAR: Kinds = MappingProxyType({
    # I1
    "flag_forms": ("affiliate_flag", "a client's flag is missing, null and false by turns: one value"),
    "flag_of_independent": ("affiliate_flag", "an independent maker's flagged order: registered"),
    "flag_rejected": ("affiliate_flag", "a maker's rejected order with its flag"),
    "flag_quote": ("affiliate_flag", "a maker's two-sided quote with its flag"),
    "flag_venture": ("affiliate_flag", "no flag on a client of which the operator owns 30 %"),
    "flag_until_now": ("affiliate_flag", "a flag a nanosecond before a registration ends"),
    "untagged_until_now": ("affiliate_flag", "no flag a nanosecond before a maker joins the group"),
    # P1, price_time: each fills before an earlier client's order, but
    "priority_tick_better": ("client_priority", "a tick better than the client"),
    "priority_behind": ("client_priority", "the client came just after"),
    "priority_lost_place": ("client_priority", "the client had asked for a lot more and lost its place"),
    "priority_hidden": ("client_priority", "the client's displayed tranche was served, the rest was hidden"),
    "priority_cured": ("client_priority", "all of it is made good in the match"),
    "priority_same_owner": ("client_priority", "the client's owner is across"),
    "priority_all_or_none": ("client_priority", "the client's order was all or none"),
    "priority_not_held": ("client_priority", "the client's order was not held"),
    "priority_min_qty": ("client_priority", "the client asked for a lot more than there was to allocate"),
    "priority_suspended": ("client_priority", "the client's order was suspended"),
    "priority_untriggered": ("client_priority", "the client's stop was not triggered"),
    "priority_waiver": ("client_priority", "the client has waived its priority"),
    "priority_agency": ("client_priority", "the maker's order was an agency order"),
    "priority_riskless": ("client_priority", "the maker's order was riskless principal"),
    "priority_liquidation": ("client_priority", "the fill was a liquidation"),
    "priority_exceptional": ("client_priority", "the phase was exceptional"),
    "priority_rival": ("client_priority", "the one passed over was a market maker"),
    "priority_unknown": ("client_priority", "the one passed over was of no known account"),
    "priority_unwatched": ("client_priority", "the one filled was an independent maker"),
    "priority_venture": ("client_priority", "the one filled was a client owned to 30 % by the operator"),
    "priority_corrected": ("client_priority", "a correction makes the fill a lot smaller"),
    # P1, off the book
    "block_tick_better": ("client_priority", "a maker's block a tick better than any client"),
    "rfq_tick_better": ("client_priority", "a maker's rfq fill a tick better than any client"),
    "block_same_owner": ("client_priority", "the only client as good is the owner across"),
    "liquidation_reported": ("client_priority", "a liquidation of a maker a tick worse than a client"),
    # F2
    "trade_of_unknowns": ("self_trade", "two unknown accounts are never one owner"),
    "trade_with_venture": ("self_trade", "a maker and a client owned to 30 % by the operator"),
    "trade_of_halves": ("self_trade", "two clients of a parent with 50 % of each"),
    "trade_prevented": ("self_trade", "self-trade prevention cancels the resting order"),
    "trade_until_now": ("self_trade", "a nanosecond before an account changes to the owner across"),
})  # fmt: skip

IN_PHASE = {"client_first_halt": "halt", "priority_exceptional": "exceptional"}
"""Kinds that must wait for a phase."""

AT_MOMENT = {
    "flag_until_now": -1, "untagged_until_now": -1, "trade_until_now": -1,
    "false_tag_since_now": 0, "untagged_since_now": 0, "self_trade_since_now": 0,
}  # fmt: skip
"""Kinds done at the moment at which reference data changes, or a nanosecond (-1) before it."""

AT_UNCROSS = ("self_trade_auction",)
AFTER_A_SECOND = (
    "client_first_cured", "client_first_late_cure", "client_first_worse_cure", "client_first_lot_short",
)  # fmt: skip
"""Kinds that let a second pass, in which reference data must not change."""

OF_INDEPENDENT = ("flag_of_independent", "priority_rival", "priority_unwatched")
"""Kinds that need the independent maker."""
