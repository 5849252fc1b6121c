"""How a session was spent: every nanosecond is exactly one of exempt, unknown, compliant, not compliant."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.decimals import ONE, divide_half_even
from schemas.metrics import Verdict

Kind = Literal[
    "outside", "compliant", "not_compliant", "unknown", "auction", "halt", "exceptional", "protection"
]
FULL: int = 100 * ONE  # 100 %, in the scale of a required percentage
MICRO = 1_000_000


class Tally(msgspec.Struct):
    """Time (ns) by what it was; `exempt` by reason. A required percentage is scaled by 10**8.

    >>> tally = Tally()
    >>> for kind in ("compliant", "not_compliant"):
    ...     tally.add(kind, 49)
    >>> for kind in ("unknown", "halt", "outside"):
    ...     tally.add(kind, 1)
    >>> tally.session, tally.left, tally.verdict(50 * ONE), tally.low, tally.high
    (100, 99, 'inconclusive', 49494949, 50505051)
    """

    compliant: int = 0
    not_compliant: int = 0
    unknown: int = 0
    exempt: dict[str, int] = {}

    def add(self, kind: Kind, span: int) -> None:
        """Count `span` ns of a kind; time outside the session does not count."""
        if kind == "compliant":
            self.compliant += span
        elif kind == "not_compliant":
            self.not_compliant += span
        elif kind == "unknown":
            self.unknown += span
        elif kind != "outside":
            self.exempt[kind] = self.exempt.get(kind, 0) + span

    def copy(self) -> Tally:
        """Return an independent copy."""
        return msgspec.structs.replace(self, exempt=dict(self.exempt))

    @property
    def left(self) -> int:
        """The session less what is exempt."""
        return self.compliant + self.not_compliant + self.unknown

    @property
    def exempt_ns(self) -> int:
        """Exempt time of every reason."""
        return sum(self.exempt.values())

    @property
    def session(self) -> int:
        """All of it."""
        return self.left + self.exempt_ns

    @property
    def presence(self) -> int | None:
        """Compliant time in known time that is not exempt, in 1e-6 %; None where there is none."""
        return percent(self.compliant, self.left - self.unknown)

    @property
    def low(self) -> int | None:
        """The same if nothing unknown was compliant."""
        return percent(self.compliant, self.left)

    @property
    def high(self) -> int | None:
        """The same if all unknown time was compliant."""
        return percent(self.compliant + self.unknown, self.left)

    def verdict(self, required: int) -> Verdict:
        """Return what can be said, whatever the unknown time was."""
        if not self.left:
            return "exempt"
        if FULL * self.compliant >= required * self.left:
            return "met"
        return "breach" if FULL * (self.compliant + self.unknown) < required * self.left else "inconclusive"

    def slack(self, required: int, available: int) -> int:
        """Return the warning's formula: below 0 iff the session cannot be met any more.

        `available`: session time still to come that is not exempt. With c, n, u so far and v available,
        100 (c + u + v) < required (c + n + u + v) is (100 - required) (c + u + v) - required n < 0.
        """
        return (FULL - required) * (self.compliant + self.unknown + available) - required * self.not_compliant


def consumption(kind: Kind, required: int) -> int:
    """Return by how much a nanosecond of a kind lowers the slack; a freeze was not foreseen, a phase was."""
    if kind == "not_compliant":
        return FULL
    return FULL - required if kind == "protection" else 0


def percent(part: int, whole: int) -> int | None:
    """Return 100 part / whole in 1e-6 %, half to even; None where `whole` is 0."""
    return divide_half_even(100 * MICRO * part, whole) if whole else None
