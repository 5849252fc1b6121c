"""When a worker that has died is started again. Pure: the times are the caller's."""

from __future__ import annotations

WRONG = 1  # exit status of a worker whose configuration is wrong: starting it again changes nothing
TRY_AGAIN = 75  # of one that cannot work for now: no broker, a full disk (EX_TEMPFAIL of sysexits.h)
FIRST_WAIT = 1.0  # seconds
LONGEST_WAIT = 30.0
STEADY = 60.0  # seconds of life after which a death is a first one again


class BackOff:
    """How long to wait before the next start: at once after the first death, then 1, 2, 4, ... 30 seconds.

    >>> waits = BackOff()
    >>> [waits.died(after=2.0) for _ in range(8)]
    [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    >>> waits.died(after=60.0)
    0.0
    """

    def __init__(self) -> None:
        self._next = 0.0

    def died(self, after: float) -> float:
        """Return the seconds to wait; `after`: how long it had run."""
        wait = 0.0 if after >= STEADY else self._next
        self._next = min(LONGEST_WAIT, max(FIRST_WAIT, wait * 2))
        return wait
