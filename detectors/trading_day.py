"""Trading days: civil days of the venue's zone, daylight saving included."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(moment: datetime) -> int:
    """Return a moment with an offset as ns since the epoch, exactly.

    >>> nanoseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC))
    -1000
    """
    past = moment - _EPOCH
    return ((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds) * 1_000


@lru_cache(maxsize=4096)
def day_bounds(day: str, zone: str) -> tuple[int, int]:
    """Return the first nanosecond of the ISO date `day` in `zone`, and that of the next day.

    A midnight that comes twice counts the first time; one that daylight saving skips is the moment of the
    skip. Raises ValueError for what is no date, ZoneInfoNotFoundError (a KeyError) for what is no zone.

    >>> day_bounds("2026-03-02", "Asia/Hong_Kong")
    (1772380800000000000, 1772467200000000000)
    """
    start = date.fromisoformat(day)
    return _midnight(start, zone), _midnight(start + timedelta(days=1), zone)


def trading_day(ts: int, zone: str) -> str:
    """Return the ISO date in `zone` at `ts` (ns since the epoch): the day whose `day_bounds` hold it.

    >>> trading_day(1772380799999999999, "Asia/Hong_Kong")
    '2026-03-01'
    """
    return next(day for day, end in _days_in_hour(ts // HOUR, zone) if ts < end)


@lru_cache(maxsize=4096)
def _days_in_hour(hour: int, zone: str) -> tuple[tuple[str, int], ...]:
    """Return the days that an hour since the epoch touches, each with its end: one, seldom two."""
    around = (_EPOCH + timedelta(hours=hour)).astimezone(ZoneInfo(zone)).date()
    days = [(around + timedelta(days=shift)).isoformat() for shift in (-1, 0, 1)]
    touched = []
    for day in days:
        start, end = day_bounds(day, zone)
        if start < (hour + 1) * HOUR and end > max(hour * HOUR, start):
            touched.append((day, end))
    return tuple(touched)


def _midnight(day: date, zone: str) -> int:
    return nanoseconds(datetime.combine(day, time(0), tzinfo=ZoneInfo(zone)).astimezone(UTC))
