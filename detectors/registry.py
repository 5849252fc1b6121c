"""The rules there are. Adding one: its file, its import and line here, its rulebook entry, its scenarios."""

from __future__ import annotations

import msgspec

from detectors.base import Rule
from detectors.data_quality.integrity import Integrity
from detectors.fairness.self_trade import SelfTrade
from detectors.identification.affiliate_flag import AffiliateFlag
from detectors.liquidity.quoting_obligation import QuotingObligation
from detectors.liquidity.spread_quality import SpreadQuality
from detectors.priority.client_priority import ClientPriority

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        Integrity,
        AffiliateFlag,
        ClientPriority,
        SelfTrade,
        QuotingObligation,
        SpreadQuality,
    )
}
PARAMETERS: dict[str, type[msgspec.Struct]] = {name: rule.Parameters for name, rule in RULES.items()}
