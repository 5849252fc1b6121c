"""What all markets of one journal partition share: reference data, rulebook, rules."""

from __future__ import annotations

from collections.abc import Iterable

from detectors.affiliation import Directory
from detectors.base import HOOKS, Rule, overridden
from detectors.data_quality.integrity import Integrity
from detectors.registry import PARAMETERS, RULES
from detectors.rulebook import Rulebook
from schemas.reference import Fact


class Context:
    """The rulebook's instances as rule objects, and the look-up of roles in one of the two passes."""

    def __init__(self, rulebook_text: str, facts: Iterable[Fact], *, hindsight: bool, strict: bool) -> None:
        self.strict = strict  # raise what a rule raises (tests); otherwise it becomes a finding
        self.changes = 0  # of reference data and rulebook so far: what is derived from them is derived again
        self.directory = Directory(facts, hindsight=hindsight)
        self.knowledge = self.directory.latest_recorded_at() if hindsight else 0
        self.use(rulebook_text)

    def use(self, rulebook_text: str) -> None:
        """Take a rulebook into force. Raises RulebookError if it is not one."""
        self.rulebook = Rulebook.parse(rulebook_text, PARAMETERS)
        self.changes += 1
        enabled = [instance for instance in self.rulebook.instances if instance.enabled]
        self.rules: list[Rule] = [RULES[instance.rule](instance) for instance in enabled]
        for rule in self.rules:
            rule.rulebook = self.rulebook
        self.by_name = {rule.instance.name: rule for rule in self.rules}
        self.hooked = {hook: [rule for rule in self.rules if overridden(rule, hook)] for hook in HOOKS}
        integrity = [rule for rule in self.rules if isinstance(rule, Integrity)]
        if len(integrity) != 1:
            raise ValueError("expected exactly one enabled instance of rule data_quality in the rulebook")
        self.integrity = integrity[0]
        self.zone = self.rulebook.venue.zone
        self.bust_horizon = self.rulebook.venue.bust_horizon
        self.restated_is_old = self.rulebook.venue.restated_time == "ignored"

    def clock_skew(self, ts: int) -> int:
        """Return how far (ns) a record may be stamped before its predecessor."""
        return self.integrity.clock_skew(ts)
